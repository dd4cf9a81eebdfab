"""Plan a pending execution: make its step runs and say which are ready."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import StaleClaim
from engine.flow.commit import commit
from engine.flow.finish import finish
from engine.flow.journal import Journal
from engine.flow.scope import Scope
from engine.flow.sends import Look
from engine.flow.versions import Versions
from engine.machine.plan import PlannedRun, first_rows
from engine.machine.status import ExecutionStatus, StepStatus
from engine.store import executions, steps
from engine.store.database import Database
from engine.store.executions import Pinned
from engine.store.steps import Ticket
from engine.store.turn import Turn


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What a dispatch gave: tickets to send, whose page has news, since when it was owed (µs)."""

    tickets: list[Ticket]
    look: Look | None = None
    due_at: int | None = None


def dispatch(database: Database, versions: Versions, execution_id: str) -> Dispatched:
    """Plan the execution and return tickets for what is ready.

    Called again it changes nothing; an execution whose last step ended but whose worker died
    before it was completed is completed here.
    """
    pinned = database.read(lambda connection: executions.pinned(connection, execution_id))
    if pinned is None:
        return Dispatched([])
    definition = versions.get(pinned.workflow_id, pinned.version)
    journal = Journal(versions)
    look = Look(pinned.id, pinned.owner_id, pinned.workflow_id)
    if pinned.status is ExecutionStatus.PENDING:
        tickets = _plan(
            database, pinned, first_rows(definition, _reusable(database, pinned)), journal
        )
        if tickets is None:
            return Dispatched([])
        if not tickets:
            finish(database, pinned.id, definition, Scope(database, pinned, definition), journal)
        return Dispatched(tickets, look, pinned.due_at)
    if pinned.ending is None and pinned.steps_left == 0:
        finish(database, pinned.id, definition, Scope(database, pinned, definition), journal)
        return Dispatched([], look)
    return Dispatched([])


def _plan(
    database: Database, pinned: Pinned, planned: list[PlannedRun], journal: Journal
) -> list[Ticket] | None:
    reused = [run.step for run in planned if run.reused]

    def move(taken: Turn) -> list[Ticket]:
        if taken.head.status is not ExecutionStatus.PENDING or taken.head.ending is not None:
            raise StaleClaim("it was planned, or cancelled, by another")
        if reused and pinned.origin_id is not None:
            steps.copy_reused(taken, pinned.origin_id, reused)
        tickets = steps.insert_first(taken, planned)
        executions.begin(taken)
        return tickets

    try:
        return commit(database, pinned.id, move, journal)
    except StaleClaim:
        return None


def _reusable(database: Database, pinned: Pinned) -> dict[int, StepStatus]:
    if pinned.origin_id is None:
        return {}
    origin_id = pinned.origin_id
    return database.read(lambda connection: steps.reusable(connection, origin_id))
