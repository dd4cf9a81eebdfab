"""``uses: sleep``: wait for a while or until a time, without holding a thread."""

from __future__ import annotations

from typing import Any

from engine.definition import moment, seconds
from engine.errors import StepError
from engine.steps import Park
from engine.steps.context import Context

MAX_SECONDS = 366 * 24 * 3600.0


class Sleep:
    """Takes ``with: {for: 90s}`` or ``with: {until: 2027-01-31T08:00:00Z}``."""

    name = "sleep"

    def run(self, params: dict[str, Any], context: Context) -> Park | None:
        """Return when to go on; once woken, None.

        Raises:
            StepError: neither or both are given, or they mean nothing.
        """
        if context.woken:
            return None
        if len(params) == 1 and "for" in params:
            return Park(context.clock() + round(seconds_of(params["for"]) * 1_000_000))
        if len(params) == 1 and "until" in params:
            until = _moment(params["until"])
            return Park(until) if until > context.clock() else None
        raise _rejected("takes exactly one of with.for and with.until")


def seconds_of(value: object) -> float:
    """Return a duration in seconds, given as a number of them or as ``1h30m``, ``90s``, ``250ms``.

    Raises:
        StepError: it is neither, or negative, or longer than 366 days.
    """
    found = seconds(value)
    if found is None:
        raise _rejected(f"with.for: {value!r} is no duration", "write 90s, 1h30m or 2d")
    if found > MAX_SECONDS:
        raise _rejected(f"with.for: {value!r} is longer than 366 days")
    return found


def _moment(value: object) -> int:
    try:
        return moment(value)
    except ValueError as error:
        raise _rejected(f"with.until: {value!r} {error}", "write 2027-01-31T08:00:00Z") from None


def _rejected(message: str, hint: str = "") -> StepError:
    return StepError(f"sleep: {message}", reason="rejected_input", retryable=False, hint=hint)
