"""Every legal move of a step run, one constructor each. ``docs/transitions.md`` is their table.

A change is a value: which status it may leave, what it writes, what it adds to the execution's
counters, which fact it leaves behind. ``store.turn`` carries it out as one guarded UPDATE; who
wants a move that has no constructor here wants an illegal one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.core.event import Event, EventType
from engine.core.status import ExecutionStatus, Reason, StepStatus
from engine.definition.model import ACTOR_QUEUE

UNPLANNED = 0  # the epoch of a step run for which no message was sent yet


@dataclass(frozen=True, slots=True)
class RunKey:
    """Names one step run; ``item`` is -1 for the node itself."""

    execution_id: str
    step: int
    item: int = -1


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """The record of an attempt that did not complete."""

    outcome: str  # failed | crashed | released | cancelled
    reason: str
    error: str | None = None  # JSON


@dataclass(frozen=True, slots=True)
class Transition:
    """One legal move of one step run."""

    source: StepStatus
    target: StepStatus
    values: Mapping[str, Any] = field(default_factory=dict)
    adds: Mapping[str, int] = field(default_factory=dict)  # epoch, attempts, crashes, needs_ran
    event: EventType | None = None
    data: Mapping[str, Any] = field(default_factory=dict)  # the event's payload
    active: int = 0  # what it adds to the execution's count of queued and running
    ended: int = 0  # 1 when the step run has ended
    progress: int = 0  # what it adds to the count of runs done, as people see it
    tried: AttemptRecord | None = None


def claim(
    source: StepStatus, *, worker_id: str, now: int, deadline: int, input: str | None
) -> Transition:
    """A worker takes the step run: one more attempt, watched by its lease and its deadline.

    One that waited is woken by that: should its worker die, it does not wait once more.
    """
    woken = {"woken": True} if source is StepStatus.WAITING else {}
    return Transition(
        source,
        StepStatus.RUNNING,
        {
            "worker_id": worker_id,
            "started_at": now,
            "due_at": deadline,
            "input": input,
            "reason": None,
            "progress": None,
            **woken,
        },
        adds={"attempts": 1},
        event=EventType.STEP_STARTED,
        data={"worker": worker_id},
        active=0 if source is StepStatus.QUEUED else 1,
    )


def claim_next(*, worker_id: str, now: int, deadline: int, input: str) -> Transition:
    """Its only need completes in the same commit, and the worker of that need claims it."""
    claimed = claim(
        StepStatus.PENDING, worker_id=worker_id, now=now, deadline=deadline, input=input
    )
    return replace(
        claimed,
        values={**claimed.values, "needs_left": 0, "queued_at": now},
        adds={**claimed.adds, "epoch": 1, "needs_ran": 1},
    )


def claim_next_item(*, worker_id: str, now: int, deadline: int) -> Transition:
    """Another item of its fan-out completes in the same commit, and that one's worker claims it.

    Its row holds its parameters.
    """
    claimed = claim(StepStatus.PENDING, worker_id=worker_id, now=now, deadline=deadline, input=None)
    values = {name: value for name, value in claimed.values.items() if name != "input"}
    return replace(
        claimed,
        values={**values, "queued_at": now},
        adds={**claimed.adds, "epoch": 1},
    )


def complete(*, now: int, output: str) -> Transition:
    """User code returned."""
    return Transition(
        StepStatus.RUNNING,
        StepStatus.COMPLETED,
        {"output": output, "finished_at": now, "due_at": None, "error": None},
        event=EventType.STEP_COMPLETED,
        active=-1,
        ended=1,
        progress=1,
    )


def retry(*, due_at: int, reason: str, error: str, data: Mapping[str, Any]) -> Transition:
    """The attempt failed and the policy grants another at ``due_at``."""
    return Transition(
        StepStatus.RUNNING,
        StepStatus.RETRYING,
        {
            "due_at": due_at,
            "queued_at": due_at,
            "error": error,
            "reason": reason,
            "woken": False,  # the next attempt begins anew
        },
        adds={"epoch": 1},
        event=EventType.STEP_RETRYING,
        data={**data, "due_at": due_at},
        active=-1,
        tried=AttemptRecord("failed", reason, error),
    )


def fail(*, now: int, reason: str, error: str, data: Mapping[str, Any]) -> Transition:
    """The attempt failed and no other is granted."""
    return Transition(
        StepStatus.RUNNING,
        StepStatus.FAILED,
        {"finished_at": now, "due_at": None, "error": error, "reason": reason},
        event=EventType.STEP_FAILED,
        data=data,
        active=-1,
        ended=1,
        progress=1,
        tried=AttemptRecord("failed", reason, error),
    )


def reject(*, now: int, error: str, data: Mapping[str, Any]) -> Transition:
    """The step's own ``when``, ``for_each`` or ``with`` failed: no attempt is made."""
    return Transition(
        StepStatus.QUEUED,
        StepStatus.FAILED,
        {
            "finished_at": now,
            "due_at": None,
            "error": error,
            "reason": Reason.REJECTED_INPUT,
        },
        event=EventType.STEP_FAILED,
        data=data,
        active=-1,
        ended=1,
        progress=1,
    )


def skip(*, now: int, reason: Reason) -> Transition:
    """Its condition is false, or all it needs was skipped."""
    return Transition(
        StepStatus.QUEUED,
        StepStatus.SKIPPED,
        {"finished_at": now, "due_at": None, "reason": reason},
        event=EventType.STEP_SKIPPED,
        data={"reason": reason},
        active=-1,
        ended=1,
        progress=1,
    )


def expand(*, now: int, items: int, left: int, window: int, held: int = 0) -> Transition:
    """A ``for_each`` step becomes its items; it runs until the last of them ended.

    ``held`` more of them may be in flight than are at first.
    """
    return Transition(
        StepStatus.QUEUED,
        StepStatus.RUNNING,
        {
            "items": items,
            "items_left": left,
            "items_next": window,
            "items_failed": 0,
            "items_held": held or None,
            "started_at": now,
            "due_at": None,
            "reason": None,
        },
        event=EventType.STEP_EXPANDED,
        data={"items": items},
        active=-1,
    )


def reuse(source: StepStatus, *, now: int, output: str) -> Transition:
    """An earlier result answers: no attempt is made."""
    return Transition(
        source,
        StepStatus.COMPLETED,
        {"output": output, "finished_at": now, "due_at": None, "reason": Reason.CACHED},
        event=EventType.STEP_COMPLETED,
        data={"reason": Reason.CACHED},
        active=-1 if source is StepStatus.QUEUED else 0,
        ended=1,
        progress=1,
    )


def expire(*, now: int, error: str, data: Mapping[str, Any]) -> Transition:
    """It was queued for longer than it may be: no attempt is made any more."""
    return Transition(
        StepStatus.QUEUED,
        StepStatus.FAILED,
        {"finished_at": now, "due_at": None, "error": error, "reason": Reason.EXPIRED},
        event=EventType.STEP_FAILED,
        data=data,
        active=-1,
        ended=1,
        progress=1,
    )


def join(*, now: int, items: int) -> Transition:
    """The last item of a fan-out completed. Its items were counted, so the node is not."""
    return Transition(
        StepStatus.RUNNING,
        StepStatus.COMPLETED,
        {"finished_at": now},
        event=EventType.STEP_COMPLETED,
        data={"items": items},
        ended=1,
        progress=0 if items else 1,
    )


def fail_fan_out(*, now: int, error: str, data: Mapping[str, Any]) -> Transition:
    """The last item of a fan-out ended and more of them failed than may."""
    return Transition(
        StepStatus.RUNNING,
        StepStatus.FAILED,
        {"finished_at": now, "error": error, "reason": Reason.STEP_FAILED},
        event=EventType.STEP_FAILED,
        data=data,
        ended=1,
    )


def park(
    *, now: int, until: int | None, wait_for: str | None, data: Mapping[str, Any]
) -> Transition:
    """The step waits for a time, or for an answer, or for whichever comes first.

    It holds no thread meanwhile; the attempt is not counted.
    """
    return Transition(
        StepStatus.RUNNING,
        StepStatus.WAITING,
        {
            "due_at": until,
            "queued_at": now if until is None else until,
            "wait_for": wait_for,
            "woken": False,
        },
        adds={"attempts": -1, "epoch": 1},
        event=EventType.STEP_WAITING,
        data=data if until is None else {**data, "until": until},
        active=-1,
    )


def answer(*, now: int, output: str, data: Mapping[str, Any]) -> Transition:
    """What the step waited for has come; its attempt counts now."""
    return Transition(
        StepStatus.WAITING,
        StepStatus.COMPLETED,
        {"output": output, "finished_at": now, "due_at": None, "wait_for": None, "error": None},
        adds={"attempts": 1},
        event=EventType.STEP_COMPLETED,
        data=data,
        ended=1,
        progress=1,
    )


def answer_failed(*, now: int, reason: str, error: str, data: Mapping[str, Any]) -> Transition:
    """What the step waited for failed, was refused, or did not come in time."""
    return Transition(
        StepStatus.WAITING,
        StepStatus.FAILED,
        {
            "finished_at": now,
            "due_at": None,
            "wait_for": None,
            "error": error,
            "reason": reason,
        },
        adds={"attempts": 1, "epoch": 1},
        event=EventType.STEP_FAILED,
        data=data,
        ended=1,
        progress=1,
        tried=AttemptRecord("failed", reason, error),
    )


def recheck(*, due_at: int, reason: str, error: str, data: Mapping[str, Any]) -> Transition:
    """What the step waited for failed, and the policy grants another attempt at ``due_at``."""
    return Transition(
        StepStatus.WAITING,
        StepStatus.RETRYING,
        {
            "due_at": due_at,
            "queued_at": due_at,
            "wait_for": None,
            "error": error,
            "reason": reason,
        },
        adds={"attempts": 1, "epoch": 1},
        event=EventType.STEP_RETRYING,
        data={**data, "due_at": due_at},
        tried=AttemptRecord("failed", reason, error),
    )


def release(*, now: int) -> Transition:
    """A worker that drains gives its claim back; it counts neither as attempt nor as crash."""
    return Transition(
        StepStatus.RUNNING,
        StepStatus.QUEUED,
        {"due_at": now, "queued_at": now},
        adds={"attempts": -1, "epoch": 1},
        event=EventType.STEP_RELEASED,
        tried=AttemptRecord("released", Reason.WORKER_STOPPED),
    )


def crash(
    *, now: int, crashes: int, last_chance: bool = False, error: str | None = None
) -> Transition:
    """The worker died, or lost the claim: a new epoch makes whatever it still sends stale.

    On its last chance it is not due yet: rescue sends it when no other has its last chance.
    """
    apart = {"due_at": None, "reason": Reason.WORKER_CRASHED}
    return Transition(
        StepStatus.RUNNING,
        StepStatus.QUEUED,
        {"queued_at": now, **(apart if last_chance else {"due_at": now})},
        adds={"attempts": -1, "crashes": 1, "epoch": 1},
        event=EventType.STEP_CRASHED,
        data={"crashes": crashes},
        tried=AttemptRecord("crashed", Reason.WORKER_CRASHED, error),
    )


def fail_lost(*, now: int, error: str, data: Mapping[str, Any]) -> Transition:
    """The worker died once too often under this step run."""
    return Transition(
        StepStatus.RUNNING,
        StepStatus.FAILED,
        {
            "finished_at": now,
            "due_at": None,
            "error": error,
            "reason": Reason.WORKER_CRASHED,
        },
        adds={"crashes": 1, "epoch": 1},
        event=EventType.STEP_FAILED,
        data=data,
        active=-1,
        ended=1,
        progress=1,
        tried=AttemptRecord("crashed", Reason.WORKER_CRASHED, error),
    )


def revoke(*, now: int, ending: ExecutionStatus) -> Transition:
    """The execution ends and this step run did not in its time: its result will be stale."""
    cancelled = ending is ExecutionStatus.CANCELLED
    reason = Reason.CANCELLED_BY_USER if cancelled else Reason.UPSTREAM_FAILED
    return Transition(
        StepStatus.RUNNING,
        StepStatus.CANCELLED,
        {"finished_at": now, "due_at": None, "reason": reason},
        adds={"epoch": 1},
        event=EventType.STEP_CANCELLED,
        data={"reason": reason},
        active=-1,
        ended=1,
        progress=1,
        tried=AttemptRecord("cancelled", reason),
    )


def wake(source: StepStatus, *, now: int) -> Transition:
    """A parked step run is due and no message has come for it: it is queued like any other."""
    waited = source is StepStatus.WAITING
    return Transition(
        source,
        StepStatus.QUEUED,
        {
            "due_at": now,
            "queued_at": now,
            "reason": Reason.WOKEN if waited else None,
            "woken": waited,
        },
        event=EventType.STEP_WOKEN,
        active=1,
    )


def delegate(source: StepStatus, *, now: int, input: str) -> Transition:
    """It goes to an actor of the user's: whose worker claims it as ours would."""
    return Transition(
        source,
        StepStatus.QUEUED,
        {"input": input, "queue": ACTOR_QUEUE, "due_at": now, "reason": None},
        active=0 if source is StepStatus.QUEUED else 1,
    )


def defer(*, due_at: int, first: bool) -> Transition:
    """No code for it on this worker: it stays queued, with the reason, until one knows it."""
    return Transition(
        StepStatus.QUEUED,
        StepStatus.QUEUED,
        {"due_at": due_at, "reason": Reason.UNKNOWN_STEP},
        event=EventType.STEP_UNKNOWN if first else None,
    )


def event_of(change: Transition, key: RunKey, attempt: int | None) -> Event | None:
    """Return the fact that ``change`` leaves behind, if any."""
    if change.event is None:
        return None
    return Event(change.event, key.step, key.item, attempt, dict(change.data))
