"""Steps that the scorecard's workers run: ``ENGINE_MODULES`` names this module.

Each tells the sink when it starts and what it did, and returns the epoch it ran under with its
result, so that one that was accepted from a claim that was over can be told from the right one.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from engine.registry import register_step
from engine.steps.context import context
from tests.scorecard import inside
from tests.support import effects
from tests.support.effects import record

WITHOUT = "SCORECARD_WITHOUT"  # a function that this worker's code does not have
TICK = 0.02  # seconds of each nap: an interruption is seen between two of them


def given(n: int) -> dict[str, Any]:
    """Return a result with the epoch it was made under."""
    return {"n": n, "epoch": effects.epoch.get()}


def work(n: int, seconds: float = 0) -> dict[str, Any]:
    """Hold a thread for a while, have an effect, return one more than ``n``."""
    record("start")
    _hold(seconds)
    record("effect")
    return given(n + 1)


def newer(n: int) -> dict[str, Any]:
    """Do as ``work`` does: the function that old code does not have."""
    return work(n)


def quiet(n: int) -> dict[str, Any]:
    """Return one more than ``n`` and tell nobody: for shapes with thousands of steps."""
    return given(n + 1)


def total(numbers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the sum."""
    record("effect")
    return given(sum(number["n"] for number in numbers))


def flaky(attempt: int) -> dict[str, Any]:
    """Fail until this attempt."""
    record("start")
    if context.attempt < attempt:
        raise ValueError(f"not before attempt {attempt}")
    record("effect")
    return given(context.attempt)


def long(n: int, seconds: float) -> dict[str, Any]:
    """Do as ``work`` does, but take long at the first call only, also when a crash ended it."""
    first = _first_time()
    record("start")
    if first:
        _hold(seconds)
    record("effect")
    return given(n + 1)


def hog(n: int, seconds: float) -> dict[str, Any]:
    """Keep the interpreter's lock at the first call, as a faulty C extension does."""
    first = _first_time()
    record("start")
    if first:
        # PyDLL keeps the lock during the call, CDLL would let it go.
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    record("effect")
    return given(n + 1)


def keep_the_lock() -> None:
    """Keep the interpreter's lock for years, as a regular expression without end does."""
    record("start")
    re.match(r"(a+)+$", "a" * 45 + "b")


class Halt(BaseException):
    """No ``except Exception`` sees it."""


class Unreadable(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text today")


def raise_it(kind: str) -> None:
    """Raise what a careless ``except`` lets by."""
    record("start")
    raise {
        "halt": Halt("stop"),
        "unreadable": Unreadable(),
        "group": BaseExceptionGroup("several", [Halt("one"), ValueError("two")]),
        "generator": GeneratorExit(),
        "exit": SystemExit(0),
    }[kind]


def program() -> None:
    """Wait for a program that does not end."""
    record("start")
    with subprocess.Popen(["sleep", "600"]) as started:
        name = f"program-{context.idempotency_key}-{started.pid}"
        (Path(os.environ["ENGINE_HOME"]) / name).touch()
        started.wait()


def die() -> None:
    """End the worker process at once, as a fault in a C library does."""
    record("start")
    os._exit(7)


def crash() -> None:
    """Read what nobody owns, as a faulty C extension does."""
    record("start")
    ctypes.string_at(0)


def gobble(megabytes: int) -> None:
    """Take more memory than there is, and go on taking."""
    record("start")
    hoard = []
    for _ in range(megabytes):
        hoard.append(b"x" * 1_000_000)
        time.sleep(0.002)
    _hold(3600)


def large(n: int, size: int) -> dict[str, Any]:
    """Return ``size`` bytes beside the result."""
    record("effect")
    return {**given(n + 1), "bulk": "x" * size}


def weigh(bulk: str) -> dict[str, Any]:
    """Return how many bytes there are."""
    record("effect")
    return given(len(bulk))


def nested(depth: int) -> Any:
    """Return a list in a list in a list …"""
    record("effect")
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def _first_time() -> bool:
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


inside.prepare()

_ALL = (
    *(work, newer, quiet, total, flaky, long, hog, die, crash, gobble, large, weigh, nested),
    *(keep_the_lock, raise_it, program),
)
for _function in _ALL:
    if _function.__name__ != os.environ.get(WITHOUT):
        register_step(f"{__name__}.{_function.__name__}", _function)
