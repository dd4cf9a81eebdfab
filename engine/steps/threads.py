"""Threads: those that user code starts belong to its attempt, those of the engine to nobody.

Python starts a thread, and runs a call in a pool of threads, without the context of who asked for
it (``asyncio.to_thread`` alone hands it on): ``context`` would mean nothing there, and what is
said there would be lost.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import Context, copy_context
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_start = threading.Thread.start
_submit = ThreadPoolExecutor.submit
_log = logging.getLogger(__name__)


Work = Callable[[], AbstractContextManager[Any]]


def install(in_attempt: Callable[[], bool], work: Work) -> None:
    """Have threads, and calls in pools, take along the context of code that is ``in_attempt``, and
    enter ``work()`` in it."""

    def start(thread: threading.Thread) -> None:
        if in_attempt():
            _take_along(thread, copy_context(), work)
        _start(thread)

    def submit(
        pool: ThreadPoolExecutor, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        if not in_attempt():
            return _submit(pool, fn, *args, **kwargs)
        # The pool's thread was started for another call, perhaps of another attempt.
        context = copy_context()

        def call() -> T:
            with work():
                return fn(*args, **kwargs)

        return _submit(pool, lambda: context.run(call))

    threading.Thread.start = start  # type: ignore[method-assign,assignment]
    ThreadPoolExecutor.submit = submit  # type: ignore[method-assign,assignment]


def _take_along(thread: threading.Thread, context: Context, work: Work) -> None:
    own = thread.run

    def inside() -> None:
        with work():
            own()

    def run() -> None:
        try:
            context.run(inside)
        finally:
            # Or the thread would hold itself, with all that the attempt has in its context.
            del thread.run

    # On the instance: a class of the user's own may have a `run` of its own.
    thread.run = run  # type: ignore[method-assign]


# --- the engine's own -----------------------------------------------------------------------------


def start_own(name: str, work: Callable[[], None]) -> threading.Thread:
    """Start a thread of the engine's own: it belongs to no attempt, whoever asks for it, and ends
    with the process at the latest."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    Context().run(_start, thread)
    return thread


def start_vital(name: str, work: Callable[[], None]) -> threading.Thread:
    """The same, of a thread without which the process is not whole: should ``work`` raise, what
    ``on_death`` was given is called."""

    def watched() -> None:
        try:
            work()
        except BaseException as error:
            _log.critical("thread %s has ended", name, exc_info=error)
            _on_death(name, error)

    return start_own(name, watched)


def _nobody(_name: str, _error: BaseException) -> None:
    return None


_on_death: Callable[[str, BaseException], None] = _nobody


def on_death(call: Callable[[str, BaseException], None]) -> None:
    """Have ``call`` called with the name of a vital thread that has ended, and with why."""
    global _on_death  # noqa: PLW0603  # a process has one owner
    _on_death = call
