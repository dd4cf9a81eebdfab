"""Carry out a plan of the core in its execution's transaction: one order after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.core.event import EventType
from engine.core.plan import (
    AnswerParent,
    Apply,
    CancelChildren,
    Chained,
    ClaimItem,
    ClaimStep,
    CountNeeds,
    Dispatch,
    DropOpen,
    Emit,
    FailFanOut,
    InsertRuns,
    MarkEnding,
    Order,
    Plan,
    QueueItem,
    Requeue,
    SetColumns,
)
from engine.core.transitions import UNPLANNED, RunKey
from engine.store.writes import fan_outs, outbox, step_runs
from engine.store.writes.execution_tx import STATE_COLUMNS, ExecutionTx
from engine.store.writes.step_runs import Ticket

_STATE = frozenset(STATE_COLUMNS)


@dataclass(slots=True)
class Carried:
    """What came of a plan: messages for what is ready now, and what was claimed with it."""

    ready: list[Ticket] = field(default_factory=list)
    chained: Chained | None = None


def carry_out(tx: ExecutionTx, plan: Plan) -> Carried:
    """Write all that the plan orders and return what came of it.

    Nothing is ready of an execution that is paused: its rows wait until it is resumed.

    Raises:
        StaleClaim: a step run has another epoch or status than the plan has it.
    """
    carried = Carried()
    for order in plan.orders:
        _carry_out_one(tx, order, carried)
    if not tx.state.moving:
        carried.ready = []
    return carried


def _carry_out_one(tx: ExecutionTx, order: Order, carried: Carried) -> None:  # noqa: PLR0912  # a table of orders
    match order:
        case CountNeeds(dependants, ran):
            carried.ready += step_runs.advance(tx, dependants, ran=ran)
        case Apply(key, epoch, transition):
            tx.apply(key, epoch, transition)
        case ClaimStep(key, transition):
            carried.chained = Chained(key.item, tx.apply(key, UNPLANNED, transition), None)
        case ClaimItem():
            _claim_item(tx, order, carried)
        case QueueItem(key):
            carried.ready += _queue_item(tx, key)
        case SetColumns(values):
            _set(tx, values)
        case Emit(event):
            tx.record(event)
        case InsertRuns(rows):
            carried.ready += step_runs.insert_first(tx, rows)
        case Dispatch(wanted):
            _dispatch(tx, wanted=wanted)
        case FailFanOut(step, error):
            fan_outs.fail_fan_out(tx, RunKey(tx.state.id, step), error)
        case MarkEnding(key):
            _mark_ending(tx, key)
        case DropOpen(target, reason):
            step_runs.drop_open(tx, target, reason)
        case Requeue():
            _requeue(tx, carried)
        case CancelChildren():
            outbox.cancel_children(tx)
        case AnswerParent():
            outbox.answer_parent(tx)


def _claim_item(tx: ExecutionTx, order: ClaimItem, carried: Carried) -> None:
    """Claim the item, but not one whose parameters nobody knows yet: no expression runs here."""
    text = fan_outs.pending_input(tx.connection, order.key)
    if text is None:
        carried.ready += _queue_item(tx, order.key)
        return
    attempts = tx.apply(order.key, UNPLANNED, order.transition)
    carried.chained = Chained(order.key.item, attempts, text)


def _queue_item(tx: ExecutionTx, key: RunKey) -> list[Ticket]:
    queued = fan_outs.queue_items(tx, key, key.item, key.item + 1)
    return queued or fan_outs.queue_next(tx, key, key.item + 1)


def _set(tx: ExecutionTx, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if name in _STATE:
            setattr(tx.state, name, value)
        else:
            tx.set(**{name: value})


def _dispatch(tx: ExecutionTx, *, wanted: bool) -> None:
    if wanted:
        tx.dispatches.append(tx.state.id)
    else:
        tx.dispatches[:] = [one for one in tx.dispatches if one != tx.state.id]


def _mark_ending(tx: ExecutionTx, key: RunKey) -> None:
    """No other event of what is dropped by the failure is left: its own tells that it ends all."""
    here = (EventType.STEP_FAILED, key.step, key.item)
    event = next(one for one in reversed(tx.facts) if (one.type, one.step, one.item) == here)
    event.data["ends"] = True


def _requeue(tx: ExecutionTx, carried: Carried) -> None:
    found = step_runs.requeue(tx)
    carried.ready += found
    if not found:
        _dispatch(tx, wanted=True)
