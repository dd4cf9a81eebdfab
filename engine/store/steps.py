"""Step runs inside a turn: what follows from a move, the items of a fan-out, bulk ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, case, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from engine.machine.change import RunKey
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
            "due_at": turn.now if run.status is StepStatus.QUEUED else None,
            "queued_at": turn.now if run.status is StepStatus.QUEUED else None,
        }
        for run in planned
        if not run.reused
    ]
    if rows:
        turn.connection.execute(insert(_RUNS), rows)
    ready = [run for run in planned if run.status is StepStatus.QUEUED]
    turn.head.active += len(ready)
    turn.head.steps_left += len(rows)
    turn.head.runs_total += len(rows)
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
    "value",
    "input",
    "output",
    "needs_ran",
    "attempts",
)


def copy_reused(turn: Turn, origin_id: str, steps: Sequence[int]) -> None:
    """Copy the ended rows of ``steps``, items too, from the origin of a retry."""
    columns = [_RUNS.c[name] for name in _KEPT]
    for some in chunks(steps):
        source = select(
            literal(turn.head.id), literal(origin_id), literal(0), literal(0), literal(0), *columns
        ).where(_RUNS.c.execution_id == origin_id, _RUNS.c.step.in_(some))
        names = ["execution_id", "reused_from", "epoch", "crashes", "needs_left", *_KEPT]
        copying = insert(_RUNS).from_select(names, source).returning(_RUNS.c["items"])
        # A fan-out is counted by its items, as when it was expanded.
        copied = [row for row in turn.connection.execute(copying) if not row[0]]
        turn.head.runs_total += len(copied)
        turn.head.runs_done += len(copied)


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
    connection: Connection, key: RunKey, queue: str, values: Sequence[tuple[int, str]]
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


_COUNT_ITEM = (
    update(_RUNS)
    .where(
        _RUNS.c.execution_id == bindparam("b_execution"),
        _RUNS.c.step == bindparam("b_step"),
        _RUNS.c.item == -1,
    )
    .values(items_left=_RUNS.c.items_left - 1, items_next=_RUNS.c.items_next + 1)
    .returning(_RUNS.c["items"], _RUNS.c.items_left, _RUNS.c.items_next, _RUNS.c.epoch)
)


@dataclass(frozen=True, slots=True)
class FanOut:
    """A fan-out's counters after one of its items ended."""

    items: int
    left: int
    refill: int  # the item that may be queued now, if there is one
    epoch: int


def count_item(turn: Turn, key: RunKey) -> FanOut:
    """Count one item of the fan-out as ended and return its counters."""
    row = turn.connection.execute(
        _COUNT_ITEM, {"b_execution": key.execution_id, "b_step": key.step}
    ).one()
    return FanOut(row.items, row.items_left, row.items_next - 1, row.epoch)


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
    skipped_well = [Reason.CONDITION_FALSE.value, Reason.NEEDS_SKIPPED.value]
    statement = select(_RUNS.c.step, _RUNS.c.status).where(
        _RUNS.c.execution_id == execution_id,
        _RUNS.c.item == -1,
        (_RUNS.c.status == StepStatus.COMPLETED.value)
        | ((_RUNS.c.status == StepStatus.SKIPPED.value) & _RUNS.c.reason.in_(skipped_well)),
    )
    return {row.step: StepStatus(row.status) for row in connection.execute(statement)}


def chunks(steps: Sequence[int]) -> Iterator[list[int]]:
    """Return ``steps`` in lists short enough for one statement."""
    for start in range(0, len(steps), _IN_LIMIT):
        yield list(steps[start : start + _IN_LIMIT])
