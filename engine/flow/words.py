"""Errors as the values people read: what failed, of which type, where in their code."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

from engine.errors import StepError
from engine.machine.status import Reason

_OWN = Path(__file__).parent.parent
_TRACE_LIMIT = 8_000
_MESSAGE_LIMIT = 2_000


def describe_error(error: BaseException) -> dict[str, Any]:
    """Return ``message``, ``type`` and, for user code, ``trace`` without the engine's frames."""
    message = str(error) or "no message"
    described = {"message": _storable(message, _MESSAGE_LIMIT), "type": type(error).__name__}
    trace = _user_trace(error)
    if trace:
        described["trace"] = _storable(trace, _TRACE_LIMIT)
    return described


def reason_of(error: BaseException) -> str:
    """Return the reason code that stands beside the status."""
    return error.reason if isinstance(error, StepError) else Reason.ERROR.value


def _user_trace(error: BaseException) -> str:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not Path(frame.filename).is_relative_to(_OWN)
    ]
    text = "".join(traceback.format_list(frames)).rstrip()
    # Where the code is installed is nobody's concern who reads the trace.
    return text.replace(f'"{Path.cwd()}/', '"')


def _storable(text: str, limit: int) -> str:
    # A message from user code may hold what neither database stores; it must not fail the failure.
    clean = text.replace("\0", "\ufffd").encode(errors="replace").decode()
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
