"""Route what user code says to the log of its attempt: logging, print, warnings, standard error.

A context variable says whose attempt the current code belongs to; threads that user code starts
inherit it (``threads``). What stands in for ``sys.stdout`` and ``sys.stderr`` and the one place
through which each record of ``logging`` passes are put in place once for a process. So capturing
an attempt costs one variable set, and code outside an attempt writes where it always did.
"""

from __future__ import annotations

import io
import logging
import logging.config
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TextIO, TypeVar

from engine.steps import processes, threads
from engine.steps.attempt_log import AttemptLog

P = ParamSpec("P")
T = TypeVar("T")

_current: ContextVar[AttemptLog | None] = ContextVar("attempt_log", default=None)
# Handlers of the user's own print a record that is kept already: what they print is no new line.
_in_handlers: ContextVar[bool] = ContextVar("in_handlers", default=False)
_lock = threading.Lock()
_installed = False
_call_handlers = logging.Logger.callHandlers


@contextmanager
def capturing(log: AttemptLog) -> Iterator[None]:
    """Route what is said inside, also by threads started inside, to ``log``; close it then."""
    _undo_silencing()
    token = _current.set(log)
    log.closed = False
    try:
        yield
    finally:
        _current.reset(token)
        log.flush()
        log.closed = True


def install() -> None:
    """Put everything in place; again is no harm.

    Before user code is imported: libraries take hold of ``sys.stderr`` when they are imported.
    """
    global _installed  # noqa: PLW0603  # what it changes is global to the process
    with _lock:
        if not isinstance(sys.stdout, _StandIn):
            sys.stdout = _StandIn(sys.stdout, 1)
        if not isinstance(sys.stderr, _StandIn):
            sys.stderr = _StandIn(sys.stderr, 2)
        _undo_silencing()
        if _installed:
            return
        _installed = True
        threads.install(in_attempt=lambda: _listening() is not None, work=processes.work)
        os.register_at_fork(before=_warn_of_fork, after_in_child=_hear_nobody)
        logging.Logger.callHandlers = _keep_and_call_handlers  # type: ignore[method-assign,assignment]
        for module, name in (
            (logging, "basicConfig"),
            (logging.config, "dictConfig"),
            (logging.config, "fileConfig"),
        ):
            setattr(module, name, _silencing_nobody(getattr(module, name)))


def install_for_warnings() -> None:
    """Send warnings to the log too. For processes of the engine's own: tests have other wishes."""
    logging.captureWarnings(capture=True)
    # Python tells a warning once a place and process; but each attempt has a log of its own.
    warnings.simplefilter("always", append=True)


def _warn_of_fork() -> None:
    log = _listening()
    if log is not None:
        log.add(
            "warning",
            "this step forks its worker, which has threads: the fork hangs when one of them held a"
            " lock. Let multiprocessing `spawn`, as is the default here, or set isolation: process",
        )


def _hear_nobody() -> None:
    """In a fork of the worker nobody hands over what was said: it goes where it always did."""
    _current.set(None)


def current() -> AttemptLog | None:
    """Return the log of the attempt that this code belongs to."""
    return _current.get()


def level_name(number: int) -> str:
    """Return the engine's word for a level of ``logging``."""
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"


def _listening() -> AttemptLog | None:
    """Return the log of the attempt that this code belongs to, if that attempt still runs."""
    log = _current.get()
    return None if log is None or log.closed or _in_handlers.get() else log


# --- logging ------------------------------------------------------------------------------------

_formatter = logging.Formatter()


def _keep_and_call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
    """Stand in for ``Logger.callHandlers``, the one place where each record that is wanted passes,
    whatever handlers there are and whether or not it propagates."""
    log = _listening()
    if log is None or record.levelno < logging.INFO:  # below it is a library's own talk
        _call_handlers(logger, record)
        return
    try:
        log.add(level_name(record.levelno), _formatter.format(record))
    except Exception:
        # A format string that does not fit, as logging itself treats it: said, never raised.
        log.add("error", f"a line of logger {record.name} cannot be formatted: {record.msg!r}")
    token = _in_handlers.set(True)
    try:
        _call_handlers(logger, record)
    finally:
        _in_handlers.reset(token)


def _silencing_nobody(configure: Callable[P, T]) -> Callable[P, T]:
    """Have a function that configures logging disable no logger that was there before.

    A step that calls it does so for its whole process: others would fall silent with it.
    """

    @wraps(configure)
    def configured(*args: P.args, **kwargs: P.kwargs) -> T:
        known = logging.root.manager.loggerDict.values()
        enabled = [one for one in known if isinstance(one, logging.Logger) and not one.disabled]
        try:
            return configure(*args, **kwargs)
        finally:
            for logger in enabled:
                logger.disabled = False

    return configured


def _undo_silencing() -> None:
    """Have lines from level INFO on pass, whatever an earlier attempt has set for the process."""
    root = logging.root
    if root.level == logging.NOTSET or root.level > logging.INFO:
        root.setLevel(logging.INFO)
    if root.manager.disable >= logging.INFO:
        logging.disable(logging.NOTSET)


# --- print and standard error -------------------------------------------------------------------


class _StandIn(io.TextIOBase):
    """Stands in for a standard stream: an attempt's text goes to its log, all else passes."""

    def __init__(self, beneath: TextIO, descriptor: int) -> None:
        self._beneath = beneath
        self._descriptor = descriptor

    def write(self, text: str) -> int:
        log = _listening()
        if log is None:
            return self._beneath.write(text)
        log.write(text)
        return len(text)

    def flush(self) -> None:
        if _listening() is None:
            self._beneath.flush()

    @property
    def buffer(self) -> _BytesStandIn:
        """What takes bytes, as ``sys.stdout.buffer.write`` does."""
        return _BytesStandIn(self)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        # Dramatiq's pipe for what its workers say has no such method, nor those that follow.
        return _listening() is None and getattr(self._beneath, "isatty", bool)()

    def fileno(self) -> int:
        has_one = getattr(self._beneath, "fileno", None)
        return self._descriptor if has_one is None else int(has_one())

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute in the base class
        return self._beneath.encoding

    def __getattr__(self, name: str) -> Any:
        return getattr(self._beneath, name)


class _BytesStandIn(io.RawIOBase):
    """Stands in for the ``buffer`` of a standard stream."""

    def __init__(self, text: _StandIn) -> None:
        self._text = text

    def write(self, data: Any) -> int:
        below = getattr(self._text._beneath, "buffer", None)
        if below is not None and _listening() is None:
            return int(below.write(data))
        self._text.write(bytes(data).decode(errors="replace"))
        return len(data)

    def flush(self) -> None:
        self._text.flush()

    def writable(self) -> bool:
        return True
