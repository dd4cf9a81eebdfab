"""How an execution comes to its end.

Nothing new starts, what runs has its grace, then the steps that run at the end are planned.
"""

from __future__ import annotations

from engine.core.event import EventType
from engine.core.execution_state import ExecutionState
from engine.core.plan import AnswerParent, CancelChildren, Dispatch, DropOpen, Plan
from engine.core.planning import closing_rows
from engine.core.status import ExecutionStatus, Phase, Reason, StepStatus
from engine.definition import Definition

FINISH_GRACE = 3_000_000  # µs after which rescue finishes what its worker did not


def start_ending(
    plan: Plan, definition: Definition, ending: ExecutionStatus, *, grace: int, reason: Reason
) -> None:
    """Let nothing new start, and end at once what is not claimed.

    What runs has ``grace`` µs to finish, then it is interrupted, then revoked. An execution that
    is closing already is abandoned: its closing steps end with it.
    """
    state = plan.state
    if ending is ExecutionStatus.CANCELLED:
        plan.order(DropOpen(StepStatus.CANCELLED, reason))
    else:
        plan.order(DropOpen(StepStatus.SKIPPED, Reason.UPSTREAM_FAILED))
    if state.phase is Phase.CLOSING:
        plan.set(phase=Phase.ABANDONED)
    if state.status is ExecutionStatus.PAUSED and state.runs_total:
        plan.set(status=ExecutionStatus.RUNNING)
        plan.emit(EventType.RESUMED)
    if state.ending is None:
        plan.set(ending=ending, reason=reason.value)
    plan.set(due_at=plan.now + grace)
    _cancel_children(plan, definition)
    plan.asks_again = True


def idle(state: ExecutionState, definition: Definition, now: int) -> Plan:
    """Return what is left to do of an execution that may have nothing running any more."""
    plan = Plan.on(state, now)
    end_if_idle(plan, definition)
    return plan


def go_on(state: ExecutionState, definition: Definition, now: int) -> Plan:
    """Return the next move of an execution nothing of which is left in its present phase."""
    plan = Plan.on(state, now)
    if state.stopping:
        end_if_idle(plan, definition)
    else:
        when_all_ended(plan, definition)
    return plan


def end_if_idle(plan: Plan, definition: Definition) -> None:
    """Once nothing runs any more, begin to close or, when that is over, write the end status."""
    state = plan.state
    if state.ending is None or state.active > 0 or state.over:
        return
    if state.phase is Phase.CLOSING and state.steps_left > 0:
        return
    if state.phase is Phase.STEPS and state.runs_total and definition.closing:
        begin_closing(plan, definition)
        return
    plan.set(status=state.ending, finished_at=plan.now, due_at=None, interrupting=False)
    plan.emit(EventType(state.status.value))
    plan.order(AnswerParent())


def begin_closing(plan: Plan, definition: Definition) -> None:
    """Plan compensations and finally steps.

    Of a paused execution their rows wait until it is resumed.
    """
    state = plan.state
    rows = closing_rows(definition, undoes=state.ending is not None)
    plan.set(phase=Phase.CLOSING, steps_left=0, due_at=None, interrupting=False)
    if state.status is not ExecutionStatus.PAUSED:
        plan.set(status=ExecutionStatus.RUNNING)
    plan.emit(EventType.CLOSING, **({"ending": state.ending.value} if state.ending else {}))
    plan.insert(rows)
    if all(row.status is not StepStatus.QUEUED for row in rows):
        when_all_ended(plan, definition)


def when_all_ended(plan: Plan, definition: Definition) -> None:
    """Go on once no step of the present phase is left."""
    state = plan.state
    if state.steps_left > 0:
        return
    if state.ending is not None:
        end_if_idle(plan, definition)
    elif definition.closing and state.phase is Phase.STEPS:
        begin_closing(plan, definition)
    else:
        plan.set(due_at=plan.now + FINISH_GRACE)
        if state.moving:
            plan.order(Dispatch())  # its output is not made under its lock


def complete(
    state: ExecutionState, definition: Definition, output: str | None, *, now: int
) -> Plan:
    """Write the output and the end status, if all steps ended well and nobody has done it."""
    plan = Plan.on(state, now)
    if state.finishable(closes=bool(definition.closing)):
        _cancel_children(plan, definition)
        plan.set(status=ExecutionStatus.COMPLETED, output=output, finished_at=plan.now, due_at=None)
        plan.emit(EventType.COMPLETED)
        plan.order(AnswerParent(), Dispatch(wanted=False))
    return plan


def fail_at_the_end(
    state: ExecutionState, definition: Definition, reason: Reason, error: str, *, now: int
) -> Plan:
    """Fail the execution all of whose steps ended well: its output cannot be told."""
    plan = Plan.on(state, now)
    if state.finishable(closes=bool(definition.closing)):
        _cancel_children(plan, definition)
        fail_outright(plan, reason, error)
    return plan


def fail_outright(plan: Plan, reason: Reason, error: str) -> None:
    """Write the end status of an execution that can not give what it should, with the cause."""
    plan.set(
        status=ExecutionStatus.FAILED,
        reason=reason.value,
        error=error,
        finished_at=plan.now,
        due_at=None,
    )
    plan.emit(EventType.FAILED)
    plan.order(AnswerParent())


def _cancel_children(plan: Plan, definition: Definition) -> None:
    if definition.has_children:
        plan.order(CancelChildren())
