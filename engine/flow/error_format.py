"""Errors as the values people read: what failed, of which type, where in their code, and why."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from traceback import FrameSummary
from typing import Any

from engine.core.status import Reason
from engine.errors import StepError

_OWN = Path(__file__).parent.parent
_LIBRARIES = tuple(
    sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_MESSAGE_LIMIT = 2_000  # characters; as much again for all notes together
_TRACE_LIMIT = 8_000  # characters
_CAUSES = 10
_CAUSE_MESSAGE_LIMIT = 500
_CAUSE_TRACE_LIMIT = 2_000
_FRAMES = 30  # of one trace; of a longer one the frames of libraries are left out first
_LAST_FRAMES = 15  # those nearest to the error are always kept
_MEMBERS = 3  # of a group that its message names


def describe_error(error: BaseException) -> dict[str, Any]:
    """Return the error as JSON: ``message``, ``type`` and, where there are any, ``trace`` (frames
    of user code and libraries, without the engine's), ``notes`` and ``causes``.

    A cause has the same, and its ``relation`` to the error it stands ``under`` (the position of an
    earlier cause, -1 for the error itself): ``cause`` (``raise … from``), ``context`` (it was being
    handled) or ``member`` (of a group). ``more_causes`` counts those that are left out.
    """
    described = _described(error, _MESSAGE_LIMIT, _TRACE_LIMIT)
    causes = _causes(error)
    if told := [_told(cause) for cause in islice(causes, _CAUSES)]:
        described["causes"] = told
    if more := sum(1 for _ in causes):
        described["more_causes"] = more
    return described


def reason_of(error: BaseException) -> str:
    """Return the reason code that stands beside the status."""
    return error.reason if isinstance(error, StepError) else Reason.ERROR.value


def _described(error: BaseException, message_limit: int, trace_limit: int) -> dict[str, Any]:
    described: dict[str, Any] = {
        "message": _storable(_message(error), message_limit),
        "type": _storable(type(error).__name__, 200),
    }
    if trace := _storable(_trace(error)):
        # What is cut is the start: the last frame says where it went wrong.
        described["trace"] = trace if len(trace) <= trace_limit else f"…{trace[-trace_limit:]}"
    if notes := _notes(error, message_limit):
        described["notes"] = notes
    return described


# --- messages ------------------------------------------------------------------------------------


def _message(error: BaseException) -> str:
    text = _text(error) or "no message"
    if not isinstance(error, BaseExceptionGroup):
        return text
    # A group's own message says only how many there are: what went wrong is in its members.
    leaves = _leaves(error)
    named = [f"{type(leaf).__name__}: {_text(leaf)}" for leaf in islice(leaves, _MEMBERS)]
    more = sum(1 for _ in leaves)
    return f"{text}: {'; '.join(named)}" + (f"; and {more} more" if more else "")


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as failure:
        # User code, asked for a text: whatever it does, what is told is the error it stands for.
        return f"its message cannot be read: __str__ raised {type(failure).__name__}"


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for member in group.exceptions:
        if isinstance(member, BaseExceptionGroup):
            yield from _leaves(member)
        else:
            yield member


def _notes(error: BaseException, limit: int) -> list[str]:
    """Return what ``add_note`` added."""
    notes = getattr(error, "__notes__", None)
    told: list[str] = []
    for note in notes if isinstance(notes, list) else ():
        if limit <= 0:
            break
        told.append(_storable(note if isinstance(note, str) else repr(note), limit))
        limit -= len(told[-1])
    return told


# --- causes --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cause:
    relation: str
    under: int
    error: BaseException


def _causes(error: BaseException) -> Iterator[_Cause]:
    """Yield what led to the error, each before what led to it in turn; none of them twice."""
    seen = {id(error)}
    waiting = list(_direct(error, -1))
    position = 0
    while waiting:
        cause = waiting.pop(0)
        if id(cause.error) in seen:
            continue
        seen.add(id(cause.error))
        yield cause
        waiting = [*_direct(cause.error, position), *waiting]
        position += 1


def _direct(error: BaseException, under: int) -> Iterator[_Cause]:
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield _Cause("member", under, member)
    if error.__cause__ is not None:
        yield _Cause("cause", under, error.__cause__)
    elif error.__context__ is not None and not error.__suppress_context__:
        yield _Cause("context", under, error.__context__)


def _told(cause: _Cause) -> dict[str, Any]:
    described = _described(cause.error, _CAUSE_MESSAGE_LIMIT, _CAUSE_TRACE_LIMIT)
    return {"relation": cause.relation, "under": cause.under, **described}


# --- traces --------------------------------------------------------------------------------------


def _trace(error: BaseException) -> str:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not Path(frame.filename).is_relative_to(_OWN)
    ]
    if len(frames) <= _FRAMES:
        text = _formatted(frames)
    else:
        own, last, left_out = _shortened(frames)
        text = f"{_formatted(own)}  … {left_out} frames left out\n{_formatted(last)}"
    # Where the code is installed is nobody's concern who reads the trace.
    return text.rstrip().replace(f'"{Path.cwd()}/', '"')


def _formatted(frames: list[FrameSummary]) -> str:
    return "".join(traceback.format_list(frames))


def _shortened(frames: list[FrameSummary]) -> tuple[list[FrameSummary], list[FrameSummary], int]:
    """Return the first frames of people's own code, the last ones, and how many are left out."""
    first, last = frames[:-_LAST_FRAMES], frames[-_LAST_FRAMES:]
    own = [frame for frame in first if not frame.filename.startswith(_LIBRARIES)]
    own = own[: _FRAMES - _LAST_FRAMES]
    return own, last, len(first) - len(own)


def _storable(text: str, limit: int | None = None) -> str:
    # A message from user code may hold what neither database stores; it must not fail the failure.
    clean = text.replace("\0", "\ufffd").encode(errors="replace").decode()
    return clean if limit is None or len(clean) <= limit else clean[: limit - 1] + "…"
