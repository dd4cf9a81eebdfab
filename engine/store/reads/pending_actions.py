"""What an execution asks of people, how far its end has come, whose code is missing: for pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from engine.core.pending_input import Kind, PendingInput
from engine.core.status import STEP_ENDS, StepStatus
from engine.definition import Definition
from engine.errors import NotFound
from engine.io.payloads import reference
from engine.store.reads.detail import pinned
from engine.store.reads.execution_lists import as_error, queued_for_code
from engine.store.reads.pending_inputs import may_decide
from engine.store.reads.values import shown
from engine.store.tables import AWAITING, Execution, StepRun, Workflow, literally, table
from engine.store.writes import workflows

ASKS_SHOWN = 20  # of one execution; a fan-out may wait ten thousand times
LACKS_SHOWN = 20
_EXECUTIONS = table(Execution)
_RUNS = table(StepRun)
_WORKFLOWS = table(Workflow)
_AWAITING = literally("step_runs", AWAITING)


@dataclass(frozen=True, slots=True)
class AskRow:
    """A step run that waits for a word from outside, with what its document asks for.

    ``kind`` is signal, approval or workflow. ``left_out`` is how many bytes ``params`` have when
    they are too large to be here: what is there tells only who is asked for what.
    """

    execution_id: str
    workflow: str
    step: str
    item: int | None
    kind: str
    since: int  # µs
    until: int | None
    params: Mapping[str, Any]  # what its document says under ``with``, filled in
    left_out: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where someone is asked: a step of an execution, or one item of its fan-out."""

    execution_id: str
    step: str
    item: int | None = None


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """An approval that was given, refused, or never came."""

    step: str
    item: int | None
    status: str
    reason: str | None
    by: str
    at: int
    comment: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an execution has come to its end.

    ``phase`` is steps, closing or abandoned; ``due_at`` is when the next stage of an end begins.
    """

    status: str
    ending: str | None
    phase: str
    interrupting: bool
    due_at: int | None
    deadline_at: int | None
    rerun_from: str | None


@dataclass(frozen=True, slots=True)
class LackRow:
    """A step whose code no worker has, in executions that wait for it."""

    workflow: str
    version: int
    step: str
    needs: str  # the function, or the step type when it calls none
    executions: int


def asks(
    connection: Connection, owner_id: str, execution_id: str, limit: int = ASKS_SHOWN
) -> list[AskRow]:
    """Return what the first of the execution's step runs that wait ask for.

    Raises:
        NotFound: there is no such execution, or it belongs to someone else.
    """
    pinned(connection, owner_id, execution_id)
    rows = connection.execute(
        _waiting().where(_RUNS.c.execution_id == execution_id).limit(limit)
    ).all()
    return _ask_rows(connection, rows)


def _waiting() -> Any:
    names = ("execution_id", "step", "item", "wait_for", "started_at", "due_at", "input")
    return (
        select(
            *(_RUNS.c[name] for name in names),
            _EXECUTIONS.c.workflow_id,
            _EXECUTIONS.c.version,
            _WORKFLOWS.c.name.label("workflow"),
        )
        .join(_EXECUTIONS, _EXECUTIONS.c.id == _RUNS.c.execution_id)
        .join(_WORKFLOWS, _WORKFLOWS.c.id == _EXECUTIONS.c.workflow_id)
        .where(_AWAITING)
        .order_by(_RUNS.c.execution_id, _RUNS.c.step, _RUNS.c.item)
    )


def _ask_rows(connection: Connection, rows: Sequence[Row[Any]]) -> list[AskRow]:
    known = workflows.definitions(connection, {(row.workflow_id, row.version) for row in rows})
    return [
        AskRow(
            execution_id=row.execution_id,
            workflow=row.workflow,
            step=workflows.step_name(known.get((row.workflow_id, row.version)), row.step),
            item=_item(row.item),
            kind=PendingInput.of(row.wait_for).kind.value,
            since=row.started_at or 0,
            until=row.due_at,
            params=_asked(PendingInput.of(row.wait_for), row.input),
            left_out=found.size if (found := reference(row.input)) else None,
        )
        for row in rows
    ]


def _asked(awaited: PendingInput, stored: str | None) -> Mapping[str, Any]:
    found = reference(stored)
    params = _params(stored) if found is None else found.about or {}
    if awaited.kind is not Kind.SIGNAL:
        return params
    return {**params, "name": awaited.name, "correlation": awaited.correlation}


def _params(stored: str | None) -> Mapping[str, Any]:
    found = shown(stored).value
    return found if isinstance(found, dict) else {}


def _item(number: int | None) -> int | None:
    return None if number is None or number < 0 else number


def decisions(
    connection: Connection, owner_id: str, execution_id: str, limit: int = ASKS_SHOWN
) -> list[DecisionRow]:
    """Return how the first of the execution's approvals were decided, in the document's order.

    Raises:
        NotFound: there is no such execution, or it belongs to someone else.
    """
    definition = pinned(connection, owner_id, execution_id)
    asking = [step.index for step in definition.steps if step.uses == "approval"]
    if not asking:
        return []
    names = ("step", "item", "status", "reason", "output", "error", "finished_at")
    rows = connection.execute(
        select(*(_RUNS.c[name] for name in names))
        .where(
            _RUNS.c.execution_id == execution_id,
            _RUNS.c.step.in_(asking),
            _RUNS.c["items"].is_(None),
            _RUNS.c.started_at.is_not(None),
            _RUNS.c.status.in_([status.value for status in STEP_ENDS]),
        )
        .order_by(_RUNS.c.step, _RUNS.c.item)
        .limit(limit)
    )
    return [_decision(definition, row) for row in rows]


def decision(
    connection: Connection, user_id: str, user_name: str, place: Place
) -> DecisionRow | None:
    """Return how a wait for a person or a signal ended, for whoever could have ended it; None
    while it lasts.

    Raises:
        NotFound: it never waited there, or not for them.
    """
    names = ("step", "item", "status", "reason", "input", "output", "error", "finished_at")
    owned = ("owner_id", "workflow_id", "version")
    rows = connection.execute(
        select(*(_RUNS.c[name] for name in names), *(_EXECUTIONS.c[name] for name in owned))
        .join(_EXECUTIONS, _EXECUTIONS.c.id == _RUNS.c.execution_id)
        .where(
            _RUNS.c.execution_id == place.execution_id,
            _RUNS.c.item == (-1 if place.item is None else place.item),
            _RUNS.c.input.is_not(None),
        )
    ).all()
    known = workflows.definitions(connection, {(row.workflow_id, row.version) for row in rows})
    for row in rows:
        definition = known.get((row.workflow_id, row.version))
        if definition is None or definition.steps[row.step].name != place.step:
            continue
        if not _could_end(definition, row, user_id, user_name):
            continue
        return _decision(definition, row) if StepStatus(row.status) in STEP_ENDS else None
    raise NotFound(
        f"no wait of step {place.step} of execution {place.execution_id} was yours to end"
    )


def _could_end(definition: Definition, row: Row[Any], user_id: str, user_name: str) -> bool:
    if definition.steps[row.step].uses == "approval":
        return may_decide(row, user_id, user_name)
    return bool(row.owner_id == user_id)


def _decision(definition: Definition, row: Row[Any]) -> DecisionRow:
    told = _params(row.output) if row.output is not None else as_error(row.error) or {}
    return DecisionRow(
        step=definition.steps[row.step].name,
        item=_item(row.item),
        status=row.status,
        reason=row.reason,
        by=str(told.get("by") or ""),
        at=row.finished_at or 0,
        comment=str(told.get("comment") or ""),
        values=told.get("values") or {},
    )


def standing(connection: Connection, owner_id: str, execution_id: str) -> Standing:
    """Return how far the owner's execution has come to its end.

    Raises:
        NotFound: there is none, or it belongs to someone else.
    """
    pinned(connection, owner_id, execution_id)
    row = connection.execute(
        select(*(_EXECUTIONS.c[name] for name in Standing.__dataclass_fields__)).where(
            _EXECUTIONS.c.id == execution_id
        )
    ).one()
    return Standing(**row._asdict())


def lacking(connection: Connection, owner_id: str, limit: int = LACKS_SHOWN) -> list[LackRow]:
    """Return the first steps of the owner's executions that wait for code which no worker has."""
    number = func.count(_RUNS.c.execution_id.distinct())
    names = ("workflow_id", "version")
    rows: Any = connection.execute(
        select(
            *(_EXECUTIONS.c[name] for name in names),
            _RUNS.c.step,
            _WORKFLOWS.c.name,
            number.label("n"),
        )
        .join(_EXECUTIONS, _EXECUTIONS.c.id == _RUNS.c.execution_id)
        .join(_WORKFLOWS, _WORKFLOWS.c.id == _EXECUTIONS.c.workflow_id)
        # Not the bare column: SQLite would begin with all of the owner's executions.
        .where(queued_for_code(), _EXECUTIONS.c.owner_id.concat("") == owner_id)
        .group_by(*(_EXECUTIONS.c[name] for name in names), _RUNS.c.step, _WORKFLOWS.c.name)
        .order_by(_WORKFLOWS.c.name, _EXECUTIONS.c.version, _RUNS.c.step)
        .limit(limit)
    ).all()
    known = workflows.definitions(connection, {(row.workflow_id, row.version) for row in rows})
    return [
        _lack(row, definition)
        for row in rows
        # Of one that cannot be read nobody can tell what it lacks: it is told of in other places.
        if (definition := known.get((row.workflow_id, row.version))) is not None
    ]


def _lack(row: Row[Any], definition: Definition) -> LackRow:
    step = definition.steps[row.step]
    return LackRow(row.name, row.version, step.name, step.function or step.uses, row.n)
