"""What step runs gave, for the expressions of those that follow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select

from engine.machine.status import StepStatus
from engine.store.models import StepRun
from engine.store.steps import chunks

_RUNS: Any = StepRun.__table__

_OUTPUTS = select(_RUNS.c.step, _RUNS.c.status, _RUNS.c["items"], _RUNS.c.output).where(
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


@dataclass(frozen=True, slots=True)
class Output:
    """What a node gave: JSON text, or for a fan-out one JSON text (or None) per item."""

    step: int
    status: StepStatus
    text: str | None
    items: list[str | None] | None


def of(connection: Connection, execution_id: str, steps: Iterable[int]) -> list[Output]:
    """Return the outputs of nodes. A fan-out's are read from its items: never stored twice."""
    found = []
    for some in chunks(sorted(steps)):
        rows = connection.execute(_OUTPUTS, {"b_execution": execution_id, "b_steps": some})
        for row in rows.all():
            items = None
            if row.items is not None:
                items = list(
                    connection.execute(
                        _ITEM_OUTPUTS, {"b_execution": execution_id, "b_step": row.step}
                    ).scalars()
                )
            found.append(Output(row.step, StepStatus(row.status), row.output, items))
    return found
