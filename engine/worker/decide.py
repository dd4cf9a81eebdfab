"""Decide on a step run that nobody has claimed, in a guarded transaction of its own."""

from __future__ import annotations

from collections.abc import Callable

from engine.errors import StaleClaim
from engine.flow.journal import Journal
from engine.flow.outgoing import Sends
from engine.flow.transaction import commit
from engine.store.db.database import Database
from engine.store.writes.execution_tx import ExecutionTx
from engine.store.writes.step_runs import Ticket
from engine.worker.work import Work


def decide(
    database: Database,
    journal: Journal,
    work: Work,
    move: Callable[[ExecutionTx], list[Ticket]],
    sends: Sends,
) -> list[Ticket]:
    """Make a move of an unclaimed step run; return what became ready by it.

    Raises:
        StaleClaim: another has decided, or the execution ends or is paused.
    """

    def follow(tx: ExecutionTx) -> list[Ticket]:
        if not tx.state.moving:
            raise StaleClaim("the execution ends or is paused: nothing new starts")
        tickets = move(tx)
        work.execution.follow(tx.state)
        return tickets

    return commit(database, work.run.execution_id, follow, journal, sends)
