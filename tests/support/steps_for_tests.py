"""Steps that the workers under test run: ``ENGINE_MODULES`` names this module."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from engine import failpoints
from engine.registry import register_step
from engine.steps.context import context
from tests.support.effects import record

TICK = 0.02  # seconds of each nap: an interruption is seen between two of them


def inc(x: int) -> int:
    """Return one more than ``x``."""
    record("start")
    return x + 1


def double(x: int) -> int:
    """Return twice ``x``."""
    return 2 * x


def total(numbers: list[int]) -> int:
    """Return the sum."""
    return sum(numbers)


def nap(seconds: float, x: int = 0) -> int:
    """Hold a thread for a while, interruptibly, and return ``x`` + 1."""
    record("start")
    _hold(seconds)
    record("end")
    return x + 1


def fail_until(attempt: int) -> int:
    """Fail until this attempt, then return its number."""
    record("start")
    if context.attempt < attempt:
        raise ValueError(f"not before attempt {attempt}")
    return context.attempt


def talk(words: str) -> None:
    """Say something in each of the three ways, twice: the first attempt fails."""
    print(f"print {words} {context.attempt}")
    logging.getLogger("a.library").warning("logging %s %d", words, context.attempt)
    context.log.info("context %s %d", words, context.attempt)
    if context.attempt == 1:
        raise ValueError("again")


def until_cancelled(seconds: float) -> str:
    """Work until the execution is cancelled, and say so."""
    record("start")
    until = time.monotonic() + seconds
    while not context.cancelled:
        if time.monotonic() > until:
            return "was never cancelled"
        time.sleep(TICK)
    record("cancelled")
    return "saw it"


def die() -> None:
    """End the worker process at once, as a fault in a C library does."""
    record("start")
    os._exit(7)


def nap_first(seconds: float) -> int:
    """Hold a thread for a while at the first call; return at once when called again."""
    first = first_time()
    record("start")
    if first:
        _hold(seconds)
    record("end")
    return context.attempt


def first_time() -> bool:
    """Return whether this step run is called for the first time, also after a crash."""
    mark = Path(os.environ["ENGINE_HOME"]) / f"called-{context.idempotency_key}"
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _hold(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(TICK)


# Only workers that load this module can be armed: no setting of the product does it.
failpoints.arm(os.environ.get("ENGINE_FAILPOINTS", ""))

_ALL = (inc, double, total, nap, fail_until, talk, until_cancelled, die, nap_first)
for _function in _ALL:
    register_step(f"{__name__}.{_function.__name__}", _function)
