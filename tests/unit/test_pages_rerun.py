"""The dialog that runs an execution again: it foretells what it would start."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from engine.commands.rerun import NEWEST, Preview, RerunRequest
from engine.errors import EngineError, Fault, InvalidInput
from engine_app.auth.viewer import Viewer
from engine_app.states import rerun
from engine_app.states.rerun import RerunState
from engine_app.states.view_models_waits import Fate, Outlook


class _Client:
    """The engine's client: notes the wish, foretells or refuses."""

    def __init__(self) -> None:
        self.wishes: list[RerunRequest] = []
        self.refusal: EngineError | None = None

    def preview_again(self, *, owner_id: str, execution_id: str, wish: RerunRequest) -> Preview:
        assert (owner_id, execution_id) == ("u", "e")
        self.wishes.append(wish)
        if self.refusal is not None:
            raise self.refusal
        return Preview(3, ["read"], ["charge"], [])


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> _Client:
    found = _Client()
    monkeypatch.setattr(rerun, "client", lambda: found)
    monkeypatch.setattr(rerun, "session_of", lambda _state: "session")
    monkeypatch.setattr(rerun, "viewer_of", lambda _session: Viewer("u", "ada"))
    return found


def _foretell(**chosen: Any) -> Any:
    """Return the dialog after it has foretold what these choices do."""
    values: dict[str, Any] = {"step": "", "newer": False, "edited": False, "text": "{}"}
    page: Any = SimpleNamespace(_id="e", _original=None, **values | chosen)
    page._wish = lambda: RerunState._wish(page)
    page._ask = lambda ask: RerunState._ask(page, ask)
    asyncio.run(RerunState._foretell(page))
    return page


def test_the_choices_become_the_wish_that_is_foretold(client: _Client) -> None:
    page = _foretell(step="charge", newer=True, edited=True, text='{"n": 1}')
    assert client.wishes == [RerunRequest("charge", NEWEST, {"n": 1}, edited=True)]
    assert page.outlook == Outlook(3, Fate(1, "read"), Fate(1, "charge"), Fate())
    assert page.wrong == []


def test_without_a_choice_what_failed_runs_again(client: _Client) -> None:
    _foretell()
    assert client.wishes == [RerunRequest()]


def test_an_input_that_is_no_json_is_told_and_nothing_foretold(client: _Client) -> None:
    page = _foretell(edited=True, text="{")
    assert client.wishes == []
    assert page.outlook == Outlook()
    assert "not JSON" in page.wrong[0]


def test_an_input_that_the_schema_refuses_is_told_fault_by_fault(client: _Client) -> None:
    client.refusal = InvalidInput("no", faults=[Fault("input.a", "odd"), Fault("input.b", "even")])
    page = _foretell(edited=True)
    assert page.wrong == ["input.a: odd", "input.b: even"]
    assert page.outlook == Outlook()


@pytest.mark.usefixtures("client")
def test_once_the_session_is_over_the_dialog_leads_to_sign_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    monkeypatch.setattr(rerun, "viewer_of", lambda _session: None)
    monkeypatch.setattr(rerun, "to_login", lambda _state: told.append("login"))
    _foretell()
    assert told == ["login"]
