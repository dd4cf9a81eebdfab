"""What an execution owes at its start, and what a retry reuses."""

from __future__ import annotations

from engine.core.planning import WINDOW, first_rows, window_of
from engine.core.status import StepStatus
from engine.definition import Definition, parse


def diamond() -> Definition:
    """a → b, c → d."""
    step = {"uses": "transform", "with": {"value": 1}}
    steps = {
        "a": step,
        "b": {**step, "needs": ["a"]},
        "c": {**step, "needs": ["a"]},
        "d": {**step, "needs": ["b", "c"]},
    }
    return parse({"name": "diamond", "steps": steps})


def test_roots_are_queued_and_the_others_wait_for_their_needs() -> None:
    rows = first_rows(diamond())
    assert [(row.status.value, row.needs_left) for row in rows] == [
        ("queued", 0),
        ("pending", 1),
        ("pending", 1),
        ("pending", 2),
    ]


def test_what_ended_well_is_reused_and_readies_what_follows() -> None:
    rows = first_rows(diamond(), {0: StepStatus.COMPLETED, 1: StepStatus.COMPLETED})
    assert [row.reused for row in rows] == [True, True, False, False]
    assert (rows[2].status, rows[2].needs_left, rows[2].needs_ran) == (StepStatus.QUEUED, 0, 1)
    assert (rows[3].status, rows[3].needs_left, rows[3].needs_ran) == (StepStatus.PENDING, 1, 1)


def test_a_step_is_not_reused_when_one_that_it_needs_runs_again() -> None:
    rows = first_rows(diamond(), {1: StepStatus.COMPLETED, 3: StepStatus.COMPLETED})
    assert [row.reused for row in rows] == [False, False, False, False]


def test_a_skipped_need_is_reused_but_does_not_count_as_run() -> None:
    rows = first_rows(
        diamond(),
        {0: StepStatus.COMPLETED, 1: StepStatus.SKIPPED, 2: StepStatus.COMPLETED},
    )
    assert (rows[3].status, rows[3].needs_ran) == (StepStatus.QUEUED, 1)


def test_the_window_is_the_smallest_of_three() -> None:
    assert window_of(3, 10) == 3
    assert window_of(1000, 10) == 10
    assert window_of(1000, 10_000) == WINDOW
