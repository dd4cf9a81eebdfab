"""A small process that watches over a worker process from outside.

    python -I -S guardian.py WORKER SECONDS MEMORY TRACE COMMAND…

WORKER is its process id; MEMORY is a descriptor of memory that both share, TRACE one of a file for
COMMAND. The worker counts up a number there as long as any of its threads gets to run. Code that
keeps the interpreter's lock stops them all: timeouts, heartbeat, whatever would tell of it.

When the number has stood still for a third of SECONDS, COMMAND is started, with the time at which
SECONDS are over (``time.monotonic``) as its last argument: it finds out who is at fault and kills
the worker (``end_stalled``). Should that fail, the worker is killed here, a little later. When the
worker has died, however it did, the processes that its steps have started are killed.

A script of its own, with nothing but the standard library: it costs 4 MB, where a copy of the
worker would come to cost 20 MB.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

HEART, LOOKS = 0, 8  # where in the memory the worker counts its beats, and this its looks
COUNT = struct.Struct("q")
LOOKS_A_LIMIT = 12
_CALL_AT = 1 / 3  # of the limit
_GIVE_UP_AT = 1.5


def main(worker: str, seconds: str, memory: str, trace: str, *command: str) -> None:
    """Watch until the worker has ended."""
    if os.fork():
        return  # the worker is not to be its parent: code that waits for any child would wait
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with its worker, not before
    pid = int(worker)
    with _death_of(pid) as death, mmap.mmap(int(memory), 0) as shared:
        family = Family(pid)
        watch = Watch(pid, float(seconds), shared, command, (int(memory), int(trace)))
        while not _comes(death, watch.pause):
            watch.look()
            family.look()
        family.end()


class Watch:
    """Looks at the number in the memory."""

    def __init__(
        self,
        pid: int,
        limit: float,
        shared: mmap.mmap,
        command: Sequence[str],
        descriptors: Sequence[int],
    ) -> None:
        self.pause = limit / LOOKS_A_LIMIT
        self._pid = pid
        self._limit = limit
        self._shared = shared
        self._command = command
        self._descriptors = descriptors
        self._last = 0
        self._silent = 0.0
        self._called: subprocess.Popen[bytes] | None = None

    def look(self) -> None:
        """See whether the number has changed, and do what is due."""
        _add_one(self._shared, LOOKS)
        beats = count(self._shared, HEART)
        if beats != self._last or beats == 0 or _is_stopped(self._pid):
            self._last, self._silent = beats, 0.0
            if self._called is not None and self._called.poll() is not None:
                self._called = None  # it found that the worker goes on
            return
        # By looks, not by a clock: a machine that was asleep has not stood still.
        self._silent += self.pause
        if self._called is None and self._silent >= self._limit * _CALL_AT:
            self._called = self._call()
        if self._silent >= self._limit * _GIVE_UP_AT:
            kill(self._pid)

    def _call(self) -> subprocess.Popen[bytes]:
        over = time.monotonic() + self._limit - self._silent
        return subprocess.Popen(  # noqa: S603  # the engine's own command line
            [*self._command, str(over)], pass_fds=self._descriptors, stdin=subprocess.DEVNULL
        )


def count(shared: mmap.mmap, where: int) -> int:
    """Return one of the two numbers."""
    return int(COUNT.unpack_from(shared, where)[0])


def _add_one(shared: mmap.mmap, where: int) -> None:
    COUNT.pack_into(shared, where, count(shared, where) + 1)


class Family:
    """The processes that a worker's steps have started, also those in sessions of their own."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._known: dict[int, bytes] = {}  # with the time of their start: numbers are used again

    def look(self) -> None:
        """Take note of those that are there."""
        found = _descendants_of(self._pid)
        # One whose parent has ended is still the worker's, but no more to be found by it.
        orphans = [pid for pid, start in self._known.items() if pid not in found]
        known = {pid: self._known[pid] for pid in orphans if _start_of(pid) == self._known[pid]}
        self._known = known | {pid: start for pid in found if (start := _start_of(pid))}

    def end(self) -> None:
        """Kill them all: the worker is gone, and they were its own."""
        with contextlib.suppress(OSError):
            os.killpg(self._pid, signal.SIGKILL)
        for pid, start in self._known.items():
            for one in (pid, *_descendants_of(pid)):
                if one != pid or _start_of(pid) == start:
                    kill(one)


def kill(pid: int) -> None:
    """End a process at once, if it is still there."""
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


# --- asking the kernel ----------------------------------------------------------------------------


@contextlib.contextmanager
def _death_of(pid: int) -> Iterator[int]:
    """Yield a descriptor that can be read once the process has ended."""
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _comes(descriptor: int, seconds: float) -> bool:
    readable, _, _ = select.select([descriptor], [], [], seconds)
    return bool(readable)


def stat(folder: str) -> list[bytes]:
    """Return what the kernel says of a process or thread, from its state on.

    Source: proc_pid_stat(5); the first word here is the third there.
    """
    with open(f"{folder}/stat", "rb") as file:
        # Its name, in brackets, may hold anything; what follows it are words.
        return file.read().rpartition(b")")[2].split()


def _is_stopped(pid: int) -> bool:
    """Whether somebody has stopped the process on purpose: SIGSTOP, or a debugger."""
    try:
        return stat(f"/proc/{pid}")[0] in (b"T", b"t")
    except OSError:
        return False


def _start_of(pid: int) -> bytes:
    try:
        return stat(f"/proc/{pid}")[19]
    except OSError:
        return b""


def threads_of(pid: int) -> list[int]:
    """Return the native ids of the process's threads."""
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def _descendants_of(pid: int) -> set[int]:
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        for thread in threads_of(one):
            with contextlib.suppress(OSError), open(f"/proc/{one}/task/{thread}/children") as file:
                fresh = {int(word) for word in file.read().split()} - found
                found |= fresh
                waiting += fresh
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
