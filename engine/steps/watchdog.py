"""Time limits for user code, kept by one thread that interrupts only inside it.

Dramatiq's own limit is per message and raises anywhere, also inside our commit. Here a thread is
interrupted only between entering ``fn`` and leaving it, and at most once a call: that is what
makes leaving safe without a lock around every line.
"""

from __future__ import annotations

import ctypes
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from engine.errors import Cut, EngineError, Interrupted, TimedOut, Unsupported
from engine.steps.threads import start_vital

T = TypeVar("T")

POLL_SECONDS = 0.25
GRACE_SECONDS = 5.0

_log = logging.getLogger(__name__)


class _Entry:
    __slots__ = ("cause", "cut_at", "deadline", "inside", "interrupted", "seconds", "thread")

    def __init__(self, seconds: float, interrupted: Callable[[], bool]) -> None:
        self.thread = threading.get_ident()
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds
        self.interrupted = interrupted
        self.inside = False
        self.cause: EngineError | None = None
        self.cut_at = 0.0


# Wakers by thread: how to rouse a thread that waits in C, where no exception reaches it.
_wakers: dict[int, list[Callable[[], object]]] = {}
_wakers_lock = threading.Lock()


@contextmanager
def waking(waker: Callable[[], object]) -> Iterator[None]:
    """Have ``waker`` called, from another thread, when the code inside is interrupted.

    For code that waits for somebody else: the interruption alone would be seen only when that
    one has answered.
    """
    thread = threading.get_ident()
    with _wakers_lock:
        _wakers.setdefault(thread, []).append(waker)
    try:
        yield
    finally:
        with _wakers_lock:
            left = [one for one in _wakers.pop(thread, ()) if one is not waker]
            if left:
                _wakers[thread] = left


class Watchdog:
    """One daemon thread for all calls of a process; it starts with the first call."""

    def __init__(self, *, poll: float = POLL_SECONDS, grace: float = GRACE_SECONDS) -> None:
        self._poll = poll
        self._grace = grace
        self._lock = threading.Lock()
        self._entries: set[_Entry] = set()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    @property
    def stuck(self) -> int:
        """How many threads have ignored their interruption for longer than the grace."""
        late = time.monotonic() - self._grace
        with self._lock:
            return sum(1 for entry in self._entries if entry.cause and entry.cut_at < late)

    def call(self, fn: Callable[[], T], *, seconds: float, interrupted: Callable[[], bool]) -> T:
        """Return ``fn()``, run in this thread.

        Args:
            fn: the user code.
            seconds: how long it may take; kept to within the poll of 0.25 s.
            interrupted: asked in the watchdog's thread at each poll; must be quick.

        Raises:
            TimedOut: it took longer, even if it returned in the end.
            Interrupted: ``interrupted`` said so.
        """
        result: T | None = None
        error: BaseException | None = None
        entry = _Entry(seconds, interrupted)
        self._enter(entry)
        try:
            try:
                entry.inside = True  # only from here on is a Cut caught by what follows
                result = fn()
            except BaseException as caught:
                error = caught
            self._leave(entry)
        except Cut as cut:
            # It came between the end of fn and the end of _leave. It is the only one there is.
            error = cut
            self._leave(entry)
        try:
            if entry.cause is not None:
                raise entry.cause from error
            if error is not None:
                raise error
        finally:
            # The frame would hold the error and the error the frame: a cycle for each failure.
            del error
        return result  # type: ignore[return-value]  # no error: fn has returned a T

    def close(self) -> None:
        """End the thread; calls under way run on unwatched."""
        self._closed.set()

    def _enter(self, entry: _Entry) -> None:
        with self._lock:
            self._entries.add(entry)
            if self._thread is None:
                self._thread = start_vital("watchdog", self._watch)

    def _leave(self, entry: _Entry) -> None:
        with self._lock:
            entry.inside = False
            self._entries.discard(entry)
            if entry.cause is not None:
                # Not raised yet? Then it must never be: the next line to run is not user code.
                interrupt(entry.thread, None)
                # It may have struck where `waking` tidies up.
                with _wakers_lock:
                    _wakers.pop(entry.thread, None)

    def _watch(self) -> None:
        while not self._closed.wait(self._poll):
            now = time.monotonic()
            with self._lock:
                open_entries = [entry for entry in self._entries if entry.cause is None]
            for entry in open_entries:
                cause = self._cause(entry, now)
                if cause is not None:
                    self._cut(entry, cause)
                    _wake(entry.thread)

    def _cause(self, entry: _Entry, now: float) -> EngineError | None:
        if now >= entry.deadline:
            return TimedOut(entry.seconds)
        try:
            if entry.interrupted():
                return Interrupted("the attempt was interrupted: its execution no longer wants it")
        except Exception:
            # One bad callback must not leave every other call of this process unwatched.
            _log.exception("asking whether an attempt is still wanted failed; asking again")
        return None

    def _cut(self, entry: _Entry, cause: EngineError) -> None:
        with self._lock:
            if not entry.inside:
                return
            entry.cause = cause
            entry.cut_at = time.monotonic()
            interrupt(entry.thread, Cut)


def _wake(thread: int) -> None:
    with _wakers_lock:
        wakers = list(_wakers.get(thread, ()))
    for waker in wakers:
        try:
            waker()
        except Exception:
            # As above: whom it wakes stays where it is, and all others are still watched.
            _log.exception("waking an attempt that is interrupted failed")


def interrupt(thread: int, error: type[BaseException] | None) -> None:
    """Have ``error`` raised in another thread at its next line of Python; None: not after all.

    Raises:
        Unsupported: this Python cannot.
    """
    # Source: https://docs.python.org/3.11/c-api/init.html (PyThreadState_SetAsyncExc; NULL clears)
    if sys.implementation.name != "cpython":
        raise Unsupported("interrupting a step needs CPython", hint="run the worker with CPython")
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if error is None else ctypes.py_object(error)
    )
