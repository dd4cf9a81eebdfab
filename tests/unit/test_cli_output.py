"""What commands print: times that name their zone and agree with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from engine_app.cli.output import moment

AT = int(datetime.fromisoformat("2026-04-04T15:30:00.999999Z").timestamp() * 1e6)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Put this machine into a zone."""

    def put(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield put
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("here", "told"),
    [
        ("UTC", "2026-04-04 15:30:00 UTC"),
        ("Europe/London", "2026-04-04 16:30:00 +01:00"),
        ("Asia/Kathmandu", "2026-04-04 21:15:00 +05:45"),
        ("America/St_Johns", "2026-04-04 13:00:00 -02:30"),
    ],
)
def test_a_time_tells_how_far_it_is_from_utc(
    here: str, told: str, machine: Callable[[str], None]
) -> None:
    machine(here)
    assert moment(AT) == told
    assert moment(AT, "Nowhere/Lost") == told
    assert moment(AT, "../etc/passwd") == told


def test_a_time_in_another_zone_is_told_in_that_one(machine: Callable[[str], None]) -> None:
    machine("America/New_York")
    assert moment(AT - 3_600_000_000, "Australia/Lord_Howe") == "2026-04-05 01:30:00 +11:00"
    assert moment(AT, "Australia/Lord_Howe") == "2026-04-05 02:00:00 +10:30"
    assert moment(AT, "UTC") == "2026-04-04 15:30:00 UTC"


def test_no_time_is_a_dash_and_the_first_of_all_is_none() -> None:
    assert moment(None) == "–"
    assert moment(0, "UTC") == "1970-01-01 00:00:00 UTC"
