"""Put what an attempt gave where it will lie, before the commit that speaks of it."""

from __future__ import annotations

import logging
from dataclasses import replace

from tenacity import stop_after_delay

from engine.errors import EngineError, StepError, Unavailable
from engine.insist import insist
from engine.io.payloads import Payloads, place
from engine.store.writes import artifacts
from engine.worker.attempt import Outcome, Returned, failed
from engine.worker.claim_registry import Claim
from engine.worker.work import Work

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

    def tell(error: BaseException) -> None:
        _log.warning("cannot keep the result of %s yet: %s", claim.key, error)

    try:
        return insist(
            write,
            when=lambda error: isinstance(error, Unavailable) and claim.stop is None,
            stop=stop_after_delay(KEEP_SECONDS),
            first=0.1,
            most=2.0,
            told=tell,
        )
    except Unavailable as error:
        return failed(StepError(f"{name}: {error.message}", hint=error.hint))
    except EngineError as error:
        return failed(error)
