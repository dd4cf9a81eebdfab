"""The checker of invariants sees what it is there for: negative controls."""

from __future__ import annotations

import pytest

from engine.store.db.database import Database
from tests.support import invariants
from tests.support.effects import Effect
from tests.support.house import House, python


def inc(x: int) -> int:
    return x + 1


@pytest.fixture
def house(sqlite_url: str) -> House:
    """An engine in which two steps and a fan-out have completed."""
    house = House(Database.open(sqlite_url))
    steps = {
        "a": python(inc, x=0),
        "b": python(inc, x="${{ steps.a.output }}"),
        "c": {**python(inc, x="${{ item }}"), "for_each": "${{ [steps.b.output, 5] }}"},
    }
    house.run(house.publish("sound", steps))
    invariants.check(house.database)
    return house


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("UPDATE executions SET status = 'running'", "it never ended"),
        ("UPDATE executions SET last_seq = last_seq + 1", "events_missing"),
        ("DELETE FROM events WHERE seq = 4", "events_missing"),
        ("UPDATE events SET type = 'step_started' WHERE type = 'step_completed'", "but it was"),
        ("UPDATE events SET step = 1 - step WHERE step < 2", "starts before"),
        ("UPDATE events SET type = 'cancel_requested' WHERE seq = 2", "after the cancel"),
        ("UPDATE step_runs SET status = 'failed' WHERE step = 1", "its events say completed"),
        ("UPDATE step_runs SET attempts = 2 WHERE step = 0", "2 attempts of 1"),
        ("UPDATE step_runs SET crashes = 4 WHERE step = 0", "4 crashes of 3"),
        ("UPDATE executions SET active = 1", "active is 1"),
        ("UPDATE executions SET steps_left = 1", "steps_left is 1"),
        ("UPDATE step_runs SET items_left = 1 WHERE items = 2", "1 of 2 items left"),
        (
            "INSERT INTO attempts (execution_id, step, item, epoch, attempt, outcome, reason,"
            " finished_at) SELECT id, 0, -1, 1, 1, 'failed', 'error', 1 FROM executions",
            "completed under epoch 1, given up at 1",
        ),
        (
            "INSERT INTO events (execution_id, seq, type, at)"
            " SELECT id, last_seq + 1, 'started', 1 FROM executions",
            "comes after it was completed",
        ),
    ],
)
def test_a_breach_is_seen(house: House, fault: str, seen: str) -> None:
    house.write(fault)
    with pytest.raises(AssertionError, match=seen):
        invariants.check(house.database)


def test_one_key_for_two_step_runs_is_seen(house: House) -> None:
    effects = [Effect("start", "e", step, None, 1, "key", 1, 0.0) for step in ("a", "b")]
    with pytest.raises(AssertionError, match="key has"):
        invariants.check(house.database, effects=effects)


def test_a_database_that_shows_nothing_is_no_proof(sqlite_url: str) -> None:
    with pytest.raises(AssertionError, match="nothing was shown"):
        invariants.check(Database.open(sqlite_url))
