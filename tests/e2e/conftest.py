"""Whom the pages are shown to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.pages import Person, person
from tests.support.system import System

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def ada(system: System, browser: Browser) -> Iterator[Person]:
    """Someone with an account; no script of a page may fail, no other origin may be asked."""
    with person(system, browser) as someone:
        yield someone
        assert someone.troubles == []
        assert someone.foreign == []
