"""An execution's transaction: commit it, and carry out in it what the core decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from engine import failpoints
from engine.core import propagate, termination
from engine.core.plan import Chain, FanOut, Plan
from engine.core.transitions import RunKey
from engine.definition import Definition
from engine.flow.journal import Journal
from engine.flow.outgoing import Sends
from engine.store.db.database import Connection, Database
from engine.store.writes import carry_out as writer
from engine.store.writes import fan_outs, fast_path
from engine.store.writes.carry_out import Carried
from engine.store.writes.execution_tx import ExecutionTx, execution_tx
from engine.store.writes.fast_path import FastWrite, Written
from engine.store.writes.step_runs import Ticket

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
    execution that it has told something; without one rescue finds them. ``first`` runs before it,
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
        sends.dispatches += tx.dispatches
    return result


def commit_fast(
    database: Database, foresee: Callable[[], FastWrite | None], journal: Journal
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
    if wanted is None:
        return None

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


# --- what the core decides, carried out in the transaction ------------------------------------


def carry_out(tx: ExecutionTx, definition: Definition, plan: Plan) -> Carried:
    """Write what the plan orders, and what is left to do when nothing runs by that any more."""
    carried = writer.carry_out(tx, plan)
    if plan.asks_again:
        after = writer.carry_out(tx, termination.idle(tx.state, definition, tx.now))
        carried.ready = after.ready
    return carried


def after_success(
    tx: ExecutionTx,
    definition: Definition,
    key: RunKey,
    *,
    ran: bool,
    chain: Chain = propagate.NO_CHAIN,
) -> Carried:
    """Write what follows from ``key`` having completed (or, not ``ran``, having been skipped)."""
    fan_out = _counted(tx, key, failed=False)
    plan = propagate.after_success(
        tx.state, definition, key, now=tx.now, ran=ran, fan_out=fan_out, chain=chain
    )
    return carry_out(tx, definition, plan)


def after_failure(
    tx: ExecutionTx, definition: Definition, key: RunKey, *, error: Mapping[str, Any], grace: int
) -> list[Ticket]:
    """Write what the failed step's policy says; return messages for what is ready by it."""
    fan_out = _counted(tx, key, failed=True)
    plan = propagate.after_failure(
        tx.state, definition, key, now=tx.now, error=error, grace=grace, fan_out=fan_out
    )
    return carry_out(tx, definition, plan).ready


def end_if_idle(tx: ExecutionTx, definition: Definition) -> list[Ticket]:
    """Write what is left to do of an ending execution once nothing of it runs any more."""
    return carry_out(tx, definition, termination.idle(tx.state, definition, tx.now)).ready


def _counted(tx: ExecutionTx, key: RunKey, *, failed: bool) -> FanOut | None:
    """Count an item that ended. Of an execution that is to end nobody asks how many are left."""
    if key.item < 0 or tx.state.stopping:
        return None
    return fan_outs.count_item(tx, key, failed=failed)
