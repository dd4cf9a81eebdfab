"""Deciding, signalling, pausing, ending and running again, all from the pages."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

from tests.support.pages import Person, nap
from tests.support.processes import eventually

expect.set_options(timeout=15_000)


def _saga() -> dict[str, Any]:
    """Return a workflow that holds something, then waits for a word that does not come."""
    return {
        "name": "saga",
        "steps": {
            "hold": {"uses": "transform", "with": {"value": "room 7"}, "compensate": "release"},
            "release": {"uses": "transform", "with": {"value": "${{ steps.hold.output }}"}},
            "word": {"uses": "signal", "with": {"name": "go"}, "needs": ["hold"]},
            "note": {"uses": "transform", "with": {"value": "${{ execution.outcome }}"}},
        },
        "finally": ["note"],
    }


def _divide() -> dict[str, Any]:
    """Return a workflow whose second step fails while the input's ``n`` is 0."""
    return {
        "name": "divide",
        "input": {"type": "object", "properties": {"n": {"type": "integer", "default": 0}}},
        "steps": {
            "read": {"uses": "transform", "with": {"value": 12}},
            "share": {
                "uses": "transform",
                "with": {"value": "${{ steps.read.output / input.n }}"},
            },
            "tell": {"uses": "transform", "with": {"value": "${{ steps.share.output }}"}},
        },
    }


def test_an_approval_is_found_in_the_navigation_and_decided_with_its_form(ada: Person) -> None:
    page = ada.sign_in()
    execution = ada.start("release")
    expect(page.locator(".side .count")).to_contain_text("1")
    page.get_by_role("link", name="Approvals").click()
    card = page.locator("[data-ask=review]")
    expect(card).to_contain_text("Ship 1.2.3?")
    card.get_by_label("Channel").select_option("beta")
    card.get_by_label("Comment").fill("looks good")
    card.get_by_role("button", name="Approve").click()
    expect(card).to_contain_text(f"approved by {ada.name}")
    expect(page.locator(".side .count")).to_have_count(0)
    card.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_text("Nothing waits for your decision")).to_be_visible()
    ada.open(f"/executions/{execution}")
    expect(page.locator(".decided")).to_contain_text(f"approvedreviewby {ada.name}")
    expect(page.locator(".decided")).to_contain_text("looks good")
    expect(page.locator(".title .st")).to_have_text("completed")
    output = ada.api("GET", f"/executions/{execution}")["output"]
    assert output == f"app-1.2.3.tar.gz is in beta: {ada.name} said so"


def test_an_approval_too_large_for_a_list_shows_its_form_when_asked_to(ada: Person) -> None:
    page = ada.sign_in()
    ada.publish(
        {
            "name": "large-ask",
            "steps": {
                "choose": {
                    "uses": "approval",
                    "with": {
                        "title": "Which way?",
                        "description": "Left or right.",
                        "form": {
                            "type": "object",
                            "$comment": "c" * 300_000,
                            "properties": {"way": {"type": "string", "title": "Way"}},
                        },
                    },
                }
            },
        }
    )
    execution = ada.start("large-ask")
    for address in ("/approvals", f"/executions/{execution}"):
        ada.open(address)
        card = page.locator("[data-ask=choose]")
        expect(card).to_contain_text("What it asks for is large")
        expect(card.get_by_role("button", name="Approve")).to_have_count(0)
        card.get_by_role("button", name="Show the form").click()
        expect(card).to_contain_text("Left or right.")
        card.get_by_label("Way").fill("left")
    card.get_by_role("button", name="Approve").click()
    expect(page.locator(".title .st")).to_have_text("completed")
    assert ada.api("GET", f"/executions/{execution}")["output"]["values"] == {"way": "left"}


def test_a_signal_sent_from_the_page_is_checked_and_wakes_its_step(ada: Person) -> None:
    page = ada.sign_in()
    ada.open(f"/executions/{ada.start('order', {'number': ada.name})}")
    card = page.locator("[data-ask=paid]")
    expect(card).to_contain_text(f"Waits for signal paid, correlation {ada.name}")
    card.get_by_label("Amount").fill("a lot")
    card.get_by_role("button", name="Send the signal").click()
    expect(card.locator(".wrong")).to_have_text("give a number")
    card.get_by_label("Amount").fill("12.5")
    card.get_by_role("button", name="Send the signal").click()
    expect(page.locator(".title .st")).to_have_text("completed", timeout=30_000)
    page.get_by_label("Children").get_by_role("link", name="parcel").click()
    expect(page.get_by_text("Started by step")).to_contain_text("order")
    expect(page.locator("[data-row=pack]")).to_contain_text("1 of 3 failed")


def test_a_paused_execution_stands_still_until_it_is_resumed(ada: Person) -> None:
    page = ada.sign_in()
    ada.publish(nap(1.5))
    ada.open(f"/executions/{ada.start('nap')}")
    expect(page.locator("[data-row=doze]")).to_have_attribute("data-status", "waiting")
    page.get_by_role("button", name="Pause…").click()
    page.get_by_role("button", name="Pause the execution").click()
    expect(page.locator(".title .st")).to_have_text("paused")
    expect(page.get_by_role("button", name="Pause…")).to_have_count(0)
    # Its nap is over meanwhile; what follows it may not begin.
    eventually(lambda: _older(page, 3), seconds=15, what="the nap would have been over")
    assert ada.statuses()["end"] == "pending"
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".title .st")).to_have_text("completed")
    assert ada.statuses()["end"] == "completed"


def _older(page: Any, seconds: float) -> bool:
    """Return whether the execution's duration on the page has passed so many seconds."""
    text = page.locator(".kpis > div", has_text="Duration").locator(".v").inner_text()
    found = re.match(r"([\d.]+) s", text)
    return found is not None and float(found[1]) >= seconds


def test_cancelling_a_saga_shows_what_is_undone(ada: Person) -> None:
    page = ada.sign_in()
    ada.publish(_saga())
    ada.open(f"/executions/{ada.start('saga')}")
    expect(page.locator("[data-ask=word]")).to_be_visible()
    page.get_by_role("button", name="Cancel…").click()
    expect(page.get_by_role("dialog")).to_contain_text("compensations of what completed")
    page.get_by_role("button", name="Cancel the execution").click()
    expect(page.locator(".title .st").first).to_have_text("cancelled", timeout=30_000)
    expect(page.locator("[data-ask=word]")).to_contain_text("cancelled without it")
    expect(page.locator("[data-row=release]")).to_contain_text("undoes hold")
    assert ada.statuses() == {
        "hold": "completed",
        "word": "cancelled",
        "release": "completed",
        "note": "completed",
    }


def test_a_rerun_tells_before_what_it_repeats_and_takes_an_edited_input(ada: Person) -> None:
    page = ada.sign_in()
    ada.publish(_divide())
    first = ada.start("divide")
    ada.open(f"/executions/{first}")
    expect(page.locator(".title .st").first).to_have_text("failed", timeout=30_000)
    page.get_by_role("button", name="Rerun…").click()
    dialog = page.get_by_role("dialog", name="Run divide again")
    dialog.get_by_label("Run again from").select_option("read")
    expect(dialog.locator(".fates")).to_contain_text("1 run again")
    dialog.get_by_label("Run again from").select_option("share")
    expect(dialog.locator(".fates")).to_contain_text("2 new")
    expect(dialog.locator(".fates")).to_contain_text("1 taken over")
    dialog.get_by_label("Give another input").check()
    dialog.get_by_label("Input as JSON").fill('{"n": "maybe"}')
    dialog.get_by_label("Run again from").focus()
    expect(dialog.get_by_role("alert")).to_contain_text("input.n")
    expect(dialog.get_by_role("button", name="Start it")).to_be_disabled()
    dialog.get_by_label("Input as JSON").fill('{"n": 4}')
    dialog.get_by_label("Run again from").focus()
    dialog.get_by_role("button", name="Start it").click()
    expect(page).not_to_have_url(re.compile(first))
    expect(page.locator(".title .st").first).to_have_text("completed", timeout=30_000)
    expect(dialog).to_be_hidden()
    expect(page.locator("[data-row=read]")).to_contain_text("reused")
    page.get_by_role("link", name="an earlier execution").click()
    expect(page.get_by_text("Run again as")).to_contain_text("from share")
