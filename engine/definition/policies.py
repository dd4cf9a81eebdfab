"""Retries, timeouts and queues: read from a step, with the workflow's defaults under them."""

from __future__ import annotations

from typing import Any

from engine.definition.durations import seconds
from engine.definition.faults import Faults
from engine.definition.model import LONG_QUEUE, LONG_SECONDS, SHORT_QUEUE, RetryPolicy

RETRY_KEYS = ("attempts", "backoff", "factor", "max", "jitter", "on")
MAX_ATTEMPTS = 1_000
MAX_WAIT = 7 * 86400.0  # of a backoff or a timeout, in seconds
MAX_FACTOR = 100.0
_CAUSES = ("error", "timeout")
_QUEUES = {"default": SHORT_QUEUE, "long": LONG_QUEUE}


def retry(value: Any, path: str, under: RetryPolicy, faults: Faults) -> RetryPolicy:
    """Return the policy of ``value``; what it does not name is taken from ``under``."""
    if value is None or not faults.typed(value, dict, path, "write {attempts: 3}"):
        return under
    faults.keys(value, RETRY_KEYS, path)
    return RetryPolicy(
        attempts=_attempts(value.get("attempts", under.attempts), f"{path}.attempts", faults),
        backoff=_wait(value.get("backoff", under.backoff), f"{path}.backoff", faults),
        factor=_factor(value.get("factor", under.factor), f"{path}.factor", faults),
        max=_wait(value.get("max", under.max), f"{path}.max", faults),
        jitter=_jitter(value.get("jitter", under.jitter), f"{path}.jitter", faults),
        on=_causes(value["on"], f"{path}.on", faults) if "on" in value else under.on,
    )


def timeout(value: Any, path: str, under: float | None, faults: Faults) -> float | None:
    """Return a timeout in seconds, ``under`` when there is none."""
    if value is None:
        return under
    duration = _wait(value, path, faults)
    if duration == 0:
        faults.add(path, "must be longer than nothing")
    return duration


def queue(value: Any, path: str, limit: float | None, faults: Faults) -> str:
    """Return the queue that is asked for, else the one that fits the timeout ``limit``."""
    if value is None:
        return LONG_QUEUE if limit is not None and limit > LONG_SECONDS else SHORT_QUEUE
    if value not in tuple(_QUEUES):
        faults.add(path, "must be default or long", "long is for steps of over a minute")
        return SHORT_QUEUE
    return _QUEUES[value]


def _attempts(value: Any, path: str, faults: Faults) -> int:
    if type(value) is int and 1 <= value <= MAX_ATTEMPTS:
        return value
    faults.add(path, f"must be a whole number from 1 to {MAX_ATTEMPTS}", "1 means no retry")
    return 1


def _wait(value: Any, path: str, faults: Faults) -> float:
    duration = seconds(value)
    if duration is None or duration > MAX_WAIT:
        faults.add(
            path, "must be a duration of at most 7 days", "write 500ms, 30s, 2m, 1h or seconds"
        )
        return 1.0
    return duration


def _factor(value: Any, path: str, faults: Faults) -> float:
    if type(value) in (int, float) and 1 <= value <= MAX_FACTOR:
        return float(value)
    faults.add(path, f"must be a number from 1 to {MAX_FACTOR:g}", "2 doubles each wait")
    return 1.0


def _jitter(value: Any, path: str, faults: Faults) -> bool:
    return bool(faults.typed(value, bool, path) and value)


def _causes(value: Any, path: str, faults: Faults) -> frozenset[str]:
    if isinstance(value, list) and value and all(cause in _CAUSES for cause in value):
        return frozenset(value)
    faults.add(path, "must be a list of error and timeout", "on: [error, timeout]")
    return frozenset(_CAUSES)
