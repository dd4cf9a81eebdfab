"""What a step may ask about the attempt it is running in."""

from __future__ import annotations

import logging
import math
import mimetypes
import os
import re
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

from engine.codec import MAX_INTEGER
from engine.errors import NoAttempt, PayloadError, StepError
from engine.io import artifacts as kinds
from engine.steps.attempt_log import AttemptLog, Progress, wall_clock
from engine.steps.capture import capturing, level_name

MAX_ARTIFACT = 5 * 1024 * 1024
MAX_ARTIFACTS = 20
MAX_NOTE = 200  # characters

_MEDIA_TYPE = re.compile(r"[\w.+-]{1,30}/[\w.+-]{1,33}", re.ASCII)
# Surrogates alone are half a character, which no database stores.
_NAME = re.compile(r"[^/\\\x00-\x1f\x7f\ud800-\udfff]{1,128}")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A thing a step made for people: a chart, a report. ``body`` is at most 5 MiB."""

    name: str
    media_type: str
    body: bytes


class StepLog:
    """``context.log``: speaks like a ``logging.Logger``, writes to the attempt's log.

    It knows its attempt by itself, so threads of user code may use it too; debug lines are kept.
    """

    def __init__(self, lines: AttemptLog) -> None:
        self._lines = lines

    def debug(self, message: object, *values: object) -> None:
        """Keep a line at level debug; ``values`` fill in the ``%`` places of ``message``."""
        self.log(logging.DEBUG, message, *values)

    def info(self, message: object, *values: object) -> None:
        """Keep a line at level info."""
        self.log(logging.INFO, message, *values)

    def warning(self, message: object, *values: object) -> None:
        """Keep a line at level warning."""
        self.log(logging.WARNING, message, *values)

    def error(self, message: object, *values: object) -> None:
        """Keep a line at level error."""
        self.log(logging.ERROR, message, *values)

    def exception(self, message: object, *values: object) -> None:
        """Keep a line at level error with the traceback of the exception being handled."""
        trace = traceback.format_exc().rstrip()
        self._lines.add("error", f"{_fill(message, values)}\n{trace}")

    def log(self, level: int, message: object, *values: object) -> None:
        """Keep a line at a level of ``logging``."""
        self._lines.add(level_name(level), _fill(message, values))


@dataclass(slots=True, kw_only=True)
class Context:
    """One attempt, as its step sees it.

    ``item`` is the number of the item in a fan-out, else None. ``timeout`` is what the document
    gives the step in seconds, None when it gives nothing. ``woken`` is True when a parked step
    runs again. The key is the same for all attempts of a step run, so that the other side can
    tell a repeat from a new request.
    """

    execution_id: str
    workflow: str
    step: str
    idempotency_key: str
    item: int | None = None
    attempt: int = 1
    timeout: float | None = None
    woken: bool = False
    lines: AttemptLog = field(default_factory=AttemptLog)
    clock: Callable[[], int] = wall_clock
    is_cancelled: Callable[[], bool] = bool
    log: StepLog = field(init=False)
    _artifacts: dict[str, Artifact] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self.log = StepLog(self.lines)

    @property
    def cancelled(self) -> bool:
        """Whether the execution was asked to stop: a long step looks now and then, and ends."""
        return self.is_cancelled()

    @property
    def artifacts(self) -> list[Artifact]:
        """What the step has made so far, in the order of first making."""
        with self._lock:
            return list(self._artifacts.values())

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Tell people how far this attempt is; the latest word takes the place of the others.

        It is written twice a second at most, so a loop may call it at each turn.

        Args:
            done: how much is done, in whatever the step counts; 0 or more.
            total: how much there is to do, if it is known.
            note: a few words, cut at 200 characters.

        Raises:
            StepError: ``done`` or ``total`` is no finite number of 0 or more.
        """
        for name, number in (("done", done), ("total", total)):
            if number is not None and not _is_amount(number):
                raise _refused(f"progress: {name} is {number!r}, not a number of 0 or more")
        self.lines.report(Progress(done, total, str(note)[:MAX_NOTE]))

    def artifact(self, name: str, body: str | bytes, media_type: str = "text/plain") -> None:
        """Keep ``body`` under ``name`` beside the step; the same name again replaces it.

        It is stored when the attempt completes.

        Raises:
            StepError: a name that is no plain file name, a body over 5 MiB, over 20 artifacts.
        """
        data = _encoded(name, body) if isinstance(body, str) else bytes(body)
        _check_artifact(name, media_type, len(data))
        with self._lock:
            if name not in self._artifacts and len(self._artifacts) >= MAX_ARTIFACTS:
                raise _refused(f"artifact {name!r} is one too many: {MAX_ARTIFACTS} an attempt")
            self._artifacts[name] = Artifact(name, media_type, data)

    def markdown(self, name: str, text: str) -> None:
        """Keep a text that pages show formatted: Markdown, of which HTML is shown as it is typed.

        Raises:
            StepError: as ``artifact``.
        """
        self.artifact(name, text, kinds.MARKDOWN)

    def table(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Keep rows that pages show as a table; its columns are the rows' keys.

        Raises:
            StepError: as ``artifact``; or a row is no mapping, or holds what JSON cannot carry.
        """
        try:
            body = kinds.table_body(list(rows))
        except PayloadError as error:
            raise _refused(f"artifact {name!r}: {error}") from error
        self.artifact(name, body, kinds.TABLE)

    def image(self, name: str, body: bytes, media_type: str = "image/png") -> None:
        """Keep an image that pages show.

        Raises:
            StepError: as ``artifact``; or browsers do not draw ``media_type``.
        """
        if media_type not in kinds.IMAGES:
            known = ", ".join(sorted(kinds.IMAGES))
            raise _refused(f"artifact {name!r}: {media_type!r} is none of {known}")
        self.artifact(name, body, media_type)

    def link(self, name: str, url: str, title: str = "") -> None:
        """Keep a link to a page elsewhere; ``title`` is what people read.

        Raises:
            StepError: as ``artifact``; or ``url`` is neither http nor https.
        """
        try:
            body = kinds.link_body(url, title[:MAX_NOTE])
        except PayloadError as error:
            raise _refused(f"artifact {name!r}: {error}") from error
        self.artifact(name, body, kinds.LINK)

    def file(self, name: str, path: str | PathLike[str], media_type: str | None = None) -> None:
        """Keep a copy of the file at ``path``; its type is told by ``name`` when none is given.

        Raises:
            StepError: as ``artifact``; or the file cannot be read.
        """
        kind = media_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
        try:
            with open(path, "rb") as file:
                _check_artifact(name, kind, os.fstat(file.fileno()).st_size)
                # One byte more, for a file that grows meanwhile or does not tell its size.
                body = file.read(MAX_ARTIFACT + 1)
        except OSError as error:
            raise _refused(f"artifact {name!r}: the file cannot be read: {error}") from error
        self.artifact(name, body, kind)


_active: ContextVar[Context | None] = ContextVar("step_context", default=None)


@contextmanager
def entered(attempt: Context) -> Iterator[None]:
    """Make ``attempt`` the current one, and its log the one that logging and print go to."""
    token = _active.set(attempt)
    try:
        with capturing(attempt.lines):
            yield
    finally:
        _active.reset(token)


class _Proxy:
    """Stands for the current attempt's :class:`Context`, so that user code can import it once."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            # Tools that look at modules (doctest, copy, inspect) probe for these outside a step.
            raise AttributeError(name)
        active = _active.get()
        if active is None:
            raise NoAttempt(
                f"context.{name} means something only while a step runs",
                hint="in a thread of your own, take what you need from context before starting it",
            )
        return getattr(active, name)

    def __repr__(self) -> str:
        active = _active.get()
        return repr(active) if active else "<context: no step is running>"


context: Context = _Proxy()  # type: ignore[assignment]  # forwards every attribute to a Context


def _fill(message: object, values: tuple[object, ...]) -> str:
    text = str(message)
    if not values:
        return text
    try:
        return text % values
    except (TypeError, ValueError):
        # A log line never fails a step: show both halves instead.
        return f"{text} {values!r}"


def _encoded(name: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        problem = "holds half a character (a lone surrogate)"
        raise _refused(f"artifact {name!r}: its text {problem}: decode it first") from None


def _check_artifact(name: str, media_type: str, size: int) -> None:
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise _refused(
            f"artifact {name!r}: a name is 1 to 128 characters, no slash, no control character,"
            " no half a character (a lone surrogate)"
        )
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise _refused(f"artifact {name!r}: {media_type!r} is no media type, as image/png is")
    if size > MAX_ARTIFACT:
        raise StepError(
            f"artifact {name!r} has {size} bytes, {MAX_ARTIFACT} is the most",
            reason="too_large",
            retryable=False,
        )


def _is_amount(number: float) -> bool:
    real = isinstance(number, int | float) and not isinstance(number, bool)
    return real and math.isfinite(number) and 0 <= number <= MAX_INTEGER


def _refused(message: str) -> StepError:
    return StepError(message, reason="rejected_input", retryable=False)
