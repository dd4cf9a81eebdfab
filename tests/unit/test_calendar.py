"""Slots of cron schedules, with zones, and what becomes of missed ones."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InvalidInput
from engine.machine.calendar import Missed, check, missed, next_slot, slots_between

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
    ],
)
def test_an_expression_that_means_nothing_is_refused_with_its_path(cron: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(cron, "UTC", path="schedule")
    assert [fault.path for fault in caught.value.faults] == ["schedule.cron"]


@pytest.mark.parametrize(
    "zone", ["", "Mars/Base", "Europe", "../etc/passwd", "/etc/passwd", "a\0b"]
)
def test_a_zone_that_is_none_is_refused_beside_other_faults(zone: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        next_slot("nonsense", zone, 0)
    assert [fault.path for fault in caught.value.faults] == ["zone", "cron"]


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
