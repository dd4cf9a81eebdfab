"""Forms in a real browser: what is seen is what is sent, of every kind."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

from tests.support.pages import Person

expect.set_options(timeout=15_000)

# Each kind of field with a default that a browser's own field would change, or lose.
DEFAULTS: dict[str, tuple[dict[str, Any], Any]] = {
    "text": ({"type": "string"}, "a\r\nb\n  c "),
    "python": ({"enum": ["3.10", "3.11"]}, "3.10"),
    "digit": ({"enum": ["1", "2", 1]}, "1"),
    "word": ({"enum": ["true", "null"]}, "null"),
    "big": ({"type": "number"}, 3544790567247868102),
    "at": ({"type": "string", "format": "date-time"}, "2026-01-01T12:00:00Z"),
    "day": ({"type": "string", "format": "date"}, "2026-02-28"),
    "mail": ({"type": "string", "format": "email"}, "ada@bücher.example"),
    "page": ({"type": "string", "format": "uri"}, "https://bücher.example/ä"),
    "key": ({"type": "string", "format": "password"}, "s3cret"),
    "maybe": ({"type": ["string", "null"]}, None),
    "flag": ({"type": "boolean"}, True),
    "data": ({"type": "object"}, {"a": [1, None, "x\ny"]}),
}
FRESH = {
    "region": {"enum": ["eu", "us"]},
    "sure": {"type": "boolean"},
    "note": {"type": ["string", "null"]},
    "when": {"type": "string", "format": "date-time"},
    "lines": {"type": "string"},
}


def _document(name: str, properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "name": name,
        "input": {"type": "object", "properties": properties, "required": list(required)},
        "steps": {"one": {"uses": "transform", "with": {"value": 1}}},
    }


def _ran(ada: Person) -> Any:
    """Return the input of the execution that the page has gone to."""
    ada.page.wait_for_url("**/executions/*")
    execution = ada.page.url.rpartition("/")[2]
    return ada.api("GET", f"/executions/{execution}")["input"]


def test_an_untouched_form_sends_its_defaults_and_no_secret_is_seen(ada: Person) -> None:
    page = ada.sign_in()
    rules = {name: {**rule, "default": value} for name, (rule, value) in DEFAULTS.items()}
    ada.publish(_document("defaults", rules, *DEFAULTS))
    ada.open("/workflows/defaults")
    expect(page.get_by_label("key", exact=True)).to_have_attribute("type", "password")
    run = page.get_by_role("button", name="Run", exact=True)
    run.click()
    assert _ran(ada) == {name: value for name, (_, value) in DEFAULTS.items()}
    page.get_by_role("link", name="Input / Output").click()
    expect(page.get_by_label("Input", exact=True)).to_contain_text('"key": "••••••••"')
    # The same as JSON, and back.
    ada.open("/workflows/defaults")
    page.get_by_label("big").fill("7")
    page.get_by_role("button", name="as JSON").click()
    expect(page.get_by_label("Input as JSON")).to_have_value(
        _containing('"big": 7', '"key": "••••••••"')
    )
    page.get_by_role("button", name="as a form").click()
    expect(page.get_by_label("big")).to_have_value("7")
    expect(page.get_by_label("text")).to_have_value("a\nb\n  c ")
    run.click()
    assert _ran(ada) == {name: value for name, (_, value) in DEFAULTS.items()} | {"big": 7}


def _containing(*parts: str) -> Any:
    return re.compile(".*".join(re.escape(part) for part in parts), re.DOTALL)


def test_what_is_not_chosen_is_asked_for_and_what_is_chosen_arrives(ada: Person) -> None:
    page = ada.sign_in()
    ada.publish(_document("fresh", FRESH, "region", "sure", "when"))
    ada.open("/workflows/fresh")
    run = page.get_by_role("button", name="Run", exact=True)
    expect(page.get_by_label("region")).to_have_value("")
    run.click()
    expect(page.locator(".wrong")).to_have_count(3)
    page.get_by_label("region").select_option("us")
    page.get_by_label("sure").select_option("false")
    page.get_by_label("when").fill("2026-01-01T12:00")
    run.click()
    expect(page.locator(".wrong")).to_have_count(1)  # of three an assertion would fail at once
    expect(page.locator(".wrong")).to_contain_text("add its zone")
    page.get_by_label("when").fill("2026-01-01T12:00+01:00")
    page.get_by_label("lines").fill("one\ntwo")
    page.get_by_label("note").locator("..").get_by_label("empty means").select_option("null")
    # A version that is published meanwhile changes nothing of what is typed, and is told.
    ada.publish(_document("fresh", {**FRESH, "more": {"type": "string"}}, "region"))
    run.click()
    page.get_by_role("button", name="Take the form of version 2").click()
    expect(page.get_by_label("lines")).to_have_value("one\ntwo")
    page.get_by_label("more").fill("x")
    run.click()
    assert _ran(ada) == {
        "region": "us",
        "sure": False,
        "when": "2026-01-01T12:00+01:00",
        "note": None,
        "lines": "one\ntwo",
        "more": "x",
    }
