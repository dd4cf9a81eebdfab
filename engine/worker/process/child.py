"""``isolation: process``: one attempt in a process of its own, the side of that process.

Run as ``python -m engine.worker.process.child WORKER CONTROL REPORT LIFELINE TRACE``: the worker's
process id and four descriptors. The function runs in the main thread, so that SIGTERM can
interrupt it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import faulthandler
import fcntl
import os
import resource
import signal
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

from engine import registry, settings
from engine.core.failures import Failure
from engine.core.status import Reason
from engine.errors import Cut, UnknownStep
from engine.steps import capture
from engine.steps.attempt_log import AttemptLog, clipped
from engine.steps.context import Context, entered
from engine.steps.python import Python
from engine.worker.attempt import encoded, failed
from engine.worker.process.ipc import FORWARDED, line_of, message_of

_PR_SET_PDEATHSIG = 1  # Source: linux/prctl.h
_POLL_SECONDS = 0.1  # how late the worker's death is seen at most, where no kernel tells of it
_F_SETSIG = 10  # Source: asm-generic/fcntl.h; Python's fcntl module does not name it


class Report:
    """Sends messages to the worker, from any thread, each whole."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # Reentrant: a signal handler or a __del__ may log while this thread sends.
        self._lock = threading.RLock()

    def send(self, message: dict[str, Any]) -> None:
        """Return when the worker's pipe has the message."""
        rest = memoryview(line_of(message))
        with self._lock:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]


class _Log(AttemptLog):
    """Hands each line over at once: what was said last before a crash is what one wants to read.

    How much is kept the worker decides.
    """

    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report

    def add(self, level: str, message: str) -> None:
        self._report.send({"line": [level, clipped(message)]})


class _Context(Context):
    """A context whose artifacts are kept by the worker."""

    def __init__(self, report: Report, **fields: Any) -> None:
        super().__init__(**fields)
        for name in FORWARDED:
            setattr(self, name, _forwarding(report, name, getattr(super(), name)))


def _forwarding(report: Report, name: str, checked: Any) -> Any:
    def call(*values: Any, **named: Any) -> None:
        checked(*values, **named)  # first here: it raises what is wrong where the call is made
        report.send({"call": name, "args": values, "named": named})

    return call


class Control:
    """Listens to the worker: parameters, then perhaps the wish to end. Its end is our end."""

    def __init__(self, descriptor: int) -> None:
        self._lines = os.fdopen(descriptor, "rb")
        self.cancelled = False

    def hello(self) -> dict[str, Any]:
        """Return what is to be run."""
        line = self._lines.readline()
        return message_of(line) if line else _end_all()

    def listen(self) -> None:
        """Take in what the worker says, in a thread of its own."""
        threading.Thread(target=self._listen, name="control", daemon=True).start()

    def _listen(self) -> None:
        for _ in self._lines:
            self.cancelled = True
        _end_all()


def main() -> NoReturn:
    """Run one attempt, report what came of it and end this process."""
    worker, control, report, lifeline, trace = map(int, sys.argv[1:])
    for descriptor in (control, report, lifeline, trace):
        os.set_inheritable(descriptor, False)
    _tie_to(worker, lifeline)
    faulthandler.enable(trace)
    try:
        _serve(Control(control), Report(report))
    except BrokenPipeError:
        _end_all()  # nobody reads: the worker is gone
    _await_end(worker)


def _serve(control: Control, report: Report) -> None:
    try:
        hello = control.hello()
        control.listen()
        answer = _attempt(hello, control, report)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        report.send(answer)
    except Cut:  # somebody wants this process to end
        report.send({"cut": int(signal.SIGTERM)})


def _await_end(worker: int) -> NoReturn:
    """Stay until the worker kills the group, with all that the function left behind.

    Ended of itself, this process would take the lifeline along: of a worker that is killed in the
    same moment nobody would be left to end the rest of the group.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while os.getppid() == worker:
        time.sleep(_POLL_SECONDS)
    _end_all()


def _attempt(hello: dict[str, Any], control: Control, report: Report) -> dict[str, Any]:
    context = _Context(
        report,
        **hello["context"],
        lines=_Log(report),
        is_cancelled=lambda: control.cancelled,
    )
    _limit_memory(hello["memory"])
    try:
        capture.install()
        capture.install_for_warnings()
        _load(hello)
        with entered(context):
            value = Python(asyncio.run).run(hello["params"], context)
        return {"result": encoded(value, context.step, hello["limit"])}
    except Cut:
        raise  # it is to end: nobody waits for what came of it
    except BaseException as error:
        _limit_memory(None)  # or there would be no room to say that there is none
        return {"failed": asdict(_failed(error, hello["memory"]))}


def _failed(error: BaseException, memory: int | None) -> Failure:
    found = failed(error)
    if not _is_for_memory(error):
        return found
    most = f"its limit of {memory // 1024**2:,} MB" if memory else "what the machine has"
    said = f" ({error})" if str(error) else ""
    message = f"the step needs more memory than {most}{said}: raise `memory`, or take less at once"
    return replace(
        found,
        reason=Reason.OUT_OF_MEMORY.value,
        type="MemoryError",
        described=found.described | {"message": message, "type": "MemoryError"},
        retryable=True,
    )


def _is_for_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__
    return False


def _load(hello: dict[str, Any]) -> None:
    """Import what the worker has imported, so that the function is known here as it is there."""
    sys.path += [folder for folder in hello["path"] if folder not in sys.path]
    registry.load_modules(settings.current().modules)
    name, module = hello["params"].get("function"), hello["module"]
    if isinstance(name, str) and module and not registry.has_function(name):
        try:
            registry.load_modules([module])
        except Exception as error:
            raise UnknownStep(f"function {name} is not known in a process: {error}") from error


def _limit_memory(memory: int | None) -> None:
    """Limit what this process may write to, or lift the limit."""
    # RLIMIT_DATA, not RLIMIT_AS: libraries reserve addresses that they never use, and map files.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = hard if memory is None else memory
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard) if soft != resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _tie_to(worker: int, lifeline: int) -> None:
    """Have this process and all that it starts end when the worker dies, however it dies."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # what the worker's thread blocks is inherited
    signal.signal(signal.SIGTERM, lambda _number, _frame: _on_term(worker))
    if sys.platform == "linux":
        # The kernel kills the whole group when the lifeline closes, also while native code runs.
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, _F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
        # A process that the worker forked may hold the lifeline open: this asks the kernel too.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        with contextlib.suppress(OSError):
            # Memory of the whole machine runs out: this process goes first, not its worker.
            Path("/proc/self/oom_score_adj").write_text("1000")
    if os.getppid() != worker:
        _end_all()  # it died before it was tied to


def _on_term(worker: int) -> NoReturn:
    if os.getppid() != worker:
        _end_all()
    raise Cut


def _end_all() -> NoReturn:
    os.killpg(0, signal.SIGKILL)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
