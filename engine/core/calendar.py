"""When a schedule is due: cron in a time zone, both ways through the clock changes.

A time of day that the spring change skips fires at the first moment after the gap; one that the
autumn change repeats fires once. Schedules with a ``*`` in minute or hour go by elapsed time: they
fire at each minute that the clock on the wall shows and they name.
Source: Debian's cron(8)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice, takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.core import cron as crons
from engine.core.cron import Cron
from engine.errors import Fault, InvalidInput

# A tick comes each minute: one may be lost before a slot counts as missed.
ON_TIME_US = 90 * 1_000_000

COUNTED = 10_000  # skipped slots; of more it is told that there are more

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_LONGEST_STEP = 24 * 60  # minutes: no zone changes its clocks twice within a day
_FIRST_SPAN = 3_600_000_000  # µs


class Missed(StrEnum):
    """What becomes of slots that passed while nothing ticked."""

    SKIP = "skip"  # none: only a slot that is still on time fires
    LATEST = "latest"  # the newest one
    ALL = "all"  # each, oldest first; of more than the cap, the newest ones


@dataclass(frozen=True, slots=True)
class Skipped:
    """Slots that did not fire: how many (``COUNTED`` at most), the first and the last, in µs."""

    count: int
    first: int
    last: int


def check(cron: str, zone: str, path: str = "") -> None:
    """Refuse a cron expression or zone that means nothing, or that is never due.

    Raises:
        InvalidInput: with a fault for each, under ``path``.
    """
    prefix = f"{path}." if path else ""
    found = [fault for fault in (zone_fault(zone), crons.fault_of(cron)) if fault is not None]
    if found:
        faults = [Fault(f"{prefix}{one.path}", one.problem, one.hint) for one in found]
        raise InvalidInput("the schedule is not usable", faults=faults)


def zone_fault(zone: str) -> Fault | None:
    """Return what is wrong with a zone's name, if anything is; on this machine, for now."""
    if _zone(zone) is not None:
        return None
    return Fault("zone", f"{zone!r} is no time zone", "write Europe/Berlin or UTC")


def next_slot(cron: str, zone: str, after_us: int) -> int:
    """Return the first slot after ``after_us``, both in µs.

    Raises:
        InvalidInput: the expression or the zone means nothing.
    """
    check(cron, zone)
    return next(_slots(crons.read(cron), zone, after_us))


def slots_between(cron: str, zone: str, after_us: int, until_us: int, limit: int) -> list[int]:
    """Return the newest ``limit`` slots in (``after_us``, ``until_us``], ascending.

    Raises:
        InvalidInput: the expression or the zone means nothing.
    """
    check(cron, zone)
    read, span = crons.read(cron), _FIRST_SPAN
    # From the end in growing spans: a year of minutes must not be walked through for its last one.
    while True:
        start = max(after_us, until_us - span)
        slots = list(takewhile(lambda slot: slot <= until_us, _slots(read, zone, start)))
        if len(slots) >= limit or start == after_us:
            return slots[-limit:]
        span *= 4


def skipped(cron: str, zone: str, after_us: int, until_us: int) -> Skipped | None:
    """Return what is passed over when no slot in (``after_us``, ``until_us``] fires.

    Raises:
        InvalidInput: the expression or the zone means nothing.
    """
    check(cron, zone)
    due = takewhile(lambda slot: slot <= until_us, _slots(crons.read(cron), zone, after_us))
    slots = list(islice(due, COUNTED))
    if not slots:
        return None
    [last] = slots_between(cron, zone, after_us, until_us, 1)
    return Skipped(len(slots), slots[0], last)


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


def _slots(cron: Cron, zone: str, after_us: int) -> Iterator[int]:
    """Yield the slots after ``after_us``, for some forty years."""
    place = _zone(zone)
    assert place is not None, "the zone was checked"
    after = _EPOCH + timedelta(microseconds=after_us)
    moments = _by_elapsed_time if cron.by_elapsed_time else _by_time_of_day
    newest = after
    for moment in moments(cron, place, after):
        # Two times of day in the skipped hour come out as the same moment.
        if moment > newest:
            newest = moment
            yield (moment - _EPOCH) // timedelta(microseconds=1)


def _by_elapsed_time(cron: Cron, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    moment = after.replace(second=0, microsecond=0)
    last = moment.year + crons.YEARS
    while moment.year < last:
        minutes = cron.minutes_to(moment.astimezone(zone))
        if minutes == 0:
            yield moment
        step = min(max(minutes, 1), _LONGEST_STEP) * _MINUTE
        # The wall clock goes on evenly only up to where it is changed.
        moment = _change(moment, moment + step, zone) or moment + step


def _by_time_of_day(cron: Cron, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    wall = after.astimezone(zone).replace(second=0, microsecond=0, tzinfo=None)
    last = wall.year + crons.YEARS
    while wall.year < last:
        minutes = cron.minutes_to(wall)
        if minutes == 0:
            yield _moment_of(wall, zone)
        wall += max(minutes, 1) * _MINUTE


def _moment_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return when a clock in ``zone`` shows ``wall``: the first time; or has just passed it by."""
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == wall:
        return moment
    before_gap = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _change(before_gap, moment, zone) or moment


def _change(start: datetime, end: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the first minute after ``start``, up to ``end``, with another offset from UTC."""
    before = start.astimezone(zone).utcoffset()
    if end.astimezone(zone).utcoffset() == before:
        return None
    while end - start > _MINUTE:
        middle = start + (end - start) // _MINUTE // 2 * _MINUTE
        if middle.astimezone(zone).utcoffset() == before:
            start = middle
        else:
            end = middle
    return end


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None  # OSError: a folder of the database, as "Europe" is
