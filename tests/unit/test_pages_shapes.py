"""What the store tells, as pages draw it."""

from __future__ import annotations

from typing import Any

from engine.store.reads import (
    AttemptRow,
    EventView,
    LogView,
    StepRow,
)
from engine_app.states import view_models
from tests.support.readings import S, T, detail_of, execution_row, failed_try, step_row


def _event(kind: str, at: int) -> EventView:
    return EventView(1, kind, "validate", None, 1, at, {})


def _segments(step: StepRow, *tries: AttemptRow) -> list[list[Any]]:
    return view_models.bars(detail_of(step, tries=tries), {})[0].segs


def test_waiting_comes_before_running_on_a_bar() -> None:
    assert _segments(step_row()) == [["w", T, T + S], ["", T + S, T + 3 * S]]


def test_a_running_bar_has_no_end() -> None:
    assert _segments(step_row(status="running", finished_at=None))[-1] == ["r", T + S, 0]


def test_each_failed_try_is_a_segment_with_the_wait_after_it() -> None:
    tries = (failed_try(1, T + S, T + 2 * S), failed_try(2, T + 4 * S, T + 5 * S))
    step = step_row(status="retrying", attempts=2, started_at=T + 4 * S, finished_at=None)
    assert _segments(step, *tries) == [
        ["w", T, T + S],
        ["f", T + S, T + 2 * S],
        ["w", T + 2 * S, T + 4 * S],
        ["f", T + 4 * S, T + 5 * S],
        ["w", T + 5 * S, 0],
    ]


def test_the_last_failed_try_is_drawn_once() -> None:
    step = step_row(status="failed", started_at=T + S, finished_at=T + 2 * S)
    assert _segments(step, failed_try(1, T + S, T + 2 * S)) == [
        ["w", T, T + S],
        ["f", T + S, T + 2 * S],
    ]


def test_a_retry_that_succeeds_follows_its_failed_try() -> None:
    step = step_row(attempts=2, started_at=T + 4 * S, finished_at=T + 6 * S)
    segments = _segments(step, failed_try(1, T + S, T + 2 * S))
    assert segments[-2:] == [["w", T + 2 * S, T + 4 * S], ["", T + 4 * S, T + 6 * S]]


def test_a_step_that_never_was_due_has_no_bar() -> None:
    step = step_row(status="skipped", queued_at=None, started_at=None)
    assert _segments(step) == []


def test_a_nap_stays_on_the_bar_after_the_step_has_woken() -> None:
    parked = view_models.naps({}, [_event("step_waiting", T), _event("step_started", T + 2 * S)])
    step = step_row(queued_at=T + 2 * S, started_at=T + 2 * S, finished_at=T + 3 * S)
    bar = view_models.bars(detail_of(step), parked)[0]
    assert bar.started == T
    assert bar.segs == [["z", T, T + 2 * S], ["", T + 2 * S, T + 3 * S]]


def test_a_nap_told_in_two_readings_is_one() -> None:
    first = view_models.naps({}, [_event("step_waiting", T)])
    assert view_models.naps(first, [_event("step_started", T + S)]) == {"validate": [[T, T + S]]}
    assert first == {"validate": [[T, 0]]}


def _note(**changed: Any) -> str:
    return view_models.bars(detail_of(step_row(**changed)), {})[0].note


def test_a_fan_out_says_how_many_items_have_ended() -> None:
    assert _note(status="running", items=200, items_left=143, items_failed=2) == (
        "57 of 200, 2 failed"
    )


def test_a_fan_out_that_tolerated_failures_says_how_many() -> None:
    assert _note(items=50, items_left=0, items_failed=3) == "3 of 50 failed"
    assert _note(items=50, items_left=0) == "50 items"


def test_a_cached_step_says_so() -> None:
    assert _note(reason="cached") == "from the cache"


def test_the_cause_names_step_try_and_message_first() -> None:
    detail = detail_of(
        step_row(status="failed", attempts=3),
        step_row(index=1, name="report", status="skipped"),
        status="failed",
        reason="step_failed",
    )
    cause = view_models.cause(detail)
    assert cause.title == "validate failed on its 3rd and last attempt: amount must be ≥ 0"
    assert cause.text == "ValueError · 1 step after it did not run"


def test_there_is_no_cause_while_nothing_failed() -> None:
    assert view_models.cause(detail_of(step_row())) == view_models.Cause()


def test_a_row_says_its_share_and_its_trigger() -> None:
    line = view_models.line(execution_row())
    assert (line.share, line.trigger, line.finished) == ("25%", "api · token ci", 0)


def test_a_row_without_step_runs_has_no_share() -> None:
    assert view_models.line(execution_row(runs_total=0, runs_done=0)).share == "0%"


def test_an_execution_being_cancelled_is_told_from_one_that_may_be() -> None:
    assert view_models.head(detail_of(cancel_requested_at=T)).is_cancelling
    assert not view_models.head(detail_of()).is_cancelling


def test_a_log_line_of_an_item_says_which() -> None:
    line = LogView(3, "square", 7, 1, T, "INFO", "hello")
    assert view_models.log_line(line) == [3, "square", T, "info", "[7] hello"]


def test_a_failed_try_tells_its_error_in_one_line() -> None:
    [told] = view_models.tries([failed_try(2, T, T + S)])
    assert told.title == "attempt 2 · failed · error"
    assert told.message == "ValueError: no"


def test_a_long_value_is_cut_and_says_so() -> None:
    text = view_models.pretty("x" * 50_000)
    assert len(text) < 21_000
    assert "more characters" in text


def test_facts_of_an_event_that_are_cut_say_so() -> None:
    long = EventView(1, "step_failed", "a", None, 1, T, {"message": "x" * 500})
    assert view_models.event_line(long)[5].endswith("x…")
    short = EventView(1, "step_failed", "a", None, 1, T, {"message": "x"})
    assert view_models.event_line(short)[5] == '{"message": "x"}'
