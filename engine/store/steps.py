"""Step runs inside a turn: what follows from a move, the items of a fan-out, bulk ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from engine.machine.change import RunKey
from engine.machine.event import Event, EventType
from engine.machine.plan import PlannedRun
from engine.machine.status import Reason, StepStatus
from engine.store.models import StepRun
from engine.store.turn import Turn

_RUNS: Any = StepRun.__table__
_IN_LIMIT = 400  # dependants named in one statement: both databases take far more, parsers slow


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a message carries: whose turn it is, never data."""

    execution_id: str
    step: int
    item: int
    epoch: int
    queue: str

    @property
    def key(self) -> RunKey:
        """The step run it speaks of."""
        return RunKey(self.execution_id, self.step, self.item)


@dataclass(frozen=True, slots=True)
class RunRow:
    """A step run as its worker needs it."""

    execution_id: str
    step: int
    item: int
    status: StepStatus
    reason: str | None
    epoch: int
    attempts: int
    crashes: int
    needs_ran: int
    queue: str
    due_at: int | None
    queued_at: int | None
    worker_id: str | None
    started_at: int | None
    items: int | None
    value: str | None
    expires_in: int | None  # µs
    wait_for: str | None

    @property
    def key(self) -> RunKey:
        """The step run itself."""
        return RunKey(self.execution_id, self.step, self.item)

    @property
    def ticket(self) -> Ticket:
        """The message that it is owed now."""
        return Ticket(self.execution_id, self.step, self.item, self.epoch, self.queue)


_COLUMNS = [_RUNS.c[name] for name in RunRow.__dataclass_fields__]
_SELECT_RUN = select(*_COLUMNS).where(
    _RUNS.c.execution_id == bindparam("execution_id"),
    _RUNS.c.step == bindparam("step"),
    _RUNS.c.item == bindparam("item"),
)


def as_run(row: Any) -> RunRow:
    """Return a row of ``run_columns`` as a value."""
    values = row._asdict()
    values["status"] = StepStatus(values["status"])
    return RunRow(**values)


def run_columns() -> list[Any]:
    """Return the columns that ``as_run`` understands."""
    return list(_COLUMNS)


def get(connection: Connection, key: RunKey) -> RunRow | None:
    """Return the step run, or None when there is none."""
    row = connection.execute(
        _SELECT_RUN, {"execution_id": key.execution_id, "step": key.step, "item": key.item}
    ).one_or_none()
    return None if row is None else as_run(row)


def input_of(connection: Connection, key: RunKey) -> str | None:
    """Return the parameters of a step run's attempt as JSON text."""
    found: str | None = connection.execute(
        select(_RUNS.c.input).where(
            _RUNS.c.execution_id == key.execution_id,
            _RUNS.c.step == key.step,
            _RUNS.c.item == key.item,
        )
    ).scalar_one_or_none()
    return found


def insert_first(turn: Turn, planned: Sequence[PlannedRun]) -> list[Ticket]:
    """Insert a row for each node and return tickets for those that are ready."""
    rows = [
        {
            "execution_id": turn.head.id,
            "step": run.step,
            "item": -1,
            "status": run.status.value,
            "epoch": 1 if run.status is StepStatus.QUEUED else 0,
            "needs_left": run.needs_left,
            "needs_ran": run.needs_ran,
            "queue": run.queue,
            "expires_in": run.expires_in,
            "due_at": turn.now if run.status is StepStatus.QUEUED else None,
            "queued_at": turn.now if run.status is StepStatus.QUEUED else None,
            "reason": Reason.NOT_NEEDED.value if run.status is StepStatus.SKIPPED else None,
            "finished_at": turn.now if run.status is StepStatus.SKIPPED else None,
        }
        for run in planned
        if not run.reused
    ]
    if rows:
        turn.connection.execute(insert(_RUNS), rows)
    skipped = [run for run in planned if run.status is StepStatus.SKIPPED and not run.reused]
    for run in skipped:
        data = {"reason": Reason.NOT_NEEDED}
        turn.record(Event(EventType.STEP_SKIPPED, run.step, -1, data=data))
    ready = [run for run in planned if run.status is StepStatus.QUEUED]
    turn.head.active += len(ready)
    turn.head.steps_left += len(rows) - len(skipped)
    turn.head.runs_total += len(rows)
    turn.head.runs_done += len(skipped)
    return [Ticket(turn.head.id, run.step, -1, 1, run.queue) for run in ready]


_KEPT = (
    "step",
    "item",
    "status",
    "reason",
    "queue",
    "queued_at",
    "started_at",
    "finished_at",
    "items",
    "items_left",
    "items_next",
    "items_failed",
    "value",
    "input",
    "output",
    "error",
    "needs_ran",
    "attempts",
)


def copy_reused(turn: Turn, origin_id: str, steps: Mapping[int, int]) -> None:
    """Copy the ended rows of an origin, items too.

    Args:
        turn: of the execution that gets them.
        origin_id: whose they are.
        steps: by index here, the index there.
    """
    same = [step for step, there in steps.items() if step == there]
    # A fan-out is counted by its items, as when it was expanded.
    moved = [((there,), step) for step, there in steps.items() if step != there]
    for some, step in [*((part, None) for part in chunks(same)), *moved]:
        copied = _copy(turn, origin_id, some, step, _RUNS.c.item >= -1)
        counted = sum(not items for items in copied)
        turn.head.runs_total += counted
        turn.head.runs_done += counted


def copy_items(turn: Turn, origin_id: str, steps: Mapping[int, int]) -> None:
    """Copy what completed of fan-outs that failed, for their expansion to find.

    It counts them then, if their values are still the same.
    """
    ended = (_RUNS.c.item >= 0) & (_RUNS.c.status == StepStatus.COMPLETED.value)
    for step, there in steps.items():
        _copy(turn, origin_id, (there,), step, ended)


def _copy(
    turn: Turn, origin_id: str, steps: Sequence[int], step: int | None, which: Any
) -> list[int | None]:
    fixed: list[Any] = [
        literal(turn.head.id),
        literal(origin_id),
        literal(0),
        literal(0),
        literal(0),
    ]
    kept: list[Any] = [_RUNS.c[name] for name in _KEPT]
    if step is not None:
        kept[0] = literal(step)
    source = select(*fixed, *kept).where(
        _RUNS.c.execution_id == origin_id, _RUNS.c.step.in_(steps), which
    )
    names = ["execution_id", "reused_from", "epoch", "crashes", "needs_left", *_KEPT]
    copying = insert(_RUNS).from_select(names, source).returning(_RUNS.c["items"])
    return [row[0] for row in turn.connection.execute(copying)]


_ADVANCE = (
    update(_RUNS)
    .where(
        _RUNS.c.execution_id == bindparam("b_execution"),
        _RUNS.c.step.in_(bindparam("b_steps", expanding=True)),
        _RUNS.c.item == -1,
        _RUNS.c.status == StepStatus.PENDING.value,
    )
    .values(
        needs_left=_RUNS.c.needs_left - 1,
        needs_ran=_RUNS.c.needs_ran + bindparam("b_ran"),
        status=case((_RUNS.c.needs_left == 1, StepStatus.QUEUED.value), else_=_RUNS.c.status),
        epoch=case((_RUNS.c.needs_left == 1, _RUNS.c.epoch + 1), else_=_RUNS.c.epoch),
        due_at=case((_RUNS.c.needs_left == 1, bindparam("b_now")), else_=None),
        queued_at=case((_RUNS.c.needs_left == 1, bindparam("b_now")), else_=None),
    )
    .returning(_RUNS.c.step, _RUNS.c.needs_left, _RUNS.c.epoch, _RUNS.c.queue)
)


def advance(turn: Turn, dependants: Sequence[int], *, ran: bool) -> list[Ticket]:
    """Count one need less for each dependant and return tickets for those now ready.

    The count and the test are one statement: ``count(*)`` over the siblings would, under READ
    COMMITTED, let two last siblings each miss the other, and the join would never fire.
    """
    ready: list[Ticket] = []
    for some in chunks(dependants):
        rows = turn.connection.execute(
            _ADVANCE,
            {
                "b_execution": turn.head.id,
                "b_steps": some,
                "b_ran": int(ran),
                "b_now": turn.now,
            },
        )
        ready += [
            Ticket(turn.head.id, row.step, -1, row.epoch, row.queue)
            for row in rows
            if row.needs_left == 0
        ]
    turn.head.active += len(ready)
    return sorted(ready, key=lambda ticket: ticket.step)


def insert_items(
    connection: Connection,
    key: RunKey,
    queue: str,
    values: Sequence[tuple[int, str]],
    expires_in: int | None = None,
) -> None:
    """Insert pending items; one that is there already (an expansion begun before) is kept."""
    rows = [
        {
            "execution_id": key.execution_id,
            "step": key.step,
            "item": item,
            "status": StepStatus.PENDING.value,
            "queue": queue,
            "value": value,
            "expires_in": expires_in,
        }
        for item, value in values
    ]
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(_RUNS).on_conflict_do_nothing(), rows)


_QUEUE_ITEMS = (
    update(_RUNS)
    .where(
        _RUNS.c.execution_id == bindparam("b_execution"),
        _RUNS.c.step == bindparam("b_step"),
        _RUNS.c.item >= bindparam("b_first"),
        _RUNS.c.item < bindparam("b_end"),
        _RUNS.c.status == StepStatus.PENDING.value,
    )
    .values(
        status=StepStatus.QUEUED.value,
        epoch=_RUNS.c.epoch + 1,
        due_at=bindparam("b_now"),
        queued_at=bindparam("b_now"),
    )
    .returning(_RUNS.c.item, _RUNS.c.epoch, _RUNS.c.queue)
)


def queue_items(turn: Turn, key: RunKey, first: int, end: int) -> list[Ticket]:
    """Queue items ``first`` ≤ item < ``end`` of a fan-out and return their tickets."""
    rows = turn.connection.execute(
        _QUEUE_ITEMS,
        {
            "b_execution": key.execution_id,
            "b_step": key.step,
            "b_first": first,
            "b_end": end,
            "b_now": turn.now,
        },
    )
    tickets = [Ticket(key.execution_id, key.step, row.item, row.epoch, row.queue) for row in rows]
    turn.head.active += len(tickets)
    return sorted(tickets, key=lambda ticket: ticket.item)


def kept_items(connection: Connection, key: RunKey) -> dict[int, str | None]:
    """Return the values of the items that came completed from the origin."""
    rows = connection.execute(
        select(_RUNS.c.item, _RUNS.c.value).where(
            _RUNS.c.execution_id == key.execution_id,
            _RUNS.c.step == key.step,
            _RUNS.c.item >= 0,
            _RUNS.c.reused_from.is_not(None),
        )
    )
    return {row.item: row.value for row in rows}


def forget_items(connection: Connection, key: RunKey, items: Sequence[int]) -> None:
    """Drop items that came from the origin but mean another value here."""
    for some in chunks(items):
        connection.execute(
            delete(_RUNS).where(
                _RUNS.c.execution_id == key.execution_id,
                _RUNS.c.step == key.step,
                _RUNS.c.item.in_(some),
                _RUNS.c.reused_from.is_not(None),
            )
        )


def queue_next(turn: Turn, key: RunKey, first: int) -> list[Ticket]:
    """Queue the first pending item from ``first`` on: those between came from the origin."""
    item = turn.connection.execute(
        select(func.min(_RUNS.c.item)).where(
            _RUNS.c.execution_id == key.execution_id,
            _RUNS.c.step == key.step,
            _RUNS.c.item >= first,
            _RUNS.c.status == StepStatus.PENDING.value,
        )
    ).scalar()
    if item is None:
        return []
    turn.connection.execute(
        update(_RUNS)
        .where(
            _RUNS.c.execution_id == key.execution_id,
            _RUNS.c.step == key.step,
            _RUNS.c.item == -1,
        )
        .values(items_next=item + 1)
    )
    return queue_items(turn, key, item, item + 1)


_COUNT_ITEM = (
    update(_RUNS)
    .where(
        _RUNS.c.execution_id == bindparam("b_execution"),
        _RUNS.c.step == bindparam("b_step"),
        _RUNS.c.item == -1,
    )
    .values(
        items_left=_RUNS.c.items_left - 1,
        items_next=_RUNS.c.items_next + 1,
        # Null where an earlier release expanded it: it counted none, for the first one ended all.
        items_failed=func.coalesce(_RUNS.c.items_failed, 0) + bindparam("b_failed"),
    )
    .returning(
        _RUNS.c["items"],
        _RUNS.c.items_left,
        _RUNS.c.items_next,
        _RUNS.c.items_failed,
        _RUNS.c.epoch,
    )
)


@dataclass(frozen=True, slots=True)
class FanOut:
    """A fan-out's counters after one of its items ended."""

    items: int
    left: int
    refill: int  # the item that may be queued now, if there is one
    failed: int
    epoch: int


def count_item(turn: Turn, key: RunKey, *, failed: bool) -> FanOut:
    """Count one item of the fan-out as ended and return its counters."""
    row = turn.connection.execute(
        _COUNT_ITEM,
        {"b_execution": key.execution_id, "b_step": key.step, "b_failed": int(failed)},
    ).one()
    return FanOut(row.items, row.items_left, row.items_next - 1, row.items_failed, row.epoch)


def drop_open(turn: Turn, target: StepStatus, reason: Reason) -> None:
    """End every step run that is not claimed: the execution is about to end.

    One event for the execution speaks for all of them: ten thousand rows in one transaction
    would hold everybody else up.
    """
    here = _RUNS.c.execution_id == turn.head.id
    ended = {
        "status": target.value,
        "reason": reason.value,
        "finished_at": turn.now,
        "due_at": None,
    }
    queued = turn.connection.execute(
        update(_RUNS).where(here, _RUNS.c.status == StepStatus.QUEUED.value).values(ended)
    ).rowcount
    turn.head.active -= queued
    parked = [StepStatus.PENDING.value, StepStatus.RETRYING.value, StepStatus.WAITING.value]
    turn.connection.execute(update(_RUNS).where(here, _RUNS.c.status.in_(parked)).values(ended))
    # A fan-out's node has no claim of its own; it ends with its execution.
    turn.connection.execute(
        update(_RUNS)
        .where(
            here,
            _RUNS.c.status == StepStatus.RUNNING.value,
            _RUNS.c["items"].is_not(None),
            _RUNS.c.item == -1,
        )
        .values({**ended, "status": StepStatus.CANCELLED.value})
    )


def fail_fan_out(turn: Turn, key: RunKey, error: str) -> None:
    """End the fan-out whose item failed, with the item's error."""
    turn.connection.execute(
        update(_RUNS)
        .where(
            _RUNS.c.execution_id == key.execution_id,
            _RUNS.c.step == key.step,
            _RUNS.c.item == -1,
        )
        .values(
            status=StepStatus.FAILED.value,
            reason=Reason.STEP_FAILED.value,
            finished_at=turn.now,
            error=error,
        )
    )


def running(connection: Connection, execution_id: str) -> list[RunRow]:
    """Return the execution's claimed step runs, in lock order."""
    statement = (
        select(*_COLUMNS)
        .where(
            _RUNS.c.execution_id == execution_id,
            _RUNS.c.status == StepStatus.RUNNING.value,
            _RUNS.c["items"].is_(None),
        )
        .order_by(_RUNS.c.step, _RUNS.c.item)
    )
    return [as_run(row) for row in connection.execute(statement)]


def reusable(connection: Connection, execution_id: str) -> dict[int, StepStatus]:
    """Return the nodes that ended well: a retry need not run them again."""
    skipped_well = [
        Reason.CONDITION_FALSE.value,
        Reason.NEEDS_SKIPPED.value,
        Reason.NOT_NEEDED.value,
    ]
    statement = select(_RUNS.c.step, _RUNS.c.status).where(
        _RUNS.c.execution_id == execution_id,
        _RUNS.c.item == -1,
        (_RUNS.c.status == StepStatus.COMPLETED.value)
        | ((_RUNS.c.status == StepStatus.SKIPPED.value) & _RUNS.c.reason.in_(skipped_well)),
    )
    return {row.step: StepStatus(row.status) for row in connection.execute(statement)}


def failed_fan_outs(connection: Connection, execution_id: str) -> list[int]:
    """Return the fan-outs that did not complete, but some of their items did.

    One taken over from an origin may not have been expanded again: its items count all the same.
    """
    items = _RUNS.alias("items")
    some = exists().where(
        items.c.execution_id == execution_id,
        items.c.step == _RUNS.c.step,
        items.c.item >= 0,
        items.c.status == StepStatus.COMPLETED.value,
    )
    return list(
        connection.execute(
            select(_RUNS.c.step).where(
                _RUNS.c.execution_id == execution_id,
                _RUNS.c.item == -1,
                _RUNS.c.status != StepStatus.COMPLETED.value,
                some,
            )
        ).scalars()
    )


def begun(connection: Connection, execution_id: str) -> set[int]:
    """Return the nodes that were claimed at least once, or had items that were."""
    return set(
        connection.execute(
            select(_RUNS.c.step)
            .where(
                _RUNS.c.execution_id == execution_id,
                _RUNS.c.started_at.is_not(None),
            )
            .distinct()
        ).scalars()
    )


def requeue(turn: Turn) -> list[Ticket]:
    """Return a message for each step run that is queued, owed as of now: it was paused.

    But for those on their last chance: rescue sends them, one at a time.
    """
    rows = turn.connection.execute(
        update(_RUNS)
        .where(
            _RUNS.c.execution_id == turn.head.id,
            _RUNS.c.status == StepStatus.QUEUED.value,
            _RUNS.c.reason.is_distinct_from(Reason.WORKER_CRASHED.value),
        )
        .values(due_at=turn.now, queued_at=turn.now)
        .returning(_RUNS.c.step, _RUNS.c.item, _RUNS.c.epoch, _RUNS.c.queue)
    )
    found = [Ticket(turn.head.id, row.step, row.item, row.epoch, row.queue) for row in rows]
    return sorted(found, key=lambda ticket: (ticket.step, ticket.item))


def chunks(steps: Sequence[int]) -> Iterator[list[int]]:
    """Return ``steps`` in lists short enough for one statement."""
    for start in range(0, len(steps), _IN_LIMIT):
        yield list(steps[start : start + _IN_LIMIT])
