"""Keep what user code says: logging, print and ``context.log``, per attempt, bounded.

One handler on the root logger and one stand-in for ``sys.stdout`` serve the whole process; a
context variable says whose attempt the current code belongs to. So capturing an attempt costs
one variable set, and code outside an attempt writes where it always did.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, TextIO

MAX_LINES = 2_000
MAX_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """One log line: ``at`` in µs, ``level`` one of debug, info, warning, error."""

    at: int
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an attempt says it is; ``total`` is None when it does not know."""

    done: float
    total: float | None = None
    note: str = ""


def wall_clock() -> int:
    """Return this machine's time in µs since 1970."""
    return time.time_ns() // 1_000


class AttemptLog:
    """The lines of one attempt. Any thread may add; ``drain`` hands over what came since.

    It carries the attempt's progress too, of which only the latest is kept.

    Once ``max_lines`` or ``max_bytes`` is used up, one notice takes the place of all that follows,
    so that a loop that prints can fill neither the memory nor the database.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], int] = wall_clock,
        max_lines: int = MAX_LINES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._clock = clock
        self._lines_left = max_lines
        self._bytes_left = max_bytes
        self._limits = f"{max_lines} lines or {max_bytes // 1024} KiB"
        self._lines: list[Line] = []
        self._partial = ""
        self._full = False
        self._progress: Progress | None = None
        # Reentrant: a signal handler or a __del__ may log while this thread is adding a line.
        self._lock = threading.RLock()
        self.dropped = 0

    def add(self, level: str, message: str) -> None:
        """Keep ``message`` as one line at ``level``, unless the log is full."""
        message = _storable(message)
        with self._lock:
            if self._full:
                self.dropped += 1
                return
            size = len(message.encode())
            if self._lines_left < 1 or size > self._bytes_left:
                self._close(level, message)
                return
            self._lines_left -= 1
            self._bytes_left -= size
            self._lines.append(Line(self._clock(), level, message))

    def write(self, text: str) -> None:
        """Keep printed ``text``: each finished line as one at level info, the rest for later."""
        with self._lock:
            if self._full:
                self.dropped += text.count("\n")
                return
            *whole, rest = (self._partial + text).split("\n")
            self._partial = rest
            for line in whole:
                self.add("info", line.removesuffix("\r"))
            if len(rest) > self._bytes_left:
                self.flush()

    def flush(self) -> None:
        """Keep the printed text that no newline has ended yet."""
        with self._lock:
            rest, self._partial = self._partial, ""
            if rest:
                self.add("info", rest)

    def drain(self) -> list[Line]:
        """Return the lines added since the last call, oldest first, and forget them."""
        with self._lock:
            lines, self._lines = self._lines, []
            return lines

    def report(self, progress: Progress) -> None:
        """Keep ``progress`` in the place of what was reported before."""
        with self._lock:
            self._progress = replace(progress, note=_storable(progress.note))

    def take_progress(self) -> Progress | None:
        """Return what was reported since the last call, if anything, and forget it."""
        with self._lock:
            progress, self._progress = self._progress, None
            return progress

    def _close(self, level: str, message: str) -> None:
        self._full = True
        self.dropped = 1
        self._partial = ""
        if self._lines_left > 0 and self._bytes_left > 0:
            start = message.encode()[: self._bytes_left].decode(errors="ignore")
            self._lines.append(Line(self._clock(), level, f"{start}…"))
        notice = f"the log of this attempt is full ({self._limits}): what follows is not kept"
        self._lines.append(Line(self._clock(), "warning", notice))


_current: ContextVar[AttemptLog | None] = ContextVar("attempt_log", default=None)
_install_lock = threading.Lock()


@contextmanager
def capturing(log: AttemptLog) -> Iterator[None]:
    """Route what is logged and printed inside to ``log``; threads started inside are not seen."""
    token = _current.set(log)
    try:
        yield
    finally:
        _current.reset(token)
        log.flush()


def install() -> None:
    """Put the handler and the stand-in for ``sys.stdout`` in place; again is no harm.

    The root logger's level is lowered to INFO at most, else ``logging.info`` of user code would be
    dropped before any handler sees it.
    """
    with _install_lock:
        root = logging.getLogger()
        if not any(isinstance(handler, _Handler) for handler in root.handlers):
            root.addHandler(_Handler(logging.INFO))
        if root.level == logging.NOTSET or root.level > logging.INFO:
            root.setLevel(logging.INFO)
        if not isinstance(sys.stdout, _Stdout):
            sys.stdout = _Stdout(sys.stdout)


def level_name(number: int) -> str:
    """Return the engine's word for a level of ``logging``."""
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"


def _storable(message: str) -> str:
    # PostgreSQL's text takes neither NUL nor lone surrogates; a log line must never fail a step.
    return message.replace("\0", "\ufffd").encode(errors="replace").decode()


class _Handler(logging.Handler):
    """Adds records of the current attempt to its log; lines below INFO are a library's own talk."""

    _formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        log = _current.get()
        if log is None:
            return
        try:
            log.add(level_name(record.levelno), self._formatter.format(record))
        except Exception:  # a bad format string is the caller's fault: logging's own way to say so
            self.handleError(record)


class _Stdout(io.TextIOBase):
    """Stands in for ``sys.stdout``: an attempt's text goes to its log, all else passes through."""

    def __init__(self, beneath: TextIO) -> None:
        self._beneath = beneath

    def write(self, text: str) -> int:
        log = _current.get()
        if log is None:
            return self._beneath.write(text)
        log.write(text)
        return len(text)

    def flush(self) -> None:
        if _current.get() is None:
            self._beneath.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return _current.get() is None and self._beneath.isatty()

    def fileno(self) -> int:
        return self._beneath.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute in the base class
        return self._beneath.encoding

    def __getattr__(self, name: str) -> Any:
        return getattr(self._beneath, name)
