"""A Chromium for the tests: the machine's, else the one Playwright downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.needs import lacking

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# A test browser must talk to the server under test and to nobody else.
_QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-dev-shm-usage",
)


def chromium_path() -> str | None:
    """Return the machine's own Chromium, or None."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a running headless browser."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        lacking("no playwright: install requirements-dev.txt")
    flags = [*_QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=chromium_path(), args=flags)
        except Error as error:
            first = str(error).strip().splitlines()[0]
            lacking(f"no browser: install chromium, or run 'playwright install chromium' ({first})")
        yield browser
        browser.close()
