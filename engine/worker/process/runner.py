"""``isolation: process``: one attempt in a process of its own, the worker's side.

A thread of its own keeps the process, so that the watchdog's interruption, which may strike the
attempt's thread at any line, never leaves a process without a keeper. The attempt's thread only
waits, and ends the process when it is interrupted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import IO, Any

from engine.codec import decode
from engine.core.status import Reason
from engine.definition import Step
from engine.errors import StepError
from engine.registry import find_function
from engine.steps.context import Context
from engine.steps.threads import start_own
from engine.steps.watchdog import waking
from engine.worker.process.ipc import FORWARDED, ROOM, Channel, Garbled

POLL_SECONDS = 0.1  # how late a cancel, a stop or a death is seen at most
TERM_SECONDS = 2.0  # between SIGTERM and SIGKILL
_TRACE_BYTES = 8_000
_LAST = frozenset({"result", "failed", "cut"})  # after one of these the process waits for its end


class FailedThere(StepError):
    """The code failed in its process: the failure as that process describes it."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(
            told["described"]["message"], reason=told["reason"], retryable=told["retryable"]
        )
        self.type: str = told["type"]
        self.described: dict[str, Any] = told["described"]


def run(step: Step, params: dict[str, Any], context: Context, limit: int) -> Any:
    """Return what the step's function returns in a process of its own; the process is gone then.

    Args:
        step: a python step with ``process``.
        params: its evaluated ``with``.
        context: log lines and artifacts of the process go there.
        limit: bytes that the result may have as JSON.

    Raises:
        FailedThere: the function failed, as it would have in a thread.
        StepError: the process died, or could not be started.
    """
    keeper = _Keeper(_hello(step, params, context, limit), context, limit)
    try:
        keeper.start()
        with waking(keeper.wake):
            return keeper.wait()
    finally:
        keeper.end()


def _hello(step: Step, params: dict[str, Any], context: Context, limit: int) -> dict[str, Any]:
    name = params.get("function")
    known = find_function(name) if isinstance(name, str) else None
    return {
        "params": params,
        "context": {
            "execution_id": context.execution_id,
            "workflow": context.workflow,
            "step": context.step,
            "idempotency_key": context.idempotency_key,
            "item": context.item,
            "attempt": context.attempt,
            "timeout": context.timeout,
            "woken": context.woken,
        },
        "limit": limit,
        "memory": step.memory,
        "path": sys.path,
        # Registered by a module that ENGINE_MODULES does not name, but that was imported here.
        "module": getattr(known, "__module__", None),
    }


@dataclass(frozen=True, slots=True)
class _Ends:
    """The descriptors that the process inherits, and the worker's own of the same pipes."""

    theirs: tuple[int, int, int]  # control, report, lifeline
    control: int
    report: int
    trace: IO[bytes]  # where it writes its stack when native code fails


class _Keeper:
    """Starts one process, listens to it, ends it with all that it started."""

    def __init__(self, hello: dict[str, Any], context: Context, limit: int) -> None:
        self._hello = hello
        self._context = context
        self._limit = limit
        self._stopping = threading.Event()
        self._answers: SimpleQueue[dict[str, Any] | BaseException | None] = SimpleQueue()
        self._ended: SimpleQueue[None] = SimpleQueue()
        self._begun = False
        self._closed = False

    # --- the attempt's thread -------------------------------------------------------------------

    def start(self) -> None:
        """Start the process."""
        self._begun = True
        try:
            start_own("isolated-step", self._keep)
        except RuntimeError as error:
            self._begun = False
            raise StepError(f"the step's process cannot be started: {error}") from error

    def wake(self) -> None:
        """Have ``wait`` return to Python code, where an interruption strikes."""
        self._answers.put(None)

    def wait(self) -> Any:
        """Return the result, or raise the failure, once there is one."""
        while True:
            answer = self._answers.get()
            if isinstance(answer, BaseException):
                raise answer
            if answer is not None:
                if "failed" in answer:
                    raise FailedThere(answer["failed"])
                return decode(answer["result"])

    def end(self) -> None:
        """Return when the process is gone: asked to end, and killed when it does not."""
        self._stopping.set()
        if self._begun and not self._closed:
            # The bound is for a machine that cannot even kill: the claim must not wait for it.
            with contextlib.suppress(Empty):
                self._ended.get(timeout=TERM_SECONDS + 2)
            self._closed = True

    # --- the keeper's thread --------------------------------------------------------------------

    def _keep(self) -> None:
        try:
            answer: dict[str, Any] | BaseException = self._attempt()
        except BaseException as error:
            answer = error
        self._ended.put(None)
        self._answers.put(answer)

    def _attempt(self) -> dict[str, Any] | BaseException:
        if self._stopping.is_set():
            return StepError("stopped before its process was started")
        with _pipes() as ends:
            try:
                process = _started((*ends.theirs, ends.trace.fileno()))
            except OSError as error:
                return StepError(f"the step's process cannot be started: {error}")
            finally:
                for descriptor in ends.theirs:
                    os.close(descriptor)
            try:
                channel = Channel(ends.report, ends.control, limit=3 * self._limit + ROOM)
                answer = self._converse(process, channel)
            except Garbled as error:
                return StepError(
                    f"the step's process said what is no message ({error})",
                    reason=Reason.PROCESS_DIED,
                )
            finally:
                # Of its group: what the function started and left behind ends here, too. Not
                # reaped yet, so the number can belong to nobody else.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if answer is None:
                return self._died(process.returncode, ends.trace)
            return self._died(-answer["cut"], ends.trace) if "cut" in answer else answer

    def _converse(
        self, process: subprocess.Popen[bytes], channel: Channel
    ) -> dict[str, Any] | None:
        """Return the last that the process says, or None when it died or did not end in time."""
        channel.send(self._hello)
        told = False
        kill_at = None
        while kill_at is None or time.monotonic() < kill_at:
            if not told and (self._stopping.is_set() or self._context.is_cancelled()):
                told = True
                channel.send({"cancelled": True})
            if kill_at is None and self._stopping.is_set():
                kill_at = time.monotonic() + TERM_SECONDS
                os.killpg(process.pid, signal.SIGTERM)
            dead = _has_ended(process.pid)  # before reading: what it said last is then all there
            for message in channel.rest() if dead else channel.turn(POLL_SECONDS):
                if not _LAST.isdisjoint(message):
                    return message
                self._hear(message)
            if dead:
                return None
        return None

    def _hear(self, message: dict[str, Any]) -> None:
        if "line" in message:
            level, text = message["line"]
            self._context.lines.add(level, text)
        elif message.get("call") in FORWARDED:
            getattr(self._context, message["call"])(*message["args"], **message["named"])

    def _died(self, code: int, trace: IO[bytes]) -> StepError:
        function = self._hello["params"].get("function")
        trace.seek(0)
        told = trace.read(_TRACE_BYTES).decode(errors="replace").strip()
        if told:
            self._context.lines.add("error", told)
        how = f"exit code {code}" if code >= 0 else _signal_name(-code)
        hint = "it must return or raise; os._exit ends the process without a word"
        if code < 0:
            hint = "a fault in native code: see the log of the attempt"
        if code == -signal.SIGKILL:
            hint = "the kernel does that when memory runs out: give the step a `memory` limit"
        return StepError(
            f"the process of function {function} ended by {how} before it had a result",
            reason=Reason.PROCESS_DIED,
            hint=hint,
        )


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _has_ended(pid: int) -> bool:
    # Not reaped: its number stays its own until its whole group has been killed.
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return found is not None


def _started(descriptors: tuple[int, ...]) -> subprocess.Popen[bytes]:
    # A fresh interpreter, not a fork: a fork of a process with threads inherits their locks.
    return subprocess.Popen(  # noqa: S603  # our own interpreter and module
        [
            sys.executable,
            "-m",
            "engine.worker.process.child",
            str(os.getpid()),
            *map(str, descriptors),
        ],
        stdin=subprocess.DEVNULL,
        pass_fds=descriptors,
        start_new_session=True,
    )


@contextmanager
def _pipes() -> Iterator[_Ends]:
    """Yield the descriptors; whoever starts the process closes its ends, this closes ours."""
    with tempfile.TemporaryFile() as trace:
        its_control, control = os.pipe()
        report, its_report = os.pipe()
        its_lifeline, lifeline = os.pipe()  # nothing is written: that it closes is the message
        try:
            yield _Ends((its_control, its_report, its_lifeline), control, report, trace)
        finally:
            for descriptor in (control, report, lifeline):
                os.close(descriptor)
