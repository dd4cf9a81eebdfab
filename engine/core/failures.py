"""What becomes of a step run whose attempt failed, whose worker died, or whose claim is revoked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.codec import encode
from engine.core import retry as retries
from engine.core import transitions
from engine.core.execution_state import ExecutionState
from engine.core.stall import Stall, describe_crash
from engine.core.status import ExecutionStatus
from engine.core.transitions import RunKey, Transition
from engine.definition import RetryPolicy


@dataclass(frozen=True, slots=True)
class Failure:
    """How an attempt failed: user code raised, ran too long, or gave what cannot be kept."""

    reason: str
    type: str  # of the error, by which the policy may choose
    described: dict[str, Any]  # what people read: message, type and more
    retryable: bool = True  # False: another attempt cannot end differently


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policy says of a failed attempt; made before the transaction that needs it."""

    reason: str
    described: dict[str, Any]  # the failure, with the number of the attempt
    error: str  # the same as JSON
    delay: int | None  # µs until the next attempt; None: there is none
    waited: bool

    def retries(self, state: ExecutionState) -> bool:
        """Return whether another attempt follows: of an execution that is to end none does."""
        return self.delay is not None and not state.stopping

    def transition(self, state: ExecutionState, *, now: int) -> Transition:
        """Return the transition to the next attempt, or to failed."""
        told: dict[str, Any] = {
            "reason": self.reason,
            "error": self.error,
            "data": self.described,
        }
        if self.retries(state):
            again = transitions.recheck if self.waited else transitions.retry
            return again(due_at=now + (self.delay or 0), **told)
        over = transitions.answer_failed if self.waited else transitions.fail
        return over(now=now, **told)


def judge(
    policy: RetryPolicy, key: RunKey, failure: Failure, *, attempt: int, waited: bool = False
) -> Verdict:
    """Return whether the policy grants another attempt, and when.

    Args:
        policy: the step's.
        key: the step run; its name spreads the delays.
        failure: of the attempt.
        attempt: its number, from 1.
        waited: whether the step run waited for an answer instead of running.
    """
    described = {**failure.described, "attempt": attempt, "of": policy.attempts}
    decision = retries.decide(
        policy,
        attempts=attempt,
        reason=failure.reason,
        error_type=failure.type,
        retryable=failure.retryable,
        seed=f"{key.execution_id}.{key.step}.{key.item}",
    )
    delay = decision.delay_us if isinstance(decision, retries.Retry) else None
    return Verdict(failure.reason, described, encode(described), delay, waited)


@dataclass(frozen=True, slots=True)
class Crash:
    """The transition of a step run whose worker died, and what people read of it."""

    transition: Transition
    described: dict[str, Any]
    error: str  # JSON
    fails: bool  # it has crashed as often as it may
    last_chance: bool  # it may crash no more: it is sent when no other has its last chance


def crashed(*, now: int, crashes: int, most: int, stall: Stall | None) -> Crash:
    """Return what becomes of a step run whose worker died under it for the ``crashes``-th time.

    Args:
        now: µs since 1970.
        crashes: how often by now.
        most: how often it may before it fails.
        stall: what was found of the worker, if it stood still.
    """
    described = describe_crash(stall, crashes)
    error = encode(described)
    if crashes >= most:
        over = transitions.fail_lost(now=now, error=error, data=described)
        return Crash(over, described, error, fails=True, last_chance=False)
    last = crashes == most - 1
    again = transitions.crash(now=now, crashes=crashes, last_chance=last, error=error)
    return Crash(again, described, error, fails=False, last_chance=last)


def revoked(state: ExecutionState, *, now: int) -> Transition:
    """Return the transition of a claim that an execution takes back because it ends."""
    return transitions.revoke(now=now, ending=state.ending or ExecutionStatus.FAILED)
