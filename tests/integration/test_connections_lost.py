"""PostgreSQL's connections end, all at once: each caller hears of it once at most, in one line."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest

from engine.core.transitions import RunKey
from engine.errors import Unavailable
from engine.store.db.database import Connection, Database
from engine.store.writes import step_runs

THREADS = 4
Transaction = Callable[[Callable[[Connection], object]], object]


@pytest.fixture
def database(postgresql_url: str) -> Iterator[Database]:
    opened = Database.open(postgresql_url, threads=THREADS)
    yield opened
    opened.close()


def ask(connection: Connection) -> object:
    """Ask through the driver itself, as the hot path does."""
    return step_runs.get(connection, RunKey("nobody", 0))


def open_several(run: Transaction) -> None:
    """Have the pool hold a connection for each of some threads."""
    together = threading.Barrier(THREADS)

    def work(connection: Connection) -> None:
        ask(connection)
        together.wait(20)

    threads = [threading.Thread(target=run, args=(work,)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def cut(url: str) -> None:
    """End every connection to the database."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )


@pytest.mark.parametrize("name", ["read", "write", "snapshot"])
def test_one_failure_tells_of_all_connections_that_were_lost(
    database: Database, postgresql_url: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    run: Transaction = getattr(database, name)
    open_several(run)
    cut(postgresql_url)
    with caplog.at_level(logging.INFO), pytest.raises(Unavailable, match="terminating connection"):
        run(ask)
    for _ in range(THREADS):
        assert run(ask) is None
    assert caplog.records == [], "a lost connection is the caller's to tell, without a traceback"
