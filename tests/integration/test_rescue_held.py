"""A process that stands still in a transaction holds rows: rescue looks after all others meanwhile.

On PostgreSQL. SQLite has one writer at a time, and everybody waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from engine.core.transitions import RunKey
from engine.store.db.database import Database
from tests.support.house import House
from tests.support.transitions import chain, claimed

MINUTE = 60_000_000  # µs
SOON = 5.0  # seconds that a sweep may take beside one execution whose rows are held


@pytest.fixture
def house(postgresql_url: str) -> Iterator[House]:
    database = Database.open(postgresql_url)
    yield House(database)
    database.close()


@contextmanager
def held(url: str, execution_id: str) -> Iterator[None]:
    """Hold every row of an execution until the block ends."""
    with psycopg.connect(url) as other:
        for sql in (
            "SELECT 1 FROM executions WHERE id = %s FOR UPDATE",
            "SELECT 1 FROM step_runs WHERE execution_id = %s FOR UPDATE",
        ):
            other.execute(sql, [execution_id])
        yield


@pytest.fixture
def quick() -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < SOON


def test_claims_of_the_dead_are_taken_though_one_execution_is_held(
    house: House, postgresql_url: str, quick: None
) -> None:
    first, second = sorted(claimed(house, "w1")[0] for _ in range(2))
    house.worker("w2")
    house.kill("w1")
    with held(postgresql_url, first):
        sends = house.rescue.sweep("w2", steady=True)
        assert house.step(first, 0, "status") == ("running",)
        assert house.step(second, 0, "status", "crashes") == ("queued", 1)
        assert [ticket.key for ticket in sends.now] == [RunKey(second, 0)]
    house.rescue.sweep("w2", steady=True)
    assert house.step(first, 0, "status", "crashes") == ("queued", 1)


def test_what_is_held_is_waited_for_once_and_then_left_alone(
    house: House, postgresql_url: str
) -> None:
    execution_id, _ = claimed(house, "w1")
    house.worker("w2")
    house.kill("w1")
    rescue = house.rescue
    with held(postgresql_url, execution_id):
        rescue.sweep("w2", steady=True)
        begun = time.monotonic()
        rescue.sweep("w2", steady=True)
        assert time.monotonic() - begun < 0.9


def test_lost_messages_are_sent_again_though_one_execution_is_held(
    house: House, postgresql_url: str, quick: None
) -> None:
    ids = sorted(house.start(chain(house)) for _ in range(3))
    for execution_id in ids[:2]:
        house.plan(execution_id)
    house.write(
        "UPDATE step_runs SET due_at = due_at - :ago, queued_at = queued_at - :ago", ago=MINUTE
    )
    house.broker.empty = True
    with held(postgresql_url, ids[0]):
        sends = house.sweep_as("w1")
        assert [ticket.key for ticket in sends.now] == [RunKey(ids[1], 0)]


def test_dispatches_are_sent_again_though_one_execution_is_held(
    house: House, postgresql_url: str, quick: None
) -> None:
    first, second = sorted(house.start(chain(house)) for _ in range(2))
    house.write("UPDATE executions SET due_at = due_at - :ago", ago=MINUTE)
    house.broker.empty = True
    with held(postgresql_url, first):
        assert house.sweep_as("w1").dispatches == [second]
