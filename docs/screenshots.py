"""Take the pictures of ``docs/images`` from a real engine.

``PYTHONPATH=. .venv/bin/python docs/screenshots.py``

Needs a Chromium and ``requirements-dev.txt``; takes about a minute.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.support.browser import chromium
from tests.support.pages import Person, nap, person
from tests.support.system import System, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

IMAGES = Path(__file__).parent / "images"
_PHONE = {"width": 390, "height": 844}
_DESK = {"width": 1280, "height": 800}


def main() -> None:
    """Start an engine, let things happen, take the pictures in both themes."""
    os.environ["ENGINE_HEARTBEAT_SECONDS"] = "1"
    IMAGES.mkdir(exist_ok=True)
    with running() as system, chromium() as browser:
        system.await_ready()
        with person(system, browser, name="ada") as someone:
            someone.sign_in()
            failed = _past(someone)
            _present(someone)
            trip, release = _asking(someone)
            state = someone.page.context.storage_state()
            for theme in ("light", "dark"):
                _take(system, browser, (failed, trip, release), theme, state)


def _past(someone: Person) -> str:
    """Let executions end in every way; return one that failed."""
    someone.publish(nap(30))
    weather = someone.start("weather")
    crashed = someone.start("crash-drill")
    failed = someone.start("flaky", {"failures": 5})
    cancelled = someone.start("nap")
    someone.api("POST", f"/executions/{cancelled}/cancel", {"note": "wrong label"})
    fan_out = someone.start("fan-out")
    page = someone.page
    for execution in (weather, crashed, failed, cancelled, fan_out):
        someone.open(f"/executions/{execution}")
        open_ = page.locator(".title .st", has_text="ing")
        expect(page.locator(".title .st")).to_be_visible(timeout=30_000)
        expect(open_).to_have_count(0, timeout=90_000)
    return failed


def _present(someone: Person) -> None:
    """Start what is still on its way when the pictures are taken."""
    someone.start("nap", {"seconds": 600})
    someone.start("flaky", {"failures": 4})
    someone.start("weather")


def _asking(someone: Person) -> tuple[str, str]:
    """Start a trip that fails and a release that waits for a decision; return their ids."""
    trip, release = someone.start("trip"), someone.start("release")
    someone.open(f"/executions/{trip}")
    expect(someone.page.locator(".title .st").first).to_have_text("failed", timeout=30_000)
    someone.open(f"/executions/{release}")
    expect(someone.page.locator("[data-ask=review]")).to_be_visible(timeout=30_000)
    return trip, release


def _take(
    system: System, browser: Browser, ids: tuple[str, str, str], theme: str, state: object
) -> None:
    failed, trip, release = ids
    context = browser.new_context(
        storage_state=state,  # type: ignore[arg-type]  # as another context gave it
        color_scheme=theme,  # type: ignore[arg-type]  # one of the two it knows
        viewport=_DESK,  # type: ignore[arg-type]  # a width and a height
        device_scale_factor=1.5,
    )
    page = context.new_page()
    for name, path in (
        ("monitoring", "/monitoring"),
        ("execution", f"/executions/{failed}"),
        ("workflow", "/workflows/weather"),
        ("approval", f"/executions/{release}"),
        ("rerun", f"/executions/{trip}"),
    ):
        page.goto(system.url + path)
        expect(page.locator(".mark")).to_have_text("live")
        page.wait_for_load_state("networkidle")
        if name == "rerun":
            page.get_by_role("button", name="Rerun…").click()
            page.get_by_label("Run again from").select_option("hotel")
            expect(page.locator(".fates")).to_contain_text("flight, hotel, car")
        page.screenshot(path=IMAGES / f"{name}-{theme}.png")
    page.set_viewport_size(_PHONE)  # type: ignore[arg-type]  # a width and a height
    page.goto(f"{system.url}/monitoring")
    expect(page.locator(".mark")).to_have_text("live")
    page.screenshot(path=IMAGES / f"phone-{theme}.png")
    context.close()


if __name__ == "__main__":
    main()
