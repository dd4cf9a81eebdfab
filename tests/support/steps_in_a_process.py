"""Steps for processes of their own: each does to its process what real code does by accident."""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import logging
import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from engine.registry import register_step
from engine.steps.context import context

TICK = 0.02


def who(x: int = 0) -> dict[str, int]:
    """Return the process this runs in, and ``x``."""
    return {"pid": os.getpid(), "x": x}


async def waited() -> str:
    """Return after the event loop has turned."""
    await asyncio.sleep(0.01)
    return "waited"


def tell() -> dict[str, Any]:
    """Speak in all ways, keep an artifact, and return what the context says."""
    print("printed")
    logging.getLogger("a.library").warning("logged")
    context.log.debug("told %d", 1)
    context.artifact("data.bin", b"\x00\xff", "application/octet-stream")
    context.table("table", [{"a": 1}])
    context.progress(1, total=2, note="half")
    return {"attempt": context.attempt, "item": context.item, "key": context.idempotency_key}


def too_many_artifacts() -> None:
    """Keep one artifact more than there may be."""
    for number in range(21):
        context.artifact(f"a{number}", "x")


def fail(words: str) -> None:
    """Raise, from a line that the trace must name."""
    raise LookupError(words)


class Halt(BaseException):
    """No ``except Exception`` sees it."""


def halt() -> None:
    """Raise what no ``except Exception`` sees."""
    raise Halt("stop")


def unreadable() -> None:
    """Raise an exception whose text cannot be had."""
    raise type("Unreadable", (Exception,), {"__str__": lambda _self: 7})


def chained() -> None:
    """Fail because of something else, and add a note."""
    try:
        int("order")
    except ValueError as cause:
        error = ExceptionGroup("two", [KeyError("order-7"), LookupError("order-8")])
        error.add_note("customer 42")
        raise error from cause


def leave(code: int) -> None:
    """Call sys.exit."""
    sys.exit(code)


def vanish(code: int) -> None:
    """End the process without a word."""
    print("last words")
    os._exit(code)


def segfault() -> None:
    """Read what nobody owns."""
    ctypes.string_at(0)


def kill_self() -> None:
    """Die as the kernel makes a process die when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def hog(megabytes: int) -> int:
    """Take so much memory, piece by piece, and return how much it was."""
    held = [bytearray(1024**2) for _ in range(megabytes)]
    return len(held)


def unsayable() -> object:
    """Return what is no JSON."""
    return {"here": object()}


def large(size: int) -> str:
    """Return a text of so many characters."""
    return "x" * size


def hold(folder: str, stubborn: bool = False) -> str:
    """Wait, with a grandchild, until interrupted; leave a mark of what was seen."""
    mark = Path(folder)
    if stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    grandchild = subprocess.Popen(["sleep", "600"])
    (mark / "pids.part").write_text(f"{os.getpid()} {grandchild.pid}")
    (mark / "pids.part").rename(mark / "pids")
    try:
        while True:
            time.sleep(TICK)
    finally:
        (mark / "tidied").touch()


def hold_in_c(folder: str) -> None:
    """Hold the interpreter's lock in native code for ever, with a grandchild."""
    grandchild = subprocess.Popen(["sleep", "600"])
    (Path(folder) / "pids.part").write_text(f"{os.getpid()} {grandchild.pid}")
    (Path(folder) / "pids.part").rename(Path(folder) / "pids")
    deque(itertools.repeat(None), maxlen=0)


def leave_a_child(folder: str) -> None:
    """Return while a grandchild runs on."""
    grandchild = subprocess.Popen(["sleep", "600"])
    (Path(folder) / "pids").write_text(f"{os.getpid()} {grandchild.pid}")


def until_cancelled(folder: str) -> str:
    """Work until the flag is seen."""
    (Path(folder) / "pids").write_text(f"{os.getpid()} {os.getpid()}")
    while not context.cancelled:
        time.sleep(TICK)
    return "saw it"


for _function in (
    *(who, waited, tell, too_many_artifacts, fail, halt, unreadable, chained, leave, vanish, hog),
    *(segfault, kill_self, unsayable, large, hold, hold_in_c, leave_a_child, until_cancelled),
):
    register_step(f"{__name__}.{_function.__name__}", _function)
