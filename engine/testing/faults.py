"""Failures that a test asks for: of which step, which item, which attempt, how often."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.errors import Interrupted
from engine.worker.attempt import Outcome, failed
from engine.worker.claim_registry import Claim
from engine.worker.run import Executor
from engine.worker.work import Work


class WorkerDied(BaseException):
    """The worker is gone in the middle of a step. Nothing in a worker may catch it."""


@dataclass(slots=True)
class Fault:
    """What is to go wrong: an error, or without one the death of the worker."""

    step: str
    item: int | None
    attempt: int | None
    times: int
    error: BaseException | None = None
    after: bool = False  # the step's own code runs first

    def strikes(self, step: str, item: int | None, attempt: int) -> bool:
        """Return whether this is the attempt that it is meant for, and count it."""
        here = self.step == step and self.item in (None, item)
        if not here or self.attempt not in (None, attempt) or self.times == 0:
            return False
        self.times -= 1
        return True


@dataclass(slots=True)
class Faults:
    """All faults that were asked for, oldest first."""

    asked: list[Fault] = field(default_factory=list)

    def strike(self, step: str, item: int | None, attempt: int) -> Fault | None:
        """Return the first fault that is meant for this attempt."""
        return next((one for one in self.asked if one.strikes(step, item, attempt)), None)


class FaultyExecutor(Executor):
    """An executor whose attempts fail when a test asked for it."""

    def __init__(self, faults: Faults, **parts: Any) -> None:
        super().__init__(**parts)
        self._faults = faults

    def _call(self, work: Work, claim: Claim) -> Outcome:
        item = claim.key.item if claim.key.item >= 0 else None
        fault = self._faults.strike(work.step.name, item, claim.attempt)
        if fault is None:
            return super()._call(work, claim)
        if fault.after:
            super()._call(work, claim)
        if fault.error is None:
            raise WorkerDied
        return failed(fault.error)


def as_error(error: BaseException | type[BaseException] | None, step: str) -> BaseException:
    """Return the error to fail with.

    Raises:
        TypeError: what the engine itself ends attempts with is no failure of a step.
    """
    if error is None:
        return RuntimeError(f"{step} fails because the test says so")
    made = error() if isinstance(error, type) else error
    if isinstance(made, Interrupted | WorkerDied):
        raise TypeError(f"{type(made).__name__} is no failure of a step: use harness.crash()")
    return made
