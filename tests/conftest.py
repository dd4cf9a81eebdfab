"""Fixtures for all levels: real servers, started once and only when a test asks for them."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from engine.io.payloads import Payloads
from engine.store.db import migrate
from engine.store.db.database import Database
from tests.support.browser import chromium
from tests.support.budget import BUDGET, Clock, level_of
from tests.support.postgres import create_database, drop_database, postgres
from tests.support.system import System, running
from tests.support.valkey import valkey

if TYPE_CHECKING:
    from playwright.sync_api import Browser


# For the histories of tests/unit/test_random_histories.py: pytest --hypothesis-profile=long
hypothesis.settings.register_profile("long")


def pytest_configure(config: pytest.Config) -> None:
    for level in BUDGET:
        config.addinivalue_line("markers", f"{level}: tests in tests/{level}")
    config.pluginmanager.register(Clock(), "clock")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        level = level_of(item.path)
        if level:
            item.add_marker(level)
    # What fails fast comes first, whatever order the folders were named in.
    order = list(BUDGET)
    items.sort(key=lambda item: order.index(level_of(item.path) or order[-1]))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server: its URL, with the right to create databases."""
    with postgres() as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Valkey server shared by the whole run: flush it, or use keys of your own."""
    with valkey() as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template() -> Iterator[Path]:
    """A migrated SQLite file to copy: faster than migrating for each test."""
    with tempfile.TemporaryDirectory(prefix="engine-test-sqlite-") as folder:
        path = Path(folder) / "template.db"
        migrate.upgrade(f"sqlite:///{path}")
        yield path


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> Iterator[str]:
    """The name of a migrated PostgreSQL database to copy."""
    name = f"template_{uuid.uuid4().hex[:12]}"
    migrate.upgrade(create_database(postgres_url, name))
    yield name
    drop_database(postgres_url, name)


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated SQLite database of this test's own."""
    path = tmp_path / "engine.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgresql_url(postgres_url: str, postgres_template: str) -> Iterator[str]:
    """A migrated PostgreSQL database of this test's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield create_database(postgres_url, name, template=postgres_template)
    drop_database(postgres_url, name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated database of this test's own: the test runs once on each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Database]:
    """``database_url``, opened; what is too large for a row goes to the test's own folder."""
    payloads = Payloads(str(tmp_path / "payloads"), inline=256 * 1024, limit=4 * 1024 * 1024)
    opened = Database.open(database_url, payloads=payloads)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    """The whole engine on SQLite and its own Valkey, shared by the run: do it no lasting harm."""
    with running() as started:
        yield started.await_ready()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium shared by the whole run: make a context of your own in it."""
    with chromium() as running:
        yield running
