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
from engine.store.fan_outs import FanOut
from engine.store.steps import Ticket
from engine.store.turn import Turn


class Rides(Protocol):
    """What a worker would take along in the turn that completes a step run."""

    def take_step(self, turn: Turn) -> int | None:
        """Claim the dependant that is surely ready now; return its index, or None."""
        ...

    def take_item(self, turn: Turn, item: int) -> bool:
        """Claim another item of the same fan-out; return whether that could be done."""
        ...


def after_success(
    turn: Turn, definition: Definition, key: RunKey, *, ran: bool, rides: Rides | None = None
) -> list[Ticket]:
    """Return tickets for what became ready when ``key`` completed (or, not ``ran``, skipped).

    Not for what ``rides``: it is claimed in this turn.
    """
    if turn.head.stopping:
        return end_if_idle(turn, definition)
    step = definition.steps[key.step]
    rides = rides if turn.head.moving else None
    if key.item >= 0:
        return _sent(turn, _after_item(turn, definition, key, grace=0, rides=rides))
    taken = None if rides is None else rides.take_step(turn)
    tickets = _advance(turn, step, ran=ran, handled=False, taken=taken)
    return _sent(turn, tickets + when_all_ended(turn, definition))


def after_failure(
    turn: Turn, definition: Definition, key: RunKey, *, error: dict[str, Any], grace: int
) -> list[Ticket]:
    """Do what the failed step's policy says; return tickets for what became ready by it.

    By default its execution ends: nothing new starts, what runs may finish within ``grace`` µs.
    """
    head = turn.head
    if head.stopping:
        return end_if_idle(turn, definition)
    step = definition.steps[key.step]
    if key.item >= 0:
        return _sent(turn, _after_item(turn, definition, key, grace=grace, error=error))
    if head.phase is Phase.CLOSING:
        _note_failed_closing(turn, step, error)
        tickets = _advance(turn, step, ran=False, handled=False)
    elif step.on_failure is OnFailure.FAIL:
        return _end(turn, definition, key, error, grace)
    elif step.on_failure is OnFailure.CONTINUE:
        tickets = _advance(turn, step, ran=True, handled=False)
    else:
        tickets = _advance(turn, step, ran=False, handled=True)
    return _sent(turn, tickets + when_all_ended(turn, definition))


def _sent(turn: Turn, tickets: list[Ticket]) -> list[Ticket]:
    """Return the tickets, but none of a paused execution: its rows wait until it is resumed."""
    return tickets if turn.head.moving else []


def _advance(
    turn: Turn, step: Step, *, ran: bool, handled: bool, taken: int | None = None
) -> list[Ticket]:
    """Count one need less for what follows; handlers see it as run when the failure is theirs."""
    apart = {*step.handlers, taken}
    others = [index for index in step.dependants if index not in apart]
    return [
        *steps.advance(turn, others, ran=ran),
        *steps.advance(turn, step.handlers, ran=handled),
    ]


def _after_item(
    turn: Turn,
    definition: Definition,
    key: RunKey,
    *,
    grace: int,
    error: dict[str, Any] | None = None,
    rides: Rides | None = None,
) -> list[Ticket]:
    step = definition.steps[key.step]
    fan_out = fan_outs.count_item(turn, key, failed=error is not None)
    if error is not None and _ends_at_once(turn, step, fan_out):
        return _end(turn, definition, key, error, grace)
    if fan_out.left > 0:
        return _refill(turn, key, fan_out, rides)
    node = RunKey(key.execution_id, key.step)
    if step.tolerance.allows(fan_out.failed, fan_out.items):
        turn.apply(node, fan_out.epoch, transitions.join(now=turn.now, items=fan_out.items))
        return after_success(turn, definition, node, ran=True)
    return _scatter(turn, definition, node, fan_out, grace)


def _ends_at_once(turn: Turn, step: Step, fan_out: FanOut) -> bool:
    """Whether the failed item ends the execution now. A failure that is handled waits for all."""
    return (
        step.on_failure is OnFailure.FAIL
        and turn.head.phase is Phase.STEPS
        and not step.tolerance.allows(fan_out.failed, fan_out.items)
    )


def _refill(turn: Turn, key: RunKey, fan_out: FanOut, rides: Rides | None) -> list[Ticket]:
    if fan_out.refill >= fan_out.items:
        return []
    if rides is not None and rides.take_item(turn, fan_out.refill):
        return []
    queued = fan_outs.queue_items(turn, key, fan_out.refill, fan_out.refill + 1)
    return queued or fan_outs.queue_next(turn, key, fan_out.refill + 1)


def _scatter(
    turn: Turn, definition: Definition, node: RunKey, fan_out: FanOut, grace: int
) -> list[Ticket]:
    described: dict[str, Any] = {
        "message": f"{fan_out.failed} of {fan_out.items} items failed",
        "type": "ItemsFailed",
    }
    failed = transitions.scatter(now=turn.now, error=encode(described), data=described)
    turn.apply(node, fan_out.epoch, failed)
    return after_failure(turn, definition, node, error=described, grace=grace)


def _end(
    turn: Turn, definition: Definition, key: RunKey, error: dict[str, Any], grace: int
) -> list[Ticket]:
    step = definition.steps[key.step]
    cause = {**error, "step": step.name, "item": key.item if key.item >= 0 else None}
    text = encode(cause)
    if key.item >= 0:
        fan_outs.fail_fan_out(turn, key, text)
    turn.set(error=text)
    _say_that_it_ends(turn, key)
    return start_ending(
        turn, definition, ExecutionStatus.FAILED, grace=grace, reason=Reason.STEP_FAILED
    )


def _say_that_it_ends(turn: Turn, key: RunKey) -> None:
    """Let the fact of the failure tell that it ends the execution: no other fact of what is
    dropped by it is left, and whether a failure ends it is known to its policy alone."""
    here = (EventType.STEP_FAILED, key.step, key.item)
    fact = next(one for one in reversed(turn.facts) if (one.type, one.step, one.item) == here)
    fact.data["ends"] = True


def _note_failed_closing(turn: Turn, step: Step, error: dict[str, Any]) -> None:
    """The others still run, but an execution whose closing failed has not completed."""
    if turn.head.ending is None and step.on_failure is OnFailure.FAIL:
        turn.head.ending = ExecutionStatus.FAILED
        turn.set(
            error=encode({**error, "step": step.name, "item": None}),
            reason=Reason.STEP_FAILED.value,
        )
