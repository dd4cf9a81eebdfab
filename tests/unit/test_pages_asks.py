"""The cards of what waits for a person: none of them moves because of another."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from engine_app.states.shapes_asks import Ask, answered, merged

KEYS = st.lists(st.sampled_from("abcdef"), unique=True)


def _asks(keys: list[str]) -> list[Ask]:
    return [Ask(key=key, since=1) for key in keys]


@settings(deadline=None)  # of this machine, not of the code
@given(KEYS, KEYS)
def test_no_card_moves_when_others_come_or_go(shown: list[str], found: list[str]) -> None:
    asks = merged(_asks(shown), _asks(shown), _asks(found))
    assert [ask.key for ask in asks[: len(shown)]] == shown
    assert {ask.key for ask in asks} == {*shown, *found}
    assert {ask.key for ask in asks if ask.gone} == set(shown) - set(found)


def test_a_card_that_is_over_stays_whatever_is_read() -> None:
    over = answered(Ask(key="a", since=1), True, "ada", 5)
    for found in ([], _asks(["a"]), _asks(["b"])):
        assert merged([over], _asks(["a"]), found)[0] == over


def test_a_step_that_asks_again_is_another_ask() -> None:
    over = answered(Ask(key="a", since=1), False, "ada", 5)
    again = Ask(key="a", since=9)
    assert merged([over], _asks(["a"]), [again]) == [again]
    assert merged([], _asks(["a"]), [again]) == [again]


def test_an_ask_that_changed_is_shown_as_it_is_now() -> None:
    changed = Ask(key="a", since=1, held="You are not among those who decide this.")
    typed = replace(Ask(key="a", since=1), wrong=["no"])
    assert merged([typed], _asks(["a"]), [changed]) == [changed]
