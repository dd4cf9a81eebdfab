"""Times and durations as expressions read them: exact, or refused; nothing is clamped.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#abstract-types
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from engine.errors import ExpressionError

MAX_SECONDS = 2**63 // 10**9  # of a duration: 292 years, as those have it that count in ns
_MAX_LENGTH = 64  # characters of a duration: more are no duration that anybody means
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-]\d\d:\d\d))", re.ASCII
)
_UNITS = {"h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1, "µs": 1}
_UNITS_IN_MICROSECONDS = {unit: Decimal(size) for unit, size in _UNITS.items()} | {
    "ns": Decimal("0.001")
}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)", re.ASCII)
_DURATION = re.compile(rf"([+-]?)((?:{_PART.pattern})+)", re.ASCII)


def timestamp(value: Any) -> datetime:
    """Return the time, in UTC, that an RFC 3339 text stands for, to the microsecond.

    Raises:
        TypeError, ValueError: it stands for none.
        ExpressionError: it lies before the year 1 or after the year 9999.
    """
    if isinstance(value, datetime):
        return value
    match = _MOMENT.fullmatch(value)
    if match is None:
        raise ValueError
    day, clock, fraction, zulu, offset = match.groups()
    moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zulu else offset}")
    try:
        in_utc = moment.astimezone(UTC)
    except OverflowError:
        raise ExpressionError(
            "the time is out of range", hint="in UTC it has to lie in the years 1 to 9999"
        ) from None
    return in_utc.replace(microsecond=int((fraction or "0").ljust(6, "0")[:6]))


def duration(value: Any) -> timedelta:
    """Return the duration that a text as ``-1h30m`` or ``250ms`` stands for, to the microsecond.

    Raises:
        TypeError, ValueError: it stands for none.
        ExpressionError: it is longer than 292 years.
    """
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value)
    if match is None:
        raise ValueError
    parts = _PART.findall(match[2]) if len(value) <= _MAX_LENGTH else []
    total = sum(Decimal(number) * _UNITS_IN_MICROSECONDS[unit] for number, unit in parts)
    if not parts or total > MAX_SECONDS * 1_000_000:
        raise ExpressionError(
            "the duration is over 292 years", hint="use a shorter one (at most 2562047h)"
        )
    return timedelta(microseconds=int(-total if match[1] == "-" else total))


def _of_a_time(take: Callable[[datetime], int]) -> Callable[[Any], int]:
    def part(value: Any) -> int:
        if not isinstance(value, datetime):
            raise TypeError
        return take(value.astimezone(UTC))

    return part


def _of_either(take: Callable[[datetime], int], unit: timedelta) -> Callable[[Any], int]:
    """Return the part of a time, or how many whole ``unit`` a duration has."""

    def part(value: Any) -> int:
        if isinstance(value, timedelta):
            whole = abs(value) // unit
            return -whole if value < timedelta() else whole
        return _of_a_time(take)(value)

    return part


# What ``get…`` gives: months, days of the month, week (Sunday) and year count from 0, dates from 1.
PARTS: dict[str, Callable[[Any], int]] = {
    "FullYear": _of_a_time(lambda time: time.year),
    "Month": _of_a_time(lambda time: time.month - 1),
    "Date": _of_a_time(lambda time: time.day),
    "DayOfMonth": _of_a_time(lambda time: time.day - 1),
    "DayOfWeek": _of_a_time(lambda time: time.isoweekday() % 7),
    "DayOfYear": _of_a_time(lambda time: time.timetuple().tm_yday - 1),
    "Hours": _of_either(lambda time: time.hour, timedelta(hours=1)),
    "Minutes": _of_either(lambda time: time.minute, timedelta(minutes=1)),
    "Seconds": _of_either(lambda time: time.second, timedelta(seconds=1)),
    "Milliseconds": _of_either(lambda time: time.microsecond // 1000, timedelta(milliseconds=1)),
}
