"""Answering from a page: what is sent, and what a refusal leaves on the page."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.commands.signals import Decision
from engine.errors import Conflict, EngineError, Fault, InvalidInput, NotFound
from engine.store.reads.pending_actions import DecisionRow
from engine_app.auth.viewer import Viewer
from engine_app.forms import Field
from engine_app.states import answering
from engine_app.states.answering import COMMENT, FORM, KEY, VERDICT, Answering
from engine_app.states.shapes_asks import Ask

ASK = Ask(
    key="e.review.-1",
    kind="approval",
    execution="e",
    step="review",
    fields=[Field(name="count", key="count", kind="integer")],
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
    page = SimpleNamespace(asks=list(asks), _asked=list(asks), refusal="", turn=0)
    page.look_again = lambda: None
    page._replace_ask = partial(Answering._replace_ask, cast("Any", page))
    return page


def _answer(page: Any, **form: Any) -> None:
    named = {KEY: ASK.key, VERDICT: form.pop("verdict", ""), COMMENT: form.pop("comment", "")}
    # Of a mixin: a plain function, which Reflex has given another type.
    handler: Any = Answering.answer
    asyncio.run(handler(page, {**named, **form}))


def test_an_approval_is_sent_with_what_was_filled_in(client: _Client) -> None:
    page = _page(ASK)
    _answer(page, verdict="approve", comment=" fine ", count="3")
    assert client.asked[0]["decision"] == Decision(True, "ada", "fine", {"count": 3}, None)
    assert [ask.over for ask in page.asks] == ["approved by ada"]


def test_a_rejection_does_not_ask_for_the_form(client: _Client) -> None:
    _answer(_page(ASK), verdict="reject", comment="too early", count="not a number")
    assert client.asked[0]["decision"] == Decision(False, "ada", "too early", {}, None)


@pytest.mark.parametrize("verdict", ["", "APPROVE", "yes"])
def test_a_form_that_says_neither_decides_nothing(client: _Client, verdict: str) -> None:
    page = _page(ASK)
    _answer(page, count="3", verdict=verdict)
    assert client.asked == []
    assert "press Approve or Reject" in page.asks[0].wrong[0]


def test_what_cannot_be_read_is_said_beside_its_field_and_not_sent(client: _Client) -> None:
    page = _page(ASK)
    _answer(page, verdict="approve", count="three")
    assert client.asked == []
    assert page.asks[0].fields[0].wrong == "give a whole number"
    assert page.asks[0].fields[0].value == "three"


def test_what_the_engine_refuses_is_said_in_its_words(client: _Client) -> None:
    page = _page(ASK)
    client.refusal = Conflict("step 'review' waits for no approval: it was rejected by eve")
    _answer(page, verdict="approve", count="3")
    assert page.asks[0].wrong == ["step 'review' waits for no approval: it was rejected by eve"]
    assert page.asks[0].gone  # how it ended is asked next
    client.refusal = InvalidInput("no", faults=[Fault("values.count", "too small")])
    _answer(page, verdict="approve", count="3")
    assert page.asks[0].fields[0].wrong == "too small"


def test_a_signal_goes_to_the_execution_on_the_page_only(client: _Client) -> None:
    ask = Ask(key=ASK.key, kind="signal", execution="e", name="paid", correlation="A", as_json=True)
    _answer(_page(ask), json='{"amount": 1}', **{FORM: "of this form"})
    assert client.asked == [
        {
            "owner_id": "u",
            "name": "paid",
            "body": {"amount": 1},
            "correlation": "A",
            "execution_id": "e",
            "sent_by": "ada",
            "idempotency_key": "of this form",
        }
    ]


def test_the_second_click_of_a_double_click_decides_nothing_and_says_nothing(
    client: _Client,
) -> None:
    other = Ask(key="e.other.-1", kind="approval", execution="e", step="other")
    page = _page(ASK, other)
    for _ in range(2):
        _answer(page, verdict="approve", count="3")
    assert [asked["step"] for asked in client.asked] == ["review"]
    assert (page.refusal, page.asks[1]) == ("", other)


def test_every_answer_is_counted_so_that_buttons_live_again(client: _Client) -> None:
    page = _page(ASK)
    client.refusal = InvalidInput("no")
    _answer(page, verdict="approve", count="3")
    client.refusal = None
    _answer(page, verdict="reject")
    assert page.turn == 2


def test_a_reading_keeps_what_was_typed() -> None:
    typed = replace(ASK, wrong=["no"])
    page = _page(ASK)
    page.asks = [typed]
    Answering._show_asks(page, [ASK, Ask(key="e.new.-1")])
    assert page.asks == [typed, Ask(key="e.new.-1")]


def test_what_was_dismissed_does_not_come_back_while_its_step_still_waits() -> None:
    page = _page(ASK)
    page.asks = []
    Answering._show_asks(page, [ASK, Ask(key="e.new.-1")])
    assert page.asks == [Ask(key="e.new.-1")]


def test_only_what_is_over_is_dismissed() -> None:
    over = Ask(key="e.other.-1", over="approved by eve")
    page = _page(ASK, over)
    for ask in (ASK, over):
        handler: Any = Answering.dismiss
        handler(page, ask.key)
    assert page.asks == [ASK]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (DecisionRow("review", None, "completed", None, "eve", 7, "", {}), "approved by eve"),
        (DecisionRow("review", None, "failed", "rejected", "eve", 7, "", {}), "rejected by eve"),
        (DecisionRow("review", None, "failed", "expired", "", 7, "", {}), "not decided in time"),
        (
            DecisionRow("review", None, "cancelled", "cancelled_by_user", "", 7, "", {}),
            "cancelled before anybody decided",
        ),
        (None, ""),
        (NotFound("it is deleted"), "over"),
    ],
)
@pytest.mark.usefixtures("client")
def test_a_card_that_waits_no_more_says_how_that_came_about(
    monkeypatch: pytest.MonkeyPatch, row: Any, words: str
) -> None:
    def ended(_ask: Ask, _viewer: Viewer) -> Any:
        if isinstance(row, Exception):
            raise row
        return row

    monkeypatch.setattr(answering, "_ended", ended)
    page = _page(replace(ASK, gone=True))
    handler: Any = Answering.tell_end
    asyncio.run(handler(page, ASK.key))
    assert page.asks[0].over == words
    assert page.asks[0].gone == bool(words)
