"""What follows when a step run ends: the next item, the join, the dependants, the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.codec import encode
from engine.core import transitions
from engine.core.execution_state import ExecutionState
from engine.core.plan import (
    Chain,
    ClaimItem,
    ClaimStep,
    CountNeeds,
    FailFanOut,
    FanOut,
    MarkEnding,
    Plan,
    QueueItem,
)
from engine.core.status import ExecutionStatus, Phase, Reason
from engine.core.termination import end_if_idle, start_ending, when_all_ended
from engine.core.transitions import RunKey
from engine.definition import Definition, OnFailure, Step

NO_CHAIN = Chain()
# As an execution nearly always is when one of its step runs completes: it goes on.
_FORESEEN = ExecutionState("", "", "", 0, status=ExecutionStatus.RUNNING, active=1, steps_left=1)
_FORESEEN_FAN_OUT = FanOut(items=2, left=1, refill=1, failed=0, epoch=1)


def after_success(
    state: ExecutionState,
    definition: Definition,
    key: RunKey,
    *,
    now: int,
    ran: bool,
    fan_out: FanOut | None = None,
    chain: Chain = NO_CHAIN,
) -> Plan:
    """Return what follows from ``key`` having completed (or, not ``ran``, having been skipped).

    Args:
        state: of the execution, in which ``key`` is counted as ended.
        definition: its version's.
        key: the step run.
        now: µs since 1970.
        ran: whether its dependants see it as run.
        fan_out: for an item, the counters of its fan-out, which count it.
        chain: what the worker would claim in the same transaction.
    """
    plan = Plan.on(state, now)
    _succeeded(plan, definition, key, ran=ran, fan_out=fan_out, chain=chain)
    return plan


def after_failure(
    state: ExecutionState,
    definition: Definition,
    key: RunKey,
    *,
    now: int,
    error: Mapping[str, Any],
    grace: int,
    fan_out: FanOut | None = None,
) -> Plan:
    """Return what the failed step's policy says is to be done.

    By default the execution ends: nothing new starts, what runs may finish within ``grace`` µs.
    The other arguments are those of ``after_success``.
    """
    plan = Plan.on(state, now)
    _failed(plan, definition, key, error=error, grace=grace, fan_out=fan_out)
    return plan


def common_case(definition: Definition, key: RunKey, chain: Chain) -> ClaimStep | ClaimItem | None:
    """Return the claim that is all that follows from ``key`` completing in nearly all cases.

    That is while the execution goes on and, for an item, others of its fan-out are left. None when
    more follows even then.
    """
    fan_out = _FORESEEN_FAN_OUT if key.item >= 0 else None
    plan = after_success(_FORESEEN, definition, key, now=0, ran=True, fan_out=fan_out, chain=chain)
    match plan.orders:
        case [ClaimStep() | ClaimItem() as claim]:
            return claim
    return None


def _succeeded(
    plan: Plan,
    definition: Definition,
    key: RunKey,
    *,
    ran: bool,
    fan_out: FanOut | None = None,
    chain: Chain = NO_CHAIN,
) -> None:
    if plan.state.stopping:
        end_if_idle(plan, definition)
        return
    chain = chain if plan.state.moving else NO_CHAIN
    if fan_out is not None:
        if fan_out.left > 0:
            _refill(plan, key, fan_out, chain)
        else:
            _end_fan_out(plan, definition, key, fan_out, grace=0)
        return
    step = definition.steps[key.step]
    if chain.step is not None:
        plan.claim_step(chain.step)
    claimed = None if chain.step is None else chain.step.key.step
    _count_needs(plan, step, ran=ran, handled=False, claimed=claimed)
    when_all_ended(plan, definition)


def _failed(
    plan: Plan,
    definition: Definition,
    key: RunKey,
    *,
    error: Mapping[str, Any],
    grace: int,
    fan_out: FanOut | None = None,
) -> None:
    state, step = plan.state, definition.steps[key.step]
    if state.stopping:
        end_if_idle(plan, definition)
        return
    if fan_out is not None:
        if _ends_at_once(plan, step, fan_out):
            _fail_execution(plan, definition, key, error, grace)
        elif fan_out.left > 0:
            _refill(plan, key, fan_out, NO_CHAIN)
        else:
            _end_fan_out(plan, definition, key, fan_out, grace=grace)
        return
    if state.phase is Phase.CLOSING:
        _note_failed_closing(plan, step, error)
        _count_needs(plan, step, ran=False, handled=False)
    elif step.on_failure is OnFailure.FAIL:
        _fail_execution(plan, definition, key, error, grace)
        return
    elif step.on_failure is OnFailure.CONTINUE:
        _count_needs(plan, step, ran=True, handled=False)
    else:
        _count_needs(plan, step, ran=False, handled=True)
    when_all_ended(plan, definition)


def _count_needs(
    plan: Plan, step: Step, *, ran: bool, handled: bool, claimed: int | None = None
) -> None:
    """Count one need less for what follows; handlers see it as run when the failure is theirs."""
    apart = {*step.handlers, claimed}
    others = [index for index in step.dependants if index not in apart]
    if others:
        plan.order(CountNeeds(others, ran))
    if step.handlers:
        plan.order(CountNeeds(step.handlers, handled))


def _ends_at_once(plan: Plan, step: Step, fan_out: FanOut) -> bool:
    """Whether the failed item ends the execution now. A failure that is handled waits for all."""
    return (
        step.on_failure is OnFailure.FAIL
        and plan.state.phase is Phase.STEPS
        and not step.tolerance.allows(fan_out.failed, fan_out.items)
    )


def _refill(plan: Plan, key: RunKey, fan_out: FanOut, chain: Chain) -> None:
    if fan_out.refill >= fan_out.items:
        return
    following = RunKey(key.execution_id, key.step, fan_out.refill)
    if chain.item is not None:
        plan.order(ClaimItem(following, chain.item))
    else:
        plan.order(QueueItem(following))


def _end_fan_out(
    plan: Plan, definition: Definition, key: RunKey, fan_out: FanOut, *, grace: int
) -> None:
    """The last item ended: the node completes, or fails when more items failed than may."""
    node = RunKey(key.execution_id, key.step)
    if definition.steps[key.step].tolerance.allows(fan_out.failed, fan_out.items):
        plan.apply(node, fan_out.epoch, transitions.join(now=plan.now, items=fan_out.items))
        _succeeded(plan, definition, node, ran=True)
        return
    described = {
        "message": f"{fan_out.failed} of {fan_out.items} items failed",
        "type": "ItemsFailed",
    }
    failed = transitions.fail_fan_out(now=plan.now, error=encode(described), data=described)
    plan.apply(node, fan_out.epoch, failed)
    _failed(plan, definition, node, error=described, grace=grace)


def _fail_execution(
    plan: Plan, definition: Definition, key: RunKey, error: Mapping[str, Any], grace: int
) -> None:
    step = definition.steps[key.step]
    text = encode({**error, "step": step.name, "item": key.item if key.item >= 0 else None})
    if key.item >= 0:
        plan.order(FailFanOut(key.step, text))
    plan.set(error=text)
    plan.order(MarkEnding(key))
    failed, reason = ExecutionStatus.FAILED, Reason.STEP_FAILED
    start_ending(plan, definition, failed, grace=grace, reason=reason)


def _note_failed_closing(plan: Plan, step: Step, error: Mapping[str, Any]) -> None:
    """The others still run, but an execution whose closing failed has not completed."""
    if plan.state.ending is None and step.on_failure is OnFailure.FAIL:
        plan.set(
            ending=ExecutionStatus.FAILED,
            error=encode({**error, "step": step.name, "item": None}),
            reason=Reason.STEP_FAILED.value,
        )
