"""PostgreSQL behind a pooler, as clouds give it: everything works, and what is missing is told."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from engine.store.db import migrate, schema_version
from engine.store.db.database import Database
from tests.support import invariants
from tests.support.fleet import Fleet, chain, fan_out
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres import create_database, drop_database

MODES: tuple[tuple[str, dict[str, str]], ...] = (
    ("session", {}),
    ("transaction", {}),
    # As many are set up: then it takes what clients say at their start, and forgets it.
    ("transaction", {"ignore_startup_parameters": "options,extra_float_digits"}),
)


@pytest.fixture(params=MODES, ids=lambda mode: f"{mode[0]}-{'ignoring' if mode[1] else 'strict'}")
def pooled(request: pytest.FixtureRequest, postgresql_url: str) -> Iterator[str]:
    """The URL of a migrated database behind a pooler."""
    mode, more = request.param
    with pgbouncer(postgresql_url, mode, **more) as url:
        yield url


def test_workers_do_all_their_work_through_it(pooled: str) -> None:
    with tempfile.TemporaryDirectory(prefix="engine-test-", ignore_cleanup_errors=True) as folder:
        fleet = Fleet(pooled, Path(folder))
        try:
            fleet.start()
            fleet.start()
            fleet.await_ready()
            kinds = [
                (fleet.publish("chain", chain(6)), 6),
                (fleet.publish("fan-out", fan_out(8, "double", x="${{ item }}")), 56),
            ]
            wanted = {
                fleet.begin(workflow): output for _ in range(10) for workflow, output in kinds
            }
            fleet.await_end(seconds=60)
            assert {one: fleet.output(one) for one in wanted} == wanted
            invariants.check(fleet.database, effects=fleet.effects())
        finally:
            fleet.close()


def test_timeouts_that_cannot_be_set_are_told_until_the_role_has_them(pooled: str) -> None:
    database = Database.open(pooled)
    [told] = database.shortcomings()
    database.close()
    assert "a pooler stands before PostgreSQL" in told
    assert "ALTER ROLE postgres SET lock_timeout = '10s'" in told


def test_without_a_pooler_nothing_is_missing(postgresql_url: str) -> None:
    database = Database.open(postgresql_url)
    assert database.shortcomings() == []
    database.close()


def test_a_role_with_timeouts_of_its_own_lacks_nothing(
    postgres_url: str, postgresql_url: str
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE pooled_engine LOGIN SUPERUSER")
        for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(f"ALTER ROLE pooled_engine SET {name} = '10s'")
    own = make_url(postgresql_url).set(username="pooled_engine")
    try:
        with pgbouncer(own.render_as_string(hide_password=False), "transaction") as url:
            database = Database.open(url)
            assert database.shortcomings() == []
            database.close()
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("DROP ROLE pooled_engine")


def test_the_tables_are_made_through_it_and_its_sessions_keep_no_lock(postgres_url: str) -> None:
    empty = create_database(postgres_url, "bouncer_empty")
    try:
        with pgbouncer(empty, "transaction") as url:
            for _ in range(2):
                migrate.upgrade(url)
            assert schema_version.current(url) == schema_version.NEWEST
            with psycopg.connect(empty) as connection:
                locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                assert connection.execute(locks).fetchone() == (0,)
    finally:
        drop_database(postgres_url, "bouncer_empty")
