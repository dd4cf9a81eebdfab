"""What fails for a moment is tried again, and nothing else is."""

from __future__ import annotations

import pytest
from tenacity import stop_after_attempt

from engine.errors import Conflict, Unavailable
from engine.insist import insist


class Calls:
    """Fails as often as told, then returns."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.made = 0
        self._failures = failures
        self._error = error

    def __call__(self) -> str:
        self.made += 1
        if self.made <= self._failures:
            raise self._error
        return "done"


def asked(calls: Calls, tries: int = 4) -> tuple[str, list[BaseException]]:
    told: list[BaseException] = []
    found = insist(
        calls,
        when=lambda error: isinstance(error, Unavailable),
        stop=stop_after_attempt(tries),
        first=0.0001,
        most=0.001,
        told=told.append,
    )
    return found, told


@pytest.mark.parametrize("failures", [0, 1, 3])
def test_it_is_called_until_it_succeeds(failures: int) -> None:
    calls = Calls(failures, Unavailable("away"))
    found, told = asked(calls)
    assert (found, calls.made, len(told)) == ("done", failures + 1, failures)


def test_the_last_error_is_raised_when_it_is_given_up() -> None:
    error = Unavailable("away")
    calls = Calls(9, error)
    with pytest.raises(Unavailable) as caught:
        asked(calls)
    assert caught.value is error
    assert calls.made == 4


def test_an_error_that_does_not_pass_is_raised_at_once() -> None:
    calls = Calls(9, Conflict("no"))
    with pytest.raises(Conflict):
        asked(calls)
    assert calls.made == 1


def test_an_error_that_does_not_pass_ends_it_later_too() -> None:
    errors = [Unavailable("away"), Conflict("no")]

    def once() -> str:
        raise errors.pop(0)

    with pytest.raises(Conflict):
        insist(
            once,
            when=lambda error: isinstance(error, Unavailable),
            stop=stop_after_attempt(9),
            first=0.0001,
            most=0.001,
        )
