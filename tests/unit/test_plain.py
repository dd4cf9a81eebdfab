"""Rows at the API's edge: times as text, payloads untouched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from engine.errors import InvalidQuery
from engine_app.serialize import iso, micros, shape


@dataclass(frozen=True)
class Inner:
    at: int


@dataclass(frozen=True)
class Row:
    created_at: int
    finished_at: int | None
    input: Any
    parts: tuple[Inner, ...]


def test_times_become_text_and_payloads_stay() -> None:
    row = Row(1_700_000_000_123_456, None, {"at": 5, "created_at": 7}, (Inner(0),))
    assert shape(row) == {
        "created_at": "2023-11-14T22:13:20.123456Z",
        "finished_at": None,
        "input": {"at": 5, "created_at": 7},
        "parts": [{"at": "1970-01-01T00:00:00.000000Z"}],
    }


@pytest.mark.parametrize("moment", [0, 1, 999_999, 1_700_000_000_123_456])
def test_a_time_comes_back_as_it_went(moment: int) -> None:
    assert micros(iso(moment), "since") == moment


def test_a_time_with_a_zone_is_understood() -> None:
    assert micros("1970-01-01T02:00:00+02:00", "since") == 0


def test_what_is_no_time_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidQuery, match="since"):
        micros("yesterday", "since")
