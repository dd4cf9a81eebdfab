"""A schedule's line says in words what is wrong with it, or what it has passed over."""

from __future__ import annotations

from typing import Any

import pytest

from engine.store.reads import ScheduleRow, SkippedRow
from engine_app.schedule_notes import note


def _row(**changes: Any) -> ScheduleRow:
    values: dict[str, Any] = dict.fromkeys(ScheduleRow.__dataclass_fields__)
    return ScheduleRow(**{**values, "missed": "latest", "missed_cap": 10, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"problem": "its zone is gone"}, "does not start: its zone is gone"),
        (
            {"skipped": SkippedRow(1, 0, 0, 0)},
            "1 missed slot was passed over (missed: latest)",
        ),
        (
            {"skipped": SkippedRow(1_200, 0, 0, 0), "missed": "all"},
            "1,200 missed slots were passed over (missed: all, at most 10)",
        ),
        (
            {"skipped": SkippedRow(10_000, 0, 0, 0), "missed": "skip"},
            "over 10,000 missed slots were passed over (missed: skip)",
        ),
    ],
)
def test_the_note_says_what_is_to_be_told(changes: dict[str, Any], words: str) -> None:
    assert note(_row(**changes)) == words
