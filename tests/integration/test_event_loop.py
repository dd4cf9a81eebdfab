"""The coroutines of all attempts run on one loop; none can end it, or hold it up for ever."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from engine.steps import event_loop
from engine.steps.context import context
from engine.steps.event_loop import EventLoop
from engine.worker.attempt import Cancelled
from engine.worker.claim_registry import Stop
from tests.support.attempts import attempt, failure, in_thread, new_claim, returned, said
from tests.support.processes import eventually

# As a module keeps them: an object of asyncio that serves all its steps.
_gate = asyncio.Semaphore(2)
_queue: asyncio.Queue[int] = asyncio.Queue()


async def through_the_gate(number: int) -> int:
    """Wait for one of two places."""
    async with _gate:
        await asyncio.sleep(0.01)
        return number


def test_objects_of_a_module_serve_many_attempts_side_by_side() -> None:
    with ThreadPoolExecutor(8) as pool:
        outcomes = pool.map(lambda number: attempt(through_the_gate, number=number), range(20))
        assert [returned(outcome) for outcome in outcomes] == list(range(20))


async def put(number: int) -> int:
    """Hand a number to another attempt."""
    await _queue.put(number)
    return number


async def get() -> int:
    """Take the number that another attempt hands over."""
    return await _queue.get()


def test_one_attempt_wakes_another() -> None:
    with in_thread(lambda: attempt(get)) as results:
        attempt(put, number=7)
    assert returned(results[0]) == 7


async def speaks() -> str:
    """Speak, directly and from a task of its own."""
    print(f"attempt {context.attempt}")

    async def also() -> None:
        context.log.info("from a task")

    await asyncio.create_task(also())
    await asyncio.to_thread(print, "from a thread")
    return context.idempotency_key


def test_a_coroutine_knows_its_attempt() -> None:
    claim = new_claim()
    assert returned(attempt(speaks, claim)) == "e.0.-1"
    assert [text for _, text in said(claim)] == ["attempt 2", "from a task", "from a thread"]


async def tidies_up() -> None:
    """Wait until cancelled, then tidy up with what must be awaited."""
    try:
        await asyncio.sleep(600)
    finally:
        await asyncio.sleep(0.05)
        context.log.info("tidied")


def test_a_coroutine_that_is_cancelled_tidies_up_first() -> None:
    claim = new_claim()
    with in_thread(lambda: attempt(tidies_up, claim)) as results:
        claim.stop = Stop.CANCEL
    assert results == [Cancelled()]
    assert said(claim) == [("info", "tidied")]


def test_a_coroutine_that_times_out_fails_its_attempt_alone() -> None:
    with in_thread(lambda: attempt(through_the_gate, number=1)) as results:
        assert failure(attempt(tidies_up, timeout=0.2)).reason == "timeout"
    assert returned(results[0]) == 1


class Halt(BaseException):
    """No ``except Exception`` sees it."""


async def halts() -> None:
    """Raise what ends a loop when nobody takes it."""
    raise Halt("stop")


async def exits() -> None:
    """Call sys.exit."""
    sys.exit(3)


async def exits_in_a_task() -> str:
    """Call sys.exit in a task that nobody awaits."""
    task = asyncio.create_task(exits())
    await asyncio.sleep(0.01)
    return "went on" if task.done() else "did not end"


async def stops_the_loop() -> str:
    """Stop the loop that all others run on."""
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)
    return "went on"


@pytest.mark.parametrize(
    ("function", "came"),
    [(halts, "Halt"), (exits, "StepError"), (exits_in_a_task, None), (stops_the_loop, None)],
)
def test_no_coroutine_ends_the_loop(function: Callable[..., Any], came: str | None) -> None:
    outcome = attempt(function)
    if came is None:
        assert returned(outcome) == "went on"
    else:
        assert failure(outcome).type == came
    assert returned(attempt(through_the_gate, number=1)) == 1


_word: contextvars.ContextVar[str] = contextvars.ContextVar("word", default="none")


async def sets_a_word() -> str:
    """Leave a word where the next attempt could find it."""
    before = _word.get()
    _word.set("left over")
    return before


def test_what_one_attempt_sets_in_its_context_no_other_sees() -> None:
    assert [returned(attempt(sets_a_word)) for _ in range(2)] == ["none", "none"]


# --- held up -------------------------------------------------------------------------------------


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> EventLoop:
    """A loop of this test's own, which is soon found to be blocked."""
    fresh = EventLoop(look=0.05, blocked=0.2, lost=1.0)
    monkeypatch.setattr(event_loop, "_shared", fresh)
    return fresh


_release = threading.Event()


async def blocks_in_c() -> str:
    """Keep the loop to itself without a line of Python."""
    _release.wait(30)
    return "released"


async def blocks_in_python() -> None:
    """The same in Python."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        pass


@pytest.fixture
def released() -> Iterator[None]:
    """Whatever the test shows, nobody blocks for ever."""
    _release.clear()
    yield
    _release.set()


def test_a_coroutine_that_blocks_is_told_in_its_log(loop: EventLoop, released: None) -> None:
    claim = new_claim()
    with in_thread(lambda: attempt(blocks_in_c, claim)) as results:
        eventually(lambda: claim.log._lines, seconds=10, what="it is told")
        _release.set()
    assert returned(results[0]) == "released"
    ((level, text),) = said(claim)
    assert level == "warning"
    assert "asyncio.to_thread" in text
    assert not loop.is_lost


def test_one_that_blocks_in_python_ends_at_its_timeout_and_the_others_go_on(
    loop: EventLoop,
) -> None:
    with in_thread(lambda: attempt(blocks_in_python, timeout=0.5)) as results:
        assert returned(attempt(through_the_gate, number=1)) == 1
    assert failure(results[0]).reason == "timeout"
    assert not loop.is_lost


def test_one_that_blocks_in_c_fails_at_its_timeout_though_nothing_can_interrupt_it(
    loop: EventLoop, released: None
) -> None:
    assert failure(attempt(blocks_in_c, timeout=0.3)).reason == "timeout"


def test_a_loop_that_is_blocked_for_good_is_lost_and_who_blocked_it_fails(
    loop: EventLoop, released: None
) -> None:
    outcome = failure(attempt(blocks_in_c))
    assert outcome.type == "EventLoopBlocked"
    assert outcome.retryable
    assert loop.is_lost
