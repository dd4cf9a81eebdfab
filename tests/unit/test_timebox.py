"""What a call may take, and what becomes of those that take longer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from actors.timebox import Late, Timebox


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What slow calls wait for; it opens when the test is over."""
    opened = threading.Event()
    yield opened
    opened.set()


def test_it_gives_what_the_call_gives() -> None:
    assert Timebox("t").run(5, lambda: 7) == 7


def test_it_raises_what_the_call_raises() -> None:
    with pytest.raises(TimeoutError, match="of its own"):
        Timebox("t").run(5, fails)


def fails() -> None:
    raise TimeoutError("of its own")


def test_a_call_that_takes_too_long_is_late_and_not_waited_for(gate: threading.Event) -> None:
    begun = time.monotonic()
    with pytest.raises(Late):
        Timebox("t").run(0.05, gate.wait)
    assert time.monotonic() - begun < 1


def test_others_are_heard_beside_one_that_hangs(gate: threading.Event) -> None:
    box = Timebox("t")
    with pytest.raises(Late):
        box.run(0.01, gate.wait)
    assert box.run(5, lambda: 1) == 1


def test_a_call_that_never_began_is_not_made_once_nobody_waits_for_it(
    gate: threading.Event,
) -> None:
    box, made = Timebox("t", threads=1), []
    for call in (gate.wait, lambda: made.append("too late")):
        with pytest.raises(Late):
            box.run(0.01, call)
    gate.set()
    box.run(5, lambda: made.append("in time"))
    assert made == ["in time"]


def test_no_more_threads_than_it_may_have(gate: threading.Event) -> None:
    box = Timebox("bounded", threads=3)
    for _ in range(10):
        with pytest.raises(Late):
            box.run(0.01, gate.wait)
    assert sum(one.name == "bounded" for one in threading.enumerate()) == 3


def test_one_thread_serves_calls_that_follow_each_other() -> None:
    box = Timebox("thrifty")
    for number in range(20):
        assert box.run(5, lambda number=number: number) == number  # type: ignore[misc]
    assert sum(one.name == "thrifty" for one in threading.enumerate()) <= 2


def test_many_callers_at_once_each_get_their_own_answer() -> None:
    box, told = Timebox("t", threads=4), []

    def ask(number: int) -> None:
        told.append(box.run(10, lambda: number) == number)

    callers = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(10)
    assert told == [True] * 50


def test_calls_made_together_take_as_long_as_the_slowest_may(gate: threading.Event) -> None:
    begun = time.monotonic()
    found = Timebox("t").together(
        0.1, {"one": lambda: 1, "none": gate.wait, "bad": fails, "slow": gate.wait}
    )
    assert time.monotonic() - begun < 1
    assert found["one"] == 1
    assert isinstance(found["bad"], TimeoutError)
    assert isinstance(found["none"], Late)
    assert isinstance(found["slow"], Late)
