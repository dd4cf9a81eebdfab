"""What is told of an error: all that led to it, capped, people's own code first."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.flow import error_text
from engine.flow.error_format import describe_error


def _caught(raises: Any) -> BaseException:
    try:
        raises()
    except BaseException as error:
        return error
    raise AssertionError("it has not raised")


def _told(raises: Any) -> dict[str, Any]:
    return describe_error(_caught(raises))


def _root() -> None:
    raise ValueError("root cause")


def _wrapped() -> None:
    try:
        _root()
    except ValueError as error:
        raise RuntimeError("wrapped") from error


def test_a_cause_is_told_with_its_type_its_message_and_its_line() -> None:
    told = _told(_wrapped)
    assert (told["type"], told["message"]) == ("RuntimeError", "wrapped")
    [cause] = told["causes"]
    assert (cause["relation"], cause["under"]) == ("cause", -1)
    assert (cause["type"], cause["message"]) == ("ValueError", "root cause")
    assert 'raise ValueError("root cause")' in cause["trace"]


def test_what_was_being_handled_is_told_unless_it_was_suppressed() -> None:
    def handling() -> None:
        try:
            _root()
        except ValueError:
            raise KeyError("second")  # noqa: B904  # the chain is what is tested

    def suppressing() -> None:
        try:
            _root()
        except ValueError:
            raise KeyError("second") from None

    [cause] = _told(handling)["causes"]
    assert (cause["relation"], cause["message"]) == ("context", "root cause")
    assert "causes" not in _told(suppressing)


def test_the_message_of_a_group_names_what_went_wrong_in_it() -> None:
    def several() -> None:
        inner = ExceptionGroup("inner", [KeyError("order-7"), ValueError("two")])
        raise ExceptionGroup("outer", [inner, OSError("three"), OSError("four")])

    told = _told(several)
    assert told["message"] == (
        "outer (3 sub-exceptions): KeyError: 'order-7'; ValueError: two; OSError: three; and 1 more"
    )
    named = [(c["relation"], c["under"], c["type"]) for c in told["causes"]]
    assert named == [
        ("member", -1, "ExceptionGroup"),
        ("member", 0, "KeyError"),
        ("member", 0, "ValueError"),
        ("member", -1, "OSError"),
        ("member", -1, "OSError"),
    ]


def test_notes_are_told_where_they_were_added() -> None:
    def noted() -> None:
        error = RuntimeError("outer")
        error.add_note("customer 42")
        cause = ValueError("inner")
        cause.add_note("row \ud800 7")
        raise error from cause

    told = _told(noted)
    assert told["notes"] == ["customer 42"]
    assert told["causes"][0]["notes"] == ["row ? 7"]


def test_what_is_no_list_of_notes_is_left_alone() -> None:
    error = RuntimeError("it")
    error.__notes__ = 7  # type: ignore[assignment]  # as somebody's code may do
    assert "notes" not in describe_error(error)


def test_a_chain_that_bites_its_tail_ends() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert [cause["message"] for cause in describe_error(first)["causes"]] == ["second"]


def test_many_causes_are_counted_and_long_ones_cut() -> None:
    def many() -> None:
        raise ExceptionGroup("many", [ValueError("x" * 10_000) for _ in range(500)])

    told = _told(many)
    assert len(told["causes"]) == 10
    assert told["more_causes"] == 490
    assert len(json.dumps(told)) < 40_000


def _deep(depth: int) -> int:
    return _deep(depth - 1) if depth else _bottom()


def _bottom() -> int:
    return int("bottom")


def test_of_a_deep_trace_the_last_frames_are_kept() -> None:
    trace = _told(lambda: _deep(400))["trace"]
    assert trace.endswith('return int("bottom")\n           ^^^^^^^^^^^^^')
    assert "frames left out" in trace
    assert len(trace.splitlines()) < 100


def test_frames_of_peoples_own_code_are_kept_before_those_of_libraries() -> None:

    def own() -> None:
        json.loads("1", object_hook=None, cls=_Decoder)

    class _Decoder(json.JSONDecoder):
        def decode(self, _text: str, *_: Any) -> Any:
            depth[0] += 1
            if depth[0] == 40:
                raise ValueError("bottom")
            return json.loads("1", cls=_Decoder)

    depth = [0]
    trace = _told(own)["trace"]
    assert "in own" in trace
    assert trace.count("json/__init__.py") < trace.count("in decode")


@pytest.mark.parametrize("text", ["", "a\0b"])
def test_a_message_is_always_a_text_that_can_be_kept(text: str) -> None:
    assert describe_error(ValueError(text))["message"] in ("no message", "a\ufffdb")


def test_as_text_an_error_is_told_with_its_notes_and_each_cause_under_its_title() -> None:
    def failing() -> None:
        try:
            _wrapped()
        except RuntimeError as error:
            grouped = ExceptionGroup("several", [KeyError("order-7")])
            grouped.add_note("customer 42")
            raise grouped from error

    told = _told(failing)
    assert error_text.causes(told) == [
        "one of them: KeyError: 'order-7'",
        "caused by RuntimeError: wrapped",
        "caused by ValueError: root cause (in the RuntimeError above)",
    ]
    text = error_text.whole(told)
    assert "note: customer 42\n\none of them: KeyError: 'order-7'\n\ncaused by" in text
    assert text.index("caused by ValueError") < text.index('raise ValueError("root cause")')


def test_an_error_with_nothing_to_add_has_no_text() -> None:
    assert error_text.whole(None) == ""
    assert error_text.whole({"type": "TimedOut", "message": "ran longer"}) == ""
