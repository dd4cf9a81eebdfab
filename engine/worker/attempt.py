"""One attempt: the only place where user code is called, and what may come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from engine.codec import decode, encode
from engine.core.failures import Failure
from engine.core.status import Reason
from engine.definition import Step
from engine.errors import EngineError, Interrupted, RateLimited, StepError, Unavailable
from engine.flow.error_format import describe_error, reason_of
from engine.registry import options_of
from engine.steps import Park, find
from engine.steps.context import Artifact, Context, entered
from engine.steps.processes import Mark, Processes
from engine.steps.watchdog import Watchdog, waking
from engine.store.writes.artifacts import Kept
from engine.worker.claim_registry import Claim, Stop
from engine.worker.process import runner


@dataclass(frozen=True, slots=True)
class Returned:
    """User code returned; ``value`` is what dependants see, ``text`` the same as JSON."""

    value: Any
    text: str
    artifacts: list[Artifact] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)  # the same, as their rows hold them


@dataclass(frozen=True, slots=True)
class Parked:
    """The step waits for a time, or for somebody else."""

    park: Park


@dataclass(frozen=True, slots=True)
class Released:
    """The worker drains: the claim goes back."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The execution ends and its grace is over: the step was interrupted."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The claim was taken away while user code ran."""


Outcome = Returned | Failure | Parked | Released | Cancelled | Lost


def run_attempt(
    step: Step,
    params: dict[str, Any],
    claim: Claim,
    context: Context,
    *,
    timeout: float,
    limit: int,
    watchdog: Watchdog,
    mark: Mark | None = None,
) -> Outcome:
    """Call the step's code and return what came of it; nothing it does is raised from here.

    Args:
        step: the node.
        params: its evaluated ``with``.
        claim: asked while the code runs whether it is still wanted.
        context: what the code may ask about its attempt.
        timeout: seconds that the code may take.
        limit: bytes that its result may have as JSON.
        watchdog: interrupts it.
        mark: told which threads work for the attempt.
    """
    started = Processes(partial(_note_ended, context), mark)
    try:
        _note_options(step, context)
        code = _code_of(step, params, context, limit)
        with entered(context), waking(started.end):
            try:
                with started.work():
                    value = watchdog.call(
                        code, seconds=timeout, interrupted=lambda: claim.stop is not None
                    )
            finally:
                started.close()
        return Parked(value) if isinstance(value, Park) else _returned(value, step, limit, context)
    except BaseException as error:
        # Of whatever type: what user code lets out is the failure of its attempt, never the end of
        # the worker's thread. An interruption that nobody has asked for comes from user code, too.
        if isinstance(error, Interrupted) and claim.stop is not None:
            return _interrupted(claim)
        return failed(error)


def _code_of(step: Step, params: dict[str, Any], context: Context, limit: int) -> Callable[[], Any]:
    if step.process:
        return lambda: runner.run(step, params, context, limit)
    step_type = find(step.uses)
    return lambda: step_type.run(params, context)


def _note_options(step: Step, context: Context) -> None:
    """Tell of options that the function's decorator names and the document does not."""
    unsaid = options_of(step.function) - step.keys if step.function else ()
    if unsaid and context.attempt == 1:
        context.log.warning(
            "%s of @step hold in workflows written in Python: write them into this document's step",
            ", ".join(sorted(unsaid)),
        )


def _note_ended(context: Context, process: str) -> None:
    context.log.warning("ended with the attempt: process %s", process)


def _interrupted(claim: Claim) -> Outcome:
    if claim.stop is Stop.DRAIN:
        return Released()
    return Cancelled() if claim.stop is Stop.CANCEL else Lost()


def returned(value: Any, step: Step, limit: int, context: Context) -> Outcome:
    """Return ``value`` as the outcome of an attempt: what cannot be kept fails it."""
    try:
        return _returned(value, step, limit, context)
    except EngineError as error:
        return failed(error)


def failed(error: BaseException) -> Failure:
    """Return ``error`` as the outcome of an attempt."""
    if isinstance(error, runner.FailedThere):
        return Failure(error.reason, error.type, error.described, error.retryable)
    retryable = error.retryable if isinstance(error, StepError) else not _hopeless(error)
    return Failure(reason_of(error), type(error).__name__, describe_error(error), retryable)


def _hopeless(error: BaseException) -> bool:
    # The engine refused the value itself (no JSON, too large): the same code gives it again. But
    # a step may ask an engine for something, and that one be away or busy.
    return isinstance(error, EngineError) and not isinstance(error, Unavailable | RateLimited)


def _returned(value: Any, step: Step, limit: int, context: Context) -> Returned:
    text = encoded(value, step.name, limit)
    plain = value if value is None or type(value) in (bool, int, float, str) else decode(text)
    return Returned(plain, text, context.artifacts)


def encoded(value: Any, step: str, limit: int) -> str:
    """Return a step's result as JSON.

    Raises:
        PayloadError: JSON cannot carry it.
        StepError: it has over ``limit`` bytes.
    """
    text = encode(value)
    size = len(text.encode())
    if size > limit:
        raise StepError(
            f"steps.{step}: the result has {size:,} bytes, {limit:,} is the most",
            reason=Reason.TOO_LARGE,
            retryable=False,
            hint="return a reference to the data, or raise ENGINE_PAYLOAD_LIMIT",
        )
    return text
