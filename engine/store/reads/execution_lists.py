"""Lists of executions: keyset paging, filters, a sentence for each row, no payloads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    case,
    func,
    literal,
    select,
    union_all,
)

from engine.codec import decode
from engine.core.status import EXECUTION_OPEN, ExecutionStatus, StepStatus, Trigger
from engine.definition import Definition
from engine.errors import InvalidQuery
from engine.ids import is_id
from engine.store.db.pagination import Page, check_limit, no_cursor
from engine.store.reads import walks
from engine.store.reads.rows import ExecutionRow
from engine.store.reads.summaries import Ending, Telling, execution_detail
from engine.store.reads.walks import Filter
from engine.store.tables import UNKNOWN, Execution, StepRun, Workflow, literally, table
from engine.store.writes import workflows

COUNT_CAP = 1000  # counting further would read the whole history at each look
EVERY = Filter()
_EXECUTIONS = table(Execution)
_RUNS = table(StepRun)
_WORKFLOWS = table(Workflow)
_PLAIN = tuple(
    name for name in ExecutionRow.__dataclass_fields__ if name not in ("workflow", "detail")
)
_COLUMNS = (
    *(_EXECUTIONS.c[name] for name in _PLAIN),
    _WORKFLOWS.c.name.label("workflow"),
    _EXECUTIONS.c.error,
    _EXECUTIONS.c.cancel_note,
    _EXECUTIONS.c.due_at,
)
_TOLD = (StepStatus.RUNNING, StepStatus.RETRYING, StepStatus.QUEUED, StepStatus.WAITING)


def select_rows() -> Select[Any]:
    """Return the statement whose rows ``as_rows`` understands, without a condition."""
    return select(*_COLUMNS).join(_WORKFLOWS, _WORKFLOWS.c.id == _EXECUTIONS.c.workflow_id)


def executions(
    connection: Connection,
    owner_id: str,
    wanted: Filter = EVERY,
    *,
    now: int,
    cursor: str | None = None,
    offset: int = 0,
    limit: int = 50,
) -> Page[ExecutionRow]:
    """Return the owner's executions, newest first.

    What only their rows tell is looked for among the next ``walks.REACH`` of them: a page may hold
    fewer than ``limit``, even none, and have a next one.

    Args:
        wanted: which of them.
        now: µs by the database's clock: the sentences count from it.
        cursor: of the page before; stays right while new executions come.
        offset: for small tables; reads what it leaves out.
        limit: 1 to 200.

    Raises:
        InvalidQuery: a filter that means nothing.
    """
    _check(wanted, cursor, offset, limit)
    ids, more = walks.page(connection, owner_id, wanted, cursor=cursor, offset=offset, limit=limit)
    if not ids:
        return Page([], more)
    found = connection.execute(
        select_rows().where(_EXECUTIONS.c.id.in_(ids)).order_by(_EXECUTIONS.c.id.desc())
    ).all()
    return Page(as_rows(connection, found, now), more)


def queued_for_code() -> Any:
    """Return the condition on step runs that wait for code which no worker has."""
    return literally("step_runs", UNKNOWN)


def matching(connection: Connection, owner_id: str, wanted: Filter) -> int:
    """Return how many of the owner's executions are wanted.

    Counted to ``COUNT_CAP``, and among the newest ``walks.FAR`` where no index tells.

    Raises:
        InvalidQuery: a filter that means nothing.
    """
    _check_words(wanted)
    return walks.count(connection, owner_id, wanted, COUNT_CAP)


def check_status(status: Iterable[str]) -> None:
    """Refuse words that are no status of an execution.

    Raises:
        InvalidQuery: one of them is not.
    """
    unknown = sorted(set(status) - set(ExecutionStatus))
    if unknown:
        known = ", ".join(ExecutionStatus)
        raise InvalidQuery(f"there is no status {unknown[0]!r}", hint=f"use one of {known}")


def _check_words(wanted: Filter) -> None:
    check_status(wanted.status or ())
    if unknown := sorted(set(wanted.trigger or ()) - set(Trigger)):
        known = ", ".join(Trigger)
        raise InvalidQuery(f"there is no trigger {unknown[0]!r}", hint=f"use one of {known}")


def _check(wanted: Filter, cursor: str | None, offset: int, limit: int) -> None:
    _check_words(wanted)
    check_limit(limit)
    if cursor is not None and not is_id(cursor):
        raise no_cursor()
    if offset < 0:
        raise InvalidQuery("offset must be 0 or more")


def counts(connection: Connection, owner_id: str) -> dict[str, int]:
    """Return how many executions stand where, each at most ``COUNT_CAP``."""
    parts = []
    for status in ExecutionStatus:
        way = walks.Way([_EXECUTIONS.c.owner_id, _EXECUTIONS.c.status], [owner_id, status.value])
        some = way.newest().limit(COUNT_CAP).subquery()
        parts.append(
            select(literal(status.value).label("status"), func.count().label("n")).select_from(some)
        )
    return {row.status: row.n for row in connection.execute(union_all(*parts))}


def as_rows(connection: Connection, found: Sequence[Row[Any]], now: int) -> list[ExecutionRow]:
    """Return rows of ``select_rows`` with their sentences: two more queries for all of them."""
    telling, unreadable = _telling(connection, found)
    return [
        ExecutionRow(
            **{name: getattr(row, name) for name in _PLAIN},
            workflow=row.workflow,
            detail=f"its version {workflows.UNREADABLE}"
            if row.id in unreadable
            else execution_detail(_ending(row), telling.get(row.id), now),
        )
        for row in found
    ]


def _ending(row: Row[Any]) -> Ending:
    return Ending(
        row.status,
        row.reason,
        as_error(row.error),
        row.cancel_requested_at is not None,
        row.cancel_note,
        row.due_at,
        row.runs_total,
        row.ending,
        row.phase,
    )


def as_error(text: str | None) -> dict[str, Any] | None:
    """Return a stored error, or progress, as a mapping."""
    return None if text is None else dict(decode(text))


def _telling(
    connection: Connection, found: Sequence[Row[Any]]
) -> tuple[dict[str, Telling], set[str]]:
    """Return, per open or failed execution, the step run that tells most about it.

    And of which open ones nothing can be told: their version cannot be read.
    """
    open_ids = [row.id for row in found if row.status in EXECUTION_OPEN]
    failed = {row.id: row for row in found if row.status == ExecutionStatus.FAILED}
    if not open_ids and not failed:
        return {}, set()
    pairs = {row.id: (row.workflow_id, row.version) for row in found}
    known = workflows.definitions(connection, {pairs[name] for name in (*open_ids, *failed)})
    telling = {
        run.execution_id: _told(run, known[pairs[run.execution_id]])
        for run in (connection.execute(_live_runs(open_ids)).all() if open_ids else ())
        if pairs[run.execution_id] in known
    }
    for name, row in failed.items():
        definition = known.get(pairs[name])
        told = None if definition is None else _told_by_error(row, definition)
        if told is not None:
            telling[name] = told
    return telling, {name for name in open_ids if pairs[name] not in known}


def _live_runs(ids: Sequence[str]) -> Select[Any]:
    """Return the statement for one live node per execution: the running before the parked."""
    places = {status.value: place for place, status in enumerate(_TOLD)}
    names = (
        "execution_id",
        "step",
        "status",
        "reason",
        "attempts",
        "due_at",
        "items",
        "items_left",
        "crashes",
        "wait_for",
    )
    ranked = (
        select(
            *(_RUNS.c[name] for name in (*names, "error")),
            func.row_number()
            .over(
                partition_by=_RUNS.c.execution_id,
                order_by=(case(places, value=_RUNS.c.status), _RUNS.c.step),
            )
            .label("place"),
            func.count().over(partition_by=_RUNS.c.execution_id).label("live"),
        )
        .where(
            _RUNS.c.execution_id.in_(ids),
            _RUNS.c.item == -1,
            _RUNS.c.status.in_([status.value for status in _TOLD]),
        )
        .subquery()
    )
    return select(*(ranked.c[name] for name in (*names, "error", "live"))).where(
        ranked.c.place == 1
    )


def _told(run: Row[Any], definition: Definition) -> Telling:
    step = definition.steps[run.step]
    return Telling(
        step.name,
        run.status,
        run.reason,
        run.attempts,
        step.retry.attempts,
        run.due_at,
        run.items,
        run.items_left,
        as_error(run.error),
        run.crashes,
        run.live - 1,
        run.wait_for,
    )


def _told_by_error(row: Row[Any], definition: Definition) -> Telling | None:
    """Return what is known of the step that an execution's error names."""
    name = (as_error(row.error) or {}).get("step")
    step = next((step for step in definition.steps if step.name == name), None)
    if step is None:
        return None
    return Telling(
        step.name, StepStatus.FAILED, None, 0, step.retry.attempts, None, None, None, None
    )
