"""Sentences: what an execution does, waits for or died of, for lists. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.core.pending_input import Kind, PendingInput
from engine.core.status import ExecutionStatus, Phase, Reason, StepStatus

_LONGEST = 160
_REASONS = {
    Reason.TIMEOUT: "took longer than its timeout",
    Reason.WORKER_CRASHED: "its worker died too often",
    Reason.REJECTED_INPUT: "its input could not be made",
    Reason.DISPATCH_FAILED: "it could not be planned",
    Reason.STEP_FAILED: "a step failed",
    Reason.TOO_LARGE: "a result was over the size limit",
    Reason.CANCELLED_BY_USER: "cancelled",
}
_SELF_TELLING = ("", "StepError", "EngineError")


@dataclass(frozen=True, slots=True)
class Telling:
    """The step run that tells most about an execution, with its name and limit of attempts."""

    name: str
    status: str
    reason: str | None
    attempts: int
    max_attempts: int
    due_at: int | None
    items: int | None
    items_left: int | None
    error: Mapping[str, Any] | None
    crashes: int = 0
    others: int = 0  # further step runs that are queued, running or parked
    wait_for: str | None = None  # of a waiting one, beside its due time


@dataclass(frozen=True, slots=True)
class Ending:
    """What the row of an execution says about how it ends."""

    status: str
    reason: str | None
    error: Mapping[str, Any] | None
    cancel_requested: bool
    cancel_note: str | None
    due_at: int | None
    runs_total: int
    ending: str | None = None
    phase: str = Phase.STEPS


def execution_detail(ending: Ending, telling: Telling | None, now: int) -> str:
    """Return one sentence about an execution, without its workflow's name and status."""
    match ending.status:
        case ExecutionStatus.COMPLETED:
            return _count(ending.runs_total, "step run")
        case ExecutionStatus.FAILED:
            return _failed(ending, telling)
        case ExecutionStatus.CANCELLED:
            return f"cancelled: {ending.cancel_note}" if ending.cancel_note else "cancelled"
        case ExecutionStatus.PENDING:
            if ending.due_at is not None and ending.due_at > now + 1_000_000:
                return f"starts in {duration(ending.due_at - now)}"
            return "waits for a worker to plan it"
    if ending.status == ExecutionStatus.PAUSED:
        return _paused(ending, telling)
    doing = "is between two steps" if telling is None else step_detail(telling, now)
    if ending.phase == Phase.CLOSING:
        return f"is closing · {doing}"
    if ending.cancel_requested:
        return "is being cancelled: running steps may finish"
    if ending.ending is not None:
        return "is failing: running steps may finish"
    return doing


def _paused(ending: Ending, telling: Telling | None) -> str:
    if ending.runs_total == 0:
        return "paused before it began"
    if telling is not None and telling.status == StepStatus.RUNNING:
        return f"paused: {telling.name} may finish"
    return "paused: no step starts until it is resumed"


def step_detail(telling: Telling, now: int) -> str:
    """Return one sentence about a step run that has not ended."""
    parts = [telling.name, *_doing(telling, now)]
    if telling.crashes:
        parts.append(f"its worker was lost {telling.crashes} ×")
    if telling.others:
        parts.append(f"and {telling.others} more")
    return " · ".join(parts)


def _doing(telling: Telling, now: int) -> list[str]:
    wait = duration(max((telling.due_at or now) - now, 0))
    if telling.items:
        done = telling.items - (telling.items_left or 0)
        return [f"item {min(done + 1, telling.items)} of {telling.items}"]
    match telling.status:
        case StepStatus.RETRYING:
            words = [f"attempt {telling.attempts + 1} of {telling.max_attempts} in {wait}"]
            if telling.error:
                words.append(f"last: {error_line(telling.error)}")
            return words
        case StepStatus.WAITING:
            return [_waiting(telling, wait)]
        case StepStatus.QUEUED if telling.reason == Reason.UNKNOWN_STEP:
            return ["no worker has the code for it", f"looks again in {wait}"]
        case StepStatus.QUEUED:
            return ["waits for a free worker"]
        case StepStatus.RUNNING if telling.attempts > 1:
            return [f"attempt {telling.attempts} of {max(telling.attempts, telling.max_attempts)}"]
    return []


def _waiting(telling: Telling, wait: str) -> str:
    awaited = PendingInput.of(telling.wait_for)
    match awaited.kind:
        case Kind.SIGNAL:
            of = f" of {awaited.correlation}" if awaited.correlation else ""
            words = f"waits for signal {awaited.name}{of}"
        case Kind.APPROVAL:
            words = "waits for a decision"
        case Kind.CHILD:
            words = "waits for its child"
        case Kind.TIME:
            return f"sleeps for another {wait}"
    return words if telling.due_at is None else f"{words} for another {wait}"


def _failed(ending: Ending, telling: Telling | None) -> str:
    error = ending.error or {}
    parts = []
    if error.get("step"):
        item = error.get("item")
        parts.append(str(error["step"]) + (f" [{item}]" if item is not None else ""))
    parts.append(error_line(error) or _REASONS.get(_reason(ending.reason), "it failed"))
    attempt = error.get("attempt")
    if isinstance(attempt, int) and telling is not None and telling.max_attempts > 1:
        parts.append(f"attempt {attempt} of {max(attempt, telling.max_attempts)}")
    return " · ".join(parts)


def _reason(reason: str | None) -> Reason:
    return Reason(reason) if reason in list(Reason) else Reason.ERROR


def error_line(error: Mapping[str, Any]) -> str:
    """Return an error as one short line: ``ValueError: amount must be ≥ 0``."""
    kind, message = str(error.get("type") or ""), str(error.get("message") or "")
    line = " ".join(message.split())
    if kind not in _SELF_TELLING:
        line = f"{kind}: {line}" if line else kind
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def duration(micros: int) -> str:
    """Return a length of time roughly, in its largest unit: ``6 s``, ``2 min``, ``3 h``."""
    seconds = micros / 1e6
    if seconds < 1:
        return "a moment"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{round(seconds / size)} {unit}"
    return f"{round(seconds)} s"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def decision_words(status: str, reason: str | None, by: str) -> str:
    """Return how an approval ended: "approved by ada"."""
    whom = f" by {by}" if by else ""
    match status, reason:
        case StepStatus.COMPLETED, _:
            return f"approved{whom}"
        case _, Reason.REJECTED:
            return f"rejected{whom}"
        case _, Reason.EXPIRED:
            return "not decided in time"
    return f"{status} before anybody decided"
