"""A worker dies in the middle of a step; another one takes the step over."""

from __future__ import annotations

import hashlib
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Annotated

from pydantic import Field

from engine import context, step, workflow


@step
def prepare() -> str:
    """Return what the next step must not lose."""
    return "kept in the database"


@step(timeout="30s")
def die_once(kept: str, seconds: float) -> dict[str, str | int]:
    """Return where ``kept`` arrived; the first claim kills its own worker process instead.

    The death is remembered in a file named by the idempotency key, which all claims of a step
    run share: whatever the process had in memory dies with it.
    """
    key = hashlib.sha256(context.idempotency_key.encode()).hexdigest()[:32]
    marker = Path(tempfile.gettempdir()) / f"crash-drill-{key}"
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        marker.unlink()
        context.log.info("taken over from a worker that died")
        return {"kept": kept, "process": os.getpid()}
    context.log.warning("this worker (process %s) dies in %s s", os.getpid(), seconds)
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process does not go on")


@step
def report(survived: dict[str, str | int]) -> str:
    """Return a sentence for the page."""
    return f"'{survived['kept']}' survived; process {survived['process']} finished the step"


@workflow(title="Crash drill")
def crash_drill(
    seconds: Annotated[float, Field(ge=0, le=20, title="Seconds until the worker dies")] = 1.0,
) -> str:
    """Kill the worker that runs the second step, once, and see another one finish the work.

    Other steps that run in that worker process at the time are taken over too.
    """
    return report(die_once(prepare(), seconds))
