"""What steps did to the world: one line a fact, appended by any process, never lost by a kill.

The kernel is the sink. A line is in its hands once ``write`` has returned, whoever is killed
then; a process of our own would be reached through a socket, whose buffers a kill could empty.
"""

from __future__ import annotations

import json
import os
import time
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from engine.steps.context import context

VARIABLE = "EFFECTS_FILE"
# The epoch of this thread's attempt, where somebody tells: the product does not.
epoch: ContextVar[int | None] = ContextVar("epoch", default=None)


@dataclass(frozen=True, slots=True)
class Effect:
    """One fact of one attempt; ``at`` is this machine's time in seconds."""

    kind: str  # start | end | whatever the step says
    execution: str
    step: str
    item: int | None
    attempt: int
    key: str
    pid: int
    at: float
    epoch: int | None = None


def record(kind: str) -> None:
    """Append a fact about the attempt that this thread runs."""
    line = {
        "kind": kind,
        "execution": context.execution_id,
        "step": context.step,
        "item": context.item,
        "attempt": context.attempt,
        "key": context.idempotency_key,
        "pid": os.getpid(),
        "at": time.time(),
        "epoch": epoch.get(),
    }
    # One write to a descriptor opened for appending: lines of many processes never mix.
    file = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
    finally:
        os.close(file)


def read(path: Path) -> list[Effect]:
    """Return every fact so far, in the order of writing."""
    if not path.exists():
        return []
    return [Effect(**json.loads(line)) for line in path.read_text().splitlines()]
