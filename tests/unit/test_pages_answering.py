"""Answering from a page: what is sent, and what a refusal leaves on the page."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from engine.answer import Decision
from engine.errors import Conflict, EngineError, Fault, InvalidInput
from engine_app.auth.viewer import Viewer
from engine_app.states import answering
from engine_app.states.answering import COMMENT, KEY, VERDICT, Answering
from engine_app.states.run_form import Field
from engine_app.states.shapes_waits import Ask

ASK = Ask(
    key="e.review.-1",
    kind="approval",
    execution="e",
    step="review",
    fields=[Field(name="count", kind="integer")],
)


class _Client:
    """The engine's client: notes what it is asked, refuses when told to."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.refusal: EngineError | None = None

    def _take(self, **asked: Any) -> None:
        self.asked.append(asked)
        if self.refusal is not None:
            raise self.refusal

    decide = signal = _take


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> _Client:
    found = _Client()
    monkeypatch.setattr(answering, "client", lambda: found)
    monkeypatch.setattr(answering, "session_of", lambda _state: "session")
    monkeypatch.setattr(answering, "viewer_of", lambda _session: Viewer("u", "ada"))
    return found


def _page(*asks: Ask) -> Any:
    return SimpleNamespace(asks=list(asks), _asked=list(asks), refusal="", look_again=lambda: None)


def _answer(page: Any, **form: Any) -> None:
    named = {KEY: ASK.key, VERDICT: form.pop("verdict", ""), COMMENT: form.pop("comment", "")}
    # Of a mixin: a plain function, which Reflex has given another type.
    handler: Any = Answering.answer
    asyncio.run(handler(page, {**named, **form}))


def test_an_approval_is_sent_with_what_was_filled_in(client: _Client) -> None:
    page = _page(ASK)
    _answer(page, verdict="approve", comment=" fine ", count="3")
    assert client.asked[0]["decision"] == Decision(True, "ada", "fine", {"count": 3}, None)
    assert page.asks == []


def test_a_rejection_does_not_ask_for_the_form(client: _Client) -> None:
    _answer(_page(ASK), verdict="reject", comment="too early", count="not a number")
    assert client.asked[0]["decision"] == Decision(False, "ada", "too early", {}, None)


def test_a_form_that_says_neither_is_no_approval(client: _Client) -> None:
    _answer(_page(ASK), count="3")
    assert client.asked[0]["decision"].approved is False


def test_what_cannot_be_read_is_said_beside_its_field_and_not_sent(client: _Client) -> None:
    page = _page(ASK)
    _answer(page, verdict="approve", count="three")
    assert client.asked == []
    assert page.asks[0].fields[0].wrong == "give a whole number"
    assert page.asks[0].fields[0].value == "three"


def test_what_the_engine_refuses_is_said_in_its_words(client: _Client) -> None:
    page = _page(ASK)
    client.refusal = Conflict("step 'review' was decided a moment before")
    _answer(page, verdict="approve", count="3")
    assert page.asks[0].wrong == ["step 'review' was decided a moment before"]
    client.refusal = InvalidInput("no", faults=[Fault("values.count", "too small")])
    _answer(page, verdict="approve", count="3")
    assert page.asks[0].fields[0].wrong == "too small"


def test_a_signal_goes_to_the_execution_on_the_page_only(client: _Client) -> None:
    ask = Ask(key=ASK.key, kind="signal", execution="e", name="paid", correlation="A", as_json=True)
    _answer(_page(ask), json='{"amount": 1}')
    assert client.asked == [
        {
            "owner_id": "u",
            "name": "paid",
            "body": {"amount": 1},
            "correlation": "A",
            "execution_id": "e",
            "sent_by": "ada",
        }
    ]


@pytest.mark.usefixtures("client")
def test_an_answer_to_what_no_longer_waits_is_told() -> None:
    page = _page()
    _answer(page, verdict="approve")
    assert "a moment before" in page.refusal


def test_a_reading_keeps_what_was_typed_and_drops_what_is_over() -> None:
    typed = Ask(**{**vars(ASK), "wrong": ["no"]})
    other = Ask(key="e.other.-1")
    page = _page(ASK, other)
    page.asks = [typed, other]
    Answering._show_asks(page, [ASK])
    assert page.asks == [typed]


def test_an_answered_ask_does_not_come_back_while_its_step_still_waits() -> None:
    page = _page(ASK)
    page.asks = []
    Answering._show_asks(page, [ASK])
    assert page.asks == []
