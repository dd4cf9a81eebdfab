"""Steps that the workers under test run: ``ENGINE_MODULES`` names this module."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import multiprocessing
import os
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from engine import failpoints
from engine.registry import register_step
from engine.steps.context import context
from engine.steps.watchdog import interrupt
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


def keep_the_lock() -> None:
    """Compute for years in C code that does not give the interpreter's lock away."""
    record("start")
    re.match(r"(a+)+$", "a" * 45 + "b")


def sleep_with_the_lock() -> None:
    """Sleep without giving the interpreter's lock away."""
    record("start")
    ctypes.PyDLL(None).sleep(600)


def wait_for_programs() -> None:
    """Wait for three programs: a plain one, a grandchild, and one in a session of its own."""
    plain = subprocess.Popen(["sleep", "600"])
    script = "sleep 600 & echo $!; wait"
    shell = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
    apart = subprocess.Popen(["sleep", "600"], start_new_session=True)
    assert shell.stdout is not None
    pids = [plain.pid, shell.pid, apart.pid, int(shell.stdout.readline())]
    (Path(os.environ["ENGINE_HOME"]) / "programs").write_text(" ".join(map(str, pids)))
    _hold(1.0)  # the guardian looks twice a second
    record("programs")
    plain.wait()


def in_a_pool() -> int:
    """Use a pool of processes, started as this process starts them by default."""
    with multiprocessing.Pool(2) as pool:
        return sum(pool.map(len, ["a", "bb", "ccc"]))


_gate = asyncio.Semaphore(2)


async def through_a_gate(x: int) -> int:
    """Return ``x``, behind an object of asyncio that this module keeps for all its steps."""
    async with _gate:
        await asyncio.sleep(0.02)
    return x


def end_a_thread(name: str, x: int) -> int:
    """Have a thread of the worker's own end, as a fault of the engine would."""
    [thread] = [one for one in threading.enumerate() if one.name == name]
    assert thread.ident is not None
    interrupt(thread.ident, SystemExit)
    return x


def how_it_stands() -> dict[str, Any]:
    """Return whether this process leads its group, and what it can read."""
    return {"leads": os.getpgrp() == os.getpid(), "reads": os.read(0, 10).decode()}


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

_ALL = (
    *(inc, double, total, nap, fail_until, talk, until_cancelled, die, nap_first),
    *(keep_the_lock, sleep_with_the_lock, wait_for_programs, in_a_pool),
    *(through_a_gate, end_a_thread, how_it_stands),
)
for _function in _ALL:
    register_step(f"{__name__}.{_function.__name__}", _function)
