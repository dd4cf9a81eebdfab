"""The log of one attempt: what it said, bounded so that no loop that prints can fill the database.

The beginning is kept, warnings and errors, and the end: those are what people look for. A line
has a limit of its own, so that a huge one takes nobody else's room.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import RLock
from typing import Any, Generic, TypeVar

T = TypeVar("T")

MAX_LINES = 1_000  # of each part: the beginning, warnings and errors after it, the end
MAX_BYTES = 128 * 1024  # of each part
MAX_LINE = 16 * 1024  # characters; of a longer line the beginning and the end are kept
LINE_END = 4 * 1024  # characters of that end
END_EVERY = 5_000_000  # µs between two looks at the end while the attempt runs

_URGENT = ("warning", "error")


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


@dataclass(frozen=True, slots=True)
class Said:
    """What an attempt said since it was asked last: to be written, or put back.

    ``end`` is the end of the log as it is now, with a ``notice`` of what is missing before it;
    ``forget`` has the numbers of lines that were written as its end before and have no room left.
    """

    lines: Sequence[Line] = ()
    notice: Sequence[Line] = ()
    end: Sequence[Line] = ()
    forget: Sequence[int] = ()
    progress: Progress | None = None

    @property
    def all_lines(self) -> list[Line]:
        """The lines to write, in order."""
        return [*self.lines, *self.notice, *self.end]


def wall_clock() -> int:
    """Return this machine's time in µs since 1970."""
    return time.time_ns() // 1_000


class _Part(Generic[T]):
    """Entries of the log, oldest first, and how many bytes of text they stand for."""

    def __init__(self) -> None:
        self._entries: deque[tuple[T, int]] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: T, size: int) -> None:
        self._entries.append((entry, size))
        self.bytes += size

    def pop_oldest(self) -> T:
        entry, size = self._entries.popleft()
        self.bytes -= size
        return entry

    def entries(self) -> list[T]:
        return [entry for entry, _ in self._entries]


class AttemptLog:
    """The lines of one attempt. Any thread may add; ``take`` hands over what came since.

    It carries the attempt's progress too, of which only the latest is kept.

    Args:
        clock: µs since 1970.
        max_lines: of each part: the beginning, warnings and errors after it, the end.
        max_bytes: of each part.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], int] = wall_clock,
        max_lines: int = MAX_LINES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._clock = clock
        self._limits = (max_lines, max_bytes)
        self._lines: list[Line] = []  # to be written, and to stay
        self._beginning: _Part[None] = _Part()  # how much of it there is by now
        self._urgent: _Part[None] = _Part()
        self._full = False
        self._end: _Part[Line] = _Part()
        self._written_end: _Part[int] = _Part()  # the numbers of its lines
        self._forget: list[int] = []  # numbers of its lines that have no room any more
        self._end_taken = 0  # µs
        self._left_out = 0
        self._partial = ""
        self._kept_early = False  # too long to wait for its end, the line under way is kept
        self._progress: Progress | None = None
        # Reentrant: a signal handler or a __del__ may log while this thread is adding a line.
        self._lock = RLock()
        self.closed = False  # the attempt is over: what still speaks in its name is not heard

    def add(self, level: str, message: str) -> None:
        """Keep ``message`` as one line at ``level``, as long as there is room for it."""
        line = Line(self._clock(), level, clipped(_storable(message)))
        size = len(line.message.encode())
        with self._lock:
            if self.closed:
                return
            if self._stays(line, size):
                self._lines.append(line)
                return
            self._add_to_end(line, size)

    def _add_to_end(self, line: Line, size: int) -> None:
        self._end.add(line, size)
        while self._crowded(self._end):
            self._end.pop_oldest()
            self._left_out += 1

    def _stays(self, line: Line, size: int) -> bool:
        if not self._full:
            if self._fits(self._beginning, size):
                return True
            self._full = True
            self._lines.append(Line(line.at, "info", self._notice_of_limit()))
        return line.level in _URGENT and self._fits(self._urgent, size)

    def _fits(self, part: _Part[None], size: int) -> bool:
        """Count a line of that size in; return whether there was room for it."""
        if len(part) >= self._limits[0] or part.bytes + size > self._limits[1]:
            return False
        part.add(None, size)
        return True

    def _crowded(self, part: _Part[Any], beside: _Part[Any] | None = None) -> bool:
        lines, size = len(part), part.bytes
        if beside is not None:
            lines, size = lines + len(beside), size + beside.bytes
        return lines > self._limits[0] or size > self._limits[1]

    def _notice_of_limit(self) -> str:
        lines, size = self._limits
        return (
            f"this log is long: after its first {lines:,} lines or {size // 1024} KiB only"
            " warnings, errors and its end are kept"
        )

    def write(self, text: str) -> None:
        """Keep printed ``text``: each finished line as one at level info, the rest for later.

        Of a line that carriage returns write over, as progress bars do, the last state is kept.
        """
        with self._lock:
            *whole, rest = (self._partial + text).split("\n")
            if self._kept_early and whole:
                self._kept_early = False
                if not whole[0]:
                    del whole[0]  # the newline that ends what was kept without waiting for it
            for line in whole:
                self.add("info", _written_over(line))
            self._partial = rest
            if len(rest) > MAX_LINE:
                self.flush()
                self._kept_early = True

    def flush(self) -> None:
        """Keep the printed text that no newline has ended yet."""
        with self._lock:
            rest, self._partial = self._partial, ""
            if rest:
                self.add("info", _written_over(rest))

    def report(self, progress: Progress) -> None:
        """Keep ``progress`` in the place of what was reported before."""
        with self._lock:
            self._progress = replace(progress, note=_storable(progress.note))

    # --- handing over ---------------------------------------------------------------------------

    def take(self, *, over: bool = False) -> Said:
        """Return what came since the last call and forget it; then call ``wrote`` or ``put_back``.

        The end of the log is handed over every 5 s, and when the attempt is ``over``.
        """
        with self._lock:
            lines, self._lines = self._lines, []
            progress, self._progress = self._progress, None
            now = self._clock()
            if not self._end or not (over or now - self._end_taken >= END_EVERY):
                return Said(lines, progress=progress)
            self._end_taken = now
            end, self._end = self._end, _Part()
            while self._crowded(end, self._written_end):
                self._forget.append(self._written_end.pop_oldest())
                self._left_out += 1
            forget, self._forget = self._forget, []
            notice = [Line(now, "info", self._notice_of_gap())] if over and self._left_out else []
            return Said(lines, notice, end.entries(), forget, progress)

    def _notice_of_gap(self) -> str:
        return f"{self._left_out:,} lines before the last {self._limits[0]:,} are left out"

    def drain(self) -> list[Line]:
        """Return all lines that came since the last call, oldest first, and forget them."""
        with self._lock:
            progress = self._progress
            lines = self.take(over=True).all_lines
            self._progress = progress
            return lines

    def wrote(self, said: Said, first: int) -> None:
        """Take note that ``said`` is written, its lines numbered from ``first`` on."""
        with self._lock:
            start = first + len(said.lines) + len(said.notice)
            for number, line in enumerate(said.end, start):
                self._written_end.add(number, len(line.message.encode()))

    def put_back(self, said: Said) -> None:
        """Keep ``said`` for the next time: it could not be written."""
        with self._lock:
            self._lines = [*said.lines, *self._lines]
            self._forget = [*said.forget, *self._forget]
            self._progress = self._progress or said.progress
            later, self._end = self._end.entries(), _Part()
            for line in (*said.end, *later):
                self._add_to_end(line, len(line.message.encode()))


def _storable(message: str) -> str:
    # PostgreSQL's text takes neither NUL nor lone surrogates; a log line must never fail a step.
    return message.replace("\0", "\ufffd").encode(errors="replace").decode()


def clipped(message: str) -> str:
    """Return ``message`` without the middle of one that is longer than a line may be."""
    if len(message) <= MAX_LINE:
        return message
    left_out = f" … {len(message) - MAX_LINE:,} characters left out … "
    return message[: MAX_LINE - LINE_END] + left_out + message[-LINE_END:]


def _written_over(line: str) -> str:
    """Return what a terminal shows of a line in which carriage returns go back to its start."""
    return line.removesuffix("\r").rpartition("\r")[2]
