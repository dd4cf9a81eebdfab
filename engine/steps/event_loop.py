"""The one event loop of this process: the coroutines of all its attempts run on it.

Clients, locks and pools of asyncio belong to the loop that first used them. With a loop for each
attempt, those that a module keeps would serve one attempt and fail or hang in the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future, InvalidStateError
from typing import Any

from engine.errors import Cut, EventLoopBlocked
from engine.steps import capture, processes
from engine.steps.threads import start_vital
from engine.steps.watchdog import interrupt, waking

LOOK_SECONDS = 1.0
BLOCKED_SECONDS = 5.0  # without a turn of the loop: a coroutine holds all others up
LOST_SECONDS = 30.0  # then the loop counts as lost, and its worker starts afresh

_log = logging.getLogger(__name__)


class EventLoop:
    """A loop in a thread of its own; both begin with the first call."""

    def __init__(
        self,
        *,
        blocked: float = BLOCKED_SECONDS,
        lost: float = LOST_SECONDS,
        look: float = LOOK_SECONDS,
    ) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls: dict[asyncio.Task[None], _Call] = {}
        self._turned = 0.0
        self._thread = 0
        self._blocked_after, self._lost_after, self._look = blocked, lost, look
        self.is_lost = False

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Return what the coroutine returns, or raise what it raises; to be called by a thread.

        Raises:
            EventLoopBlocked: it kept the loop to itself.
        """
        loop = self._running()
        call = _Call(coroutine, loop, self._calls)
        loop.call_soon_threadsafe(call.begin)  # takes this thread's context along
        with waking(call.cancel):
            return call.outcome.result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = loop = _Loop()
                start_vital("event-loop", lambda: self._serve(loop))
                start_vital("event-loop-watch", lambda: self._watch(loop))
            return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        self._thread = threading.get_ident()
        asyncio.set_event_loop(loop)
        while True:
            try:
                loop.run_forever()
            except BaseException as error:
                # sys.exit() in a task that user code has made ends the loop, but not its users;
                # nor does an interruption that came when its coroutine had just given way.
                _log.warning("the event loop goes on after %s", type(error).__name__)

    # --- the watch: a coroutine that never gives way holds up all others ------------------------

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            asked = time.monotonic()
            loop.call_soon_threadsafe(self._turn)
            time.sleep(self._look)
            while self._turned < asked:
                self._see_to(loop, time.monotonic() - asked)
                time.sleep(self._look)

    def _turn(self) -> None:
        self._turned = time.monotonic()

    def _see_to(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        task = asyncio.current_task(loop)
        call = None if task is None else self._calls.get(task)
        if seconds < self._blocked_after:
            return
        if call is not None:
            call.warn(seconds)
            if call.ends:
                # It was told to end, and cannot hear of it: as a thread would be interrupted.
                interrupt(self._thread, Cut)
                call.give_up(Cut())
        if seconds >= self._lost_after and not self.is_lost:
            self.is_lost = True
            _log.error("the event loop has not turned for %.0f s: it counts as lost", seconds)
            if call is not None:
                call.give_up(_blocked(seconds))


def _blocked(seconds: float) -> EventLoopBlocked:
    return EventLoopBlocked(
        f"it kept the event loop to itself for {seconds:.0f} s: no other coroutine could run",
        hint=_ADVICE,
    )


_ADVICE = "await asyncio.to_thread(…) what blocks, or write the step with `def`: it gets a thread"


class _Call:
    """One coroutine of an attempt, and the thread that waits for it."""

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        loop: asyncio.AbstractEventLoop,
        calls: dict[asyncio.Task[None], _Call],
    ) -> None:
        self.outcome: Future[Any] = Future()
        self.ends = False
        self._coroutine = coroutine
        self._loop = loop
        self._calls = calls
        self._log = capture.current()
        self._warned = False
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """On the loop: run the coroutine."""
        self._task = self._loop.create_task(self._run())
        self._calls[self._task] = self
        self._task.add_done_callback(self._calls.pop)

    async def _run(self) -> None:
        try:
            with processes.work(alone=False):
                result = await self._coroutine
        except BaseException as error:
            self.give_up(error)
        else:
            with contextlib.suppress(InvalidStateError):  # nobody waits for it any more
                self.outcome.set_result(result)

    def cancel(self) -> None:
        """From any thread: end the coroutine as asyncio does, at the point where it waits."""
        self.ends = True
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def give_up(self, error: BaseException) -> None:
        """Let the thread that waits go on with ``error``, unless it has gone on by now."""
        with contextlib.suppress(InvalidStateError):
            self.outcome.set_exception(error)

    def warn(self, seconds: float) -> None:
        """Say in the attempt's log, once, that it holds up others."""
        if not self._warned and self._log is not None:
            self._warned = True
            said = (
                f"this step has kept the event loop to itself for {seconds:.0f} s, and holds up all"
            )
            self._log.add("warning", f"{said} other coroutines of its worker: {_ADVICE}")


class _Loop(asyncio.SelectorEventLoop):
    """Takes note of the processes that coroutines start: its thread starts those of all."""

    async def subprocess_exec(self, *args: Any, **kwargs: Any) -> Any:
        transport, protocol = await super().subprocess_exec(*args, **kwargs)
        return _noted(transport), protocol

    async def subprocess_shell(self, *args: Any, **kwargs: Any) -> Any:
        transport, protocol = await super().subprocess_shell(*args, **kwargs)
        return _noted(transport), protocol


def _noted(transport: asyncio.SubprocessTransport) -> asyncio.SubprocessTransport:
    started, pid = processes.current(), transport.get_pid()
    if started is not None and pid is not None:
        started.note([pid])
    return transport


_shared = EventLoop()


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run the coroutine on this process's loop, as ``EventLoop.run`` does."""
    return _shared.run(coroutine)


def is_lost() -> bool:
    """Return whether this process's loop has stood still for so long that it counts as lost."""
    return _shared.is_lost
