"""Decide on a step run that nobody has claimed, in a guarded turn of its own."""

from __future__ import annotations

from collections.abc import Callable

from engine.errors import StaleClaim
from engine.flow.commit import commit
from engine.flow.journal import Journal
from engine.flow.sends import Sends
from engine.store.database import Database
from engine.store.steps import Ticket
from engine.store.turn import Turn
from engine.worker.work import Work


def decide(
    database: Database,
    journal: Journal,
    work: Work,
    move: Callable[[Turn], list[Ticket]],
    sends: Sends,
) -> list[Ticket]:
    """Make a move of an unclaimed step run; return what became ready by it.

    Raises:
        StaleClaim: another has decided, or the execution ends or is paused.
    """

    def follow(taken: Turn) -> list[Ticket]:
        if not taken.head.moving:
            raise StaleClaim("the execution ends or is paused: nothing new starts")
        tickets = move(taken)
        work.stay.follow(taken.head)
        return tickets

    return commit(database, work.run.execution_id, follow, journal, sends)
