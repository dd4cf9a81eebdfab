"""The gate: no event of a client runs unless a rule names it."""

from __future__ import annotations

import asyncio

import pytest
from reflex.event import Event
from reflex.state import State, StateUpdate
from reflex_base.registry import RegistrationContext

from engine_app import engine_app, gate


def _handlers() -> list[str]:
    assert engine_app.app  # importing it registers every page's state
    return sorted(name for name in RegistrationContext.get().event_handlers if "tests" not in name)


def test_every_registered_handler_has_a_rule() -> None:
    ruled = gate.OPEN | gate.SIGNED_IN | gate.SHUT
    unruled = [name for name in _handlers() if name not in ruled and not name.endswith(".setvar")]
    assert unruled == []


def test_every_rule_names_a_registered_handler() -> None:
    assert set(_handlers()) >= gate.OPEN | gate.SIGNED_IN | gate.SHUT


def test_the_setters_that_reflex_adds_to_every_state_are_let_through_by_no_rule() -> None:
    setters = {name for name in _handlers() if name.endswith(".setvar")}
    assert setters
    assert not setters & (gate.OPEN | gate.SIGNED_IN)


def test_the_groups_of_rules_do_not_overlap() -> None:
    assert not gate.OPEN & gate.SIGNED_IN
    assert not (gate.OPEN | gate.SIGNED_IN) & gate.SHUT


@pytest.mark.parametrize("name", sorted(gate.OPEN))
def test_what_is_open_to_all_is_reflexs_own(name: str) -> None:
    assert "engine_app" not in name


def _answer(name: str) -> StateUpdate | None:
    """Return what the gate says to an event of someone who is not signed in."""
    state = State(_reflex_internal_init=True)  # type: ignore[call-arg]  # Reflex's own way
    return asyncio.run(gate.Gate().preprocess(engine_app.app, state, Event(name=name)))


@pytest.mark.parametrize("name", sorted(gate.SIGNED_IN))
def test_someone_who_is_not_signed_in_is_led_to_the_sign_in_page(name: str) -> None:
    answer = _answer(name)
    assert answer is not None
    assert "/login?next=" in str(answer.events)


@pytest.mark.parametrize("name", [*sorted(gate.SHUT), "state.setvar", "no_such.handler"])
def test_what_no_rule_lets_through_does_nothing(name: str) -> None:
    answer = _answer(name)
    assert answer == StateUpdate()


@pytest.mark.parametrize("name", sorted(gate.OPEN))
def test_reflexs_own_events_pass(name: str) -> None:
    assert _answer(name) is None
