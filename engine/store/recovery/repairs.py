"""Set an execution's counters right, in its transaction."""

from __future__ import annotations

from sqlalchemy import update

from engine.core.counters import counted
from engine.core.event import EventType
from engine.core.history import History
from engine.core.status import ExecutionStatus, StepStatus
from engine.definition import Definition, OnFailure
from engine.store.recovery import snapshots
from engine.store.tables import StepRun, table
from engine.store.writes import step_runs
from engine.store.writes.execution_tx import ExecutionTx
from engine.store.writes.step_runs import Ticket

_RUNS = table(StepRun)


def recount(tx: ExecutionTx, definition: Definition) -> list[Ticket]:
    """Count the rows again, write what differs, and return tickets for what is ready by that.

    One event names each counter with what it was and what it is.
    """
    [history] = snapshots.load(tx.connection, [tx.state.id])
    history.definition = definition
    head, found = tx.state, counted(history)
    changed: dict[str, list[int]] = {}

    def put(name: str, value: int) -> None:
        before = getattr(head, name)
        if before != value:
            changed[name] = [before, value]
            setattr(head, name, value)

    put("last_seq", max([head.last_seq, *(event.seq for event in history.events)]))
    put("last_log", max(history.last_line, head.last_log))
    put("active", found.active)
    if found.steps_left is not None:
        put("steps_left", found.steps_left)
    if head.status is ExecutionStatus.COMPLETED:
        put("runs_done", head.runs_total)
    for step, left in found.items_left.items():
        before = history.runs[(step, -1)].items_left or 0
        if before != left:
            changed[f"{definition.steps[step].name}.items_left"] = [before, left]
            _write(tx, step, items_left=left)
    tickets = _recount_needs(tx, history, found.needs_left, changed)
    if changed:
        tx.emit(EventType.REPAIRED, counters=changed)
    return tickets


def _recount_needs(
    tx: ExecutionTx, history: History, needs_left: dict[int, int], changed: dict[str, list[int]]
) -> list[Ticket]:
    assert history.definition is not None
    tickets: list[Ticket] = []
    for step, left in needs_left.items():
        before = history.runs[(step, -1)].needs_left
        if before == left and left > 0:
            continue
        changed[f"{history.definition.steps[step].name}.needs_left"] = [before, left]
        # Ready: as if the last of its needs ended now, which counts it down and queues it.
        _write(tx, step, needs_left=max(left, 1), needs_ran=_ran(history, step))
        if left == 0:
            tickets += step_runs.advance(tx, [step], ran=False)
    return tickets


def _ran(history: History, step: int) -> int:
    """Return how many needs of the step count as run."""
    assert history.definition is not None
    nodes = history.definition.steps
    ran = 0
    for need in nodes[step].needs:
        run = history.runs.get((need, -1))
        failed_well = nodes[need].on_failure is OnFailure.CONTINUE or step in nodes[need].handlers
        if run is not None:
            ran += run.status == StepStatus.COMPLETED
            ran += run.status == StepStatus.FAILED and failed_well
    return ran


def _write(tx: ExecutionTx, step: int, **values: int) -> None:
    tx.connection.execute(
        update(_RUNS)
        .where(
            _RUNS.c.execution_id == tx.state.id,
            _RUNS.c.step == step,
            _RUNS.c.item == -1,
        )
        .values(values)
    )
