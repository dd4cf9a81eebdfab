"""What follows when a step run ends: the next item, the join, the dependants, the end."""

from __future__ import annotations

from typing import Any

from engine.codec import encode
from engine.definition import Definition
from engine.machine import change
from engine.machine.change import RunKey
from engine.machine.status import ExecutionStatus, Reason
from engine.store import executions, steps
from engine.store.steps import Ticket
from engine.store.turn import Turn

FINISH_GRACE = 3_000_000  # µs after which rescue finishes what its worker did not


def after_success(turn: Turn, definition: Definition, key: RunKey, *, ran: bool) -> list[Ticket]:
    """Return tickets for what became ready when ``key`` completed (or, not ``ran``, skipped)."""
    if turn.head.ending is not None:
        executions.end_if_idle(turn)
        return []
    if key.item >= 0:
        return _after_item(turn, definition, key)
    tickets = steps.advance(turn, definition.steps[key.step].dependants, ran=ran)
    if turn.head.finishable:
        turn.set(due_at=turn.now + FINISH_GRACE)
    return tickets


def _after_item(turn: Turn, definition: Definition, key: RunKey) -> list[Ticket]:
    fan_out = steps.count_item(turn, key)
    if fan_out.left > 0:
        if fan_out.refill >= fan_out.items:
            return []
        return steps.queue_items(turn, key, fan_out.refill, fan_out.refill + 1)
    node = RunKey(key.execution_id, key.step)
    turn.apply(node, fan_out.epoch, change.join(now=turn.now, items=fan_out.items))
    return after_success(turn, definition, node, ran=True)


def after_failure(
    turn: Turn, definition: Definition, key: RunKey, *, error: dict[str, Any], grace: int
) -> None:
    """End the execution that ``key`` failed: nothing new starts, what runs may finish in grace."""
    if turn.head.ending is not None:
        executions.end_if_idle(turn)
        return
    step = definition.steps[key.step]
    cause = {**error, "step": step.name, "item": key.item if key.item >= 0 else None}
    text = encode(cause)
    if key.item >= 0:
        steps.fail_fan_out(turn, key, text)
    turn.set(error=text)
    executions.start_ending(turn, ExecutionStatus.FAILED, grace=grace, reason=Reason.STEP_FAILED)
