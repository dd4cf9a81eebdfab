"""A hand that slips on the pages: no click does what was not meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.support.pages import Person, broken, nap

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

expect.set_options(timeout=15_000)


def _asking() -> dict[str, Any]:
    return {"name": "asking", "steps": {"ask": {"uses": "approval", "with": {"title": "Ship?"}}}}


def _status(ada: Person, execution: str) -> str:
    return str(ada.api("GET", f"/executions/{execution}")["row"]["status"])


def _executions(ada: Person) -> int:
    return len(ada.api("GET", "/executions")["items"])


def _middle(button: Locator) -> tuple[float, float]:
    box = button.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def _twice(page: Page, button: Locator, pause: int) -> None:
    """Click twice at one place, whatever stands there by then."""
    x, y = _middle(button)
    page.mouse.click(x, y)
    page.wait_for_timeout(pause)  # the hand's own pace: what is tried here
    page.mouse.click(x, y, click_count=2)


def test_a_card_stays_where_it_is_when_another_is_decided_or_dismissed(ada: Person) -> None:
    page = ada.sign_in()
    ada.publish(_asking())
    older, newer = (ada.start("asking") for _ in range(2))
    ada.open("/approvals")
    cards = page.locator("[data-ask=ask]")
    expect(cards).to_have_count(2)
    approve = cards.last.get_by_role("button", name="Approve")
    before = _middle(approve)
    # Someone else decides the first one.
    ada.api("POST", f"/executions/{newer}/approvals/ask", {"approved": True})
    expect(cards.first).to_contain_text(f"approved by {ada.name}")
    expect(cards.first.get_by_role("button", name="Approve")).to_have_count(0)
    assert _middle(approve) == before
    # Dismissed, the next one takes its place: for a second a click there does nothing.
    cards.first.get_by_role("button", name="Dismiss").click()
    expect(cards).to_have_count(1)
    page.mouse.click(*_middle(cards.get_by_role("button", name="Approve")))
    expect(page.get_by_text("moved under the pointer")).to_be_visible()
    expect(cards.get_by_role("button", name="Approve")).to_be_enabled()
    assert _status(ada, older) == "waiting"
    cards.get_by_role("button", name="Approve").click()
    expect(cards).to_contain_text(f"approved by {ada.name}")


@pytest.mark.parametrize("pause", [15, 180])
def test_a_double_click_on_approve_approves_one(ada: Person, pause: int) -> None:
    page = ada.sign_in()
    ada.publish(_asking())
    older, newer = (ada.start("asking") for _ in range(2))
    ada.open("/approvals")
    cards = page.locator("[data-ask=ask]")
    expect(cards).to_have_count(2)
    cards.last.get_by_label("Comment").press("Enter")  # which is no decision
    _twice(page, cards.first.get_by_role("button", name="Approve"), pause)
    expect(cards.first).to_contain_text(f"approved by {ada.name}")
    expect(cards.last.get_by_role("button", name="Approve")).to_be_enabled()
    assert _status(ada, older) == "waiting"
    assert _status(ada, newer) != "waiting"
    assert page.get_by_role("alert").count() == 0


def test_a_double_click_on_run_or_on_start_it_starts_one(ada: Person) -> None:
    page = ada.sign_in()
    ada.publish(nap(0))
    ada.open("/workflows/nap")
    run = page.get_by_role("button", name="Run", exact=True)
    run.wait_for()
    _twice(page, run, 60)
    page.wait_for_url("**/executions/*")
    expect(page.locator(".title .st")).to_have_text("completed")
    assert _executions(ada) == 1
    ada.publish(broken())
    ada.open(f"/executions/{ada.start('broken')}")
    page.get_by_role("button", name="Rerun…").click()
    start = page.get_by_role("button", name="Start it")
    expect(start).to_be_enabled()
    _twice(page, start, 60)
    expect(page.get_by_role("link", name="an earlier execution")).to_be_visible()
    assert _executions(ada) == 3


def test_what_is_clicked_while_nobody_hears_is_refused_and_does_not_run_later(
    ada: Person,
) -> None:
    page = ada.sign_in()
    ada.publish(nap(0))
    ada.open("/workflows/nap")
    expect(page.locator(".mark")).to_have_text("live")
    page.context.set_offline(True)
    expect(page.locator(".mark")).to_have_text("offline")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text("No connection: nothing was sent.")).to_be_visible()
    page.get_by_role("button", name="as JSON").click()
    expect(page.get_by_label("seconds")).to_be_visible()
    page.context.set_offline(False)
    expect(page.locator(".mark")).to_have_text("live")
    expect(page.get_by_label("seconds")).to_be_visible()
    page.get_by_label("label").fill("later")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url("**/executions/*")
    [execution] = ada.api("GET", "/executions")["items"]
    assert ada.api("GET", f"/executions/{execution['id']}")["input"]["label"] == "later"
