"""What a tab remembers of an execution's page: read as any client's word, which may be anything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_app.states.execution_windows import Choice, Page, Recalled, recalled, remembered

CHOICE = Choice(step="pay", item=3, find="p", only="failed", page=2, items_only="failed")


def test_what_was_chosen_comes_back_as_it_was() -> None:
    page = Page(on=True, text="boom", least="error", first=25_000, last=25_250, told="250 lines")
    text = remembered("e", CHOICE, page)
    assert recalled(text, "e") == Recalled(
        CHOICE, Page(on=True, text="boom", least="error", first=25_000)
    )
    assert recalled(remembered("e", CHOICE, Page()), "e") == Recalled(CHOICE)


def test_what_is_of_another_execution_is_not_taken() -> None:
    assert recalled(remembered("e", CHOICE, Page()), "f") is None


VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers())


@settings(deadline=None)  # of this machine, not of the code
@given(st.dictionaries(st.sampled_from([*vars(CHOICE), "on", "first", "x"]), VALUES), st.booleans())
def test_whatever_a_client_sends_becomes_a_choice_within_bounds(
    values: dict[str, Any], log: bool
) -> None:
    found = recalled(json.dumps({"of": "e", "choice": values, "log": values if log else 1}), "e")
    if found is None:  # too long to be a tab's own
        return
    for name, start in vars(Choice()).items():
        value = getattr(found.choice, name)
        assert type(value) is type(start)
        assert len(value) <= 200 if isinstance(value, str) else -1 <= value < 2**53
    assert found.log.on == log


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"of": "f"}', "x" * 5_000])
def test_what_is_no_memory_is_none(text: str) -> None:
    assert recalled(text, "e") is None
