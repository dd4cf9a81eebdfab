"""One execution, one step of it, its items: with the values that flowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select

from engine.codec import decode
from engine.core.status import ExecutionStatus, StepStatus
from engine.definition import Definition, Step
from engine.errors import InvalidQuery, NotFound
from engine.store.db.compiled import Prepared
from engine.store.db.pagination import MAX_LIMIT, Page
from engine.store.reads.execution_lists import as_error, as_rows, select_rows
from engine.store.reads.related import links
from engine.store.reads.rows import (
    AttemptRow,
    ExecutionDetail,
    ExecutionRow,
    FailureRow,
    ItemRow,
    StepDetail,
    StepRow,
    WaitRow,
)
from engine.store.reads.values import Shown, larges, output_of, shown
from engine.store.reads.waits import waits_of
from engine.store.tables import Attempt, Execution, StepRun, table
from engine.store.writes import workflows

ATTEMPTS_SHOWN = 200  # the newest; a fan-out with retries may have tens of thousands
FAILURES_SHOWN = 100  # items of a fan-out; `items` pages through all of them
_LONGEST_ITEM = 9  # digits: a database has no number that is much larger
_EXECUTIONS = table(Execution)
_RUNS = table(StepRun)
_ATTEMPTS = table(Attempt)
# Compiled once: each view of an execution asks it first.
_PINNED = Prepared(
    select(_EXECUTIONS.c.workflow_id, _EXECUTIONS.c.version).where(
        _EXECUTIONS.c.id == bindparam("wanted"), _EXECUTIONS.c.owner_id == bindparam("owner")
    )
)
_SHARED = (
    "status",
    "reason",
    "attempts",
    "crashes",
    "queued_at",
    "started_at",
    "finished_at",
    "due_at",
    "worker_id",
)
_LIGHT = [
    _RUNS.c[name]
    for name in (
        "step",
        "item",
        *_SHARED,
        "items",
        "items_left",
        "error",
        "reused_from",
        "progress",
        "wait_for",
        "epoch",
    )
]


def execution(
    connection: Connection, owner_id: str, execution_id: str, *, now: int
) -> ExecutionDetail:
    """Return the owner's execution with its nodes, input, output and newest failed tries.

    Raises:
        NotFound: there is none, or it belongs to someone else.
    """
    found = _owned(connection, owner_id, execution_id)
    row = as_rows(connection, [found], now)[0]
    definition = workflows.definition(connection, row.workflow_id, row.version)
    values = connection.execute(
        select(_EXECUTIONS.c.input, _EXECUTIONS.c.output).where(_EXECUTIONS.c.id == execution_id)
    ).one()
    output = _execution_output(connection, row, definition, values.output)
    return ExecutionDetail(
        row,
        decode(values.input),
        output.value,
        as_error(found.error),
        found.cancel_note,
        _steps(connection, execution_id, definition),
        attempts(connection, execution_id, definition),
        large=larges(output=output),
        **vars(links(connection, owner_id, row, definition)),
    )


def execution_row(
    connection: Connection, owner_id: str, execution_id: str, *, now: int
) -> ExecutionRow:
    """Return the owner's execution as lists show it.

    Raises:
        NotFound: there is none, or it belongs to someone else.
    """
    return as_rows(connection, [_owned(connection, owner_id, execution_id)], now)[0]


def _owned(connection: Connection, owner_id: str, execution_id: str) -> Row[Any]:
    row = connection.execute(
        select_rows().where(_EXECUTIONS.c.id == execution_id, _EXECUTIONS.c.owner_id == owner_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no execution {execution_id}")
    return row


def pinned(connection: Connection, owner_id: str, execution_id: str) -> Definition:
    """Return the definition that the owner's execution is pinned to.

    Raises:
        NotFound: there is no such execution, or it belongs to someone else.
    """
    row = _PINNED.row(connection, {"wanted": execution_id, "owner": owner_id})
    if row is None:
        raise NotFound(f"there is no execution {execution_id}")
    return workflows.definition(connection, *row)


def _execution_output(
    connection: Connection, row: ExecutionRow, definition: Definition, stored: str | None
) -> Shown:
    """Return the output; what is not stored is the list of the fan-out that it ends with."""
    if stored is not None or row.status != ExecutionStatus.COMPLETED:
        return shown(stored)
    return output_of(connection, row.id, definition.sinks[0].index)


def _steps(connection: Connection, execution_id: str, definition: Definition) -> list[StepRow]:
    found = connection.execute(
        select(*_LIGHT).where(_RUNS.c.execution_id == execution_id, _RUNS.c.item == -1)
    )
    runs = {run.step: run for run in found}
    failed = _failed_items(connection, execution_id, runs)
    waits = waits_of(connection, execution_id, list(runs.values()))
    return [
        _step_row(
            definition,
            step,
            runs.get(step.index),
            failed.get(step.index, 0),
            waits.get((step.index, -1)),
        )
        for step in definition.steps
    ]


def _failed_items(
    connection: Connection, execution_id: str, runs: Mapping[int, Row[Any]]
) -> dict[int, int]:
    fan_outs = [step for step, run in runs.items() if run.items is not None]
    if not fan_outs:
        return {}
    rows = connection.execute(
        select(_RUNS.c.step, func.count().label("n"))
        .where(
            _RUNS.c.execution_id == execution_id,
            _RUNS.c.step.in_(fan_outs),
            _RUNS.c.item >= 0,
            _RUNS.c.status == StepStatus.FAILED.value,
        )
        .group_by(_RUNS.c.step)
    )
    return {row.step: row.n for row in rows}


def _step_row(
    definition: Definition,
    step: Step,
    run: Row[Any] | None,
    failed: int,
    wait: WaitRow | None,
) -> StepRow:
    """Return the node's row; before the execution is planned there is none, so it is pending."""
    values: dict[str, Any] = (
        dict.fromkeys(_SHARED) | {"status": StepStatus.PENDING.value, "attempts": 0, "crashes": 0}
        if run is None
        else _shared(run)
    )
    return StepRow(
        index=step.index,
        name=step.name,
        uses=step.uses,
        **values,
        max_attempts=step.retry.attempts,
        items=None if run is None else run.items,
        items_left=None if run is None else run.items_left,
        items_failed=failed,
        error=None if run is None else as_error(run.error),
        needs=tuple(definition.steps[need].name for need in step.needs),
        reused_from=None if run is None else run.reused_from,
        progress=None if run is None else as_error(run.progress),
        waits_for=wait,
    )


def find_step(definition: Definition, step: int | str) -> Step:
    """Return the node of that index or name.

    Raises:
        NotFound: the workflow has none.
    """
    for node in definition.steps:
        if step in (node.index, node.name):
            return node
    raise NotFound(f"there is no step {step} in {definition.name}")


def step(
    connection: Connection,
    owner_id: str,
    execution_id: str,
    step: int | str,
    item: int | None = None,
) -> StepDetail:
    """Return a node, or one item of it, with input, output and its failed tries.

    The output of a fan-out is the list of its items' outputs.

    Args:
        step: index or name.
        item: of a fan-out, from 0; None for the node itself.

    Raises:
        NotFound: no such execution, step or item, or it belongs to someone else.
    """
    definition = pinned(connection, owner_id, execution_id)
    node = find_step(definition, step)
    number = -1 if item is None else item
    run: Any = connection.execute(
        select(*_LIGHT, _RUNS.c.input, _RUNS.c.output, _RUNS.c.value).where(
            _RUNS.c.execution_id == execution_id,
            _RUNS.c.step == node.index,
            _RUNS.c.item == number,
        )
    ).one_or_none()
    if run is None and item is not None:
        raise NotFound(f"there is no item {item} of step {node.name}")
    tries = attempts(connection, execution_id, definition, step=node.index, item=number)
    waits = waits_of(connection, execution_id, [] if run is None else [run])
    wait = waits.get((node.index, number))
    failures: Sequence[FailureRow] = ()
    row: StepRow | ItemRow
    if item is None:
        failed = {} if run is None else _failed_items(connection, execution_id, {run.step: run})
        row = _step_row(definition, node, run, failed.get(node.index, 0), wait)
        if row.items_failed:
            failures = _failures(connection, execution_id, node.index)
    else:
        row = _item_row(run, wait)
    values = _values(connection, execution_id, run)
    return StepDetail(
        row,
        node.name,
        item,
        **{name: found.value for name, found in values.items()},
        attempts=tries,
        large=larges(**values),
        failures=failures,
    )


def _values(connection: Connection, execution_id: str, run: Row[Any] | None) -> dict[str, Shown]:
    if run is None:
        return dict.fromkeys(("input", "output", "value"), Shown())
    output = (
        shown(run.output) if run.items is None else output_of(connection, execution_id, run.step)
    )
    return {"input": shown(run.input), "output": output, "value": shown(run.value)}


def _failures(connection: Connection, execution_id: str, step: int) -> list[FailureRow]:
    rows = connection.execute(
        select(_RUNS.c.item, _RUNS.c.error)
        .where(
            _RUNS.c.execution_id == execution_id,
            _RUNS.c.step == step,
            _RUNS.c.item >= 0,
            _RUNS.c.status == StepStatus.FAILED.value,
        )
        .order_by(_RUNS.c.item)
        .limit(FAILURES_SHOWN)
    )
    return [FailureRow(row.item, as_error(row.error)) for row in rows]


def _item_row(run: Row[Any], wait: WaitRow | None) -> ItemRow:
    return ItemRow(
        item=run.item,
        **_shared(run),
        error=as_error(run.error),
        progress=as_error(run.progress),
        waits_for=wait,
    )


def _shared(run: Row[Any]) -> dict[str, Any]:
    """Return what a step's and an item's row have both.

    A step run that is parked is due from a time to come on, which is not when it was queued.
    """
    values = {name: getattr(run, name) for name in _SHARED}
    queued, started = run.queued_at, run.started_at
    if queued is not None and started is not None and queued > started:
        values["queued_at"] = queued if run.status == StepStatus.QUEUED.value else None
    return values


def items(
    connection: Connection,
    owner_id: str,
    execution_id: str,
    step: int | str,
    *,
    status: str | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> Page[ItemRow]:
    """Return items of a fan-out in order; ``cursor`` is the last item seen.

    Raises:
        NotFound: no such execution or step, or it belongs to someone else.
        InvalidQuery: a filter that means nothing.
    """
    known = cursor is None or (cursor.isdecimal() and len(cursor) <= _LONGEST_ITEM)
    if not known or not 1 <= limit <= MAX_LIMIT:
        raise InvalidQuery(f"cursor is the number of an item, limit is 1 to {MAX_LIMIT}")
    node = find_step(pinned(connection, owner_id, execution_id), step)
    after = -1 if cursor is None else int(cursor)
    statement = select(*_LIGHT).where(
        _RUNS.c.execution_id == execution_id, _RUNS.c.step == node.index, _RUNS.c.item > after
    )
    if status is not None:
        statement = statement.where(_RUNS.c.status == status)
    found = connection.execute(statement.order_by(_RUNS.c.item).limit(limit + 1)).all()
    waits = waits_of(connection, execution_id, found[:limit])
    rows = [_item_row(run, waits.get((run.step, run.item))) for run in found[:limit]]
    return Page(rows, str(rows[-1].item) if len(found) > limit else None)


def attempts(
    connection: Connection,
    execution_id: str,
    definition: Definition,
    *,
    step: int | None = None,
    item: int = -1,
) -> list[AttemptRow]:
    """Return the newest failed tries, oldest first: of one step run, or of the whole execution."""
    statement = select(_ATTEMPTS).where(_ATTEMPTS.c.execution_id == execution_id)
    if step is not None:
        statement = statement.where(_ATTEMPTS.c.step == step, _ATTEMPTS.c.item == item)
    newest = connection.execute(
        statement.order_by(_ATTEMPTS.c.finished_at.desc()).limit(ATTEMPTS_SHOWN)
    ).all()
    return [
        AttemptRow(
            step=definition.steps[row.step].name,
            item=row.item if row.item >= 0 else None,
            attempt=row.attempt,
            outcome=row.outcome,
            reason=row.reason,
            worker_id=row.worker_id,
            started_at=row.started_at,
            finished_at=row.finished_at,
            error=as_error(row.error),
        )
        for row in reversed(newest)
    ]
