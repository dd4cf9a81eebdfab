"""Attempts of functions, in this process and without a database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from engine import registry
from engine.core.failures import Failure
from engine.core.transitions import RunKey
from engine.definition import Step, parse
from engine.steps import capture
from engine.steps.attempt_log import AttemptLog
from engine.steps.context import Context
from engine.steps.processes import Mark
from engine.steps.watchdog import Watchdog
from engine.worker.attempt import Outcome, Returned, run_attempt
from engine.worker.claim_registry import Claim


def new_claim() -> Claim:
    """Return a claim that nobody else knows of."""
    return Claim(RunKey("e", 0, -1), 1, 2, AttemptLog())


def step_of(function: Callable[..., Any]) -> Step:
    """Register ``function`` and return a step that calls it."""
    name = f"tests.{function.__name__}"
    registry.register_step(name, function)
    body = {"uses": "python", "with": {"function": name}}
    return parse({"name": "w", "steps": {"it": body}}).steps[0]


def attempt(
    function: Callable[..., Any],
    claim: Claim | None = None,
    *,
    timeout: float = 20.0,
    watchdog: Watchdog | None = None,
    mark: Mark | None = None,
    **params: Any,
) -> Outcome:
    """Call ``function`` as a worker does; return what came of it."""
    capture.install()
    claim = claim or new_claim()
    own = watchdog or Watchdog(poll=0.05)
    try:
        return run_attempt(
            step_of(function),
            {"function": f"tests.{function.__name__}", **params},
            claim,
            Context(
                execution_id="e",
                workflow="w",
                step="it",
                idempotency_key="e.0.-1",
                attempt=claim.attempt,
                lines=claim.log,
                is_cancelled=lambda: claim.cancelled or claim.stop is not None,
            ),
            timeout=timeout,
            limit=1_000_000,
            watchdog=own,
            mark=mark,
        )
    finally:
        if watchdog is None:
            own.close()


def returned(outcome: Outcome) -> Any:
    """Return the value of an attempt that returned."""
    assert isinstance(outcome, Returned), outcome
    return outcome.value


def failure(outcome: Outcome) -> Failure:
    """Return the outcome of an attempt that failed."""
    assert isinstance(outcome, Failure), outcome
    return outcome


def said(claim: Claim) -> list[tuple[str, str]]:
    """Return the level and text of what the attempt said."""
    return [(line.level, line.message) for line in claim.log.drain()]


@contextmanager
def in_thread(work: Callable[[], Any]) -> Iterator[list[Any]]:
    """Run ``work`` in a thread meanwhile; the list yielded has what it returned, afterwards."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    try:
        yield results
    finally:
        thread.join(30)
        assert not thread.is_alive()
