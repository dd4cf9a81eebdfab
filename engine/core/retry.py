"""Whether a failed attempt is followed by another, and when."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.definition import RetryPolicy


@dataclass(frozen=True, slots=True)
class Retry:
    """Another attempt, ``delay_us`` µs from now."""

    delay_us: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No other attempt: the step run fails."""


def decide(
    policy: RetryPolicy, *, attempts: int, reason: str, error_type: str, retryable: bool, seed: str
) -> Retry | GiveUp:
    """Return what follows a failed attempt.

    Args:
        policy: what the document says.
        attempts: how many attempts were made, the failed one included.
        reason: the reason code of the failure.
        error_type: the exception's class, dotted or not; its last part is compared.
        retryable: False when the failure knows that another attempt cannot end differently.
        seed: names the step run; the same seed and attempt give the same delay.
    """
    if not retryable or attempts >= policy.attempts:
        return GiveUp()
    kind = "timeout" if reason == "timeout" else "error"
    if kind not in policy.on and error_type.rpartition(".")[2] not in policy.on:
        return GiveUp()
    seconds = _backoff(policy, attempts)
    if policy.jitter:
        seconds *= _jitter(f"{seed}:{attempts}")
    return Retry(round(seconds * 1_000_000))


def _backoff(policy: RetryPolicy, attempts: int) -> float:
    try:
        growth = float(policy.factor ** (attempts - 1))
    except OverflowError:
        growth = math.inf
    return min(policy.max, policy.backoff * growth) if policy.backoff > 0 else 0.0


def _jitter(seed: str) -> float:
    """Return a factor in [0.5, 1) drawn from ``seed``: half the delay stays, half is spread.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ (equal jitter)
    """
    drawn = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]) >> 11
    return 0.5 + drawn / 2**54
