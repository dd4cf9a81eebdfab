"""One process: started, listened to, restarted alone when it dies, stopped with its helpers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from engine_app.supervisor.console import LineBuffer, Lines
from engine_app.supervisor.forks import Copy
from engine_app.supervisor.pidfile import kill_group
from engine_app.supervisor.programs import Program

_GUARD = str(Path(__file__).with_name("guard.py"))
_FIRST_WAIT = 0.25  # seconds before a restart; doubled for each death in a row
_LONGEST_WAIT = 10.0
_STEADY = 30.0  # seconds of life after which a death counts as the first again


class Child:
    """A program and its current process.

    Must be started from the supervisor's main thread: the kernel ends a child when the
    *thread* that made it ends.

    Args:
        program: what to run.
        environment: what it is started with.
        lines: where what it prints goes.
        copies: run a Python program in a copy of this process instead of starting it afresh.
    """

    def __init__(
        self,
        program: Program,
        environment: Mapping[str, str],
        lines: Lines,
        *,
        copies: bool = False,
    ) -> None:
        self.program = program
        self.deaths = 0  # in a row
        self.workers: set[int] = set()  # process ids under which it may be in the workers' table
        self._children: set[int] = set()  # as of the last look
        self._environment = environment
        self._copied = copies and program.command[0] == sys.executable
        self._lines = lines
        self._buffer = LineBuffer(lambda line: lines.say(line, name=program.name))
        self._process: subprocess.Popen[bytes] | Copy | None = None
        self._started = 0.0
        self._due = 0.0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process else None

    @property
    def output(self) -> int | None:
        """The descriptor of what it prints, while it runs."""
        return self._process.stdout.fileno() if self._process and self._process.stdout else None

    @property
    def is_due(self) -> bool:
        """Whether it should be started now."""
        return self._process is None and time.monotonic() >= self._due

    def start(self) -> None:
        """Start the process, in a group of its own that can be ended as a whole."""
        if self._copied:
            self._process = Copy(self.program, self._environment)
        else:
            self._process = self._start_afresh()
        os.set_blocking(self._output(), False)
        self._started = time.monotonic()

    def listen(self) -> None:
        """Print what it said since the last time."""
        if self._process is None:
            return
        try:
            while data := os.read(self._output(), 65536):
                self._buffer.feed(data)
        except BlockingIOError:
            return

    def look(self) -> None:
        """Learn under which process ids it works: dramatiq's workers are children of its master.

        Looked at again and again: the master has other helpers before it has a worker.
        """
        if self.program.works and self.pid:
            self._children = _children(self.pid)
            self.workers |= self._children

    def reap(self) -> int | None:
        """Return the exit code when it has ended, once, and end what it left behind."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._kill_groups(self._process.pid)
        self.listen()
        self._buffer.flush()
        if self._process.stdout:
            self._process.stdout.close()
        lived = time.monotonic() - self._started
        self._process = None
        self.deaths = 1 if lived > _STEADY else self.deaths + 1
        wait = min(_FIRST_WAIT * 2 ** (self.deaths - 1), _LONGEST_WAIT)
        self._due = time.monotonic() + wait
        return code

    def restart_soon(self) -> None:
        """Make the next start due at once: it ended because it was asked to."""
        self.deaths, self._due = 0, 0.0

    def stop(self) -> None:
        """Ask it to end in good order; asked twice, it ends at once."""
        if self._process:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and its helpers now."""
        if self._process:
            self.look()
            self._kill_groups(self._process.pid)

    def _kill_groups(self, leader: int) -> None:
        # A worker leads a group of its own, with what its steps have started.
        for one in (leader, *self._children):
            kill_group(one)
        self._children = set()

    def _start_afresh(self) -> subprocess.Popen[bytes]:
        tie = [sys.executable, "-I", "-S", _GUARD, str(int(signal.SIGTERM)), str(os.getpid())]
        return subprocess.Popen(  # noqa: S603  # our own command line
            [*tie, *self.program.command],
            cwd=self.program.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )

    def _output(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.fileno()


def _children(pid: int) -> set[int]:
    """Return the processes that ``pid`` has started and that still run."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        if listed.exists():  # one small file, where psutil reads every process of the machine
            return {int(child) for child in listed.read_text().split()}
        return {child.pid for child in psutil.Process(pid).children()}
    except (OSError, psutil.Error):
        return set()
