"""Executions as the engine needs them: admit, load, what one gave."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from engine.core.event import EventType
from engine.core.status import ExecutionStatus, Phase
from engine.core.transitions import RunKey
from engine.errors import Conflict, NotFound
from engine.ids import new_id
from engine.store.db.compiled import Prepared, insert_unless_there
from engine.store.tables import EventRow, Execution, Workflow, WorkflowVersion, table
from engine.store.writes.execution_tx import ExecutionTx

_EXECUTIONS = table(Execution)
_EVENTS = table(EventRow)
_WORKFLOWS = table(Workflow)
_VERSIONS = table(WorkflowVersion)


@dataclass(frozen=True, slots=True)
class NewExecution:
    """What is asked for; ``input`` is JSON text that the workflow's schema accepted."""

    owner_id: str
    workflow_id: str
    version: int
    input: str
    trigger: str
    trigger_detail: str | None = None
    origin_id: str | None = None
    idempotency_key: str | None = None
    request_hash: str | None = None
    schedule_id: str | None = None
    slot: int | None = None  # µs
    delay: int = 0  # µs
    id: str | None = None  # made here by default
    message_id: str | None = None
    rerun_from: str | None = None  # the step from which an ended execution is run again
    deadline: int | None = None  # µs it may take, from now on
    parent: Parent | None = None


@dataclass(frozen=True, slots=True)
class Parent:
    """The step run that starts an execution as its child."""

    key: RunKey
    epoch: int | None  # what it waits with for the end; None: it does not wait
    leaves: bool  # the child goes on when the parent ends before it
    depth: int  # of the child


@dataclass(frozen=True, slots=True)
class Admitted:
    """The execution that answers a request; not ``created`` when an earlier one did."""

    execution_id: str
    message_id: str | None
    created: bool


def admit(connection: Connection, wanted: NewExecution, now: int) -> Admitted:
    """Insert a pending execution with its first event and return it.

    The same idempotency key, or the same slot of a schedule, finds the execution already there.

    Raises:
        Conflict: the idempotency key was used for another request.
    """
    execution_id = wanted.id or new_id()
    values = {
        "id": execution_id,
        "owner_id": wanted.owner_id,
        "workflow_id": wanted.workflow_id,
        "version": wanted.version,
        "status": ExecutionStatus.PENDING.value,
        "trigger": wanted.trigger,
        "trigger_detail": wanted.trigger_detail,
        "input": wanted.input,
        "created_at": now,
        "due_at": now + wanted.delay,
        "last_seq": 1,
        "origin_id": wanted.origin_id,
        "idempotency_key": wanted.idempotency_key,
        "request_hash": wanted.request_hash,
        "schedule_id": wanted.schedule_id,
        "slot": wanted.slot,
        "message_id": wanted.message_id,
        "rerun_from": wanted.rerun_from,
        "deadline_at": None if wanted.deadline is None else now + wanted.delay + wanted.deadline,
        **_parent_values(wanted.parent),
    }
    # RETURNING tells apart on both what a driver's rowcount (-1 from psycopg here) does not.
    if _ADMIT.row(connection, values) is None:
        return _admitted_before(connection, wanted)
    created = {"execution_id": execution_id, "type": EventType.CREATED.value, "at": now}
    _CREATED.run(connection, created)
    return Admitted(execution_id, wanted.message_id, created=True)


_ALONE = {
    "parent_id": None,
    "parent_step": None,
    "parent_item": None,
    "parent_epoch": None,
    "leaves_parent": False,
    "depth": 0,
}
_ADMITTED = (
    "id",
    "owner_id",
    "workflow_id",
    "version",
    "status",
    "trigger",
    "trigger_detail",
    "input",
    "created_at",
    "due_at",
    "last_seq",
    "origin_id",
    "idempotency_key",
    "request_hash",
    "schedule_id",
    "slot",
    "message_id",
    "rerun_from",
    "deadline_at",
    *_ALONE,
)
_ADMIT = insert_unless_there(_EXECUTIONS, _ADMITTED, _EXECUTIONS.c.id)
_CREATED = Prepared(
    insert(_EVENTS).values(
        execution_id=bindparam("execution_id"), seq=1, type=bindparam("type"), at=bindparam("at")
    )
)


def _parent_values(parent: Parent | None) -> dict[str, Any]:
    if parent is None:
        return _ALONE
    return {
        "parent_id": parent.key.execution_id,
        "parent_step": parent.key.step,
        "parent_item": parent.key.item,
        "parent_epoch": parent.epoch,
        "leaves_parent": parent.leaves,
        "depth": parent.depth,
    }


def asked_before(
    connection: Connection, owner_id: str, workflow_id: str, key: str, request_hash: str
) -> Admitted | None:
    """Return the execution that the same request has started, None when its key is new.

    Raises:
        Conflict: the idempotency key was used for another request.
    """
    same = (
        (_EXECUTIONS.c.owner_id == owner_id)
        & (_EXECUTIONS.c.workflow_id == workflow_id)
        & (_EXECUTIONS.c.idempotency_key == key)
    )
    row = connection.execute(_BEFORE.where(same)).one_or_none()
    if row is None:
        return None
    if row.request_hash != request_hash:
        raise Conflict(
            f"the idempotency key {key!r} was used for another request",
            hint="use a new key for a new request",
        )
    return Admitted(row.id, row.message_id, created=False)


_BEFORE = select(_EXECUTIONS.c.id, _EXECUTIONS.c.message_id, _EXECUTIONS.c.request_hash)


def _admitted_before(connection: Connection, wanted: NewExecution) -> Admitted:
    if wanted.schedule_id is None:
        key, asked = wanted.idempotency_key, wanted.request_hash
        assert key is not None, "nothing else makes two executions one"
        assert asked is not None
        found = asked_before(connection, wanted.owner_id, wanted.workflow_id, key, asked)
        assert found is not None, "its row kept this one out"
        return found
    slot = (_EXECUTIONS.c.schedule_id == wanted.schedule_id) & (_EXECUTIONS.c.slot == wanted.slot)
    row = connection.execute(_BEFORE.where(slot)).one()
    return Admitted(row.id, row.message_id, created=False)


@dataclass(frozen=True, slots=True)
class Pinned:
    """What a worker needs of an execution beside its step runs."""

    id: str
    owner_id: str
    workflow_id: str
    workflow: str
    version: int
    status: ExecutionStatus
    ending: str | None
    phase: Phase
    input: str
    error: str | None
    origin_id: str | None
    rerun_from: str | None
    depth: int
    trigger: str
    steps_left: int
    active: int  # step runs queued or running
    due_at: int | None


_PINNED = Prepared(
    select(
        *(
            _WORKFLOWS.c.name if name == "workflow" else _EXECUTIONS.c[name]
            for name in Pinned.__dataclass_fields__
        )
    )
    .join(_WORKFLOWS, _WORKFLOWS.c.id == _EXECUTIONS.c.workflow_id)
    .where(_EXECUTIONS.c.id == bindparam("execution_id"))
)


def pinned(connection: Connection, execution_id: str) -> Pinned | None:
    """Return the execution, or None when there is none (any more)."""
    row = _PINNED.row(connection, {"execution_id": execution_id})
    if row is None:
        return None
    found = Pinned(*row)
    return replace(found, status=ExecutionStatus(found.status), phase=Phase(found.phase))


def owned(connection: Connection, owner_id: str, execution_id: str) -> tuple[str, int]:
    """Return workflow id and version of the owner's execution.

    Raises:
        NotFound: it is not theirs, or there is none: the two are never told apart.
    """
    row = connection.execute(
        select(*(_EXECUTIONS.c[name] for name in ("owner_id", "workflow_id", "version"))).where(
            _EXECUTIONS.c.id == execution_id
        )
    ).one_or_none()
    if row is None or row.owner_id != owner_id:
        raise NotFound(f"there is no execution {execution_id}")
    return row.workflow_id, row.version


@dataclass(frozen=True, slots=True)
class Origin:
    """An execution that another one is to be made from."""

    id: str
    status: ExecutionStatus
    wanted: NewExecution


def origin(connection: Connection, owner_id: str, execution_id: str) -> Origin:
    """Return what was asked for when the execution was started, and how it stands.

    Raises:
        NotFound: no such execution for this owner.
    """
    row = connection.execute(
        select(
            *(_EXECUTIONS.c[name] for name in ("workflow_id", "version", "input", "status"))
        ).where(_EXECUTIONS.c.id == execution_id, _EXECUTIONS.c.owner_id == owner_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no execution {execution_id}")
    wanted = NewExecution(owner_id, row.workflow_id, row.version, row.input, trigger="")
    return Origin(execution_id, ExecutionStatus(row.status), wanted)


@dataclass(frozen=True, slots=True)
class Ended:
    """What an execution gave; output and error are JSON text."""

    output: str | None
    error: str | None
    workflow: str


def ended(connection: Connection, execution_id: str) -> Ended:
    """Return what an execution that has ended gave.

    Raises:
        NotFound: there is none (any more).
    """
    row = connection.execute(
        select(_EXECUTIONS.c.output, _EXECUTIONS.c.error, _WORKFLOWS.c.name)
        .join(_WORKFLOWS, _WORKFLOWS.c.id == _EXECUTIONS.c.workflow_id)
        .where(_EXECUTIONS.c.id == execution_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no execution {execution_id}")
    return Ended(row.output, row.error, row.name)


def is_due(tx: ExecutionTx) -> bool:
    """Return whether the time is over for which someone may leave this execution alone."""
    found = tx.connection.execute(
        select(_EXECUTIONS.c.due_at).where(_EXECUTIONS.c.id == tx.state.id)
    ).scalar_one()
    return found is not None and int(found) <= tx.now
