"""The operating system's processes that user code starts end with its attempt.

Left alone they would go on for hours after a cancel or a timeout, and nobody would know of them.
The kernel says which thread has started which process, so attempts side by side are told apart.
Where it does not (not on Linux), what a step starts ends with its worker only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, Token
from types import TracebackType

import psutil

from engine.steps.threads import start_own

TERM_SECONDS = 2.0  # between SIGTERM and SIGKILL
_POLL_SECONDS = 0.05
# Helpers that Python starts once for a whole process; their command lines name them.
_SHARED = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")

_current: ContextVar[Processes | None] = ContextVar("attempt_processes", default=None)

# Called with the native id of a thread that begins to work for an attempt; what it returns is
# called when it has ended that.
Mark = Callable[[int], Callable[[], None]]


def current() -> Processes | None:
    """Return those of the attempt that this code belongs to."""
    return _current.get()


def work(*, alone: bool = True) -> AbstractContextManager[None]:
    """Return what a thread enters to work for the attempt that this code belongs to, if any."""
    attempt = _current.get()
    return nullcontext() if attempt is None else attempt.work(alone=alone)


class Processes:
    """What one attempt has started, by itself and by threads that work for it.

    Args:
        tell: called with the command line of each process before it is ended.
        mark: told which threads work for the attempt.
    """

    def __init__(self, tell: Callable[[str], None], mark: Mark | None = None) -> None:
        self._tell = tell
        self._mark = mark
        self._lock = threading.Lock()
        self._ending = threading.Lock()
        self._had_before: dict[int, frozenset[int]] = {}  # by thread
        self._noted: set[psutil.Process] = set()
        self._told: set[psutil.Process] = set()  # to end
        self._over = False

    def work(self, *, alone: bool = True) -> Work:
        """Return what a thread enters to work for the attempt.

        Not ``alone``: it works for others at the same time, so not all that it starts is the
        attempt's.
        """
        return Work(self, alone=alone)

    def note(self, pids: Iterable[int]) -> None:
        """Take note of processes that were started for the attempt."""
        for pid in pids:
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended by itself
                process = psutil.Process(pid)
                with self._lock:
                    self._noted.add(process)
        if self._over:
            self.end()

    def end(self) -> None:
        """Ask all that run to end, and have them killed 2 s later."""
        with self._ending:
            self._end(self._running())

    def close(self) -> None:
        """End what an attempt that is over has left running.

        Not processes of ``multiprocessing``: their pool may be a module's, and serve others.
        """
        self._over = True
        with self._ending:  # what is being ended has been told of then
            if running := self._running():
                pools = _of_pools()
                self._end([one for one in running if one.pid not in pools])

    def _end(self, running: Collection[psutil.Process]) -> None:
        fresh = [one for one in running if one not in self._told]  # twice may mean: without ado
        self._told.update(fresh)
        for one in fresh:
            self._tell(_line_of(one))
        _end(fresh)

    def _running(self) -> list[psutil.Process]:
        with self._lock:
            found = set(self._noted)
            threads = list(self._had_before.items())
        for thread, before in threads:
            for pid in _children_of(thread) - before:
                with contextlib.suppress(psutil.NoSuchProcess):
                    found.add(psutil.Process(pid))
        return [one for one in found if _runs(one) and not _is_shared(one)]


class Work:
    """A thread's work for an attempt: what it starts meanwhile is the attempt's."""

    __slots__ = ("_alone", "_of", "_thread", "_token", "_unmark")

    def __init__(self, of: Processes, *, alone: bool) -> None:
        self._of = of
        self._alone = alone

    def __enter__(self) -> None:
        of = self._of
        self._thread = threading.get_native_id()
        self._token: Token[Processes | None] = _current.set(of)
        self._unmark = None if of._mark is None else of._mark(self._thread)
        if self._alone:
            of._had_before[self._thread] = _own.children()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        of = self._of
        if self._alone:
            left = _own.children() - of._had_before.pop(self._thread, frozenset())
            if left:
                of.note(left)
        if self._unmark is not None:
            self._unmark()
        _current.reset(self._token)


# --- ending -------------------------------------------------------------------------------------


def _end(processes: Iterable[psutil.Process]) -> None:
    ending = [one for process in processes for one in (process, *_descendants(process))]
    for one in ending:
        _send(one, signal.SIGTERM)
    if ending:
        start_own("end-processes", lambda: _kill_later(ending))


def _kill_later(processes: Collection[psutil.Process]) -> None:
    until = time.monotonic() + TERM_SECONDS
    while time.monotonic() < until and any(map(_runs, processes)):
        time.sleep(_POLL_SECONDS)
    for process in processes:
        # What they have started since then too: a shell may go on with its next command.
        for one in (process, *_descendants(process)):
            _send(one, signal.SIGKILL)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    # psutil compares the time of its start: the number may be another's by now.
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process.send_signal(number)


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _runs(process: psutil.Process) -> bool:
    # Never waited for here: whoever started it would not learn its exit code then.
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _line_of(process: psutil.Process) -> str:
    try:
        # For an instant after it was started a process has a name, and no command line yet.
        line = " ".join(process.cmdline()) or process.name()
        return f"{line[:200]} ({process.pid})"
    except psutil.Error:
        return str(process.pid)


# --- whose --------------------------------------------------------------------------------------


def _is_shared(process: psutil.Process) -> bool:
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return any(name in line for name in _SHARED)


def _of_pools() -> set[int]:
    # Here, for few workers ever need it.
    import multiprocessing  # noqa: PLC0415

    return {one.pid for one in multiprocessing.active_children() if one.pid is not None}


class _OwnChildren(threading.local):
    """Asks the kernel which processes this thread has started, at half a microsecond a question:
    the file stays open as long as the thread lives."""

    def __init__(self) -> None:
        self._descriptor = -1
        with contextlib.suppress(OSError):  # not on Linux, or a kernel without it
            self._descriptor = os.open(_file_of(threading.get_native_id()), os.O_RDONLY)

    def children(self) -> frozenset[int]:
        if self._descriptor < 0:
            return frozenset()
        text = os.pread(self._descriptor, _READ, 0)
        if not text:
            return _NONE
        if len(text) == _READ:  # there are more
            return _children_of(threading.get_native_id())
        return frozenset(map(int, text.split()))

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


_NONE: frozenset[int] = frozenset()
_READ = 4096  # bytes


def _children_of(thread: int) -> frozenset[int]:
    try:
        with open(_file_of(thread), "rb") as file:
            return frozenset(map(int, file.read().split()))
    except OSError:
        return _NONE  # the thread has ended: what it left behind was noted


def _file_of(thread: int) -> str:
    return f"/proc/self/task/{thread}/children"


_own = _OwnChildren()
