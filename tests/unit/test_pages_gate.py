"""The gate: no event of a client runs unless a rule names it."""

from __future__ import annotations

import asyncio
from functools import cache
from types import SimpleNamespace

import pytest
from reflex.event import Event
from reflex.istate.data import SessionData
from reflex.state import State, StateUpdate
from reflex_base.registry import RegistrationContext

from engine_app import engine_app, event_allowlist
from engine_app.auth.viewer import Viewer
from engine_app.tabs import tabs


def _handlers() -> list[str]:
    assert engine_app.app  # importing it registers every page's state
    return sorted(name for name in RegistrationContext.get().event_handlers if "tests" not in name)


RULED = event_allowlist.FROM_CLIENTS | event_allowlist.LED_TO | event_allowlist.SHUT


def test_every_registered_handler_has_a_rule() -> None:
    unruled = [name for name in _handlers() if name not in RULED and not name.endswith(".setvar")]
    assert unruled == []


def test_every_rule_names_a_registered_handler() -> None:
    assert set(_handlers()) >= RULED


def test_the_setters_that_reflex_adds_to_every_state_are_let_through_by_no_rule() -> None:
    setters = {name for name in _handlers() if name.endswith(".setvar")}
    assert setters
    assert not setters & (event_allowlist.FROM_CLIENTS | event_allowlist.LED_TO)


def test_the_groups_of_rules_do_not_overlap() -> None:
    assert not event_allowlist.FROM_CLIENTS & event_allowlist.LED_TO
    assert not (event_allowlist.FROM_CLIENTS | event_allowlist.LED_TO) & event_allowlist.SHUT


def test_no_client_starts_what_goes_on_by_itself() -> None:
    registered = RegistrationContext.get().event_handlers
    lasting = {name for name in _handlers() if registered[name].handler.is_background}
    assert lasting
    assert lasting <= event_allowlist.LED_TO


class _App:
    """What the gate asks of Reflex's app: to be told whose memory nobody may see any more."""

    def __init__(self) -> None:
        self.shut: list[str] = []
        self.event_namespace = SimpleNamespace(shut=self.shut.append)


@cache
def _state() -> State:
    return State(_reflex_internal_init=True)  # type: ignore[call-arg]  # Reflex's own way


def _answer(name: str, ident: str = "nobody's") -> tuple[StateUpdate | None, list[str]]:
    """Return what the gate says to an event of a tab, and whose memory it had wiped."""
    state, app = _state(), _App()
    state.rx_router_session = SessionData(client_token=ident)
    answer = asyncio.run(event_allowlist.Gate().preprocess(app, state, Event(name=name)))  # type: ignore[arg-type]  # all it asks of one
    return answer, app.shut


@pytest.mark.parametrize("name", sorted(event_allowlist.FROM_CLIENTS | event_allowlist.LED_TO))
def test_nothing_runs_for_a_tab_without_a_session(name: str) -> None:
    assert _answer(name) == (StateUpdate(), ["nobody's"])


@pytest.mark.parametrize("name", sorted(event_allowlist.FROM_CLIENTS | event_allowlist.LED_TO))
@pytest.mark.parametrize("viewer", [None, Viewer("u", "ada")])
def test_what_a_rule_names_runs_while_the_session_is_valid(
    name: str, viewer: Viewer | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_allowlist, "viewer_of", lambda _session: viewer)
    tab = tabs.arrive("session", name, "socket")
    if viewer is None:
        assert _answer(name, tab.ident) == (StateUpdate(), [tab.ident])
    else:
        assert _answer(name, tab.ident) == (None, [])


@pytest.mark.parametrize("name", [*sorted(event_allowlist.SHUT), "state.setvar", "no_such.handler"])
def test_what_no_rule_lets_through_does_nothing(name: str) -> None:
    assert _answer(name) == (StateUpdate(), [])


@pytest.mark.parametrize("name", ["a\nb", "x" * 5000, 7, None, ["a"], {"a": 1}])
def test_a_refusal_is_one_short_line_whatever_was_sent(
    name: object, caplog: pytest.LogCaptureFixture
) -> None:
    event_allowlist.log_refusal(name)
    assert len(caplog.messages) == 1
    assert "\n" not in caplog.messages[0]
    assert len(caplog.messages[0]) < 300
