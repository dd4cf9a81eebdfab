"""Whole transactions as one statement: PostgreSQL's way for the three that are nearly all the work.

A transaction takes a trip to the server for its beginning, its lock, each of its changes and its
commit, and holds the lock meanwhile. But of a claim, of a step completed together with the claim
of its one dependant, and of an item completed together with the claim of the next, all that is to
be changed is known before. Each of these is a single statement that commits itself: it locks the
execution first, changes everything or nothing, and holds the lock for a fifth of a millisecond.
Where anything is not as foreseen it changes nothing, and ``execution_tx`` decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    Connection,
    and_,
    bindparam,
    column,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import ReturningUpdate

from engine.codec import encode
from engine.core.event import Event
from engine.core.execution_state import ExecutionState
from engine.core.plan import Apply, Chained, ClaimItem, ClaimStep
from engine.core.status import ExecutionStatus, StepStatus
from engine.core.transitions import UNPLANNED, RunKey, Transition, event_of
from engine.store.db.compiled import Prepared
from engine.store.tables import EventRow, Execution, LogLine, StepRun, table
from engine.store.writes.execution_tx import STATE_COLUMNS, Line, as_state
from engine.store.writes.transition_sql import (
    Columns,
    assignments,
    columns_of,
    is_moving,
    item_counted,
    parameters,
)

_EXECUTIONS = table(Execution)
_RUNS = table(StepRun)
_EVENTS = table(EventRow)
_LINES = table(LogLine)
_NODE = -1  # the item of what is no item
_STATE_WIDTH = len(STATE_COLUMNS)


@dataclass(frozen=True, slots=True)
class FastWrite:
    """What one statement is to do: ``first``, and with it ``then``; ``lines`` are of ``first``.

    Where ``then`` claims an item it is the next one of the fan-out, if there is one, whichever
    that is: its key's own item says nothing.
    """

    now: int
    first: Apply
    then: ClaimStep | ClaimItem | None = None
    lines: Sequence[Line] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """What has been written."""

    state: ExecutionState
    facts: list[Event]
    attempts: int  # of ``first``'s step run
    then: Chained | None  # None when no item was left


def write(connection: Connection, wanted: FastWrite) -> Written | None:
    """Carry it out and return what came of it, or None: then nothing was changed.

    None says that the execution is ending or paused, that a step run has another epoch or status
    than foreseen, or that more is to be done: the last item of a fan-out, or one whose parameters
    nobody knows yet.
    """
    first, then = wanted.first, wanted.then
    statement = _statement(
        columns_of(first.transition),
        None if then is None else columns_of(then.transition),
        first.key.item != _NODE and then is not None,
        bool(wanted.lines),
    )
    row = statement.row(connection, _values(wanted))
    if row is None:
        return None
    attempts, item, *more = row[_STATE_WIDTH:]
    facts = [event_of(first.transition, first.key, attempts)]
    moved = None
    if then is not None and item is not None:
        moved = Chained(item, *more)
        key = RunKey(then.key.execution_id, then.key.step, item)
        facts.append(event_of(then.transition, key, moved.attempts))
    told = [fact for fact in facts if fact is not None]
    return Written(as_state(row[:_STATE_WIDTH]), told, attempts, moved)


# --- the values ------------------------------------------------------------------------------


def _values(wanted: FastWrite) -> dict[str, Any]:
    values: dict[str, Any] = {"execution": wanted.first.key.execution_id, "now": wanted.now}
    first, then = wanted.first, wanted.then
    values |= _values_of("first", first.key, first.epoch, first.transition)
    if then is not None:
        values |= _values_of("then", then.key, UNPLANNED, then.transition)
    if wanted.lines:
        values |= {
            f"lines_{name}": [getattr(line, name) for line in wanted.lines] for name in _LINE
        }
        values["lines"] = len(wanted.lines)
    return values


def _values_of(name: str, key: RunKey, epoch: int, transition: Transition) -> dict[str, Any]:
    assert transition.event is not None
    own = {
        "step": key.step,
        "item": key.item,
        "epoch": epoch,
        "event": transition.event.value,
        "data": encode(transition.data) if transition.data else None,
        "active": transition.active,
        "ended": transition.ended if key.item == _NODE else 0,
        "progress": transition.progress,
    }
    return parameters(name, transition) | {f"{name}_{word}": value for word, value in own.items()}


# --- the statement -----------------------------------------------------------------------------

_LINE = ("at", "level", "message")


@lru_cache(maxsize=256)
def _statement(first: Columns, then: Columns | None, counts: bool, lines: bool) -> Prepared:
    """Lock all that must be as foreseen; then ``first`` decides, and what follows hangs on it."""
    head = _lock_execution()
    if then is None:
        done = _finish(first, exists(select(head.c.id)))
        return _closed(head, done, None, lines)
    if not counts:
        following = _lock_step(head)
        done = _finish(first, exists(select(following.c.item)))
        chained = _claim_next(then, following, done)
        return _closed(head, done, chained, lines)
    node = _lock_fan_out(head)
    following = _lock_next_item(node)
    # With none left to claim, others must be under way: or the execution waits.
    none_left = select(node.c.items_next >= node.c["items"]).scalar_subquery()
    others = select(head.c.active > 1).scalar_subquery()
    done = _finish(first, or_(exists(select(following.c.item)), and_(none_left, others)))
    chained = _claim_next(then, following, done)
    return _closed(head, done, chained, lines, _count(done))


def _lock_execution() -> CTE:
    """Of an execution that is paused or ends ``execution_tx`` decides."""
    columns = (_EXECUTIONS.c[name] for name in ("id", "last_seq", "last_log", "active"))
    return (
        select(*columns)
        .where(
            _EXECUTIONS.c.id == bindparam("execution"),
            *is_moving(),
        )
        .with_for_update()
        .cte("head")
    )


def _lock_step(head: CTE) -> CTE:
    return (
        select(_RUNS.c.item)
        .where(*_pending(bindparam("then_item")), exists(select(head.c.id)))
        .with_for_update()
        .cte("following")
    )


def _lock_fan_out(head: CTE) -> CTE:
    """The last item joins, which takes a transaction."""
    return (
        select(_RUNS.c["items"], _RUNS.c.items_next)
        .where(*_run("first", _NODE), _RUNS.c.items_left > 1, exists(select(head.c.id)))
        .with_for_update()
        .cte("node")
    )


def _lock_next_item(node: CTE) -> CTE:
    """The next one, where its row holds its parameters: no expression runs in a transaction."""
    following = select(node.c.items_next).scalar_subquery()
    return (
        select(_RUNS.c.item)
        .where(*_pending(following), _RUNS.c.input.is_not(None))
        .with_for_update()
        .cte("following")
    )


def _finish(columns: Columns, *ready: Any) -> CTE:
    return _move(
        "first",
        columns,
        *_run("first", bindparam("first_item")),
        _RUNS.c.epoch == bindparam("first_epoch"),
        _RUNS.c.status == bindparam("first_source"),
        *ready,
    ).cte("done")


def _claim_next(columns: Columns, following: CTE, done: CTE) -> CTE:
    item = select(following.c.item).scalar_subquery()
    return _move("then", columns, *_pending(item), exists(select(done.c.item))).cte("chained")


def _move(name: str, columns: Columns, *where: Any) -> ReturningUpdate[Any]:
    moved = update(_RUNS).where(*where).values(assignments(name, columns))
    return moved.returning(_RUNS.c.item, _RUNS.c.attempts, _RUNS.c.input)


def _count(done: CTE) -> CTE:
    """As ``fan_outs.count_item`` does."""
    return (
        update(_RUNS)
        .where(*_run("first", _NODE), exists(select(done.c.item)))
        .values(item_counted(0))
        .cte("counted")
    )


def _run(name: str, item: Any) -> list[Any]:
    return [
        _RUNS.c.execution_id == bindparam("execution"),
        _RUNS.c.step == bindparam(f"{name}_step"),
        _RUNS.c.item == item,
    ]


def _pending(item: Any) -> list[Any]:
    return [
        *_run("then", item),
        _RUNS.c.epoch == bindparam("then_epoch"),
        _RUNS.c.status == StepStatus.PENDING.value,
    ]


def _closed(head: CTE, done: CTE, chained: CTE | None, lines: bool, *more: CTE) -> Prepared:
    """Number the facts and lines, write the head, return it and what the moves returned."""
    moves = {"first": done} | ({} if chained is None else {"then": chained})
    written = _write_state(done, chained, lines)
    none = literal(None)
    taken: tuple[Any, ...] = (none, none, none)
    if chained is not None:
        taken = (chained.c.item, chained.c.attempts, chained.c.input)
    answer = select(written, done.c.attempts, *taken).select_from(
        written.join(done, true())
        if chained is None
        else written.join(done, true()).outerjoin(chained, true())
    )
    answer = answer.add_cte(_tell(head, moves), *more)
    if lines:
        answer = answer.add_cte(_keep_lines(head, done))
    return Prepared(answer)


def _tell(head: CTE, moves: Mapping[str, CTE]) -> CTE:
    rows = [
        select(
            head.c.id,
            head.c.last_seq + number,
            bindparam(f"{name}_event", type_=_EVENTS.c.type.type),
            bindparam(f"{name}_step", type_=_EVENTS.c.step.type),
            moved.c.item,
            moved.c.attempts,
            bindparam("now", type_=_EVENTS.c.at.type),
            bindparam(f"{name}_data", type_=_EVENTS.c.data.type),
        ).select_from(head.join(moved, true()))
        for number, (name, moved) in enumerate(moves.items(), 1)
    ]
    columns = ("execution_id", "seq", "type", "step", "item", "attempt", "at", "data")
    return insert(_EVENTS).from_select(columns, union_all(*rows)).cte("told")


def _keep_lines(head: CTE, done: CTE) -> CTE:
    """However many there are it is one statement: the server keeps each that it has seen."""
    columns = {name: _LINES.c[name].type for name in _LINE}
    said: Any = func.unnest(
        *(bindparam(f"lines_{name}", type_=ARRAY(type_)) for name, type_ in columns.items())
    )
    lines = said.table_valued(
        *(column(name, type_) for name, type_ in columns.items()), with_ordinality="number"
    ).render_derived()
    rows = select(
        head.c.id,
        head.c.last_log + lines.c.number,
        bindparam("first_step", type_=_LINES.c.step.type),
        done.c.item,
        done.c.attempts,
        *(lines.c[name] for name in _LINE),
    ).select_from(head.join(done, true()).join(lines, true()))
    columns_of = ("execution_id", "seq", "step", "item", "attempt", *_LINE)
    return insert(_LINES).from_select(columns_of, rows).cte("kept")


def _write_state(done: CTE, chained: CTE | None, lines: bool) -> CTE:
    """Something runs when this has been done, so the execution does."""
    chains: Any = literal(0)
    if chained is not None:
        chains = select(func.count(chained.c.item)).scalar_subquery()

    def added(word: str) -> Any:
        own = bindparam(f"first_{word}", type_=_EXECUTIONS.c.active.type)
        if chained is None:
            return own
        return own + chains * bindparam(f"then_{word}", type_=_EXECUTIONS.c.active.type)

    return (
        update(_EXECUTIONS)
        .where(_EXECUTIONS.c.id == bindparam("execution"), exists(select(done.c.item)))
        .values(
            status=ExecutionStatus.RUNNING.value,
            last_seq=_EXECUTIONS.c.last_seq + 1 + chains,
            last_log=_EXECUTIONS.c.last_log + (bindparam("lines") if lines else 0),
            active=_EXECUTIONS.c.active + added("active"),
            steps_left=_EXECUTIONS.c.steps_left - added("ended"),
            runs_done=_EXECUTIONS.c.runs_done + added("progress"),
        )
        .returning(*(_EXECUTIONS.c[name] for name in STATE_COLUMNS))
        .cte("written")
    )
