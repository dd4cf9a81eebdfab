"""What steps leave for people, in a real browser."""

from __future__ import annotations

import base64
import json

from playwright.sync_api import expect
from sqlalchemy import text as sqltext

from engine.store.db.database import Database
from tests.support.pages import Person
from tests.support.processes import eventually
from tests.support.system import System

expect.set_options(timeout=15_000)


def test_progress_is_seen_as_it_comes_and_each_kind_of_artifact_is_drawn(ada: Person) -> None:
    page = ada.sign_in()
    run = ada.start("artifacts", {"limit": 1_000, "seconds": 4})
    ada.open(f"/executions/{run}")
    expect(page.locator("[data-row=count_primes]")).to_contain_text("of 20 · from")
    expect(page.locator(".title .st")).to_have_text("completed", timeout=60_000)
    ada.open(f"/executions/{run}?tab=io")
    expect(page.locator(".md h1")).to_have_text("168 primes")
    expect(page.locator(".art tbody tr")).to_have_count(20)
    expect(page.locator(".art tbody tr").first).to_have_text("15015")
    link = page.locator(".art > a")
    expect(link).to_have_attribute("href", "https://oeis.org/A000040")
    expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    image = page.locator(".art img")
    eventually(
        lambda: image.evaluate("image => image.naturalWidth") == 320, seconds=10, what="an image"
    )
    with page.expect_download() as download:
        page.get_by_role("link", name="stretches.csv").click()
    assert download.value.path().read_text().splitlines()[:2] == ["from,to,primes", "1,50,15"]


def test_a_large_value_is_shown_in_part_with_its_download(ada: Person) -> None:
    page = ada.sign_in()
    twice = {"uses": "transform", "with": {"value": "${{ input.a + input.a }}"}}
    ada.publish({"name": "large", "steps": {"twice": twice}})
    run = ada.start("large", {"a": "b" * 200_000})
    ada.open(f"/executions/{run}?tab=steps")
    expect(page.locator(".title .st")).to_have_text("completed", timeout=60_000)
    shown = page.get_by_label("Output")
    expect(shown).to_contain_text("of 400,002 bytes; the download has it all")
    with page.expect_download() as download:
        page.locator("section", has=shown).get_by_role("link", name="download").click()
    assert json.loads(download.value.path().read_text()) == "b" * 400_000


_WORD = "x" * 10_000


def _lengthen(system: System, execution: str) -> None:
    """Put a word without an end into what its steps left, as they could have."""
    text = f"# {_WORD}\n\n{_WORD} [{_WORD}](https://x.example)\n\n|a|b|\n|-|-|\n|{_WORD}|b|\n"
    body = base64.b64encode(text.encode()).decode()
    database = Database.open(f"sqlite:///{system.home / 'engine.db'}")
    update = "UPDATE artifacts SET body = :body WHERE media_type LIKE :kind AND execution_id = :id"
    values = {"body": body, "kind": "text/markdown%", "id": execution}
    database.write(lambda connection: connection.execute(sqltext(update), values))
    database.close()


def test_no_word_is_so_long_that_it_widens_a_page(ada: Person) -> None:
    page = ada.sign_in()
    page.set_viewport_size({"width": 360, "height": 800})
    run = ada.start("artifacts", {"limit": 1_000, "seconds": 0})
    ask = {"uses": "approval", "with": {"title": _WORD[:200], "description": _WORD[:1000]}}
    fail = {"uses": "fail", "with": {"message": "${{ input.word }}"}}
    say = {"uses": "transform", "with": {"value": "${{ input.word }}"}}
    steps = {"say": say, "ask": ask, "fail": {**fail, "needs": ["say"], "on_failure": "continue"}}
    ada.publish({"name": "long-words", "description": _WORD[:500], "steps": steps})
    asked = ada.start("long-words", {"word": _WORD})
    ada.open(f"/executions/{run}")
    expect(page.locator(".title .st")).to_have_text("completed", timeout=60_000)
    expect(page).to_have_title(f"artifacts · completed · {run} · Execution Engine")
    _lengthen(ada.system, run)
    tabs = [f"/executions/{one}?tab={tab}" for one in (run, asked) for tab in ("io", "steps", "")]
    for path in (*tabs, "/workflows/long-words", "/approvals", "/monitoring"):
        ada.open(path)
        expect(page.locator(".mark")).to_have_text("live")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
    ada.open(f"/executions/{asked}?tab=steps")
    page.locator(".stepper .list [data-row=fail]").click()
    expect(page.locator(".stepper")).to_contain_text("Attempts that did not complete")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
