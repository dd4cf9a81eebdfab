"""Times as people write them: durations as ``1h30m`` or in seconds, moments in ISO 8601."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def seconds(value: object) -> float | None:
    """Return ``value`` in seconds, or None when it is no duration (or a negative one)."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) and value >= 0 else None
    return None


def moment(text: object) -> int:
    """Return the time that ``text`` names, in µs since 1970.

    Raises:
        ValueError: it names none; the words say why, as "has no zone".
    """
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        found = None
    if found is None:
        raise ValueError("is no time")
    if found.tzinfo is None:
        raise ValueError("has no zone")
    try:
        # Pages show times in UTC, where some first and last hours of the calendar do not exist.
        found = found.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of the calendar's range in UTC") from None
    return (found - _EPOCH) // timedelta(microseconds=1)
