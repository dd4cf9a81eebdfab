"""User code is interrupted while it is inside, and nothing else ever is."""

from __future__ import annotations

import asyncio
import threading
import time
import timeit
from collections.abc import Iterator

import pytest

from engine.errors import Cut, Interrupted, TimedOut
from engine.steps import event_loop
from engine.steps import watchdog as watchdogs
from engine.steps.watchdog import Watchdog, waking


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    made = Watchdog(poll=0.01, grace=0.05)
    yield made
    made.close()


def _never() -> bool:
    return False


def _spin(seconds: float = 5) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return "over"


def test_what_is_quick_returns_or_raises_as_it_is(watchdog: Watchdog) -> None:
    assert watchdog.call(lambda: 7, seconds=5, interrupted=_never) == 7
    with pytest.raises(ZeroDivisionError):
        watchdog.call(lambda: 1 / 0, seconds=5, interrupted=_never)


def test_code_over_its_timeout_is_interrupted(watchdog: Watchdog) -> None:
    began = time.monotonic()
    with pytest.raises(TimedOut, match=r"timeout of 0\.05 s") as caught:
        watchdog.call(_spin, seconds=0.05, interrupted=_never)
    assert time.monotonic() - began < 2
    assert (caught.value.reason, caught.value.retryable) == ("timeout", True)


def test_code_that_is_no_longer_wanted_is_interrupted(watchdog: Watchdog) -> None:
    unwanted = threading.Event()
    threading.Timer(0.05, unwanted.set).start()
    with pytest.raises(Interrupted):
        watchdog.call(_spin, seconds=60, interrupted=unwanted.is_set)


def test_the_interrupted_code_may_clean_up(watchdog: Watchdog) -> None:
    cleaned = []

    def careful() -> None:
        try:
            _spin()
        finally:
            cleaned.append(True)

    with pytest.raises(TimedOut):
        watchdog.call(careful, seconds=0.02, interrupted=_never)
    assert cleaned == [True]


def test_except_exception_does_not_hold_the_interruption_up(watchdog: Watchdog) -> None:
    def stubborn() -> None:
        while True:
            try:
                _spin()
            except Exception:
                continue

    with pytest.raises(TimedOut):
        watchdog.call(stubborn, seconds=0.02, interrupted=_never)


def test_a_thread_that_ignores_its_interruption_counts_as_stuck_until_it_ends(
    watchdog: Watchdog,
) -> None:
    go_on = threading.Event()
    outcome: list[BaseException] = []

    def deaf() -> str:
        try:
            _spin()
        except Cut:
            go_on.wait(10)
        return "too late"

    def work() -> None:
        try:
            watchdog.call(deaf, seconds=0.02, interrupted=_never)
        except TimedOut as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    _until(lambda: watchdog.stuck == 1)
    go_on.set()
    thread.join(5)
    assert watchdog.stuck == 0
    assert len(outcome) == 1, "a result after the timeout is a timeout all the same"


def test_a_coroutine_that_waits_is_interrupted(watchdog: Watchdog) -> None:
    cleaned = []

    async def waits() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            cleaned.append(True)

    began = time.monotonic()
    with pytest.raises(TimedOut):
        watchdog.call(lambda: event_loop.run(waits()), seconds=0.05, interrupted=_never)
    assert time.monotonic() - began < 5
    assert cleaned == [True]


def test_a_callback_that_fails_leaves_the_other_calls_watched(watchdog: Watchdog) -> None:
    def broken() -> bool:
        raise OSError("the database is away")

    with pytest.raises(TimedOut):
        watchdog.call(_spin, seconds=0.05, interrupted=broken)


def test_a_waker_that_fails_leaves_the_other_calls_watched(watchdog: Watchdog) -> None:
    def broken() -> None:
        raise OSError("the process is gone")

    with pytest.raises(TimedOut), waking(broken):
        watchdog.call(_spin, seconds=0.05, interrupted=_never)
    with pytest.raises(TimedOut):
        watchdog.call(_spin, seconds=0.05, interrupted=_never)


def test_all_wakers_of_a_thread_are_called_the_inner_one_gone_when_it_has_ended(
    watchdog: Watchdog,
) -> None:
    woken: list[str] = []

    def call() -> None:
        with waking(lambda: woken.append("gone")):
            pass
        with waking(lambda: woken.append("inner")):
            watchdog.call(_spin, seconds=0.05, interrupted=_never)

    with waking(lambda: woken.append("outer")), pytest.raises(TimedOut):
        call()
    assert woken == ["outer", "inner"]


def test_code_that_ends_between_decision_and_interruption_is_cut_before_it_has_left(
    watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    real = watchdogs.interrupt

    def slow(thread: int, error: type[BaseException] | None) -> None:
        if error is not None:
            assert ended.wait(5)
            threading.Event().wait(0.05)  # time enough to leave, were leaving not guarded
        real(thread, error)

    def ends() -> None:
        _spin(0.1)
        ended.set()

    monkeypatch.setattr(watchdogs, "interrupt", slow)
    with pytest.raises(TimedOut):
        watchdog.call(ends, seconds=0.02, interrupted=_never)
    threading.Event().wait(0.1)
    sum(range(1000))  # where a late interruption would strike


def test_leaving_at_the_very_moment_of_the_interruption_leaves_nothing_behind() -> None:
    """Thousands of calls end around their deadline: none may be cut after it has left."""
    watchdog = Watchdog(poll=0.0005)
    late: list[BaseException] = []
    counts = {"whole": 0, "cut": 0}

    def work() -> None:
        try:
            end = time.monotonic() + 0.7
            number = 0
            while time.monotonic() < end:
                number += 1
                length = 0.0004 + (number % 7) * 0.0001
                try:
                    watchdog.call(lambda: _spin(length), seconds=0.0006, interrupted=_never)  # noqa: B023
                    counts["whole"] += 1
                except TimedOut:
                    counts["cut"] += 1
                sum(range(200))  # where a stray interruption would strike
        except BaseException as error:
            late.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    watchdog.close()
    assert late == []
    assert counts["whole"] > 20, counts
    assert counts["cut"] > 20, counts
    assert watchdog.stuck == 0


def test_a_quick_call_costs_microseconds(watchdog: Watchdog) -> None:
    calls = 5_000
    best = min(
        timeit.repeat(
            lambda: watchdog.call(int, seconds=60, interrupted=_never), number=calls, repeat=5
        )
    )
    assert best / calls < 50e-6, "ten times what it takes, for slow machines"


def _until(condition: object, seconds: float = 5) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    wait = threading.Event()
    while not condition():
        assert time.monotonic() < end, "it never came true"
        wait.wait(0.005)
