"""What the database's own errors become, and what of them is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from traceback import format_exception

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from engine.errors import Unavailable
from engine.store.db import postgres, sqlite
from engine.store.db.database import Database


@pytest.mark.parametrize("way", ["read", "write"])
def test_an_error_of_the_database_does_not_repeat_what_was_sent(
    database: Database, way: str
) -> None:
    statement = text("SELECT nothing_of_that_name FROM users WHERE id = :id")
    with pytest.raises((DBAPIError, Unavailable)) as caught:
        getattr(database, way)(lambda connection: connection.execute(statement, {"id": "canary"}))
    logged = "".join(format_exception(caught.value))
    assert "no such column" in logged or "does not exist" in logged
    assert "'canary'" not in logged


@pytest.fixture
def crowded(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database of which every connection for reading is in use while the block lasts."""
    for module in (postgres, sqlite):
        monkeypatch.setattr(module, "POOL_SECONDS", 0.2)
    database = Database.open(database_url, threads=2)
    size = 2 if database.dialect == "sqlite" else 2 + 4
    free, all_in = threading.Event(), threading.Barrier(size + 1, timeout=30)

    def hold(connection: Connection) -> None:
        connection.execute(text("SELECT 1"))
        all_in.wait()
        free.wait(30)

    with ThreadPoolExecutor(size) as pool:
        held = [pool.submit(database.read, hold) for _ in range(size)]
        all_in.wait()
        yield database
        free.set()
        for one in held:
            one.result()
    assert database.read(lambda connection: connection.execute(text("SELECT 1")).scalar()) == 1
    database.close()


def test_a_pool_without_a_free_connection_is_unavailable_for_a_moment(crowded: Database) -> None:
    with pytest.raises(Unavailable, match="all connections to the database are in use") as caught:
        crowded.read(lambda connection: connection.execute(text("SELECT 1")))
    assert caught.value.retry_after > 0
    with pytest.raises(Unavailable, match="all connections"):
        crowded.snapshot(lambda connection: connection.execute(text("SELECT 1")))
    if crowded.has_server:  # SQLite has a connection of its own for those who write
        with pytest.raises(Unavailable, match="all connections"):
            crowded.write(lambda connection: connection.execute(text("SELECT 1")))
