"""What the tests of the command line share: the command, and an engine that carries it out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.store.db.database import Database
from tests.support.command_line import Engine, calling
from tests.support.house import House


@pytest.fixture
def engine(
    sqlite_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Engine]:
    """Call ``engine`` with these arguments, on a database of this test's own."""
    variables = {"DATABASE_URL": sqlite_url, "REDIS_URL": redis_url, "ENGINE_HOME": str(tmp_path)}
    with calling(monkeypatch, capsys, variables) as call:
        yield call


@pytest.fixture
def house(sqlite_url: str) -> Iterator[House]:
    """The engine on the same database, for this test to deliver its messages."""
    database = Database.open(sqlite_url)
    yield House(database)
    database.close()
