"""Keep processes running: one thread, one loop, woken by output, deaths and signals."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from types import FrameType

from engine_app.supervisor.child import Child
from engine_app.supervisor.console import Lines
from engine_app.supervisor.pidfile import Record
from engine_app.supervisor.programs import Program

_TICK = 0.5  # seconds between looks when nothing happens
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HURRY_SECONDS = 2.0  # that processes asked to end at once get to do so by themselves
_KILL_MARGIN = 3.0  # seconds beyond the drain time before a process is killed


class Signals:
    """Counts the requests to stop, and wakes a loop that sleeps on ``descriptor``."""

    def __init__(self) -> None:
        self.requests = 0
        self.descriptor, self._wake = os.pipe()
        for end in (self.descriptor, self._wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for number in _STOPPING:
            signal.signal(number, self._count)
        # Only so that the loop wakes: without a handler a death goes unheard until the next tick
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def wake(self) -> None:
        """Wake the loop; any thread may."""
        os.write(self._wake, b"\0")

    def clear(self) -> None:
        """Forget what woke the loop."""
        try:
            os.read(self.descriptor, 4096)
        except BlockingIOError:
            return

    def _count(self, _number: int, _frame: FrameType | None) -> None:
        self.requests += 1


class Supervisor:
    """The children, and what is done for each of them.

    Args:
        environment: what every child is started with.
        signals: who wants it to stop.
        record: where the children are written down.
        died: called with the process ids of a worker that has ended.
        copies: run Python programs in copies of this process, which must not have threads.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        lines: Lines,
        signals: Signals,
        record: Record,
        died: Callable[[set[int]], None],
        copies: bool = False,
    ) -> None:
        self.children: list[Child] = []
        self._environment = environment
        self._lines = lines
        self._signals = signals
        self._record = record
        self._died = died
        self._copies = copies

    def add(self, program: Program) -> Child:
        """Start a program and keep it running from now on."""
        child = Child(program, self._environment, self._lines, copies=self._copies)
        self.children.append(child)
        self._start(child)
        return child

    def turn(self) -> None:
        """Wait for something to happen, and see to it."""
        self._wait(_TICK)
        for child in self.children:
            child.listen()
            child.look()
            code = child.reap()
            if code is not None:
                self._bury(child)
                self._write_down()
                self._lines.say(f"{child.program.name} {_end(code)}, starting it again")
        for child in self.children:
            if child.is_due:
                self._start(child)

    def restart(self, names: Callable[[str], bool], seconds: float) -> None:
        """Stop the named children in good order; the next turn starts them again."""
        chosen = [child for child in self.children if names(child.program.name)]
        self._end(chosen, seconds)
        for child in chosen:
            child.restart_soon()

    def stop(self, seconds: float) -> None:
        """Stop everything: first who works, then what they need. A second request: at once."""
        servers = [child for child in self.children if child.program.name == "valkey"]
        self._end([child for child in self.children if child not in servers], seconds)
        self._end(servers, seconds)
        self._record.clear()

    def _end(self, children: list[Child], seconds: float) -> None:
        asked = self._signals.requests
        deadline = time.monotonic() + seconds + _KILL_MARGIN
        for child in children:
            child.look()
            child.stop()
        hurried = False
        while alive := [child for child in children if child.pid is not None]:
            if not hurried and self._signals.requests > max(asked, 1):
                hurried = True
                # Asked a second time a worker gives its claims back and ends: the next one takes
                # them up at once, where a killed one's would wait to be found.
                deadline = min(deadline, time.monotonic() + _HURRY_SECONDS)
                for child in alive:
                    self._lines.say(f"{child.program.name} is ended at once")
                    child.stop()
            if time.monotonic() > deadline:
                for child in alive:
                    if not hurried:
                        self._lines.say(f"{child.program.name} is ended at once")
                    child.kill()
            self._wait(0.1)
            for child in alive:
                child.listen()
                if child.reap() is not None:
                    self._bury(child)

    def _start(self, child: Child) -> None:
        child.start()
        self._write_down()

    def _write_down(self) -> None:
        alive = {one.program.name: pid for one in self.children if (pid := one.pid) is not None}
        self._record.write(alive)

    def _bury(self, child: Child) -> None:
        if child.workers:
            self._died(child.workers)
            child.workers = set()

    def _wait(self, seconds: float) -> None:
        outputs = [output for child in self.children if (output := child.output) is not None]
        select.select([self._signals.descriptor, *outputs], [], [], seconds)
        self._signals.clear()


def _end(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
