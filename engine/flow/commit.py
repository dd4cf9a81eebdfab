"""Commit one turn of an execution, in a transaction or in a single statement."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from engine import failpoints
from engine.flow.journal import Journal
from engine.flow.sends import Sends
from engine.store import short_turns
from engine.store.database import Connection, Database
from engine.store.short_turns import ShortTurn, Taken
from engine.store.turn import Turn, turn

T = TypeVar("T")


def commit(
    database: Database,
    execution_id: str,
    work: Callable[[Turn], T],
    journal: Journal | None = None,
    sends: Sends | None = None,
    *,
    first: Callable[[Connection], None] | None = None,
) -> T:
    """Run ``work`` in one turn of the execution and return what it returns.

    Once the turn has committed, ``journal`` is told, and ``sends`` gets a dispatch for each other
    execution that it owes something; without one rescue finds them. ``first`` runs before the turn,
    in the same transaction.

    Raises:
        StaleClaim, NotFound: from the guards; nothing was changed.
        Unavailable: the database did not answer; whether it committed is unknown.
    """
    now = database.now()

    def transaction(connection: Connection) -> tuple[T, Turn]:
        if first is not None:
            first(connection)
        with turn(connection, execution_id, now) as taken:
            result = work(taken)
        if failpoints.armed:
            failpoints.reach("before_commit")
        return result, taken

    result, taken = database.write(transaction)
    if failpoints.armed:
        failpoints.reach("after_commit")
    if journal is not None:
        journal.tell(taken)
    if sends is not None:
        sends.dispatches += taken.owed
    return result


def commit_short(
    database: Database, foresee: Callable[[], ShortTurn], journal: Journal
) -> Taken | None:
    """Carry out a short turn and return what came of it, or None: nothing was changed, and a turn
    must be taken.

    ``foresee`` tells what it is to do; it is not asked where there is no server, and so no trip to
    be saved.

    Raises:
        Unavailable: the database did not answer; whether it committed is unknown.
    """
    if not database.has_server:
        return None
    wanted = foresee()

    def statement(connection: Connection) -> Taken | None:
        if failpoints.armed:
            failpoints.reach("before_commit")
        return short_turns.take(connection, wanted)

    taken = database.write_at_once(statement)
    if taken is None:
        return None
    if failpoints.armed:
        failpoints.reach("after_commit")
    journal.tell(taken)
    return taken
