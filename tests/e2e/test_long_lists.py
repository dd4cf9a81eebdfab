"""Lists that are longer than a page: the last row of each can be reached."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.support.pages import Person


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


def test_the_failed_of_many_steps_a_far_item_and_an_old_line_are_found(ada: Person) -> None:
    page = ada.sign_in()
    execution = ada.start(ada.publish(_wide()))
    ada.open(f"/executions/{execution}?tab=steps")
    # The failed one is shown at once; another is a search away.
    expect(page.locator(".hd").get_by_text("s150")).to_be_visible()
    steps = page.locator(".list [data-row]")
    expect(page.locator('.list [data-row="s150"]')).to_be_visible()
    expect(page.get_by_text("steps 121 to 180 of 202")).to_be_visible()
    page.get_by_label("Find steps").fill("each")
    page.keyboard.press("Enter")
    expect(steps).to_have_count(1)
    steps.click()

    page.get_by_label("Number of an item").fill("733")
    page.get_by_role("button", name="Open").click()
    expect(page.locator(".hd").get_by_text("item 733")).to_be_visible()
    expect(page.get_by_label("Input", exact=True)).to_contain_text("733")
    page.get_by_role("button", name="back to the step").click()
    expect(page.get_by_text("items 600 to 799 of 800")).to_be_visible()

    page.get_by_role("link", name="Logs").click()
    page.get_by_label("Find in the whole log").fill("no such word")
    page.get_by_role("button", name="Read").click()
    expect(page.get_by_text("No line of the whole log is like that.")).to_be_visible()
    page.get_by_role("button", name="follow", exact=True).click()
    expect(page.get_by_role("log", name="Log lines")).to_be_visible()
    with page.expect_download() as found:
        page.get_by_role("link", name="download all").click()
    assert len(found.value.path().read_text().splitlines()) > 1_000


def test_the_approval_that_waits_longest_of_many_is_reached(ada: Person) -> None:
    page = ada.sign_in()
    name = ada.publish(_asking(60))
    first = ada.start(name)
    ada.open(f"/executions/{first}")
    expect(page.get_by_text("More than 20 steps or items wait")).to_be_visible()
    ada.open("/approvals")
    cards = page.locator("[data-ask]")
    expect(cards).to_have_count(50)
    expect(page.get_by_role("heading", name="Item 0", exact=True)).to_be_visible()
    page.get_by_role("navigation", name="Pages of approvals").get_by_text("older →").click()
    expect(cards).to_have_count(10)
    expect(page.get_by_role("heading", name="Item 59", exact=True)).to_be_visible()
    page.get_by_role("link", name="← newest").press("Enter")  # a key is no double click
    expect(page.get_by_role("heading", name="Item 0", exact=True)).to_be_visible()


def _asking(count: int) -> dict[str, object]:
    """Return a workflow of which each item waits for a decision."""
    review = {
        "uses": "approval",
        "for_each": f"${{{{ {list(range(count))} }}}}",
        "with": {"title": "Item ${{ item }}"},
    }
    return {"name": "asking", "steps": {"review": review}}


def _wide() -> dict[str, object]:
    """Return a workflow of two hundred steps, one of which fails, and of as many items."""
    steps: dict[str, object] = {
        f"s{number}": {"uses": "transform", "with": {"value": number}} for number in range(200)
    }
    steps["s150"] = {"uses": "fail", "with": {"message": "for once"}, "on_failure": "continue"}
    steps["list"] = {"uses": "transform", "with": {"value": list(range(800))}}
    steps["each"] = {
        "uses": "transform",
        "for_each": "${{ steps.list.output }}",
        "with": {"value": "${{ item }}"},
    }
    return {"name": "wide", "steps": steps}


def _workflow(name: str, value: int) -> dict[str, object]:
    return {"name": name, "steps": {"a": {"uses": "transform", "with": {"value": value}}}}
