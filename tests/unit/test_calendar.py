"""Slots of cron schedules, with zones, and what becomes of missed ones."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.calendar import Missed, check, missed, next_slot, slots_between
from engine.errors import InvalidInput

MINUTE = 60_000_000
BERLIN = "Europe/Berlin"


def _us(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000


def _local(slots: list[int], zone: str = BERLIN) -> list[str]:
    place = ZoneInfo(zone)
    return [
        datetime.fromtimestamp(slot / 1e6, UTC).astimezone(place).strftime("%d %H:%M %z")
        for slot in slots
    ]


def test_the_next_slot_is_after_the_given_time_never_at_it() -> None:
    slot = _us("2027-01-04T07:30:00+01:00")
    assert next_slot("30 7 * * mon-fri", BERLIN, slot - 1) == slot
    assert _local([next_slot("30 7 * * mon-fri", BERLIN, slot)]) == ["05 07:30 +0100"]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("@hourly", "2027-01-01T13:00:00Z"),
        ("@daily", "2027-01-02T00:00:00Z"),
        ("@midnight", "2027-01-02T00:00:00Z"),
        ("@weekly", "2027-01-03T00:00:00Z"),
        ("@Monthly", "2027-02-01T00:00:00Z"),
        ("@yearly", "2028-01-01T00:00:00Z"),
        ("0 0 * * 0", "2027-01-03T00:00:00Z"),
        ("0 0 * * 7", "2027-01-03T00:00:00Z"),
        ("0 0 * * sun", "2027-01-03T00:00:00Z"),
        ("0 0 L * *", "2027-01-31T00:00:00Z"),
        ("0 0 29 2 *", "2028-02-29T00:00:00Z"),
    ],
)
def test_aliases_names_and_rare_days_are_due_when_they_say(cron: str, expected: str) -> None:
    assert next_slot(cron, "UTC", _us("2027-01-01T12:00:00Z")) == _us(expected)


def test_a_time_in_the_hour_that_spring_skips_fires_once_after_the_gap() -> None:
    day = _us("2027-03-27T12:00:00+01:00"), _us("2027-03-29T12:00:00+02:00")
    assert _local(slots_between("30 2 * * *", BERLIN, *day, 9)) == [
        "28 03:00 +0200",
        "29 02:30 +0200",
    ]


def test_two_times_that_spring_moves_together_fire_once() -> None:
    night = _us("2027-03-28T00:00:00+01:00"), _us("2027-03-28T12:00:00+02:00")
    assert _local(slots_between("0 2,3 * * *", BERLIN, *night, 9)) == ["28 03:00 +0200"]


def test_a_time_in_the_hour_that_autumn_repeats_fires_once() -> None:
    day = _us("2027-10-30T12:00:00+02:00"), _us("2027-11-01T12:00:00+01:00")
    assert _local(slots_between("30 2 * * *", BERLIN, *day, 9)) == [
        "31 02:30 +0200",
        "01 02:30 +0100",
    ]


def test_asked_inside_the_repeated_hour_the_answer_is_never_the_past() -> None:
    second_time = _us("2027-10-31T02:15:00+01:00")
    assert _local([next_slot("30 2 * * *", BERLIN, second_time)]) == ["01 02:30 +0100"]


def test_schedules_with_a_star_go_by_elapsed_time_through_both_changes() -> None:
    for start, end in [
        ("2027-03-28T00:30:00+01:00", "2027-03-28T04:30:00+02:00"),
        ("2027-10-31T00:30:00+02:00", "2027-10-31T04:30:00+01:00"),
    ]:
        slots = slots_between("*/15 * * * *", BERLIN, _us(start), _us(end), 100)
        assert slots == list(range(_us(start) + 15 * MINUTE, _us(end) + 1, 15 * MINUTE))


def test_of_a_year_of_minutes_only_the_newest_are_made() -> None:
    end = _us("2027-01-01T00:00:00Z")
    newest = slots_between("* * * * *", "UTC", _us("2026-01-01T00:00:00Z"), end, 3)
    assert newest == [end - 2 * MINUTE, end - MINUTE, end]


@settings(max_examples=60, deadline=None)
@given(
    cron=st.sampled_from(
        ["* * * * *", "*/7 * * * *", "30 2 * * *", "0 */3 * * *", "15 1,2,3 * * *", "0 0 * * 0"]
    ),
    zone=st.sampled_from(
        ["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu"]
    ),
    start=st.integers(_us("2026-01-01T00:00:00Z"), _us("2028-01-01T00:00:00Z")),
    hours=st.integers(0, 80),
    limit=st.integers(1, 40),
)
def test_slots_between_are_the_newest_of_those_met_one_by_one(
    cron: str, zone: str, start: int, hours: int, limit: int
) -> None:
    until = start + hours * 60 * MINUTE
    walked = []
    slot = next_slot(cron, zone, start)
    while slot <= until:
        walked.append(slot)
        following = next_slot(cron, zone, slot)
        assert following > slot
        slot = following
    assert slots_between(cron, zone, start, until, limit) == walked[-limit:]


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "x",
        "* * * *",
        "* * * * * *",
        "61 * * * *",
        "0 24 * * *",
        "0 0 30 2 *",
        "@reboot",
        "*/0 * * * *",
        "0 0 31 4,6 *",
    ],
)
def test_an_expression_that_means_nothing_is_refused_with_its_path(cron: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(cron, "UTC", path="schedule")
    assert [fault.path for fault in caught.value.faults] == ["schedule.cron"]


@pytest.mark.parametrize(
    ("cron", "term"),
    [
        ("*/90 * * * *", "minute */90"),
        ("*/60 * * * *", "minute */60"),
        ("0 */36 * * *", "hour */36"),
        ("5/70 * * * *", "minute 5/70"),
        ("0,30/45 * * * *", "minute 30/45"),
        ("10-20/15 * * * *", "minute 10-20/15"),
        ("0 0 */31 * *", "day of month */31"),
        ("0 0 1 */12 *", "month */12"),
        ("0 0 * * */7", "day of week */7"),
    ],
)
def test_a_step_that_never_comes_to_a_second_value_is_refused_with_advice(
    cron: str, term: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(cron, "UTC")
    [fault] = caught.value.faults
    assert f"{term}: a step of" in fault.problem
    assert "two schedules" in fault.hint


@pytest.mark.parametrize(
    "cron",
    [
        *("*/7 * * * *", "*/59 * * * *", "5/30 * * * *", "0 */23 * * *", "0 0 */15 * *"),
        *("0 0 1 */6 *", "0 9-17/2 * * mon-fri", "0-30/30 * * * *", "0 0 * * */2"),
    ],
)
def test_a_step_that_comes_to_a_second_value_is_taken(cron: str) -> None:
    check(cron, "UTC")


@pytest.mark.parametrize(
    "zone", ["", "Mars/Base", "Europe", "../etc/passwd", "/etc/passwd", "a\0b"]
)
def test_a_zone_that_is_none_is_refused_beside_other_faults(zone: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        next_slot("nonsense", zone, 0)
    assert [fault.path for fault in caught.value.faults] == ["zone", "cron"]


# --- against a walk of every minute --------------------------------------------------------------

# Each with the minutes and hours it names, every day; and whether it goes by the time of day.
WALKED = {
    "0 */2 * * *": ({0}, set(range(0, 24, 2)), False),
    "*/15 * * * *": ({0, 15, 30, 45}, set(range(24)), False),
    "30 * * * *": ({30}, set(range(24)), False),
    "*/30 1-3 * * *": ({0, 30}, {1, 2, 3}, False),
    "45 0,1,2,3,23 * * *": ({45}, {0, 1, 2, 3, 23}, True),
    "0 0 * * *": ({0}, {0}, True),
}
YEARS = _us("2026-01-01T00:00:00Z"), _us("2028-01-01T00:00:00Z")


def _offset(micros: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(micros / 1e6, UTC).astimezone(zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds()) * 1_000_000


def _changes(name: str) -> list[tuple[int, int, int]]:
    """Return the zone's changes in two years: when, and the offset before and after."""
    zone, found = ZoneInfo(name), []
    for day in range(*YEARS, 24 * 60 * MINUTE):
        low, high = day, day + 24 * 60 * MINUTE
        before, after = _offset(low, zone), _offset(high, zone)
        if before != after:
            while high - low > MINUTE:
                middle = (low + high) // 2 // MINUTE * MINUTE
                low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
            found.append((high, before, after))
    return found


def _walk(change: tuple[int, int, int], start: int, end: int, cron: str) -> list[int]:
    """Return the slots in (start, end] by looking at each minute, with one change in between."""
    minutes, hours, by_time_of_day = WALKED[cron]
    at, before, after = change
    found: set[int] = set()
    seen: set[int] = set()
    for moment in range(start // MINUTE * MINUTE - 3 * 60 * MINUTE, end + 1, MINUTE):
        wall = moment + (before if moment < at else after)
        walls = [wall]
        if by_time_of_day and moment == at and after > before:
            walls = list(range(at + before, at + after, MINUTE)) + walls  # those passed by
        for one in walls:
            named = one // MINUTE % 60 in minutes and one // (60 * MINUTE) % 24 in hours
            if named and not (by_time_of_day and one in seen):
                found.add(moment)
            seen.add(one)
    return sorted(slot for slot in found if start < slot <= end)


def test_around_each_change_of_each_zone_slots_are_those_of_a_walk_of_every_minute() -> None:
    named = {change: name for name in sorted(available_timezones()) for change in _changes(name)}
    assert len(named) > 20
    for change in sorted(named):
        start, end = change[0] - 26 * 60 * MINUTE, change[0] + 26 * 60 * MINUTE
        for cron in WALKED:
            expected = _walk(change, start, end, cron)
            found = slots_between(cron, named[change], start, end, 10_000)
            assert found == expected, (named[change], cron)


def test_the_slot_that_a_shift_of_half_an_hour_repeats_is_not_lost() -> None:
    night = _us("2026-04-05T00:30:00+11:00"), _us("2026-04-05T05:00:00+10:30")
    found = slots_between("0 */2 * * *", "Australia/Lord_Howe", *night, 9)
    assert _local(found, "Australia/Lord_Howe") == ["05 02:00 +1030", "05 04:00 +1030"]


SLOTS = [MINUTE * number for number in range(1, 181)]  # three hours of minutes


@pytest.mark.parametrize(
    ("policy", "cap", "late", "expected"),
    [
        (Missed.SKIP, 10, 0, SLOTS[-1:]),
        (Missed.SKIP, 10, 89_000_000, SLOTS[-1:]),
        (Missed.SKIP, 10, 90_000_000, []),
        (Missed.LATEST, 10, 0, SLOTS[-1:]),
        (Missed.LATEST, 10, 10**12, SLOTS[-1:]),
        (Missed.ALL, 10, 0, SLOTS[-10:]),
        (Missed.ALL, 1000, 10**12, SLOTS),
        (Missed.ALL, 0, 0, []),
    ],
)
def test_after_downtime_exactly_what_the_policy_says_fires(
    policy: Missed, cap: int, late: int, expected: list[int]
) -> None:
    assert missed(policy, SLOTS, cap, now_us=SLOTS[-1] + late) == expected
    assert missed(policy, [], cap, now_us=SLOTS[-1]) == []
