"""What counts as evidence that a message was lost, seen from the worker that gives it."""

from __future__ import annotations

import pytest

from engine import registry
from engine.store.db.database import Database
from engine.worker.claim_registry import Claims
from engine.worker.run import Executor
from tests.support.house import House

LATECOMER = "tests.latecomer"


@pytest.fixture
def house(sqlite_url: str) -> House:
    """An engine that does not know the step ``LATECOMER``."""
    return House(Database.open(sqlite_url))


def test_a_held_steps_due_time_is_no_sign_that_later_messages_came_through(house: House) -> None:
    claims = Claims()
    executor = Executor(
        settings=house.settings,
        database=house.database,
        versions=house.versions,
        worker_id="w1",
        claims=claims,
        look=lambda _look: None,
    )
    step = {"uses": "python", "with": {"function": LATECOMER}}
    execution_id = house.start(house.publish("news", {"a": step}))
    [ticket] = house.plan(execution_id)
    executor.run(ticket)
    [due_at] = house.step(execution_id, 0, "due_at")
    assert due_at > house.database.now(), "it is held: rescue looks again later"
    registry.register_step(LATECOMER, lambda: None)
    executor.run(ticket)
    assert house.status(execution_id) == "completed"
    # A mark in the future would make each message that waits behind others look lost.
    assert claims.watermarks().get("steps", 0) <= house.database.now()
