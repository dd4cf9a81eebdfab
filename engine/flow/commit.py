"""Commit one change of an execution, in a transaction or in a single statement."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from engine import failpoints
from engine.flow.journal import Journal
from engine.flow.sends import Sends
from engine.store import fast_path
from engine.store.database import Connection, Database
from engine.store.execution_tx import ExecutionTx, execution_tx
from engine.store.fast_path import FastWrite, Written

T = TypeVar("T")


def commit(
    database: Database,
    execution_id: str,
    work: Callable[[ExecutionTx], T],
    journal: Journal | None = None,
    sends: Sends | None = None,
    *,
    first: Callable[[Connection], None] | None = None,
) -> T:
    """Run ``work`` in one transaction of the execution and return what it returns.

    Once it has committed, ``journal`` is told, and ``sends`` gets a dispatch for each other
    execution that it owes something; without one rescue finds them. ``first`` runs before it,
    in the same transaction.

    Raises:
        StaleClaim, NotFound: from the guards; nothing was changed.
        Unavailable: the database did not answer; whether it committed is unknown.
    """
    now = database.now()

    def transaction(connection: Connection) -> tuple[T, ExecutionTx]:
        if first is not None:
            first(connection)
        with execution_tx(connection, execution_id, now) as tx:
            result = work(tx)
        if failpoints.armed:
            failpoints.reach("before_commit")
        return result, tx

    result, tx = database.write(transaction)
    if failpoints.armed:
        failpoints.reach("after_commit")
    if journal is not None:
        journal.tell(tx)
    if sends is not None:
        sends.dispatches += tx.owed
    return result


def commit_fast(
    database: Database, foresee: Callable[[], FastWrite], journal: Journal
) -> Written | None:
    """Write in a single statement and return what came of it, or None: nothing was changed, and a
    transaction must decide.

    ``foresee`` tells what it is to do; it is not asked where there is no server, and so no trip to
    be saved.

    Raises:
        Unavailable: the database did not answer; whether it committed is unknown.
    """
    if not database.has_server:
        return None
    wanted = foresee()

    def statement(connection: Connection) -> Written | None:
        if failpoints.armed:
            failpoints.reach("before_commit")
        return fast_path.write(connection, wanted)

    written = database.write_at_once(statement)
    if written is None:
        return None
    if failpoints.armed:
        failpoints.reach("after_commit")
    journal.tell(written)
    return written
