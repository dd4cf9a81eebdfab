"""What step runs gave, for the expressions of those that follow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select

from engine.core.status import StepStatus
from engine.store.tables import StepRun, table
from engine.store.writes.step_runs import chunks

_RUNS = table(StepRun)

_OUTPUTS = select(
    *(_RUNS.c[name] for name in ("step", "status", "items", "output", "error", "items_failed"))
).where(
    _RUNS.c.execution_id == bindparam("b_execution"),
    _RUNS.c.step.in_(bindparam("b_steps", expanding=True)),
    _RUNS.c.item == -1,
)
_ITEM_OUTPUTS = (
    select(_RUNS.c.output)
    .where(
        _RUNS.c.execution_id == bindparam("b_execution"),
        _RUNS.c.step == bindparam("b_step"),
        _RUNS.c.item >= 0,
    )
    .order_by(_RUNS.c.item)
)


_ITEM_ERRORS = (
    select(_RUNS.c.item, _RUNS.c.error)
    .where(
        _RUNS.c.execution_id == bindparam("b_execution"),
        _RUNS.c.step == bindparam("b_step"),
        _RUNS.c.item >= 0,
        _RUNS.c.status == StepStatus.FAILED.value,
    )
    .order_by(_RUNS.c.item)
)


@dataclass(frozen=True, slots=True)
class Output:
    """What a node gave: JSON text, or for a fan-out one JSON text (or None) per item.

    ``error`` is JSON text too; ``failures`` holds that of each failed item, by its number.
    """

    step: int
    status: StepStatus
    text: str | None
    items: list[str | None] | None
    error: str | None
    failures: list[tuple[int, str | None]]


def of(connection: Connection, execution_id: str, steps: Iterable[int]) -> list[Output]:
    """Return the outputs of nodes. A fan-out's are read from its items: never stored twice."""
    found = []
    for some in chunks(sorted(steps)):
        rows = connection.execute(_OUTPUTS, {"b_execution": execution_id, "b_steps": some})
        for row in rows.all():
            here = {"b_execution": execution_id, "b_step": row.step}
            items = None
            if row.items is not None:
                items = list(connection.execute(_ITEM_OUTPUTS, here).scalars())
            failures: list[tuple[int, str | None]] = []
            if row.items_failed:
                failed = connection.execute(_ITEM_ERRORS, here)
                failures = [(one.item, one.error) for one in failed]
            status = StepStatus(row.status)
            found.append(Output(row.step, status, row.output, items, row.error, failures))
    return found
