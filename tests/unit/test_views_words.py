"""The sentence beside each execution."""

from __future__ import annotations

from typing import Any

import pytest

from engine.store.reads.summaries import (
    Ending,
    Telling,
    duration,
    error_line,
    execution_detail,
    step_detail,
)

NOW = 1_000_000_000


def telling(status: str, **values: Any) -> Telling:
    plain: dict[str, Any] = {
        "reason": None,
        "attempts": 1,
        "max_attempts": 1,
        "due_at": None,
        "items": None,
        "items_left": None,
        "error": None,
    }
    return Telling("call", status, **{**plain, **values})


def ending(status: str, **values: Any) -> Ending:
    plain: dict[str, Any] = {
        "reason": None,
        "error": None,
        "cancel_requested": False,
        "cancel_note": None,
        "due_at": None,
        "runs_total": 0,
    }
    return Ending(status, **{**plain, **values})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (telling("running"), "call"),
        (telling("running", attempts=2, max_attempts=5), "call · attempt 2 of 5"),
        (telling("queued"), "call · waits for a free worker"),
        (
            telling("queued", reason="unknown_step", due_at=NOW + 5_000_000),
            "call · no worker has the code for it · looks again in 5 s",
        ),
        (telling("waiting", due_at=NOW + 120_000_000), "call · sleeps for another 2 min"),
        (telling("waiting", wait_for="approval"), "call · waits for a decision"),
        (
            telling("waiting", wait_for="signal:paid:a:b", due_at=NOW + 120_000_000),
            "call · waits for signal paid of a:b for another 2 min",
        ),
        (telling("waiting", wait_for="signal:paid:"), "call · waits for signal paid"),
        (
            telling("waiting", wait_for="workflow", others=1),
            "call · waits for its child · and 1 more",
        ),
        (
            telling("retrying", attempts=1, max_attempts=3, due_at=NOW - 1),
            "call · attempt 2 of 3 in a moment",
        ),
        (telling("running", items=8, items_left=8), "call · item 1 of 8"),
        (telling("running", items=8, items_left=0), "call · item 8 of 8"),
        (telling("running", others=2), "call · and 2 more"),
        (
            telling("queued", crashes=1),
            "call · waits for a free worker · its worker was lost 1 ×",
        ),
    ],
)
def test_a_step_says_what_it_does_or_waits_for(given: Telling, words: str) -> None:
    assert step_detail(given, NOW) == words


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (ending("pending"), "waits for a worker to plan it"),
        (ending("pending", due_at=NOW + 90_000_000), "starts in 2 min"),
        (ending("completed", runs_total=1), "1 step run"),
        (ending("completed", runs_total=202), "202 step runs"),
        (ending("cancelled", cancel_note="wrong file"), "cancelled: wrong file"),
        (
            ending("running", cancel_requested=True),
            "is being cancelled: running steps may finish",
        ),
        (ending("failed", reason="worker_crashed"), "its worker died too often"),
        (ending("failed", reason="from a later release"), "it failed"),
        (
            ending("failed", error={"step": "clean", "item": 4, "message": "no"}),
            "clean [4] · no",
        ),
        (ending("paused"), "paused before it began"),
        (ending("paused", runs_total=1), "paused: no step starts until it is resumed"),
        (ending("running", ending="failed"), "is failing: running steps may finish"),
        (
            ending("running", ending="failed", cancel_requested=True, phase="closing"),
            "is closing · is between two steps",
        ),
    ],
)
def test_an_execution_says_how_it_stands(given: Ending, words: str) -> None:
    assert execution_detail(given, None, NOW) == words


def test_a_paused_execution_says_what_still_runs() -> None:
    paused = ending("paused", runs_total=3)
    assert execution_detail(paused, telling("running"), NOW) == "paused: call may finish"


def test_an_error_is_one_short_line() -> None:
    line = error_line({"type": "ValueError", "message": "a\r\n  b " + "x" * 500})
    assert line.startswith("ValueError: a b xxx")
    assert len(line) == 160


@pytest.mark.parametrize(
    ("micros", "words"),
    [(0, "a moment"), (1_400_000, "1 s"), (59_000_000, "59 s"), (7_200_000_000, "2 h")],
)
def test_a_length_of_time_is_told_in_its_largest_unit(micros: int, words: str) -> None:
    assert duration(micros) == words
