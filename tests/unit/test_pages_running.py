"""The run form of a page: nothing that was typed goes, and it tells which version it runs."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from engine.errors import Fault, InvalidInput
from engine_app import forms
from engine_app.auth.viewer import Viewer
from engine_app.states import running
from engine_app.states.answering import FORM
from engine_app.states.running import DO, JSON, RENEW, TO_FORM, TO_JSON, RunForm, _Newer

OLD = {
    "type": "object",
    "properties": {
        "days": {"type": "integer", "default": 7},
        "key": {"type": "string", "format": "password"},
    },
}
NEW = {**OLD, "properties": {**OLD["properties"], "city": {"type": "string"}}}  # type: ignore[dict-item]


class _Page:
    """A page with the form, its handlers those of the mixin."""

    def __init__(self) -> None:
        self.turn = self.newest = self.made_of = self.drawn = 0
        self._of, self._original, self.text = "", None, ""
        self.wrong: list[str] = []
        for name in ("_show_form", "_draw", "_to_form", "_renew", "_run", "_keep", "_refuse"):
            setattr(self, name, getattr(RunForm, name).__get__(self))
        self._show_form("w", 1, OLD)  # type: ignore[attr-defined]

    def press(self, button: str, **typed: str) -> Any:
        """Send the form by a button."""
        handler: Any = RunForm.run
        return asyncio.run(handler(self, {DO: button, FORM: "a key", **typed}))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was wanted of the engine; it refuses days below 1."""
    found: list[Any] = []

    def start(_session: str | None, wanted: Any) -> str:
        if wanted.value.get("days", 1) < 1:
            raise InvalidInput("no", faults=[Fault("input.days", "is less than 1")])
        found.append(wanted)
        return "an id"

    monkeypatch.setattr(running, "_start", start)
    monkeypatch.setattr(running, "session_of", lambda _state: "session")
    monkeypatch.setattr(running, "viewer_of", lambda _session: Viewer("u", "ada"))
    monkeypatch.setattr(running, "_definition", lambda *_: SimpleNamespace(input_schema=NEW))
    return found


def test_a_form_is_sent_as_typed_with_its_key_and_the_version_it_is_of(started: list[Any]) -> None:
    page: Any = _Page()
    page.press("run", f0="3", f1="s3cret")
    [wanted] = started
    assert (wanted.workflow_id, wanted.version, wanted.key) == ("w", 1, "a key")
    assert wanted.value == {"days": 3, "key": "s3cret"}


def test_what_was_typed_goes_along_to_json_and_back_and_no_secret_shows(started: list[Any]) -> None:
    page: Any = _Page()
    page.press(TO_JSON, f0="3", f1="s3cret")
    assert page.as_json
    assert json.loads(page.text) == {"days": 3, "key": "••••••••"}
    page.press(TO_FORM, **{JSON: page.text.replace("3", "4")})
    assert not page.as_json
    assert [field.value for field in page.fields] == ["4", "s3cret"]
    page.press(TO_JSON, f0="4", f1="s3cret")
    page.press("run", **{JSON: page.text})
    assert started[0].value == {"days": 4, "key": "s3cret"}


@pytest.mark.parametrize(
    ("text", "told"),
    [("{", "not JSON"), ('{"days": 1, "more": 2}', "more"), ('{"days": [1]}', "days"), ("1", "")],
)
@pytest.mark.usefixtures("started")
def test_json_that_the_form_cannot_show_stays_and_says_so(text: str, told: str) -> None:
    page: Any = _Page()
    page.press(TO_JSON, f0="1", f1="")
    drawn = page.drawn
    page.press(TO_FORM, **{JSON: text})
    assert (page.as_json, page.text, page.drawn) == (True, text, drawn)
    assert told in "\n".join(page.wrong)


def test_a_refusal_stands_beside_its_field_and_draws_nothing_anew(started: list[Any]) -> None:
    page: Any = _Page()
    drawn = page.drawn
    page.press("run", f0="0", f1="")
    assert page.fields[0].wrong == "is less than 1"
    page.press("run", f0="soon", f1="")
    assert page.fields[0].wrong == "give a whole number"
    assert (page.drawn, page.turn, started) == (drawn, 2, [])


@pytest.mark.usefixtures("started")
def test_a_newer_version_leaves_the_form_as_it_is_until_it_is_taken() -> None:
    page: Any = _Page()
    drawn = page.drawn
    page._show_form("w", 2, NEW)
    assert (page.made_of, page.newest, page.drawn) == (1, 2, drawn)
    page.press(RENEW, f0="3", f1="s3cret")
    assert (page.made_of, page.newest, page.wrong) == (2, 2, [])
    assert [(field.name, field.value) for field in page.fields] == [
        ("days", "3"),
        ("key", "s3cret"),
        ("city", ""),
    ]


@pytest.mark.usefixtures("started")
def test_a_version_that_the_page_had_not_heard_of_is_told_before_the_older_one_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page: Any = _Page()
    monkeypatch.setattr(running, "_start", lambda _session, _wanted: _Newer(2))
    page.press("run", f0="5", f1="")
    assert (page.made_of, page.newest, page.fields[0].value) == (1, 2, "5")


@pytest.mark.usefixtures("started")
def test_what_a_newer_form_cannot_show_is_kept_as_json() -> None:
    page: Any = _Page()
    page._show_form("w", 2, NEW)
    page._schema = {**OLD, "properties": {**NEW["properties"], "gone": {"type": "string"}}}  # type: ignore[dict-item]
    page.fields = forms.form(page._schema)
    page.press(RENEW, f0="3", f1="s3cret", f2="", f3="kept")
    assert page.as_json
    assert json.loads(page.text) == {"days": 3, "key": "••••••••", "gone": "kept"}
    assert "gone" in "\n".join(page.wrong)
