"""Put what an attempt gave where it will lie, before the commit that speaks of it."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from engine.errors import EngineError, StepError, Unavailable
from engine.io.payloads import Payloads, place
from engine.store.writes import artifacts
from engine.worker.attempt import Outcome, Returned, failed
from engine.worker.claim_registry import Claim
from engine.worker.work import Work

T = TypeVar("T")

KEEP_SECONDS = 15.0  # how long a result is offered to a store that does not answer
_log = logging.getLogger(__name__)


def keep(payloads: Payloads, work: Work, claim: Claim, outcome: Outcome) -> Outcome:
    """Return the outcome with its values as their columns hold them.

    A store that does not take them makes it a failed attempt, which the policy may repeat.
    """
    if not isinstance(outcome, Returned):
        return outcome
    key, name = claim.key, f"steps.{work.step.name}"

    def where(kind: str) -> str:
        return place(
            key.execution_id,
            key.step,
            key.item,
            epoch=claim.epoch,
            attempt=claim.attempt,
            kind=kind,
        )

    def write() -> Outcome:
        text = payloads.keep(outcome.text, where("output"), f"{name}: the result")
        kept = [
            artifacts.column(payloads, made, where(f"artifact-{number}"), name)
            for number, made in enumerate(outcome.artifacts)
        ]
        return replace(outcome, text=text, kept=kept)

    try:
        return _insist(write, claim)
    except Unavailable as error:
        return failed(StepError(f"{name}: {error.message}", hint=error.hint))
    except EngineError as error:
        return failed(error)


def _insist(write: Callable[[], T], claim: Claim) -> T:
    until = time.monotonic() + KEEP_SECONDS
    pause = 0.1
    while True:
        try:
            return write()
        except Unavailable as error:
            if time.monotonic() > until or claim.stop is not None:
                raise
            _log.warning("cannot keep the result of %s yet: %s", claim.key, error.message)
            time.sleep(random.uniform(0, pause))  # noqa: S311  # spreads the workers' returns
            pause = min(pause * 2, 2.0)
