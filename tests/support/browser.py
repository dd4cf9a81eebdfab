"""A Chromium for the tests: the machine's, else Playwright's download, else apt's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.support.needs import lacking

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_PATIENCE = 300  # seconds for a download that may never come
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
        reason = ""
        for provide in (_nothing, _download, _install):
            provide()
            try:
                browser = playwright.chromium.launch(executable_path=chromium_path(), args=flags)
            except Error as error:
                reason = str(error).strip().splitlines()[0]
                continue
            yield browser
            browser.close()
            return
        lacking(f"no browser, neither here nor by download nor by apt: {reason}")


def _nothing() -> None:
    """Try with what there is."""


def _download() -> None:
    _try([sys.executable, "-m", "playwright", "install", "chromium"])


def _install() -> None:
    if os.geteuid() == 0 and shutil.which("apt-get"):
        _try(["apt-get", "update", "-qq"])
        _try(["apt-get", "install", "-qq", "-y", "--no-install-recommends", "chromium"])


def _try(command: list[str]) -> None:
    # Whether it helped is seen at the next launch; what it says would only bury the reason.
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(command, capture_output=True, check=False, timeout=_PATIENCE)
