"""What follows when a step run ends: the next item, the join, the dependants, the end."""

from __future__ import annotations

from typing import Any, Protocol

from engine.codec import encode
from engine.core import transitions
from engine.core.event import EventType
from engine.core.status import ExecutionStatus, Phase, Reason
from engine.core.transitions import RunKey
from engine.definition import Definition, OnFailure, Step
from engine.flow.ending import end_if_idle, start_ending, when_all_ended
from engine.store import fan_outs, steps
from engine.store.execution_tx import ExecutionTx
from engine.store.fan_outs import FanOut
from engine.store.steps import Ticket


class Rides(Protocol):
    """What a worker would claim in the transaction that completes a step run."""

    def take_step(self, tx: ExecutionTx) -> int | None:
        """Claim the dependant that is surely ready now; return its index, or None."""
        ...

    def take_item(self, tx: ExecutionTx, item: int) -> bool:
        """Claim another item of the same fan-out; return whether that could be done."""
        ...


def after_success(
    tx: ExecutionTx, definition: Definition, key: RunKey, *, ran: bool, rides: Rides | None = None
) -> list[Ticket]:
    """Return tickets for what became ready when ``key`` completed (or, not ``ran``, skipped).

    Not for what ``rides``: it is claimed in this transaction.
    """
    if tx.state.stopping:
        return end_if_idle(tx, definition)
    step = definition.steps[key.step]
    rides = rides if tx.state.moving else None
    if key.item >= 0:
        return _sent(tx, _after_item(tx, definition, key, grace=0, rides=rides))
    taken = None if rides is None else rides.take_step(tx)
    tickets = _advance(tx, step, ran=ran, handled=False, taken=taken)
    return _sent(tx, tickets + when_all_ended(tx, definition))


def after_failure(
    tx: ExecutionTx, definition: Definition, key: RunKey, *, error: dict[str, Any], grace: int
) -> list[Ticket]:
    """Do what the failed step's policy says; return tickets for what became ready by it.

    By default its execution ends: nothing new starts, what runs may finish within ``grace`` µs.
    """
    state = tx.state
    if state.stopping:
        return end_if_idle(tx, definition)
    step = definition.steps[key.step]
    if key.item >= 0:
        return _sent(tx, _after_item(tx, definition, key, grace=grace, error=error))
    if state.phase is Phase.CLOSING:
        _note_failed_closing(tx, step, error)
        tickets = _advance(tx, step, ran=False, handled=False)
    elif step.on_failure is OnFailure.FAIL:
        return _end(tx, definition, key, error, grace)
    elif step.on_failure is OnFailure.CONTINUE:
        tickets = _advance(tx, step, ran=True, handled=False)
    else:
        tickets = _advance(tx, step, ran=False, handled=True)
    return _sent(tx, tickets + when_all_ended(tx, definition))


def _sent(tx: ExecutionTx, tickets: list[Ticket]) -> list[Ticket]:
    """Return the tickets, but none of a paused execution: its rows wait until it is resumed."""
    return tickets if tx.state.moving else []


def _advance(
    tx: ExecutionTx, step: Step, *, ran: bool, handled: bool, taken: int | None = None
) -> list[Ticket]:
    """Count one need less for what follows; handlers see it as run when the failure is theirs."""
    apart = {*step.handlers, taken}
    others = [index for index in step.dependants if index not in apart]
    return [
        *steps.advance(tx, others, ran=ran),
        *steps.advance(tx, step.handlers, ran=handled),
    ]


def _after_item(
    tx: ExecutionTx,
    definition: Definition,
    key: RunKey,
    *,
    grace: int,
    error: dict[str, Any] | None = None,
    rides: Rides | None = None,
) -> list[Ticket]:
    step = definition.steps[key.step]
    fan_out = fan_outs.count_item(tx, key, failed=error is not None)
    if error is not None and _ends_at_once(tx, step, fan_out):
        return _end(tx, definition, key, error, grace)
    if fan_out.left > 0:
        return _refill(tx, key, fan_out, rides)
    node = RunKey(key.execution_id, key.step)
    if step.tolerance.allows(fan_out.failed, fan_out.items):
        tx.apply(node, fan_out.epoch, transitions.join(now=tx.now, items=fan_out.items))
        return after_success(tx, definition, node, ran=True)
    return _scatter(tx, definition, node, fan_out, grace)


def _ends_at_once(tx: ExecutionTx, step: Step, fan_out: FanOut) -> bool:
    """Whether the failed item ends the execution now. A failure that is handled waits for all."""
    return (
        step.on_failure is OnFailure.FAIL
        and tx.state.phase is Phase.STEPS
        and not step.tolerance.allows(fan_out.failed, fan_out.items)
    )


def _refill(tx: ExecutionTx, key: RunKey, fan_out: FanOut, rides: Rides | None) -> list[Ticket]:
    if fan_out.refill >= fan_out.items:
        return []
    if rides is not None and rides.take_item(tx, fan_out.refill):
        return []
    queued = fan_outs.queue_items(tx, key, fan_out.refill, fan_out.refill + 1)
    return queued or fan_outs.queue_next(tx, key, fan_out.refill + 1)


def _scatter(
    tx: ExecutionTx, definition: Definition, node: RunKey, fan_out: FanOut, grace: int
) -> list[Ticket]:
    described: dict[str, Any] = {
        "message": f"{fan_out.failed} of {fan_out.items} items failed",
        "type": "ItemsFailed",
    }
    failed = transitions.scatter(now=tx.now, error=encode(described), data=described)
    tx.apply(node, fan_out.epoch, failed)
    return after_failure(tx, definition, node, error=described, grace=grace)


def _end(
    tx: ExecutionTx, definition: Definition, key: RunKey, error: dict[str, Any], grace: int
) -> list[Ticket]:
    step = definition.steps[key.step]
    cause = {**error, "step": step.name, "item": key.item if key.item >= 0 else None}
    text = encode(cause)
    if key.item >= 0:
        fan_outs.fail_fan_out(tx, key, text)
    tx.set(error=text)
    _say_that_it_ends(tx, key)
    return start_ending(
        tx, definition, ExecutionStatus.FAILED, grace=grace, reason=Reason.STEP_FAILED
    )


def _say_that_it_ends(tx: ExecutionTx, key: RunKey) -> None:
    """Let the fact of the failure tell that it ends the execution: no other fact of what is
    dropped by it is left, and whether a failure ends it is known to its policy alone."""
    here = (EventType.STEP_FAILED, key.step, key.item)
    fact = next(one for one in reversed(tx.facts) if (one.type, one.step, one.item) == here)
    fact.data["ends"] = True


def _note_failed_closing(tx: ExecutionTx, step: Step, error: dict[str, Any]) -> None:
    """The others still run, but an execution whose closing failed has not completed."""
    if tx.state.ending is None and step.on_failure is OnFailure.FAIL:
        tx.state.ending = ExecutionStatus.FAILED
        tx.set(
            error=encode({**error, "step": step.name, "item": None}),
            reason=Reason.STEP_FAILED.value,
        )
