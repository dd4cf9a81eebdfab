"""What the scorecard changes inside the worker processes under test, and nowhere else.

Loaded by ``tests.scorecard.steps``, which only those workers name in ``ENGINE_MODULES``: no setting
of the product can switch a promise off.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, update

import engine.recovery
import engine.store.writes.execution_tx
from engine import failpoints
from engine.flow.outgoing import Sends
from engine.store.db.compiled import Prepared
from engine.store.tables import StepRun, table
from engine.store.writes.transition_sql import Columns, assignments
from engine.worker import run
from engine.worker.claim_registry import Claim
from tests.support import effects

SABOTAGE = "SCORECARD_SABOTAGE"  # one of CONTROLS
CLOCK = "SCORECARD_CLOCK"  # seconds by which this worker's clock is wrong
CONTROLS = ("fencing", "guard", "rescue")


def prepare() -> None:
    """Arm and break what the environment asks for, and let steps know their epoch."""
    failpoints.arm(os.environ.get("ENGINE_FAILPOINTS", ""))
    _tell_epochs()
    _shift_clock(float(os.environ.get(CLOCK, "0")))
    what = os.environ.get(SABOTAGE)
    if what == "rescue":
        engine.recovery.Rescue.sweep = _no_sweep  # type: ignore[method-assign]
    elif what:
        engine.store.writes.execution_tx._change_statement = _unguarded(what)  # type: ignore[assignment]


def _tell_epochs() -> None:
    """Note the epoch of each claim beside the effects of its attempt.

    User code is never told its epoch, so the scorecard reads it off the claim as it passes by.
    """
    run_attempt: Callable[..., Any] = run.run_attempt  # type: ignore[attr-defined]

    def told(*args: Any, **more: Any) -> Any:
        [claim] = [arg for arg in (*args, *more.values()) if isinstance(arg, Claim)]
        token = effects.epoch.set(claim.epoch)
        try:
            return run_attempt(*args, **more)
        finally:
            effects.epoch.reset(token)

    run.run_attempt = told  # type: ignore[attr-defined]


def _shift_clock(seconds: float) -> None:
    """Set this process's wall clock wrong; the monotonic one cannot be."""
    if not seconds:
        return
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + seconds
    time.time_ns = lambda: real_ns() + int(seconds * 1e9)


def _no_sweep(*_: Any, **__: Any) -> Sends:
    """Rescue switched off: nobody looks for what is due."""
    return Sends()


def _unguarded(what: str) -> Callable[..., Any]:
    """Return the statement of every transition without its guard on the epoch, or on the status."""
    if what not in CONTROLS:
        raise ValueError(f"{SABOTAGE}={what}: it is one of {', '.join(CONTROLS)}")
    runs = table(StepRun)
    guards = {"fencing": ("epoch", "b_epoch"), "guard": ("status", "run_source")}
    kept = [column for name, column in guards.items() if name != what]

    @lru_cache(maxsize=256)
    def statement(columns: Columns) -> Prepared:
        keys = [("execution_id", "b_execution"), ("step", "b_step"), ("item", "b_item"), *kept]
        return Prepared(
            update(runs)
            .where(*(runs.c[column] == bindparam(name) for column, name in keys))
            .values(assignments("run", columns))
            .returning(runs.c.attempts, runs.c.worker_id, runs.c.started_at)
        )

    return statement
