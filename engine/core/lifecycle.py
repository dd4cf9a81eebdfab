"""What people and deadlines do to an execution as a whole: begin, cancel, pause, resume, end it."""

from __future__ import annotations

from collections.abc import Sequence

from engine.codec import encode
from engine.core.event import EventType
from engine.core.execution_state import ExecutionState
from engine.core.plan import Dispatch, Plan, Requeue
from engine.core.planning import PlannedRun
from engine.core.status import ExecutionStatus, Phase, Reason, StepStatus
from engine.core.termination import start_ending, when_all_ended
from engine.definition import Definition
from engine.errors import Conflict


def begin(
    state: ExecutionState, definition: Definition, rows: Sequence[PlannedRun], *, now: int
) -> Plan:
    """Pending to running: insert the rows of its steps. What it reuses is counted in ``state``."""
    plan = Plan.on(state, now)
    plan.insert(rows)
    plan.set(status=ExecutionStatus.RUNNING, started_at=now, due_at=None, reason=None)
    plan.emit(EventType.STARTED)
    if all(row.status is not StepStatus.QUEUED for row in rows if not row.reused):
        when_all_ended(plan, definition)
    return plan


def cancel(
    state: ExecutionState, definition: Definition, *, now: int, grace: int, note: str | None
) -> Plan:
    """Let nothing new start, and what runs end within ``grace`` µs; then its closing steps run.

    Raises:
        Conflict: it has ended, or was cancelled before.
    """
    plan = Plan.on(state, now)
    _refuse_ended(state)
    if state.ending is not None and state.phase is not Phase.CLOSING:
        raise Conflict(f"execution {state.id} is ending already, as {state.ending}")
    plan.set(cancel_requested_at=now, cancel_note=note)
    plan.emit(EventType.CANCEL_REQUESTED, until=now + grace, **_noted(note))
    cancelled, reason = ExecutionStatus.CANCELLED, Reason.CANCELLED_BY_USER
    start_ending(plan, definition, cancelled, grace=grace, reason=reason)
    return plan


def cancel_for_parent(
    state: ExecutionState, definition: Definition, *, now: int, grace: int
) -> Plan:
    """Cancel the execution because the one that started it has ended; what closes it goes on."""
    plan = Plan.on(state, now)
    if not _may_be_ended(state):
        return plan
    plan.set(cancel_requested_at=now)
    plan.emit(EventType.CANCEL_REQUESTED, reason=Reason.PARENT_ENDED)
    cancelled, reason = ExecutionStatus.CANCELLED, Reason.PARENT_ENDED
    start_ending(plan, definition, cancelled, grace=grace, reason=reason)
    return plan


def time_out(state: ExecutionState, definition: Definition, *, now: int, grace: int) -> Plan:
    """Fail the execution because its deadline is over; what closes it goes on."""
    plan = Plan.on(state, now)
    if not _may_be_ended(state):
        return plan
    seconds = definition.timeout or 0
    described = {"message": f"it took longer than its {seconds:g} s", "type": "TimedOut"}
    plan.set(error=encode({**described, "step": None}))
    plan.emit(EventType.TIMED_OUT, until=now + grace)
    failed, reason = ExecutionStatus.FAILED, Reason.TIMEOUT
    start_ending(plan, definition, failed, grace=grace, reason=reason)
    return plan


def interrupt(state: ExecutionState, *, now: int, grace: int) -> Plan:
    """The grace of its end is over: workers interrupt what runs, and have ``grace`` µs for it."""
    plan = Plan.on(state, now)
    plan.set(interrupting=True, due_at=now + grace)
    plan.emit(EventType.INTERRUPTING, until=now + grace)
    return plan


def pause(state: ExecutionState, *, now: int, note: str | None) -> Plan:
    """Let no step start; running ones finish, waiting ones go on waiting.

    Raises:
        Conflict: it has ended, is ending, or is paused already.
    """
    _refuse_ended(state)
    if state.stopping:
        raise Conflict(f"execution {state.id} is ending already, as {state.ending}")
    if state.status is ExecutionStatus.PAUSED:
        raise Conflict(f"execution {state.id} is paused already")
    plan = Plan.on(state, now)
    plan.set(status=ExecutionStatus.PAUSED)
    plan.emit(EventType.PAUSED, **_noted(note))
    return plan


def resume(state: ExecutionState, *, now: int, due: bool) -> Plan:
    """Let a paused execution go on.

    Args:
        state: of the execution.
        now: µs since 1970.
        due: whether the delay is over that it was started with.

    Raises:
        Conflict: it is not paused.
    """
    if state.status is not ExecutionStatus.PAUSED:
        raise Conflict(f"execution {state.id} is {state.status}, not paused")
    plan = Plan.on(state, now)
    plan.emit(EventType.RESUMED)
    if state.runs_total:
        plan.set(status=ExecutionStatus.RUNNING)
        plan.order(Requeue())
        return plan
    plan.set(status=ExecutionStatus.PENDING)
    if due:
        plan.order(Dispatch())
    return plan


def _may_be_ended(state: ExecutionState) -> bool:
    """Whether it is neither over nor ending; its closing steps are left to run."""
    return not state.over and state.ending is None and state.phase is Phase.STEPS


def _refuse_ended(state: ExecutionState) -> None:
    if state.over:
        raise Conflict(f"execution {state.id} is {state.status} already")


def _noted(note: str | None) -> dict[str, str]:
    return {"note": note} if note else {}
