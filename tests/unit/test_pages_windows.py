"""Which of many steps and items are on screen: each can be reached."""

from __future__ import annotations

import pytest

from engine_app.states.execution_windows import (
    ITEMS,
    SLOTS,
    Choice,
    Items,
    Tally,
    items,
    left_out,
    steps,
)
from engine_app.states.view_models import Bar

BARS = [Bar(name=f"s{number}", status="completed") for number in range(300)]
BARS[233] = Bar(name="s233", status="failed")
BARS[234:] = [Bar(name=f"s{number}", status="skipped") for number in range(234, 300)]


def test_of_three_hundred_steps_the_one_that_tells_most_is_on_screen_at_once() -> None:
    shown, told = steps(BARS, Choice(), picked="s233")
    assert "s233" in [bar.name for bar in shown]
    assert (told.first, told.last, told.found) == (181, 240, 300)


def test_the_pages_of_the_steps_hold_each_once_and_lead_to_each_other() -> None:
    seen: list[str] = []
    page = 0
    while page >= 0:
        shown, told = steps(BARS, Choice(page=page), picked="s0")
        assert len(shown) == SLOTS
        assert told.before == page - 1
        seen += [bar.name for bar in shown if bar.name]
        page = told.after
    assert seen == [bar.name for bar in BARS]


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (Choice(only="failed", page=0), ["s233"]),
        (Choice(find="S233"), ["s233"]),
        (Choice(find="s29"), ["s29", *(f"s29{number}" for number in range(10))]),
        (Choice(find="none"), []),
        (Choice(find="s23", only="failed"), ["s233"]),
    ],
)
def test_steps_are_found_by_name_and_status(choice: Choice, names: list[str]) -> None:
    shown, told = steps(BARS, choice, picked="s0")
    assert [bar.name for bar in shown if bar.name] == names
    assert (told.found, told.total, told.after) == (len(names), 300, -1)


def test_a_page_that_is_no_more_is_the_last_one() -> None:
    shown, told = steps(BARS[:70], Choice(page=9), picked="s0")
    assert [bar.name for bar in shown if bar.name] == [f"s{n}" for n in range(60, 70)]
    assert (told.before, told.after) == (0, -1)


def test_how_many_steps_have_a_status_is_told_whatever_is_shown() -> None:
    _, told = steps(BARS, Choice(only="failed"), picked="")
    assert told.tally == [Tally("completed", 233), Tally("failed", 1), Tally("skipped", 66)]


def test_an_execution_without_steps_yet_shows_none() -> None:
    shown, told = steps([], Choice(), picked="")
    assert shown == [Bar()] * SLOTS
    assert (told.first, told.last, told.before, told.after) == (0, 0, -1, -1)


@pytest.mark.parametrize(
    ("start", "shown", "more", "told"),
    [
        (0, range(200), True, Items(2000, "items 0 to 199 of 2,000", -1, 200)),
        (1600, range(1600, 1800), True, Items(2000, "items 1,600 to 1,799 of 2,000", 1400, 1800)),
        (1800, range(1800, 2000), False, Items(2000, "items 1,800 to 1,999 of 2,000", 1600, -1)),
        (100, range(100, 300), True, Items(2000, "items 100 to 299 of 2,000", 0, 300)),
    ],
)
def test_the_pages_of_the_items_lead_to_each_other(
    start: int, shown: range, more: bool, told: Items
) -> None:
    assert ITEMS == 200
    assert items(2000, Choice(items_from=start), shown, more=more) == told


def test_items_of_a_status_lead_back_to_the_first_of_them() -> None:
    choice = Choice(items_only="failed", items_from=700)
    found = items(2000, choice, [733, 1733], more=False)
    assert found == Items(2000, "failed items 733 to 1,733 of 2,000", 0, -1, "failed")
    assert items(2000, choice, [], more=False).told == "no failed items from 700 on"


@pytest.mark.parametrize(
    ("asks", "decisions", "said"), [(20, 20, 0), (21, 0, 1), (3, 21, 1), (21, 21, 2)]
)
def test_a_page_says_that_it_does_not_show_all_that_waits_or_was_decided(
    asks: int, decisions: int, said: int
) -> None:
    told = left_out(asks, decisions, most=20)
    assert len(told) == said
    assert all("20" in words for words in told)
