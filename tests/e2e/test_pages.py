"""The web app in a real browser over the whole engine."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

import psutil
import pytest
from playwright.sync_api import expect

from tests.support.pages import PASSWORD, Person, broken, nap, person
from tests.support.processes import eventually
from tests.support.system import System

if TYPE_CHECKING:
    from playwright.sync_api import Browser

expect.set_options(timeout=15_000)


def test_a_page_asked_for_while_signed_out_leads_to_sign_in_and_back(ada: Person) -> None:
    page = ada.open("/monitoring?status=failed")
    expect(page).to_have_url(re.compile(r"/login\?next="))
    page.fill("#name", ada.name)
    page.fill("#password", "not the password")
    page.click("button[type=submit]")
    expect(page.get_by_role("alert")).to_contain_text("do not fit")
    page.fill("#name", ada.name)
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    expect(page).to_have_url(re.compile(r"/monitoring\?status=failed$"))
    expect(page.get_by_text("Nothing matches")).to_be_visible()


def test_signing_out_ends_the_session_of_every_tab(ada: Person) -> None:
    page = ada.sign_in()
    other = page.context.new_page()
    other.goto(ada.system.url + "/workflows")
    expect(other.locator(".mark")).to_have_text("live")
    page.click("text=Sign out")
    expect(page).to_have_url(re.compile("/login"))
    expect(other).to_have_url(re.compile("/login"))


def test_a_run_started_from_its_form_changes_step_by_step_without_reload(ada: Person) -> None:
    page = ada.sign_in()
    ada.publish(nap(1.5))
    ada.open("/workflows/nap")
    expect(page.locator(".graph rect")).to_have_count(3)
    page.click("#run button[type=submit]")
    expect(page).to_have_url(re.compile("/executions/"))
    page.evaluate("window.sameDocument = true")
    seen: list[dict[str, str]] = []

    def ended() -> bool:
        now = ada.statuses()
        if now and (not seen or seen[-1] != now):
            seen.append(now)
        return bool(seen) and seen[-1].get("end") == "completed"

    eventually(ended, seconds=30, what="the page shows the end")
    assert {"begin": "completed", "doze": "waiting", "end": "pending"} in seen
    assert seen[-1] == {"begin": "completed", "doze": "completed", "end": "completed"}
    expect(page.locator(".title .st")).to_have_text("completed")
    assert page.evaluate("window.sameDocument")


def test_weather_runs_from_its_form_and_shows_its_chart(ada: Person) -> None:
    page = ada.sign_in("/workflows/weather")
    page.click("#run button[type=submit]")
    expect(page.locator(".title .st")).to_have_text("completed", timeout=60_000)
    page.get_by_role("link", name="Input / Output").click()
    chart = page.locator("figure.art img").first
    expect(chart).to_be_visible()
    eventually(
        lambda: chart.evaluate("image => image.naturalWidth") > 0, seconds=10, what="a drawn chart"
    )
    page.get_by_role("link", name="Logs").click()
    expect(page.get_by_text("read 1461 rows")).to_be_visible()


def test_a_killed_workers_step_is_taken_over_before_ones_eyes(ada: Person) -> None:
    page = ada.sign_in("/workflows/crash-drill")
    page.click("#run button[type=submit]")
    expect(page).to_have_url(re.compile("/executions/"))
    expect(page.locator(".title .st")).to_have_text("completed", timeout=60_000)
    expect(page.locator(".gantt")).to_contain_text("1 lost worker")
    page.get_by_role("link", name="Events").click()
    expect(page.get_by_role("cell", name="step_crashed")).to_be_visible()


def test_the_form_says_what_is_wrong_beside_each_field_and_keeps_what_was_typed(
    ada: Person,
) -> None:
    page = ada.sign_in()
    ada.publish(nap())
    ada.open("/workflows/nap")
    page.get_by_label("seconds").fill("soon")
    page.click("#run button[type=submit]")
    expect(page.locator(".wrong")).to_have_text("give a number")
    page.get_by_label("seconds").fill("-1")
    page.get_by_label("label").fill("x")
    page.click("#run button[type=submit]")
    expect(page.locator(".wrong")).to_have_count(2)
    expect(page.get_by_label("seconds")).to_have_value("-1")
    page.get_by_role("button", name="as JSON").click()
    page.get_by_label("Input as JSON").fill("{")
    page.click("#run button[type=submit]")
    expect(page.get_by_role("alert")).to_contain_text("not JSON")


def test_cancel_asks_once_and_the_list_tells_why(ada: Person) -> None:
    page = ada.sign_in()
    ada.publish(nap(60))
    ada.open(f"/executions/{ada.start('nap')}")
    expect(page.locator("[data-row=doze]")).to_have_attribute("data-status", "waiting")
    page.get_by_role("button", name="Cancel…").click()
    page.get_by_role("dialog").get_by_label("Why").fill("wrong label")
    page.get_by_role("button", name="Cancel the execution").click()
    expect(page.locator(".title .st")).to_have_text("cancelled", timeout=30_000)
    ada.open("/monitoring")
    expect(page.locator(".rows tbody tr").first).to_contain_text("cancelled: wrong label")


def test_a_failure_shows_its_cause_first_and_can_be_retried(ada: Person) -> None:
    page = ada.sign_in()
    ada.publish(broken())
    first = ada.start("broken")
    ada.open(f"/executions/{first}")
    expect(page.locator(".cause h2")).to_contain_text("wrong failed on its only attempt")
    page.get_by_role("button", name="Retry…").click()
    page.get_by_role("button", name="Start the retry").click()
    expect(page).not_to_have_url(re.compile(first))
    expect(page.get_by_role("link", name="an earlier execution")).to_be_visible()
    expect(page.locator(".cause h2")).to_contain_text("wrong failed")


def test_filters_live_in_the_address_and_the_back_button_undoes_them(ada: Person) -> None:
    page = ada.sign_in()
    ada.publish(broken())
    ada.publish(nap(0))
    for name in ("broken", "nap", "nap"):
        ada.start(name)
    rows = page.locator(".rows tbody tr")
    expect(rows).to_have_count(3)
    expect(page.locator(".rows .st.failed")).to_have_count(1)
    page.get_by_label("Status").select_option("failed")
    expect(page).to_have_url(re.compile(r"\?status=failed$"))
    expect(rows).to_have_count(1)
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("/")
    page.keyboard.type("nothing like it")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    page.go_back()
    expect(rows).to_have_count(1)
    page.go_back()
    expect(rows).to_have_count(3)
    expect(page.get_by_label("Status")).to_have_value("")


def test_new_executions_appear_in_the_list_by_themselves(ada: Person) -> None:
    page = ada.sign_in()
    expect(page.get_by_text("No executions yet")).to_be_visible()
    ada.publish(nap(0))
    ada.start("nap")
    expect(page.locator(".rows tbody tr")).to_have_count(1)
    expect(page.locator(".rows .st.completed")).to_have_count(1)


def test_two_people_do_not_see_each_others_executions(
    system: System, browser: Browser, ada: Person
) -> None:
    ada.sign_in()
    ada.publish(nap(0))
    execution = ada.start("nap")
    with person(system, browser) as eve:
        page = eve.sign_in()
        expect(page.get_by_text("No executions yet")).to_be_visible()
        eve.open(f"/executions/{execution}")
        expect(page.get_by_text("No such execution")).to_be_visible()
        eve.open("/workflows/nap")
        expect(page.get_by_text("No such workflow")).to_be_visible()
        assert execution not in page.content().replace(page.url, "")


def test_the_keyboard_goes_everywhere(ada: Person) -> None:
    page = ada.sign_in()
    expect(page.locator(".mark")).to_have_text("live")
    page.keyboard.press("g")
    page.keyboard.press("w")
    expect(page).to_have_url(re.compile("/workflows$"))
    expect(page.locator("[data-row]").nth(1)).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.closest('tr').sectionRowIndex") == 1
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.closest('tr').sectionRowIndex") == 0
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_the_theme_follows_the_system_and_can_be_switched(system: System, browser: Browser) -> None:
    with person(system, browser, color_scheme="dark") as someone:
        page = someone.sign_in()
        html = page.locator("html")
        expect(html).to_have_class(re.compile("dark"))
        page.get_by_role("button", name="theme").click()
        expect(html).to_have_class(re.compile("light"))
        page.reload()
        expect(html).to_have_class(re.compile("light"))


@pytest.mark.parametrize("width", [360, 768, 2560])
def test_no_page_is_wider_than_the_window(ada: Person, width: int) -> None:
    page = ada.sign_in()
    ada.publish(broken())
    execution = ada.start("broken")
    page.set_viewport_size({"width": width, "height": 800})
    asked = ada.start("release")
    ada.open(f"/executions/{asked}")
    expect(page.locator("[data-ask=review]")).to_be_visible()
    for path in (
        "/monitoring",
        "/approvals",
        "/workflows",
        "/workflows/weather",
        f"/executions/{execution}",
        f"/executions/{asked}",
    ):
        ada.open(path)
        expect(page.locator(".mark")).to_have_text("live")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_a_page_that_hears_nothing_says_how_old_it_is(ada: Person) -> None:
    page = ada.sign_in()
    expect(page.locator(".mark")).to_have_text("live")
    master = psutil.Process(ada.system.pid("web"))
    workers = master.children()
    for process in workers:
        process.suspend()
    try:
        expect(page.locator(".mark")).to_contain_text(re.compile(r"stale · \d+ s old"))
    finally:
        for process in workers:
            process.resume()
    expect(page.locator(".mark")).to_have_text("live")


def test_the_page_heals_after_the_server_was_killed(ada: Person) -> None:
    page = ada.sign_in()
    ada.publish(nap(8))
    ada.open(f"/executions/{ada.start('nap')}")
    expect(page.locator("[data-row=doze]")).to_have_attribute("data-status", "waiting")
    page.evaluate("window.sameDocument = true")
    os.kill(ada.system.pid("web"), signal.SIGKILL)
    expect(page.locator(".mark")).to_contain_text("offline")
    expect(page.locator(".mark")).to_have_text("live", timeout=30_000)
    expect(page.locator(".title .st")).to_have_text("completed", timeout=30_000)
    assert page.evaluate("window.sameDocument")
