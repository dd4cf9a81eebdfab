"""The items of a fan-out: made in chunks, queued through a window, counted to the join."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, update

from engine.core.plan import FanOut
from engine.core.planning import opened
from engine.core.status import Reason, StepStatus
from engine.core.transitions import RunKey
from engine.store.db.compiled import Prepared, insert_unless_there
from engine.store.tables import NARROW, Execution, StepRun, literally, table
from engine.store.writes.execution_tx import ExecutionTx
from engine.store.writes.step_runs import Ticket, chunks
from engine.store.writes.transition_sql import item_counted

_RUNS = table(StepRun)
_EXECUTIONS = table(Execution)
_ITEM = ("execution_id", "step", "item", "status", "queue", "value", "input", "expires_in")
_INSERT_ITEMS = insert_unless_there(_RUNS, _ITEM)


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item on its way to its row; ``input`` are its parameters, where they are known by now."""

    item: int
    value: str
    input: str | None


def insert_items(
    connection: Connection,
    key: RunKey,
    queue: str,
    items: Sequence[NewItem],
    expires_in: int | None = None,
) -> None:
    """Insert pending items; one that is there already (an expansion begun before) is kept."""
    rows = [
        {
            "execution_id": key.execution_id,
            "step": key.step,
            "item": new.item,
            "status": StepStatus.PENDING.value,
            "queue": queue,
            "value": new.value,
            "input": new.input,
            "expires_in": expires_in,
        }
        for new in items
    ]
    _INSERT_ITEMS.run_each(connection, rows)


_QUEUE_ITEMS = Prepared(
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


def queue_items(tx: ExecutionTx, key: RunKey, first: int, end: int) -> list[Ticket]:
    """Queue items ``first`` ≤ item < ``end`` of a fan-out and return their tickets."""
    rows = _QUEUE_ITEMS.rows(
        tx.connection,
        {
            "b_execution": key.execution_id,
            "b_step": key.step,
            "b_first": first,
            "b_end": end,
            "b_now": tx.now,
        },
    )
    tickets = [
        Ticket(key.execution_id, key.step, item, epoch, queue) for item, epoch, queue in rows
    ]
    tx.state.active += len(tickets)
    return sorted(tickets, key=lambda ticket: ticket.item)


_PENDING_INPUT = Prepared(
    select(_RUNS.c.input).where(
        _RUNS.c.execution_id == bindparam("execution_id"),
        _RUNS.c.step == bindparam("step"),
        _RUNS.c.item == bindparam("item"),
        _RUNS.c.status == StepStatus.PENDING.value,
    )
)


def pending_input(connection: Connection, key: RunKey) -> str | None:
    """Return the parameters of an item that is still to be begun, where its row holds them."""
    row = _PENDING_INPUT.row(
        connection, {"execution_id": key.execution_id, "step": key.step, "item": key.item}
    )
    return None if row is None else row[0]


@dataclass(frozen=True, slots=True)
class Narrow:
    """A fan-out that is not open to its full width yet."""

    key: RunKey
    queue: str
    items: int
    following: int  # the item that is next
    left: int  # items that have not ended
    held: int  # how many more may be in flight
    active: int  # step runs of the execution that are queued or running

    def more(self, threads: int) -> int:
        """Return how many items to open, where so many threads serve its queue."""
        in_flight = self.following - (self.items - self.left)
        wanted = opened(in_flight=in_flight, active=self.active, threads=threads)
        return min(wanted, self.held, self.items - self.following)


_NARROW = (
    select(
        *(_RUNS.c[name] for name in ("execution_id", "step", "queue", "items")),
        *(_RUNS.c[name] for name in ("items_next", "items_left", "items_held")),
        _EXECUTIONS.c.active,
    )
    .join_from(_RUNS, _EXECUTIONS, _EXECUTIONS.c.id == _RUNS.c.execution_id)
    # As literal text: SQLite uses a partial index only where its own words stand.
    .where(literally("step_runs", NARROW))
)


def narrow(
    connection: Connection, before: int, limit: int, but: Collection[str] = ()
) -> list[Narrow]:
    """Return fan-outs begun before ``before`` that are not open to their full width yet.

    Those of the executions ``but`` are left out.
    """
    oldest = _NARROW.where(_RUNS.c.started_at < before).order_by(_RUNS.c.started_at)
    if but:
        oldest = oldest.where(_RUNS.c.execution_id.not_in(but))
    return [_as_narrow(row) for row in connection.execute(oldest.limit(limit))]


def widen(tx: ExecutionTx, key: RunKey, threads: int) -> list[Ticket]:
    """Open a fan-out wider, as far as ``threads`` can use it; return tickets for its items."""
    node = (
        _RUNS.c.execution_id == key.execution_id,
        _RUNS.c.step == key.step,
        _RUNS.c.item == -1,
    )
    row = tx.connection.execute(_NARROW.where(*node)).one_or_none()
    if row is None:
        return []  # another has, or it ended meanwhile
    found = _as_narrow(row)
    more = found.more(threads)
    end = found.following + more
    rest = None if end == found.items else found.held - more or None
    tx.connection.execute(update(_RUNS).where(*node).values(items_next=end, items_held=rest))
    return queue_items(tx, key, found.following, end)


def _as_narrow(row: Sequence[Any]) -> Narrow:
    execution_id, step, queue, *counters = row
    return Narrow(RunKey(execution_id, step), queue, *counters)


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


def queue_next(tx: ExecutionTx, key: RunKey, first: int) -> list[Ticket]:
    """Queue the first pending item from ``first`` on: those between came from the origin."""
    item = tx.connection.execute(
        select(func.min(_RUNS.c.item)).where(
            _RUNS.c.execution_id == key.execution_id,
            _RUNS.c.step == key.step,
            _RUNS.c.item >= first,
            _RUNS.c.status == StepStatus.PENDING.value,
        )
    ).scalar()
    if item is None:
        return []
    tx.connection.execute(
        update(_RUNS)
        .where(
            _RUNS.c.execution_id == key.execution_id,
            _RUNS.c.step == key.step,
            _RUNS.c.item == -1,
        )
        .values(items_next=item + 1)
    )
    return queue_items(tx, key, item, item + 1)


_COUNT_ITEM = Prepared(
    update(_RUNS)
    .where(
        _RUNS.c.execution_id == bindparam("b_execution"),
        _RUNS.c.step == bindparam("b_step"),
        _RUNS.c.item == -1,
    )
    .values(item_counted(bindparam("b_failed")))
    .returning(
        _RUNS.c["items"],
        _RUNS.c.items_left,
        _RUNS.c.items_next,
        _RUNS.c.items_failed,
        _RUNS.c.epoch,
    )
)


def count_item(tx: ExecutionTx, key: RunKey, *, failed: bool) -> FanOut:
    """Count one item of the fan-out as ended and return its counters."""
    [(items, left, following, failures, epoch)] = _COUNT_ITEM.rows(
        tx.connection,
        {"b_execution": key.execution_id, "b_step": key.step, "b_failed": int(failed)},
    )
    return FanOut(items, left, following - 1, failures, epoch)


def fail_fan_out(tx: ExecutionTx, key: RunKey, error: str) -> None:
    """End the fan-out whose item failed, with the item's error."""
    tx.connection.execute(
        update(_RUNS)
        .where(
            _RUNS.c.execution_id == key.execution_id,
            _RUNS.c.step == key.step,
            _RUNS.c.item == -1,
        )
        .values(
            status=StepStatus.FAILED.value,
            reason=Reason.STEP_FAILED.value,
            finished_at=tx.now,
            error=error,
        )
    )
