"""Retries, timeouts, queues and limits: read from a step, the workflow's defaults under them."""

from __future__ import annotations

import re
from typing import Any

from engine.definition.durations import seconds
from engine.definition.faults import Faults
from engine.definition.model import (
    LONG_QUEUE,
    LONG_SECONDS,
    SHORT_QUEUE,
    Cache,
    RetryPolicy,
    Tolerance,
)

RETRY_KEYS = ("attempts", "backoff", "factor", "max", "jitter", "on")
MAX_ATTEMPTS = 1_000
MAX_WAIT = 7 * 86400.0  # of a backoff or a timeout, in seconds
MAX_LIFE = 366 * 86400.0  # of an execution, in seconds: as long as its steps may sleep or wait
MAX_FACTOR = 100.0
MAX_TTL = 366 * 86400.0  # seconds
MIN_MEMORY = 64 * 1024**2  # bytes; an interpreter alone takes half of it
_SIZE = re.compile(r"(\d{1,9})(MB|GB)", re.ASCII)
_UNITS = {"MB": 1024**2, "GB": 1024**3}
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)%", re.ASCII)
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
        faults.add(path, "must be longer than nothing", "without it there is no limit")
    return duration


def lifetime(value: Any, path: str, faults: Faults) -> float | None:
    """Return how many seconds an execution may take, None for any."""
    if value is None:
        return None
    duration = seconds(value)
    if not duration or duration > MAX_LIFE:
        hint = "write 30m, 2h or 5d; without it there is no limit"
        faults.add(path, "must be a duration of at most 366 days and longer than nothing", hint)
    return duration


def queue(value: Any, path: str, limit: float | None, faults: Faults) -> str:
    """Return the queue that is asked for, else the one that fits the timeout ``limit``."""
    if value is None:
        return LONG_QUEUE if limit is not None and limit > LONG_SECONDS else SHORT_QUEUE
    if value not in tuple(_QUEUES):
        faults.add(path, "must be default or long", "long is for steps of over a minute")
        return SHORT_QUEUE
    return _QUEUES[value]


def isolation(body: dict[str, Any], path: str, faults: Faults) -> bool:
    """Return whether the step asks for a process of its own."""
    value = body.get("isolation")
    if value is None or value == "thread":
        return False
    if value != "process":
        hint = "thread is what happens without"
        faults.add(f"{path}.isolation", "must be thread or process", hint)
    elif body.get("uses") != "python":
        problem = "only a python step can have a process of its own"
        faults.add(f"{path}.isolation", problem, "remove it")
    return True


def memory(body: dict[str, Any], path: str, faults: Faults) -> int | None:
    """Return the bytes of memory that the step's process may have, or None."""
    value = body.get("memory")
    if value is None:
        return None
    if body.get("isolation") != "process":
        problem = "means nothing without isolation: process"
        faults.add(f"{path}.memory", problem, "add that, or remove this")
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    size = int(found[1]) * _UNITS[found[2]] if found else 0
    if size < MIN_MEMORY:
        faults.add(f"{path}.memory", "must be a size of at least 64MB", "write 512MB or 2GB")
    return size


def cache(value: Any, path: str, faults: Faults) -> Cache | None:
    """Return when an earlier output is taken instead, or None."""
    if value is None or not faults.typed(value, dict, path, "write {key: …, ttl: 1h}"):
        return None
    faults.keys(value, ("key", "ttl"), path)
    if "key" not in value:
        faults.add(
            f"{path}.key", "is required", "what makes two results the same, as an expression"
        )
    key = faults.template(value.get("key"), f"{path}.key")
    ttl = seconds(value.get("ttl"))
    if ttl is None or not 0 < ttl <= MAX_TTL:
        problem = "must be a duration of at most 366 days and longer than nothing"
        faults.add(f"{path}.ttl", problem, "write 10m or 1d")
    return None if key is None or ttl is None else Cache(key, ttl)


def tolerance(body: dict[str, Any], path: str, faults: Faults) -> Tolerance:
    """Return how many items may fail."""
    value = body.get("allow_failures")
    if value is None:
        return Tolerance()
    path = f"{path}.allow_failures"
    if "for_each" not in body:
        faults.add(path, "means nothing without for_each", "remove it")
    if type(value) is int and value >= 0:
        return Tolerance(count=value)
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if found and float(found[1]) <= 100:
        return Tolerance(percent=float(found[1]))
    faults.add(path, "must be a number of items or a percentage", 'write 3 or "10%"')
    return Tolerance()


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
