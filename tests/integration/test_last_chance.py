"""Step runs that died together do not die together to the last: who is at fault is found out."""

from __future__ import annotations

import pytest

from engine.commands.lifecycle import pause
from engine.store.db.database import Database
from tests.support.house import House
from tests.support.transitions import claimed


@pytest.fixture
def house(database: Database) -> House:
    """Two step runs that died twice together: the next crash of each is its last."""
    house = House(database)
    house.worker("gone")
    for _ in range(2):
        claimed(house, "gone")
    house.write("UPDATE step_runs SET crashes = 1 WHERE status = 'running'")
    house.write("UPDATE workers SET stopped_at = 1 WHERE id = 'gone'")
    return house


def sweep(house: House) -> list[str]:
    """Sweep once and return whose message is sent."""
    return [ticket.execution_id for ticket in house.rescue.sweep("w1", steady=True).now]


def run_alone(house: House, execution_id: str, *, since: int) -> None:
    """Make the step run look as one that a live worker claimed at ``since`` (µs)."""
    house.write(
        "UPDATE step_runs SET status = 'running', reason = NULL, worker_id = 'w1',"
        " started_at = :since, due_at = :later WHERE execution_id = :id AND step = 0",
        since=since,
        later=house.database.now() + 3_600_000_000,
        id=execution_id,
    )


def test_of_two_on_their_last_chance_one_is_sent(house: House) -> None:
    [first] = sweep(house)
    # Nor is the other found as a lost message, or the first sent twice.
    house.broker.empty = True
    house.write("UPDATE step_runs SET queued_at = 1 WHERE status = 'queued'")
    assert sweep(house) == []
    assert first in {row[0] for row in house.query("SELECT execution_id FROM step_runs")}


def test_the_other_waits_while_the_first_runs(house: House) -> None:
    [first] = sweep(house)
    run_alone(house, first, since=house.database.now())
    assert sweep(house) == []


def test_the_other_is_sent_once_the_first_has_ended(house: House) -> None:
    [first] = sweep(house)
    house.deliver(house.ticket(first, 0))
    [second] = sweep(house)
    assert second != first
    house.deliver(house.ticket(second, 0))
    house.drain()
    assert {house.status(first), house.status(second)} == {"completed"}


def test_one_that_has_run_for_a_minute_holds_nobody_up(house: House) -> None:
    [first] = sweep(house)
    run_alone(house, first, since=house.database.now() - 61_000_000)
    [second] = sweep(house)
    assert second != first


def test_one_of_a_paused_execution_holds_nobody_up(house: House) -> None:
    ids = sorted(row[0] for row in house.query("SELECT execution_id FROM step_runs WHERE step = 0"))
    sweep(house)  # takes the claims from the dead worker
    house.write("UPDATE step_runs SET due_at = NULL WHERE step = 0")
    pause(house.database, owner_id=house.owner_id, execution_id=ids[0])
    assert sweep(house) == [ids[1]]


def test_the_one_that_is_due_longest_goes_first(house: House) -> None:
    ids = sorted(row[0] for row in house.query("SELECT execution_id FROM step_runs WHERE step = 0"))
    sweep(house)
    house.write("UPDATE step_runs SET due_at = NULL WHERE step = 0")
    house.write(
        "UPDATE step_runs SET queued_at = queued_at - 60000000 WHERE execution_id = :id", id=ids[1]
    )
    assert sweep(house) == [ids[1]]


def test_one_that_nobody_claims_gives_way_to_the_others_in_turn(house: House) -> None:
    [first] = sweep(house)
    later(house)
    [second] = sweep(house)
    assert second != first
    assert sweep(house) == []
    later(house)
    assert sweep(house) == [first]


def test_one_whose_queue_nobody_serves_holds_nobody_up(house: House) -> None:
    ids = sorted(row[0] for row in house.query("SELECT execution_id FROM step_runs WHERE step = 0"))
    sweep(house)
    house.write("UPDATE step_runs SET due_at = NULL WHERE step = 0")
    house.write(
        "UPDATE step_runs SET queue = 'gpu', queued_at = 1 WHERE execution_id = :id", id=ids[0]
    )
    assert sweep(house) == [ids[1]]
    house.deliver(house.ticket(ids[1], 0))
    assert sweep(house) == []
    house.write("UPDATE workers SET queues = '[\"gpu\"]' WHERE id = 'w1'")
    assert sweep(house) == [ids[0]]


def test_what_is_owed_to_an_actor_goes_through_workers_of_ours(house: House) -> None:
    ids = sorted(row[0] for row in house.query("SELECT execution_id FROM step_runs WHERE step = 0"))
    sweep(house)
    house.write("UPDATE step_runs SET due_at = NULL, queue = 'actor' WHERE step = 0")
    assert sweep(house) == [ids[0]]


def later(house: House) -> None:
    """Let so much time pass that an unclaimed message holds nobody up."""
    house.write(
        "UPDATE step_runs SET due_at = due_at - 16000000, queued_at = queued_at - 16000000"
        " WHERE status = 'queued'"
    )
