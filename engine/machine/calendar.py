"""When a schedule is due: cron in a time zone, both ways through the clock changes.

A time that the spring change skips fires at the first moment after the gap; a time that the
autumn change repeats fires once. Schedules with a ``*`` in minute or hour go by elapsed time.
Source: Debian's cron(8), through cronsim.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import islice, takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from engine.errors import Fault, InvalidInput

# A tick comes each minute: one may be lost before a slot counts as missed.
ON_TIME_US = 90 * 1_000_000

_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Missed(StrEnum):
    """What becomes of slots that passed while nothing ticked."""

    SKIP = "skip"  # none: only a slot that is still on time fires
    LATEST = "latest"  # the newest one
    ALL = "all"  # each, oldest first; of more than the cap, the newest ones


def check(cron: str, zone: str, path: str = "") -> None:
    """Refuse a cron expression or zone that means nothing, or that is never due.

    Raises:
        InvalidInput: with a fault for each, under ``path``.
    """
    prefix = f"{path}." if path else ""
    faults = []
    if _zone(zone) is None:
        faults.append(
            Fault(f"{prefix}zone", f"{zone!r} is no time zone", "write Europe/Berlin or UTC")
        )
    problem = _problem(cron)
    if problem:
        hint = "five fields: minute hour day month weekday, as 30 7 * * mon-fri; or @daily"
        faults.append(Fault(f"{prefix}cron", f"{cron!r}: {problem}", hint))
    if faults:
        raise InvalidInput("the schedule is not usable", faults=faults)


def next_slot(cron: str, zone: str, after_us: int) -> int:
    """Return the first slot after ``after_us``, both in µs.

    Raises:
        InvalidInput: the expression or the zone means nothing.
    """
    check(cron, zone)
    return next(_forward(cron, zone, after_us))


def slots_between(cron: str, zone: str, after_us: int, until_us: int, limit: int) -> list[int]:
    """Return the newest ``limit`` slots in (``after_us``, ``until_us``], ascending.

    Raises:
        InvalidInput: the expression or the zone means nothing.
    """
    check(cron, zone)
    # Backwards first: a year of minutes must not be walked through for its last one. Only to find
    # where to begin, for near some clock changes cronsim's two directions differ by a slot.
    newest_first = takewhile(lambda slot: slot > after_us, _backward(cron, zone, until_us))
    found = list(islice(newest_first, limit))
    if not found:
        return []
    start = found[-1] - 1 if len(found) == limit else after_us
    slots = list(takewhile(lambda slot: slot <= until_us, _forward(cron, zone, start)))
    return slots[-limit:]


def missed(policy: Missed, slots: Sequence[int], cap: int, *, now_us: int) -> list[int]:
    """Return which of the due ``slots`` (ascending) fire, oldest first.

    The newest one is on time for 90 s, and fires under each policy then.
    """
    if policy is Missed.ALL:
        return list(slots[-cap:]) if cap > 0 else []
    newest = list(slots[-1:])
    if policy is Missed.LATEST:
        return newest
    return [slot for slot in newest if now_us - slot < ON_TIME_US]


def _forward(cron: str, zone: str, after_us: int) -> Iterator[int]:
    newest = after_us
    for moment in CronSim(_expanded(cron), _local(after_us, zone)):
        slot = _micros(moment)
        # cronsim counts wall time: in the repeated hour it may answer with the past, and two
        # times of the skipped hour may come out as the same moment.
        if slot > newest:
            newest = slot
            yield slot


def _backward(cron: str, zone: str, until_us: int) -> Iterator[int]:
    # Backwards it starts below the second it is given.
    start = _local(until_us, zone).replace(microsecond=0) + timedelta(seconds=1)
    for moment in CronSim(_expanded(cron), start, reverse=True):
        slot = _micros(moment)
        if slot <= until_us:
            yield slot


@lru_cache(maxsize=256)
def _problem(cron: str) -> str:
    """Return what is wrong with an expression, or an empty text."""
    expanded = _expanded(cron)
    fields = len(expanded.split())
    if fields != 5:
        return f"has {fields} fields instead of 5"
    try:
        never = next(_forward(expanded, "UTC", 0), None) is None
    except CronSimError as error:
        return str(error)
    return "is never due" if never else ""


def _expanded(cron: str) -> str:
    return _ALIASES.get(cron.strip().lower(), cron)


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None  # OSError: a folder of the database, as "Europe" is


def _local(micros: int, zone: str) -> datetime:
    return (_EPOCH + timedelta(microseconds=micros)).astimezone(_zone(zone))


def _micros(moment: datetime) -> int:
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
