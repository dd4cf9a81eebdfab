"""Lists that are longer than a page: the last row of each can be reached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support.pages import Person, person
from tests.support.system import System

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def ada(system: System, browser: Browser) -> Iterator[Person]:
    """Someone with an account; no script of a page may fail."""
    with person(system, browser) as someone:
        yield someone
        assert someone.troubles == []


def test_the_last_of_sixty_workflows_its_first_version_and_its_oldest_schedule_are_found(
    ada: Person,
) -> None:
    page = ada.sign_in()
    for number in range(60):
        ada.publish(_workflow(f"many-{number:02d}", 1))
    for version in range(2, 14):
        ada.publish(_workflow("many-59", version))
    for number in range(12):
        due = {"workflow": "many-59", "name": f"slot-{number}", "cron": "@yearly"}
        ada.api("POST", "/schedules", due)

    ada.open("/workflows")
    expect(page.get_by_role("link", name="many-00")).to_be_visible()
    page.get_by_role("link", name="next →").click()
    expect(page.get_by_role("link", name="many-59")).to_be_visible()
    expect(page.get_by_role("link", name="many-00")).to_have_count(0)
    page.get_by_role("link", name="← first").click()
    page.get_by_role("searchbox").fill("MANY-5")
    page.keyboard.press("Enter")
    expect(page.locator("tr[data-row]")).to_have_count(10)

    page.get_by_role("link", name="many-59", exact=True).click()
    expect(page.get_by_text("v13 current")).to_be_visible()
    page.get_by_role("navigation", name="Pages of versions").get_by_text("older →").click()
    expect(page.get_by_role("cell", name="v1", exact=True)).to_be_visible()
    page.get_by_role("navigation", name="Pages of schedules").get_by_text("older →").click()
    expect(page.get_by_text("slot-0", exact=True)).to_be_visible()
    expect(page.get_by_role("cell", name="v1", exact=True)).to_be_visible()


def _workflow(name: str, value: int) -> dict[str, object]:
    return {"name": name, "steps": {"a": {"uses": "transform", "with": {"value": value}}}}
