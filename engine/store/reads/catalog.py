"""What there is beside executions: workflows, versions, schedules, workers, dead letters.

All of them in pages: nobody's list ends in silence.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select, tuple_

from engine.codec import decode
from engine.definition import Definition
from engine.errors import NotFound
from engine.ids import LAST_ID
from engine.store.db.pagination import PAGE, Page, page
from engine.store.reads.execution_lists import as_error
from engine.store.reads.rows import (
    DeadLetterRow,
    ScheduleRow,
    SkippedRow,
    VersionRow,
    WorkerRow,
    WorkflowDetail,
    WorkflowRow,
)
from engine.store.tables import (
    DeadLetter,
    Execution,
    Schedule,
    StepRun,
    Worker,
    Workflow,
    WorkflowVersion,
    literally,
    table,
)
from engine.store.writes import workflows as store

STOPPED_SHOWN = 3_600_000_000  # µs for which a worker that stopped or died stays in the list
_EXECUTIONS = table(Execution)
_WORKFLOWS = table(Workflow)
_VERSIONS = table(WorkflowVersion)
_SCHEDULES = table(Schedule)
_WORKERS = table(Worker)
_RUNS = table(StepRun)
_DEAD = table(DeadLetter)


def workflows(
    connection: Connection,
    owner_id: str,
    *,
    text: str | None = None,
    cursor: str | None = None,
    limit: int = PAGE,
) -> Page[WorkflowRow]:
    """Return the owner's and the shared workflows by name.

    Args:
        text: only those whose name has it, in any case.
        cursor: of the page before.
        limit: 1 to 200.

    Raises:
        InvalidQuery: a limit that is not allowed, a cursor that no page gave.
    """
    which: ColumnElement[bool] = _WORKFLOWS.c.archived_at.is_(None)
    if text:
        which &= _WORKFLOWS.c.name.icontains(text, autoescape=True)
    return _workflow_rows(connection, owner_id, which, cursor=cursor, limit=limit)


def workflow_names(connection: Connection, owner_id: str, most: int) -> list[str]:
    """Return the names of the owner's and the shared workflows, in order, at most so many."""
    names = (
        select(_WORKFLOWS.c.name)
        .where(store.visible_to(owner_id), _WORKFLOWS.c.archived_at.is_(None))
        .distinct()
        .order_by(_WORKFLOWS.c.name)
    )
    return list(connection.execute(names.limit(most)).scalars())


def workflow(
    connection: Connection, owner_id: str, id_or_name: str, *, version: int | None = None
) -> WorkflowDetail:
    """Return a workflow of the owner, or a shared one, with a version's document.

    Args:
        version: the newest when left out.

    Raises:
        NotFound: there is none that the owner may see.
    """
    record = store.readable(connection, owner_id, id_or_name)
    number = record.latest_version if version is None else version
    definition = store.definition(connection, record.id, number)
    row = _workflow_rows(connection, owner_id, _WORKFLOWS.c.id == record.id).rows[0]
    return WorkflowDetail(row, number, definition.document, definition.input_schema)


def definition(
    connection: Connection, owner_id: str, id_or_name: str, *, version: int | None = None
) -> Definition:
    """Return the typed graph of a workflow that the owner may see.

    Raises:
        NotFound: there is none.
    """
    record = store.readable(connection, owner_id, id_or_name)
    return store.definition(connection, record.id, version or record.latest_version)


def _workflow_rows(
    connection: Connection,
    owner_id: str,
    which: Any,
    *,
    cursor: str | None = None,
    limit: int = PAGE,
) -> Page[WorkflowRow]:
    place = [_EXECUTIONS.c.workflow_id, _EXECUTIONS.c.id]
    # The last one up to the workflow's end, whichever it is of: only one index answers that, and
    # PostgreSQL takes no other, in which one that ran rarely is far to find.
    newest = (
        select(_EXECUTIONS.c.id)
        .where(
            _EXECUTIONS.c.owner_id == owner_id,
            tuple_(*place) <= tuple_(_WORKFLOWS.c.id, LAST_ID),
        )
        .order_by(*(column.desc() for column in place))
        .limit(1)
        .correlate(_WORKFLOWS)
        .scalar_subquery()
    )
    theirs = (_EXECUTIONS.c.owner_id == owner_id) & (_EXECUTIONS.c.workflow_id == _WORKFLOWS.c.id)
    statement = (
        select(
            _WORKFLOWS,
            _EXECUTIONS.c.id.label("last_execution_id"),
            _EXECUTIONS.c.status.label("last_status"),
            _EXECUTIONS.c.created_at.label("last_created_at"),
        )
        .outerjoin(_EXECUTIONS, (_EXECUTIONS.c.id == newest) & theirs)
        .where(store.visible_to(owner_id), which)
    )
    by = (_WORKFLOWS.c.name, _WORKFLOWS.c.id)
    found = page(connection, statement, by, cursor=cursor, limit=limit)
    known = store.definitions(connection, [(row.id, row.latest_version) for row in found.rows])
    return found.map(
        lambda row: _workflow_row(row, owner_id, known.get((row.id, row.latest_version)))
    )


def _workflow_row(row: Any, owner_id: str, definition: Definition | None) -> WorkflowRow:
    unreadable = f"version {row.latest_version} {store.UNREADABLE}"
    return WorkflowRow(
        id=row.id,
        name=row.name,
        title=row.name if definition is None else definition.title,
        description=unreadable if definition is None else definition.description,
        shared=row.shared,
        mine=row.owner_id == owner_id,
        latest_version=row.latest_version,
        steps=0 if definition is None else len(definition.steps),
        created_at=row.created_at,
        last_execution_id=row.last_execution_id,
        last_status=row.last_status,
        last_created_at=row.last_created_at,
    )


def versions(
    connection: Connection,
    owner_id: str,
    id_or_name: str,
    *,
    cursor: str | None = None,
    limit: int = PAGE,
) -> Page[VersionRow]:
    """Return the versions of a workflow that the owner may see, newest first.

    Raises:
        NotFound: there is no such workflow.
        InvalidQuery: a limit that is not allowed, a cursor that no page gave.
    """
    record = store.readable(connection, owner_id, id_or_name)
    statement = select(*(_VERSIONS.c[name] for name in VersionRow.__dataclass_fields__)).where(
        _VERSIONS.c.workflow_id == record.id
    )
    by = (_VERSIONS.c.number,)
    found = page(connection, statement, by, newest=True, cursor=cursor, limit=limit)
    return found.map(lambda row: VersionRow(**row._asdict()))


def schedules(
    connection: Connection,
    owner_id: str,
    *,
    workflow_id: str | None = None,
    cursor: str | None = None,
    limit: int = PAGE,
) -> Page[ScheduleRow]:
    """Return the owner's schedules, newest first.

    Raises:
        InvalidQuery: a limit that is not allowed, a cursor that no page gave.
    """
    which = _SCHEDULES.c.owner_id == owner_id
    if workflow_id is not None:
        which = which & (_SCHEDULES.c.workflow_id == workflow_id)
    return _schedule_rows(connection, which, cursor=cursor, limit=limit)


def schedule(connection: Connection, owner_id: str, schedule_id: str) -> ScheduleRow:
    """Return one schedule of the owner.

    Raises:
        NotFound: there is none, or it belongs to someone else.
    """
    which = (_SCHEDULES.c.owner_id == owner_id) & (_SCHEDULES.c.id == schedule_id)
    found = _schedule_rows(connection, which).rows
    if not found:
        raise NotFound(f"there is no schedule {schedule_id}")
    return found[0]


def _schedule_rows(
    connection: Connection, which: Any, *, cursor: str | None = None, limit: int = PAGE
) -> Page[ScheduleRow]:
    names = [name for name in ScheduleRow.__dataclass_fields__ if name != "workflow"]
    statement = (
        select(*(_SCHEDULES.c[name] for name in names), _WORKFLOWS.c.name.label("workflow"))
        .join(_WORKFLOWS, _WORKFLOWS.c.id == _SCHEDULES.c.workflow_id)
        .where(which)
    )
    by = (_SCHEDULES.c.id,)
    found = page(connection, statement, by, newest=True, cursor=cursor, limit=limit)
    return found.map(lambda row: _schedule_row(row._asdict()))


def _schedule_row(row: dict[str, Any]) -> ScheduleRow:
    told = None if row["skipped"] is None else decode(row["skipped"])
    skipped = told and SkippedRow(told["count"], told["first"], told["last"], told["at"])
    return ScheduleRow(**{**row, "input": decode(row["input"]), "skipped": skipped})


def workers(
    connection: Connection,
    *,
    now: int,
    lease_seconds: float,
    cursor: str | None = None,
    limit: int = PAGE,
) -> Page[WorkerRow]:
    """Return the worker processes of the last hour, newest first; they serve every owner.

    Args:
        now: µs by the database's clock.
        lease_seconds: the age of a beat from which its worker counts as dead.

    Raises:
        InvalidQuery: a limit that is not allowed, a cursor that no page gave.
    """
    claimed = (
        select(_RUNS.c.worker_id, func.count().label("n"))
        .where(literally("step_runs", "status = 'running'"), _RUNS.c.worker_id.is_not(None))
        .group_by(_RUNS.c.worker_id)
        .subquery()
    )
    statement = (
        select(_WORKERS, func.coalesce(claimed.c.n, 0).label("running"))
        .outerjoin(claimed, claimed.c.worker_id == _WORKERS.c.id)
        .where(_WORKERS.c.beat_at > now - STOPPED_SHOWN)
    )

    def shown(row: Row[Any]) -> WorkerRow:
        return WorkerRow(
            id=row.id,
            host=row.host,
            pid=row.pid,
            queues=decode(row.queues),
            threads=row.threads,
            functions=decode(row.functions),
            started_at=row.started_at,
            beat_at=row.beat_at,
            stopped_at=row.stopped_at,
            end_reason=row.end_reason,
            alive=row.stopped_at is None and now - row.beat_at < lease_seconds * 1e6,
            running=row.running,
        )

    # By id, not by beat: a worker that beats between two pages must not move from one to the other.
    found = page(connection, statement, (_WORKERS.c.id,), newest=True, cursor=cursor, limit=limit)
    return found.map(shown)


def dead_letters(
    connection: Connection,
    owner_id: str,
    *,
    replayed: bool = False,
    cursor: str | None = None,
    limit: int = PAGE,
) -> Page[DeadLetterRow]:
    """Return the owner's dead letters, newest first; with ``replayed``, those too.

    Raises:
        InvalidQuery: a limit that is not allowed, a cursor that no page gave.
    """
    statement = select(*(_DEAD.c[name] for name in DeadLetterRow.__dataclass_fields__)).where(
        _DEAD.c.owner_id == owner_id
    )
    if not replayed:
        statement = statement.where(_DEAD.c.replayed_at.is_(None))
    by = (_DEAD.c.id,)
    found = page(connection, statement, by, newest=True, cursor=cursor, limit=limit)
    return found.map(lambda row: DeadLetterRow(**row._asdict() | {"error": _dead_error(row.error)}))


def _dead_error(text: str | None) -> Any:
    """Return the error as a mapping; a message that could not be decoded left plain words."""
    if text is None or text.startswith("{"):
        return as_error(text)
    return {"message": text}
