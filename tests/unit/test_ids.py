"""Ids: their order is the order in which they were made."""

from __future__ import annotations

from itertools import pairwise

import pytest

from engine import ids


def test_ids_made_within_one_millisecond_still_sort_as_they_were_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_790_000_000_000_000_000)
    made = [ids.new_id() for _ in range(500)]
    assert all(before < after for before, after in pairwise(made))


def test_an_id_tells_when_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_790_000_000_123_456_789)
    assert ids.made_at(ids.new_id()) == 1_790_000_000_123_000


def test_a_clock_set_back_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_790_000_000_000_000_000)
    ids.new_id()
    monkeypatch.setattr("time.time_ns", lambda: 1_780_000_000_000_000_000)
    assert ids.made_at(ids.new_id()) == 1_780_000_000_000_000


def test_the_least_id_of_a_time_is_less_than_any_made_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_790_000_000_000_000_000)
    assert ids.first_id(1_790_000_000_000_000) <= ids.new_id() <= ids.LAST_ID
    assert ids.is_id(ids.new_id())
