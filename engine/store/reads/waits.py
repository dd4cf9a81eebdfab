"""What waiting step runs wait for: a time, a signal, a person, a child."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from engine.codec import decode
from engine.core.pending_input import Kind, PendingInput
from engine.core.status import StepStatus
from engine.io.payloads import reference
from engine.store.reads.rows import WaitRow
from engine.store.tables import Execution, StepRun, Workflow, table
from engine.store.writes.step_runs import chunks

_RUNS = table(StepRun)
_EXECUTIONS = table(Execution)
_WORKFLOWS = table(Workflow)
_Place = tuple[int, int]  # step and item


def waits_of(
    connection: Connection, execution_id: str, runs: Sequence[Row[Any]]
) -> dict[_Place, WaitRow]:
    """Return what those of ``runs`` that wait are waiting for, by step and item.

    ``runs`` are rows of one execution, each with step, item, status, wait_for, due_at and epoch.
    """
    waiting = [run for run in runs if run.status == StepStatus.WAITING]
    approvals = [run for run in waiting if run.wait_for == Kind.APPROVAL]
    children = [run for run in waiting if run.wait_for == Kind.CHILD]
    asked = dict(_asked(connection, execution_id, approvals))
    started = dict(_children(connection, execution_id, children))
    found = {}
    for run in waiting:
        awaited = PendingInput.of(run.wait_for)
        place = (run.step, run.item)
        told: Mapping[str, Any] = asked.get(place) or started.get(place) or {}
        if awaited.kind is Kind.SIGNAL:
            told = {"signal": awaited.name, "correlation": awaited.correlation}
        found[place] = WaitRow(awaited.kind.value, run.due_at, **told)
    return found


def approval_of(text: str | None) -> dict[str, Any]:
    """Return title, description, form and approvers from what the column of an approval's
    parameters holds.

    Of parameters that are kept elsewhere only title and approvers are known here; ``left_out`` is
    how many bytes they have.
    """
    found = reference(text)
    params = decode(text or "{}") if found is None else found.about or {}
    return {
        "left_out": None if found is None else found.size,
        "title": params.get("title") or "",
        "description": params.get("description") or "",
        "form": params.get("form") or {},
        "approvers": params.get("approvers") or [],
    }


def _asked(
    connection: Connection, execution_id: str, runs: Sequence[Row[Any]]
) -> Iterator[tuple[_Place, dict[str, Any]]]:
    """Only these runs' parameters are read: those of others may be large."""
    for steps, items in _places(runs):
        rows = connection.execute(
            select(_RUNS.c.step, _RUNS.c.item, _RUNS.c.input).where(
                _RUNS.c.execution_id == execution_id,
                _RUNS.c.step.in_(steps),
                _RUNS.c.item.in_(items),
            )
        )
        for row in rows:
            yield (row.step, row.item), approval_of(row.input)


def _children(
    connection: Connection, execution_id: str, runs: Sequence[Row[Any]]
) -> Iterator[tuple[_Place, dict[str, Any]]]:
    epochs = {(run.step, run.item): run.epoch for run in runs}
    for steps, items in _places(runs):
        rows = connection.execute(
            select(
                *(_EXECUTIONS.c[name] for name in ("id", "parent_step", "parent_item")),
                _EXECUTIONS.c.parent_epoch,
                _WORKFLOWS.c.name,
            )
            .join(_WORKFLOWS, _WORKFLOWS.c.id == _EXECUTIONS.c.workflow_id)
            .where(
                _EXECUTIONS.c.parent_id == execution_id,
                _EXECUTIONS.c.parent_step.in_(steps),
                _EXECUTIONS.c.parent_item.in_(items),
            )
        )
        for row in rows:
            place = (row.parent_step, row.parent_item)
            # An earlier attempt's child is over: the step waits for the one of this epoch.
            if epochs.get(place) == row.parent_epoch:
                yield place, {"child_id": row.id, "workflow": row.name}


def _places(runs: Sequence[Row[Any]]) -> Iterator[tuple[list[int], list[int]]]:
    """Yield steps and items to ask for: all are of one step, or all are nodes."""
    if not runs:
        return
    steps = sorted({run.step for run in runs})
    items = sorted({run.item for run in runs})
    for some in chunks(steps):
        yield some, items
