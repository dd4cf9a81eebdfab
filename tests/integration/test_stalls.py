"""A worker stood still: what its guardian wrote down decides whose crash that was."""

from __future__ import annotations

import pytest

from engine.codec import decode
from engine.core.stall import Stall, claim_name
from engine.core.transitions import RunKey
from engine.store import reads
from engine.store.db.database import Database
from engine.store.recovery import liveness
from tests.support.house import House, python
from tests.support.transitions import claim


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


def quick() -> int:
    return 1


def two_claimed(house: House) -> tuple[str, list[RunKey]]:
    """Return an execution with two step runs that worker w2 has claimed."""
    house.worker("w2")
    run = house.start(house.publish("w", {"a": python(quick), "b": python(quick)}))
    house.plan(run)
    house.inbox.clear()
    keys = [RunKey(run, 0), RunKey(run, 1)]
    for key in keys:
        claim(house, key, "w2")
    return run, keys


def condemn(house: House, stall: Stall) -> None:
    now = house.database.now()
    house.database.write(lambda connection: liveness.condemn(connection, now, "w2", stall))
    house.sweep()


def test_who_was_at_fault_counts_a_crash_and_the_neighbour_none(house: House) -> None:
    run, (culprit, _) = two_claimed(house)
    condemn(house, Stall(6.0, (claim_name(culprit, 1),), "the place"))
    assert house.step(run, 0, "status", "crashes", "attempts", "epoch") == ("queued", 1, 0, 2)
    assert house.step(run, 1, "status", "crashes", "attempts", "epoch") == ("queued", 0, 0, 2)
    tries = house.query("SELECT step, outcome, error FROM attempts ORDER BY step")
    assert [(step, outcome) for step, outcome, _ in tries] == [(0, "crashed"), (1, "released")]
    assert decode(tries[0][2])["trace"] == "the place"
    said = dict(house.query("SELECT step, message FROM logs"))
    assert said[0].startswith("it kept the interpreter's lock")
    assert "no crash counts" in said[1]
    assert {ticket.step for ticket in house.inbox} == {0, 1}
    house.drain()
    assert house.status(run) == "completed"


def test_where_nothing_tells_who_it_was_all_count_one(house: House) -> None:
    run, _ = two_claimed(house)
    condemn(house, Stall(6.0, None))
    assert [house.step(run, step, "crashes") for step in (0, 1)] == [(1,), (1,)]


def test_a_claim_of_another_epoch_is_not_the_one_that_was_at_fault(house: House) -> None:
    run, (culprit, _) = two_claimed(house)
    condemn(house, Stall(6.0, (claim_name(culprit, 7),)))
    assert house.step(run, 0, "crashes") == (0,)


def test_workers_tell_why_they_ended(house: House) -> None:
    two_claimed(house)
    condemn(house, Stall(6.0, None))
    rows = house.database.read(
        lambda connection: reads.workers(connection, now=house.database.now(), lease_seconds=10)
    ).rows
    row = next(row for row in rows if row.id == "w2")
    assert row.end_reason is not None
    assert "kept the interpreter's lock" in row.end_reason
    assert not row.alive
