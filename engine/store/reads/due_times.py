"""When the engine will have something to do by itself: for whoever moves the clock."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from engine.core.status import EXECUTION_OPEN, ExecutionStatus, Phase, StepStatus
from engine.store.tables import Execution, StepRun, table

_RUNS = table(StepRun)
_EXECUTIONS = table(Execution)


def next_due(connection: Connection, after: int) -> int | None:
    """Return the first time (µs) after ``after`` at which time alone changes something."""
    paused = _EXECUTIONS.c.status == ExecutionStatus.PAUSED.value
    parked = _RUNS.c.status.in_([StepStatus.WAITING.value, StepStatus.RETRYING.value])
    expires_at = _RUNS.c.queued_at + _RUNS.c.expires_in
    queued = _RUNS.c.status == StepStatus.QUEUED.value
    is_open = _EXECUTIONS.c.status.in_([status.value for status in EXECUTION_OPEN])
    live = _RUNS.join(_EXECUTIONS, _EXECUTIONS.c.id == _RUNS.c.execution_id)
    in_its_steps = _EXECUTIONS.c.ending.is_(None) & (_EXECUTIONS.c.phase == Phase.STEPS.value)
    questions = [
        _first(_RUNS.c.due_at, after).select_from(live).where(parked, ~paused),
        _first(expires_at, after).select_from(live).where(queued, ~paused),
        _first(_EXECUTIONS.c.due_at, after).where(is_open, ~paused),
        _first(_EXECUTIONS.c.deadline_at, after).where(is_open, in_its_steps),
    ]
    found = [connection.execute(question).scalar_one() for question in questions]
    return min((int(at) for at in found if at is not None), default=None)


def _first(column: Any, after: int) -> Any:
    return select(func.min(column)).where(column > after)


def unknown_functions(connection: Connection, execution_id: str) -> list[int]:
    """Return the steps of the execution that wait for a worker that has their code."""
    return list(
        connection.execute(
            select(_RUNS.c.step)
            .where(
                _RUNS.c.execution_id == execution_id,
                _RUNS.c.status == StepStatus.QUEUED.value,
                _RUNS.c.reason == "unknown_step",
            )
            .distinct()
        ).scalars()
    )
