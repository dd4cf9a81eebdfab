"""Wait so long for a call and no longer, whatever it does: a socket's own limits are those of one
read or write, and a server that lets through a byte a second never meets them.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any, TypeVar

T = TypeVar("T")


class Late(Exception):
    """The call had not returned by its time. It may go on; nobody hears what comes of it."""


class Timebox:
    """Makes calls in threads of its own and waits for each only so long. Thread-safe.

    The threads are daemons: a process whose call never returns can end all the same, which those of
    ``concurrent.futures`` keep it from. While all of them are taken, further calls are late, and
    are not made any more once nobody waits for them.
    """

    def __init__(self, name: str, *, threads: int = 16) -> None:
        self._name = name
        self._room = threads
        self._lock = threading.Lock()
        self._free = threading.Semaphore(0)  # threads that wait for a call
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()

    def run(self, seconds: float, call: Callable[[], T]) -> T:
        """Return what ``call`` returns, within ``seconds``; what it raises is raised.

        Raises:
            Late: it had not returned by then.
        """
        return self._outcome(self._begin(call), seconds)

    def together(
        self, seconds: float, calls: Mapping[str, Callable[[], T]]
    ) -> dict[str, T | Exception]:
        """Make all calls at once; return by name what each returned, or raised, or ``Late``."""
        begun = {name: self._begin(call) for name, call in calls.items()}
        wait(begun.values(), seconds)
        return {name: self._found(future) for name, future in begun.items()}

    def _found(self, future: Future[Any]) -> Any:
        try:
            return self._outcome(future, 0)
        except Exception as error:
            return error

    @staticmethod
    def _outcome(future: Future[T], seconds: float) -> T:
        wait([future], seconds)
        if not future.done():
            future.cancel()  # one that has not begun never does
            raise Late("it has not answered in time")
        return future.result()

    def _begin(self, call: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        self._calls.put((future, call))
        if not self._free.acquire(blocking=False):
            with self._lock:
                starts, self._room = self._room > 0, max(self._room - 1, 0)
            if starts:
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            try:
                future, call = self._calls.get_nowait()
            except queue.Empty:
                self._free.release()
                future, call = self._calls.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
