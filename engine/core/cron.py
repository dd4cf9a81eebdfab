"""Cron expressions: what the five fields say, and which minutes of a wall clock they name.

They are read by cronsim, as Debian's cron(8) reads them; what that takes although it does not mean
what it seems to is refused here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cronsim import CronSim, CronSimError

from engine.errors import Fault, InvalidInput

YEARS = 41  # a 29 February on a given day of the week comes 40 years after another, around 2100

_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FORM = "five fields: minute hour day month weekday, as 30 7 * * mon-fri; or @daily"
# Of each field: what it is called, its least and greatest value, and when its steps count anew.
_FIELDS = (
    ("minute", 0, 59, "hour"),
    ("hour", 0, 23, "day"),
    ("day of month", 1, 31, "month"),
    ("month", 1, 12, "year"),
    ("day of week", 0, 6, "week"),
)


class Cron:
    """A usable expression."""

    def __init__(self, expression: str) -> None:
        fields = _fields(expression)
        self._parsed = CronSim(" ".join(fields), datetime(2000, 1, 1, tzinfo=UTC))
        # Such schedules go by elapsed time through clock changes, others by the time of day.
        self.by_elapsed_time = fields[0].startswith("*") or fields[1].startswith("*")

    def minutes_to(self, wall: datetime) -> int:
        """Return 0 if the minute is named, else how much later, in minutes, the next may be."""
        parsed = self._parsed
        if wall.month not in parsed.months:
            following = (wall.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0)
            return (following - wall) // timedelta(minutes=1)
        if not parsed.match_day(wall.date()):
            return (24 - wall.hour) * 60 - wall.minute
        if wall.hour not in parsed.hours:
            return 60 - wall.minute
        return min(
            (minute - wall.minute for minute in parsed.minutes if minute >= wall.minute),
            default=60 - wall.minute,
        )

    def first(self, wall: datetime) -> datetime | None:
        """Return the first minute from ``wall`` on that is named, if one ever is."""
        last = wall.year + YEARS
        while wall.year < last:
            minutes = self.minutes_to(wall)
            if minutes == 0:
                return wall
            wall += timedelta(minutes=minutes)
        return None


@lru_cache(maxsize=256)
def read(expression: str) -> Cron:
    """Return the expression.

    Raises:
        InvalidInput: it means nothing, is never due, or has a step that never comes to a second
            value.
    """
    fault = fault_of(expression)
    if fault is not None:
        raise InvalidInput("the schedule is not usable", faults=[fault])
    return Cron(expression)


@lru_cache(maxsize=256)
def fault_of(expression: str) -> Fault | None:
    """Return what is wrong with an expression, if anything is."""
    fields = _fields(expression)
    if len(fields) != len(_FIELDS):
        return Fault("cron", f"{expression!r}: has {len(fields)} fields instead of 5", _FORM)
    try:
        cron = Cron(expression)
    except CronSimError as error:
        return Fault("cron", f"{expression!r}: {error}", _FORM)
    for field, (name, least, most, unit) in zip(fields, _FIELDS, strict=True):
        for term in field.split(","):
            if problem := _idle_step(term, least, most):
                return Fault("cron", f"{expression!r}: {name} {term}: {problem}", _advice(unit))
    if cron.first(datetime(2000, 1, 1, tzinfo=UTC)) is None:
        return Fault("cron", f"{expression!r}: is never due", _FORM)
    return None


def _idle_step(term: str, least: int, most: int) -> str:
    """Return why a step is none: it never comes to a second value."""
    span, slash, step = term.partition("/")
    if not slash:
        return ""
    begin, dash, end = span.partition("-")
    first = int(begin) if begin.isdigit() else least
    last = int(end) if dash and end.isdigit() else most
    if first + int(step) <= last:
        return ""
    return f"a step of {step} goes beyond the end, {last}, so that only {first} is left"


def _advice(unit: str) -> str:
    return (
        f"steps count anew each {unit}; name the times instead, in two schedules if need be: each"
        " 90 minutes is 0 */3 * * * and 30 1-23/3 * * *"
    )


def _fields(expression: str) -> list[str]:
    return _ALIASES.get(expression.strip().lower(), expression).split()
