"""Documents and large inputs are checked in processes of their own, for two seconds at most.

What a check costs is bounded by its limits, but the web process must go on answering while one
runs. A process that takes too long is killed, also when whoever asked has left.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from typing import Any

from engine.definition import Checked, checked, parse_text
from engine.errors import Fault, InvalidDocument, InvalidInput, RateLimited, Unavailable

SECONDS = 2.0  # of one check
START_SECONDS = 10.0  # until a process is there: on a machine that is busy
MEMORY = 1024**3  # bytes of one process
SMALL = 8_000  # characters of a document that take no longer than the way to a process
AT_ONCE = 3  # checks that run
OF_ONE_USER = 4  # checks that run or wait; of them one runs
WAIT_SECONDS = 8.0


class Checks:
    """Checks for many users at once, thread-safe; each user's go one after the other.

    Args:
        seconds: that one check may take.
        memory: bytes that it may take.
    """

    def __init__(self, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self._seconds = seconds
        self._memory = memory
        self._turns = _Turns()

    def document(self, owner_id: str, text: str) -> Checked:
        """Return what a document says, once it is found right.

        Raises:
            InvalidDocument, TooLarge: as ``parse_text``, or the check takes too long.
            RateLimited, Unavailable: there are too many checks at once.
        """
        if len(text) <= SMALL:
            return checked(parse_text(text))
        late = InvalidDocument(
            f"the check of the document takes over {self._seconds:g} s, the limit",
            hint="make it smaller, or its schema and expressions simpler",
        )
        found: Checked = self._ask(owner_id, late, "document", text)
        return found

    def input(self, owner_id: str, schema: dict[str, Any], value: Any) -> tuple[Any, list[Fault]]:
        """Return an input with its defaults, and what does not fit: see ``json_schema.fitted``.

        Raises:
            InvalidInput: the check takes too long; else as ``fitted``.
            RateLimited, Unavailable: there are too many checks at once.
        """
        late = InvalidInput(
            f"the check of the input takes over {self._seconds:g} s, the limit",
            hint="make it smaller, or its schema simpler",
        )
        found: tuple[Any, list[Fault]] = self._ask(owner_id, late, "input", schema, value)
        return found

    def _ask(self, owner_id: str, late: Exception, name: str, *arguments: Any) -> Any:
        with self._turns.taken(owner_id):
            try:
                answer = self._answer(name, arguments)
            except TimeoutError:
                raise late from None
            except (EOFError, OSError):
                raise Unavailable("the process that checks was ended", hint="try again") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _answer(self, name: str, arguments: tuple[Any, ...]) -> Any:
        ours, theirs = Pipe()
        with ours:
            with theirs:
                process = self._started(theirs.fileno())
            try:
                if not ours.poll(START_SECONDS):
                    raise Unavailable("no process to check with can be started", hint="try again")
                ours.recv()
                ours.send((name, arguments))
                if not ours.poll(self._seconds):
                    raise TimeoutError
                return ours.recv()
            finally:
                process.kill()
                process.wait()

    def _started(self, descriptor: int) -> subprocess.Popen[bytes]:
        # For each check: a process that is kept would keep the memory of its largest one, too.
        command = [sys.executable, "-m", "engine_app.check_process", str(descriptor)]
        return subprocess.Popen(  # noqa: S603  # our own interpreter and module
            [*command, str(self._seconds), str(self._memory)],
            stdin=subprocess.DEVNULL,
            pass_fds=[descriptor],
            start_new_session=True,  # Ctrl-C in a terminal is for whoever waits for it
        )


class _Turns:
    """Who may check now: no user keeps the others waiting by asking for much."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._asking: Counter[str] = Counter()
        self._running: set[str] = set()

    @contextmanager
    def taken(self, owner_id: str) -> Iterator[None]:
        """Wait for a turn, and give it up at the end.

        Raises:
            RateLimited: too many of this user wait already.
            Unavailable: none came within some seconds.
        """
        with self._changed:
            if self._asking[owner_id] >= OF_ONE_USER:
                raise RateLimited(
                    f"{OF_ONE_USER} large documents or inputs of yours are being checked",
                    retry_after=2,
                    hint="send one after the other",
                )
            self._asking[owner_id] += 1
        try:
            self._wait(owner_id)
            try:
                yield
            finally:
                self._leave(owner_id)
        finally:
            with self._changed:
                self._asking -= Counter((owner_id,))

    def _wait(self, owner_id: str) -> None:
        until = time.monotonic() + WAIT_SECONDS
        with self._changed:
            while owner_id in self._running or len(self._running) >= AT_ONCE:
                if not self._changed.wait(until - time.monotonic()):
                    raise Unavailable("too much is being checked just now", hint="try again")
            self._running.add(owner_id)

    def _leave(self, owner_id: str) -> None:
        with self._changed:
            self._running.discard(owner_id)
            self._changed.notify_all()
