"""Run a Python program in a copy of this process, so that what both import lies in memory once.

All programs of one machine import much the same. Started afresh, each holds some 60 MB of it for
itself and takes most of a second for it; a copy (fork) shares those pages until one writes to them.

Needs a process without threads: of those only the one that copies goes on in the copy, and locks
that the others held stay locked.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import NoReturn, ParamSpec, TypeVar

from engine import settings
from engine.errors import StartFailed
from engine_app.supervisor.guard import tie
from engine_app.supervisor.programs import Program

P = ParamSpec("P")
T = TypeVar("T")

# Elsewhere a process may fork, but the system's own libraries do not bear it.
POSSIBLE = sys.platform == "linux"

# What most programs import. Not the user's modules: what they open or start at import no copy
# survives, and they may change. Not `actors`: each process needs a broker with its own identity.
_SHARED = (
    "dramatiq.cli",
    "dramatiq.brokers.redis",
    "periodiq",
    "engine.commands.scheduler",
    "engine.commands.dispatch",
    "engine.recovery",
    "engine.commands.start",
    "engine.commands.missing_code",
    "engine.authoring",
    "engine.worker.run",
    "engine.worker.external_worker",
)
_DATABASES = {"sqlite": "sqlalchemy.dialects.sqlite", "postgresql": "psycopg"}
_PR_SET_NAME = 15  # Source: prctl(2)


def preload(database_url: str) -> None:
    """Import what the programs share, before the first copy is made."""
    kind = database_url.partition(":")[0].partition("+")[0]
    for name in (*_SHARED, _DATABASES[kind]):
        importlib.import_module(name)
    gc.collect()
    # The collector writes into all that it looks at; what it leaves alone stays shared.
    gc.freeze()


def apart(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call the function in a process that ends with it; return what it returns.

    What it imports and opens is gone afterwards.

    Raises:
        EngineError: the process ended before the function did.
        Exception: whatever the function raises.
    """
    context = get_context("fork" if POSSIBLE else "spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(function, *args, **kwargs).result()
        except BrokenProcessPool:
            raise StartFailed(
                f"{function.__module__}.{function.__name__} was ended while it ran",
                hint="does a module of ENGINE_MODULES end its process, or memory run out?",
            ) from None


class Copy:
    """A copy of this process that has become ``program``; to be used as ``subprocess.Popen`` is."""

    def __init__(self, program: Program, environment: Mapping[str, str]) -> None:
        ours, theirs = os.pipe()
        parent = os.getpid()
        sys.stdout.flush()  # or the copy would say it too
        with _signals_held():
            self.pid = os.fork()
            if self.pid == 0:
                _become(program, environment, output=theirs, parent=parent)
        os.close(theirs)
        self.stdout = os.fdopen(ours, "rb", buffering=0)
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code (of a signal: its number, negative) when it has ended."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let signals wait: in a young copy they would call this process's handlers."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _become(
    program: Program, environment: Mapping[str, str], *, output: int, parent: int
) -> NoReturn:
    """Run the program in this young copy, and end with it: never back into who was copied."""
    code = 1
    try:
        os.setpgid(0, 0)
        tie(signal.SIGTERM, parent)
        _take_name(program.name)
        _leave_behind(output)
        os.chdir(program.folder)
        os.environ.clear()
        os.environ.update(environment)
        settings.current.cache_clear()
        code = _run(program.command[1:])
    except BaseException:
        traceback.print_exc()
    finally:
        _end(code)


def _take_name(name: str) -> None:
    """Take the name that ``ps`` and ``top`` show; the command line stays the copied one's."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def _leave_behind(output: int) -> None:
    """Give up the files and signal handlers of the process that was copied."""
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    # The lock on the home among them: it must be free when the supervisor has ended.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _run(arguments: Sequence[str]) -> int:
    """Do what ``python ARGUMENT…`` does, for ``-m MODULE …`` and ``FILE …``; return its code."""
    first, *rest = arguments
    sys.path[0] = os.getcwd() if first == "-m" else os.path.dirname(first)
    try:
        if first == "-m":
            sys.argv = rest
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = [first, *rest]
            runpy.run_path(first, run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)  # noqa: T201  # as the interpreter does
        return 1
    return 0


def _end(code: int) -> NoReturn:
    """End as an interpreter does, but for the stack: its `finally` blocks are the supervisor's."""
    try:
        atexit._run_exitfuncs()  # multiprocessing counts on it
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)
