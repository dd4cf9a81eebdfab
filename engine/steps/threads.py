"""Threads that user code starts belong to the attempt that starts them.

Python starts a thread, and runs a call in a pool of threads, without the context of who asked for
it (``asyncio.to_thread`` alone hands it on): ``context`` would mean nothing there, and what is
said there would be lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_start = threading.Thread.start
_submit = ThreadPoolExecutor.submit


def install(in_attempt: Callable[[], bool]) -> None:
    """Have threads, and calls in pools, take along the context of code that is ``in_attempt``."""

    def start(thread: threading.Thread) -> None:
        if in_attempt():
            _take_along(thread, copy_context())
        _start(thread)

    def submit(
        pool: ThreadPoolExecutor, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        if not in_attempt():
            return _submit(pool, fn, *args, **kwargs)
        # The pool's thread was started for another call, perhaps of another attempt.
        context = copy_context()
        return _submit(pool, lambda: context.run(fn, *args, **kwargs))

    threading.Thread.start = start  # type: ignore[method-assign,assignment]
    ThreadPoolExecutor.submit = submit  # type: ignore[method-assign,assignment]


def start_apart(thread: threading.Thread) -> None:
    """Start a thread that belongs to no attempt, whoever asks for it."""
    Context().run(_start, thread)


def _take_along(thread: threading.Thread, context: Context) -> None:
    own = thread.run

    def run() -> None:
        try:
            context.run(own)
        finally:
            # Or the thread would hold itself, with all that the attempt has in its context.
            del thread.run

    # On the instance: a class of the user's own may have a `run` of its own.
    thread.run = run  # type: ignore[method-assign]
