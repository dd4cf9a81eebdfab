"""Read executions as histories, for those who judge them: in pages, of one instant each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, case, func, or_, select, text

from engine.core.event import EventType
from engine.core.history import (
    AttemptRecord,
    ChildRecord,
    EventRecord,
    HeadRecord,
    History,
    NoticeRecord,
    RunRecord,
    World,
)
from engine.core.status import EXECUTION_ENDS
from engine.errors import NotFound, UnreadableVersion
from engine.store.recovery import liveness
from engine.store.tables import (
    OPEN_EXECUTION,
    Attempt,
    EventRow,
    Execution,
    Lease,
    LogLine,
    Notice,
    StepRun,
    Worker,
    table,
)
from engine.store.writes import workflows

_EXECUTIONS = table(Execution)
_RUNS = table(StepRun)
_EVENTS = table(EventRow)
_ATTEMPTS = table(Attempt)
_LINES = table(LogLine)
_NOTICES = table(Notice)
_WORKERS = table(Worker)
_LEASES = table(Lease)
_BACKLOG = 2_000_000  # µs after which a dispatch that is due shows that others wait too

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listed:
    """An execution to look at, and how many rows it takes to do so, about."""

    id: str
    rows: int


def listed(connection: Connection, after: str, since: int | None, limit: int) -> list[Listed]:
    """Return executions to look at, by id.

    Args:
        connection: to read with.
        after: the last id of the page before; empty for the first.
        since: µs; those that ended before are left out. None: all are returned.
        limit: executions at most.
    """
    rows = _EXECUTIONS.c.runs_total * 2 + _EXECUTIONS.c.last_seq
    statement = (
        select(_EXECUTIONS.c.id, rows.label("rows"))
        .where(_EXECUTIONS.c.id > after)
        .order_by(_EXECUTIONS.c.id)
        .limit(limit)
    )
    if since is not None:
        recent = _EXECUTIONS.c.finished_at.is_(None) | (_EXECUTIONS.c.finished_at >= since)
        statement = statement.where(or_(text(OPEN_EXECUTION), recent))
    return [Listed(row.id, row.rows) for row in connection.execute(statement)]


def load(connection: Connection, ids: Sequence[str]) -> list[History]:
    """Return the executions ``ids`` as histories; absent ones are left out."""
    heads = connection.execute(_of(HeadRecord, _EXECUTIONS).where(_EXECUTIONS.c.id.in_(ids)))
    found = {row.id: _begun(connection, HeadRecord(**row._asdict())) for row in heads}
    for of, run in _read(connection, RunRecord, _RUNS, ids):
        found[of].runs[run.key] = run
    for of, event in _read_events(connection, ids):
        found[of].events.append(event)
    for of, attempt in _read(connection, AttemptRecord, _ATTEMPTS, ids):
        found[of].attempts.setdefault((attempt.step, attempt.item), []).append(attempt)
    for history in found.values():
        history.events.sort(key=lambda event: event.seq)
    _load_lines(connection, found, ids)
    _load_others(connection, found, ids)
    return [found[execution_id] for execution_id in ids if execution_id in found]


def _begun(connection: Connection, head: HeadRecord) -> History:
    try:
        return History(head, workflows.definition(connection, head.workflow_id, head.version))
    except (NotFound, UnreadableVersion) as error:
        return History(head, None, unreadable=str(error))


def _of(record: type, table: Any, *more: Any) -> Select[Any]:
    return select(*(table.c[field.name] for field in fields(record)), *more)


def _read(
    connection: Connection, record: Callable[..., T], table: Any, ids: Sequence[str]
) -> Iterable[tuple[str, T]]:
    statement = _of(record, table, table.c.execution_id)  # type: ignore[arg-type]  # a class
    for row in connection.execute(statement.where(table.c.execution_id.in_(ids))):
        *values, execution_id = row
        yield execution_id, record(*values)


def _read_events(connection: Connection, ids: Sequence[str]) -> Iterable[tuple[str, EventRecord]]:
    # Written last of all it stands at the end. The rest of the data may be long, and is not read.
    ends = _EVENTS.c.data.endswith('"ends":true}', autoescape=True)
    failed = _EVENTS.c.type == EventType.STEP_FAILED.value
    columns = (_EVENTS.c[name] for name in ("execution_id", "seq", "type", "step", "item"))
    statement = select(*columns, case((failed & ends, 1), else_=0).label("ends"))
    for row in connection.execute(statement.where(_EVENTS.c.execution_id.in_(ids))):
        fact = EventRecord(row.seq, row.type, row.step, row.item, bool(row.ends))
        yield row.execution_id, fact


def _load_lines(connection: Connection, found: dict[str, History], ids: Sequence[str]) -> None:
    rows = connection.execute(
        select(_LINES.c.execution_id, func.count(), func.max(_LINES.c.seq))
        .where(_LINES.c.execution_id.in_(ids))
        .group_by(_LINES.c.execution_id)
    )
    for execution_id, count, last in rows:
        found[execution_id].lines, found[execution_id].last_line = count, last


def _load_others(connection: Connection, found: dict[str, History], ids: Sequence[str]) -> None:
    """Read what each has to do with other executions: notices, children, its parent."""
    owed: dict[str, list[NoticeRecord]] = defaultdict(list)
    for of, notice in _read(connection, NoticeRecord, _NOTICES, ids):
        owed[of].append(notice)
    for execution_id, history in found.items():
        history.notices = owed[execution_id]
    waiting = [
        execution_id
        for execution_id, history in found.items()
        if any(run.wait_for is not None for run in history.runs.values())
    ]
    ended: dict[str, list[ChildRecord]] = defaultdict(list)
    names = ("parent_id", "id", "parent_step", "parent_item", "parent_epoch", "status")
    for parent_id, *values in connection.execute(
        select(*(_EXECUTIONS.c[name] for name in names)).where(
            _EXECUTIONS.c.parent_id.in_(waiting),
            _EXECUTIONS.c.parent_epoch.is_not(None),
            _EXECUTIONS.c.status.in_(sorted(EXECUTION_ENDS)),
        )
    ):
        ended[parent_id].append(ChildRecord(*values))
    for execution_id in waiting:
        found[execution_id].children = ended[execution_id]
    parents = {history.head.parent_id for history in found.values() if history.head.parent_id}
    rows = connection.execute(
        select(_EXECUTIONS.c.id, _EXECUTIONS.c.status).where(_EXECUTIONS.c.id.in_(parents))
    )
    status: dict[str, str] = {row.id: row.status for row in rows}
    for history in found.values():
        if history.head.parent_id is not None:
            history.parent_status = status.get(history.head.parent_id, "gone")


def world(connection: Connection, *, now: int, lease: int, patience: int) -> World:
    """Return the engine as it is now; all arguments in µs.

    Args:
        connection: to read with.
        now: by the database's clock.
        lease: after which a silent worker is dead.
        patience: how long what is due may stand still.
    """
    alive = connection.execute(
        select(_WORKERS.c.id).where(
            _WORKERS.c.stopped_at.is_(None), _WORKERS.c.beat_at >= now - lease
        )
    ).scalars()
    told = liveness.alive(connection, now - lease)
    behind = connection.execute(
        select(_EXECUTIONS.c.id)
        .where(
            text(OPEN_EXECUTION),
            _EXECUTIONS.c.status == "pending",
            _EXECUTIONS.c.due_at < now - _BACKLOG,
        )
        .limit(1)
    ).first()
    return World(now, patience, frozenset(alive), told.watermarks, behind is not None)


def any_open(connection: Connection) -> bool:
    """Return whether an execution is under way."""
    # In the order of the index of the open ones, or SQLite reads another one of all there are.
    some = select(_EXECUTIONS.c.id).where(text(OPEN_EXECUTION)).order_by(_EXECUTIONS.c.due_at)
    statement = some.limit(1)
    return connection.execute(statement).first() is not None


def lease_until(connection: Connection, name: str) -> int:
    """Return until when (µs) somebody holds the lease; 0 when nobody ever did."""
    statement = select(_LEASES.c.until).where(_LEASES.c.name == name)
    return connection.execute(statement).scalar_one_or_none() or 0


def slots_twice(connection: Connection) -> list[tuple[str, int, int]]:
    """Return (schedule, slot in µs, times) of slots that started more than one execution."""
    rows = connection.execute(
        select(_EXECUTIONS.c.schedule_id, _EXECUTIONS.c.slot, func.count())
        .where(_EXECUTIONS.c.schedule_id.is_not(None))
        .group_by(_EXECUTIONS.c.schedule_id, _EXECUTIONS.c.slot)
        .having(func.count() > 1)
    )
    return [(row[0], row[1], row[2]) for row in rows]


def orphan_notices(connection: Connection, limit: int) -> list[tuple[str, str]]:
    """Return (notice, execution) of notices whose execution is no more."""
    rows = connection.execute(
        select(_NOTICES.c.id, _NOTICES.c.execution_id)
        .join(_EXECUTIONS, _EXECUTIONS.c.id == _NOTICES.c.execution_id, isouter=True)
        .where(_EXECUTIONS.c.id.is_(None))
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]
