"""What a sweep costs when nothing is owed, and that it overlooks nothing to cost so little."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from engine.recovery import SWEEPS
from engine.recovery.redelivery import LEASE
from engine.store.db.database import Database
from engine.store.recovery import liveness, precheck
from tests.support.house import House, python
from tests.support.transitions import chain, claimed, inc


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


def until(house: House) -> int:
    found = house.database.read(lambda connection: liveness.lease(connection, LEASE))
    assert found is not None
    return int(found.until)


def owed(house: House) -> bool:
    now = house.database.now()
    return house.database.read(lambda connection: precheck.anything_due(connection, now))


def test_the_lease_is_renewed_when_half_of_it_is_over_and_not_before(house: House) -> None:
    house.rescue.sweep("w1", steady=True)
    taken = until(house)
    house.rescue.sweep("w1", steady=True)
    assert until(house) == taken
    third = int(house.rescue.settings.sweep_seconds * SWEEPS * 1e6) // 3
    soon = house.database.now() + third
    house.write(f"UPDATE leases SET until = {soon}")
    house.rescue.sweep("w2", steady=True)
    assert until(house) == soon
    house.rescue.sweep("w1", steady=True)
    assert until(house) > soon


def test_nothing_is_owed_while_executions_wait_for_people_or_time(house: House) -> None:
    house.run(house.publish("ask", {"ok": {"uses": "approval", "with": {"title": "May it?"}}}))
    house.run(house.publish("nap", {"a": {"uses": "sleep", "with": {"for": "1h"}}}))
    house.run(chain(house))
    assert house.query("SELECT count(*) FROM step_runs WHERE status = 'waiting'") == [(2,)]
    assert not owed(house)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE step_runs SET due_at = 1 WHERE status = 'waiting'",
        "UPDATE step_runs SET status = 'retrying', due_at = 1 WHERE status = 'waiting'",
        "UPDATE step_runs SET status = 'queued', due_at = NULL, reason = 'worker_crashed'"
        " WHERE status = 'waiting'",
        "UPDATE step_runs SET status = 'queued', due_at = NULL, expires_in = 1"
        " WHERE status = 'waiting'",
        "UPDATE step_runs SET status = 'running', due_at = NULL, worker_id = 'gone'"
        " WHERE status = 'waiting'",
        "UPDATE step_runs SET status = 'running', due_at = NULL, items = 9, items_held = 1"
        " WHERE status = 'waiting'",
        "UPDATE executions SET due_at = 1 WHERE status = 'waiting'",
        "UPDATE executions SET deadline_at = 1 WHERE status = 'waiting'",
    ],
)
def test_whatever_a_sweep_would_find_is_owed(house: House, change: str) -> None:
    house.run(house.publish("nap", {"a": {"uses": "sleep", "with": {"for": "1h"}}}))
    assert not owed(house)
    house.write(change)
    assert owed(house)


def test_a_claim_and_a_start_are_owed(house: House) -> None:
    house.start(house.publish("one", {"a": python(inc, x=1)}))
    assert owed(house)
    house.write("UPDATE executions SET status = 'completed'")
    assert not owed(house)
    claimed(house)
    assert owed(house)


def test_a_glance_reads_no_table_whole(sqlite_url: str) -> None:
    database = Database.open(sqlite_url, threads=1)
    statement = text(f"EXPLAIN QUERY PLAN {precheck._OWED.text}")
    plan = database.read(lambda connection: connection.execute(statement, {"now": 1}).all())
    database.close()
    scans = [row.detail for row in plan if row.detail.startswith("SCAN")]
    assert [scan for scan in scans if "INDEX" not in scan] == ["SCAN CONSTANT ROW"]
