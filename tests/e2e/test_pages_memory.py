"""What was typed and chosen on open pages outlives the server that knew of it."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect

from tests.support.pages import Person
from tests.support.processes import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

expect.set_options(timeout=15_000)


def _asking() -> dict[str, Any]:
    return {
        "name": "asking",
        "input": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "size": {"enum": ["small", "large"]},
                "quick": {"type": "boolean", "default": False},
                "key": {"type": "string", "format": "password", "default": "first"},
            },
        },
        "steps": {
            "begin": {"uses": "transform", "with": {"value": 1}},
            "ask": {"uses": "approval", "with": {"title": "Ship?"}, "needs": ["begin"]},
        },
    }


def _plain() -> dict[str, Any]:
    rule = {"type": "string"}
    document = {"name": "plain", "input": {"type": "object", "properties": {"city": rule}}}
    return {**document, "steps": {"one": {"uses": "transform", "with": {"value": 1}}}}


def _open(ada: Person, path: str) -> Page:
    page = ada.page.context.new_page()
    page.set_default_timeout(15_000)
    page.goto(ada.system.url + path)
    expect(page.locator(".mark")).to_have_text("live")
    return page


def _fill_in(form: Page) -> None:
    form.get_by_label("city").fill("Ulm\nNeu-Ulm")
    form.get_by_label("size").select_option("large")
    form.get_by_label("quick").check()
    form.get_by_label("key", exact=True).fill("s3cret")


def _give_another_input(page: Page) -> Locator:
    """Open the dialog that runs an execution again, and return the field of its input."""
    page.get_by_role("button", name="Rerun…").click()
    page.get_by_label("Give another input").check()
    return page.get_by_label("Input as JSON")


def _key(form: Page) -> str:
    return form.locator("#run [data-kept]").input_value()


def _expect_form(form: Page) -> None:
    expect(form.get_by_label("city")).to_have_value("Ulm\nNeu-Ulm")
    expect(form.get_by_label("size")).to_have_value("1")
    expect(form.get_by_label("quick")).to_be_checked()
    # Secrets are kept nowhere, and what was typed over a default is not sent as that.
    expect(form.get_by_label("key", exact=True)).to_have_value("")


def test_what_was_typed_and_chosen_outlives_a_killed_server_and_a_lost_tab(ada: Person) -> None:
    ada.sign_in()
    ada.publish(_asking())
    ada.publish(_plain())
    execution = ada.start("asking")
    form, text = _open(ada, "/workflows/asking"), _open(ada, "/workflows/plain")
    steps, logs = (_open(ada, f"/executions/{execution}?tab={tab}") for tab in ("steps", "logs"))
    cards, list_ = _open(ada, "/approvals"), _open(ada, "/monitoring")
    again = _open(ada, f"/executions/{ada.start('plain')}")
    _give_another_input(again).fill('{"city": "Bonn"}')
    _fill_in(form)
    key = _key(form)
    text.get_by_role("button", name="as JSON").click()
    text.get_by_label("Input as JSON").fill('{"city": ')
    steps.locator(".stepper [data-row=begin]").click()
    expect(steps.locator(".stepper [data-row=begin]")).to_have_attribute("aria-pressed", "true")
    logs.get_by_label("Lowest level", exact=True).select_option("error")
    logs.get_by_label("Find in logs").fill("boom")
    cards.get_by_label("Comment").fill("not before noon")
    list_.get_by_label("Find executions").fill("half a wo")

    pages = (form, text, steps, logs, cards, list_, again)
    os.kill(ada.system.pid("web"), signal.SIGKILL)
    for page in pages:
        expect(page.locator(".mark")).to_contain_text(re.compile("offline|catching up"))
    for page in pages:
        expect(page.locator(".mark")).to_have_text("live", timeout=30_000)
    _expect_form(form)
    assert _key(form) == key  # had it been sent, it would be the same execution
    expect(text.get_by_label("Input as JSON")).to_have_value('{"city": ')
    expect(steps.locator(".stepper [data-row=begin]")).to_have_attribute("aria-pressed", "true")
    expect(logs.get_by_label("Lowest level", exact=True)).to_have_value("error")
    expect(logs.get_by_label("Find in logs")).to_have_value("boom")
    expect(cards.get_by_label("Comment")).to_have_value("not before noon")
    expect(list_.get_by_label("Find executions")).to_have_value("half a wo")
    expect(_give_another_input(again)).to_have_value('{"city": "Bonn"}')
    kept = form.evaluate("JSON.stringify(sessionStorage)")
    assert "Ulm" in kept
    assert "s3cret" not in kept

    # As after a network that was lost while the server held on to the old socket: the server
    # does not know the tab again.
    form.evaluate("sessionStorage.setItem('token', 'a-token-nobody-knows')")
    form.reload()
    _expect_form(form)
    form.get_by_label("key", exact=True).fill("s3cret")
    form.get_by_role("button", name="Run", exact=True).click()
    form.wait_for_url("**/executions/*")
    started = form.url.rpartition("/")[2]
    assert ada.api("GET", f"/executions/{started}")["input"] == {
        "city": "Ulm\nNeu-Ulm",
        "size": "large",
        "quick": True,
        "key": "s3cret",
    }
    # It did what it was for: the next form is a new one, and whoever signs in next finds nothing.
    form.goto(ada.system.url + "/workflows/asking")
    expect(form.get_by_label("city")).to_have_value("")
    form.get_by_label("city").fill("Ulm")
    form.get_by_role("button", name="Sign out").click()
    form.wait_for_url("**/login*")
    eventually(
        lambda: "Ulm" not in form.evaluate("JSON.stringify(sessionStorage)"),
        seconds=10,
        what="the tab has forgotten",
    )
