"""Walk an owner's executions from the newest back: along an index, and never further than asked.

What an index does not answer (a text, a trigger, a status within a workflow) is looked for among
the next ``REACH`` executions only. Whoever finds too little there goes on from where that ends, so
that no look reads a whole history.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Select, func, literal, or_, select, union_all

from engine.core.status import ExecutionStatus
from engine.ids import first_id, is_id
from engine.store.tables import UNKNOWN, Execution, StepRun, Workflow, literally, table
from engine.store.writes.workflows import visible_to

REACH = 5_000  # executions that one look goes through
FAR = 100_000  # of a count that is asked for before something is done to many
CLOCKS = 300_000_000  # µs by which an id's time and ``created_at`` may be apart
_EXECUTIONS = table(Execution)
_RUNS = table(StepRun)
_WORKFLOWS = table(Workflow)
_id: Any = _EXECUTIONS.c.id
ABOVE_ALL = "~"  # sorts after every letter of an id


@dataclass(frozen=True, slots=True)
class Filter:
    """Which of an owner's executions are wanted. Nothing set: all of them.

    ``workflow`` is an id or a name; ``text`` is found in the id, the workflow's name, the error or
    the trigger's detail; ``since`` and ``until`` are µs of creation, ``until`` not included;
    ``schedule``: the id of the schedule that started them;
    ``lacks_code``: only those with a step that waits for code which no worker has.
    """

    workflow: str | None = None
    status: Sequence[str] | None = None
    trigger: Sequence[str] | None = None
    text: str | None = None
    since: int | None = None
    until: int | None = None
    lacks_code: bool = False
    ids: Sequence[str] | None = None
    schedule: str | None = None


def page(
    connection: Connection,
    owner_id: str,
    wanted: Filter,
    *,
    cursor: str | None,
    offset: int,
    limit: int,
) -> tuple[list[str], str | None]:
    """Return ids, newest first, and where to go on, None when there is nothing more.

    There may be fewer than ``limit``, even none, and more to go on to.
    """
    if wanted.text and is_id(wanted.text):
        exact = replace(wanted, text=None, ids=[wanted.text])
        named = page(connection, owner_id, exact, cursor=cursor, offset=offset, limit=limit)
        if named[0]:
            return named
    walk = _Walk.of(connection, owner_id, wanted, cursor)
    end = walk.end(connection, REACH)
    found = list(connection.execute(walk.ids(end, limit + 1 + offset)).scalars())[offset:]
    if len(found) > limit:
        return found[:limit], found[limit - 1]
    return found, end


def count(connection: Connection, owner_id: str, wanted: Filter, most: int) -> int:
    """Return how many are wanted: at most ``most``, and among the next ``FAR`` only."""
    walk = _Walk.of(connection, owner_id, wanted, None)
    some = walk.ids(walk.end(connection, FAR), most).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one()


@dataclass(frozen=True, slots=True)
class Way:
    """A stretch of an index: the ids from ``low`` to below ``high`` of those with ``values``."""

    columns: Sequence[Any]
    values: Sequence[str]
    low: str = ""
    high: str = ABOVE_ALL

    def newest(self) -> Select[Any]:
        """Return the statement for its ids, the newest first."""
        return select(_id).where(*self._here(), *self._span(_id)).order_by(_id.desc())

    def among(self, few: Sequence[Any]) -> Select[Any]:
        """Return the statement for those of ``few`` that lie on it, the newest first."""
        # Not the bare id: SQLite would go through all of the stretch instead of the few.
        span = self._span(_id.concat(""))
        return select(_id).where(*self._here(), *span, *few).order_by(_id.desc())

    def _here(self) -> list[Any]:
        return [column == value for column, value in zip(self.columns, self.values, strict=True)]

    def _span(self, column: Any) -> list[Any]:
        low = [column >= self.low] if self.low else []
        return low + ([column < self.high] if self.high != ABOVE_ALL else [])

    def down_to(self, end: str) -> Way:
        """Return the part of it that begins with ``end``."""
        return replace(self, low=max(self.low, end))


@dataclass(frozen=True, slots=True)
class _Walk:
    """Along ``ways``, one index each; ``rest`` is what none of them answers."""

    ways: Sequence[Way]
    within: Sequence[Any]  # of the times: as good as answered, for ids tell them
    rest: Sequence[Any]
    few: Sequence[Any]  # conditions that name one by one whatever is wanted

    @classmethod
    def of(cls, connection: Connection, owner_id: str, wanted: Filter, cursor: str | None) -> _Walk:
        """Choose the index: a schedule's, a workflow's, a status's, or the owner's own."""
        if wanted.schedule is not None:
            return cls._of_schedule(connection, owner_id, wanted, cursor)
        named, status = _named(connection, owner_id, wanted.workflow), wanted.status or None
        rest = _rest(connection, owner_id, wanted)
        by: Any = _EXECUTIONS.c.workflow_id
        values: Sequence[str] | None = named
        # Few of a workflow's executions are in another status than completed.
        if status and (named is None or ExecutionStatus.COMPLETED not in status):
            by, values = _EXECUTIONS.c.status, status
            rest += [] if named is None else [_EXECUTIONS.c.workflow_id.concat("").in_(named)]
        elif status:
            # Not the bare column, here and above: SQLite would take its index, which has no end.
            rest.append(_EXECUTIONS.c.status.concat("").in_(status))
        owner, span = _EXECUTIONS.c.owner_id, _span(wanted, cursor)
        ways = (
            [Way([owner], [owner_id], *span)]
            if values is None
            else [Way([owner, by], [owner_id, value], *span) for value in values]
        )
        return cls(ways, list(_within(wanted)), rest, list(_few(wanted)))

    @classmethod
    def _of_schedule(
        cls, connection: Connection, owner_id: str, wanted: Filter, cursor: str | None
    ) -> _Walk:
        # Not the bare columns: SQLite would take the indexes of these instead of the schedule's.
        asked = {
            "workflow_id": _named(connection, owner_id, wanted.workflow),
            "status": wanted.status or None,
        }
        rest = [
            _EXECUTIONS.c[name].concat("").in_(values)
            for name, values in asked.items()
            if values is not None
        ]
        way = Way([_EXECUTIONS.c.schedule_id], [wanted.schedule or ""], *_span(wanted, cursor))
        # A schedule has one owner: that this is who asks takes no going through its executions.
        within = [_EXECUTIONS.c.owner_id.concat("") == owner_id, *_within(wanted)]
        return cls([way], within, [*rest, *_rest(connection, owner_id, wanted)], list(_few(wanted)))

    def end(self, connection: Connection, reach: int) -> str | None:
        """Return the last id of the next ``reach``, at which to stop; None goes to the end."""
        if not self.rest or self.few:
            return None
        each = max(reach // max(len(self.ways), 1), 1)
        ends = [
            connection.execute(way.newest().offset(each - 1).limit(1)).scalar() for way in self.ways
        ]
        return max((end for end in ends if end is not None), default=None)

    def ids(self, end: str | None, limit: int) -> Select[Any]:
        """Return the statement for the newest ``limit`` ids down to ``end``."""
        ways = self.ways if end is None else [way.down_to(end) for way in self.ways]
        walks = [way.among(self.few) if self.few else way.newest() for way in ways]
        some = [walk.where(*self.within, *self.rest).limit(limit) for walk in walks]
        if not some:
            return select(_id).where(literal(value=False))
        if len(some) == 1:
            return some[0]
        all_of = union_all(*(select(one.subquery().c.id) for one in some)).subquery()
        return select(all_of.c.id).order_by(all_of.c.id.desc()).limit(limit)


def _named(connection: Connection, owner_id: str, workflow: str | None) -> list[str] | None:
    """Return the ids of the workflows of that name, the owner's and a shared one; None: any."""
    if workflow is None:
        return None
    if is_id(workflow):
        return [workflow]
    which = visible_to(owner_id), _WORKFLOWS.c.name == workflow
    return list(connection.execute(select(_WORKFLOWS.c.id).where(*which)).scalars())


def _span(wanted: Filter, cursor: str | None) -> tuple[str, str]:
    """Return the first id that may be wanted, and one above the last."""
    low = "" if wanted.since is None else first_id(wanted.since - CLOCKS)
    highs = [ABOVE_ALL] if cursor is None else [cursor]
    if wanted.until is not None:
        highs.append(first_id(wanted.until + CLOCKS))
    return low, min(highs)


def _within(wanted: Filter) -> Iterable[Any]:
    if wanted.since is not None:
        yield _EXECUTIONS.c.created_at >= wanted.since
    if wanted.until is not None:
        yield _EXECUTIONS.c.created_at < wanted.until


def _few(wanted: Filter) -> Iterable[Any]:
    if wanted.ids is not None:
        yield _id.in_(wanted.ids)
    if wanted.lacks_code:
        yield _id.in_(select(_RUNS.c.execution_id).where(literally("step_runs", UNKNOWN)))


def _rest(connection: Connection, owner_id: str, wanted: Filter) -> list[Any]:
    found: list[Any] = []
    if wanted.trigger:
        found.append(_EXECUTIONS.c.trigger.in_(wanted.trigger))
    if wanted.text:
        found.append(_says(connection, owner_id, wanted.text))
    return found


def _says(connection: Connection, owner_id: str, words: str) -> Any:
    by_name = _WORKFLOWS.c.name.icontains(words, autoescape=True)
    named = select(_WORKFLOWS.c.id).where(visible_to(owner_id), by_name)
    columns = (_id, _EXECUTIONS.c.error, _EXECUTIONS.c.trigger_detail)
    return or_(
        _EXECUTIONS.c.workflow_id.in_(list(connection.execute(named).scalars())),
        *(column.icontains(words, autoescape=True) for column in columns),
    )
