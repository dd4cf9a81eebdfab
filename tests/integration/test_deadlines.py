"""Deadlines of executions and of queued step runs, and results that are kept for others."""

from __future__ import annotations

from typing import Any

import pytest

from engine.store.db.database import Database
from engine.store.writes import result_cache
from tests.support.house import House, python
from tests.support.invariants import check
from tests.support.saying import transform, waits
from tests.support.transitions import claimed, inc


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


# --- executions ----------------------------------------------------------------------------------


def test_an_execution_beyond_its_deadline_fails_with_reason_timeout(house: House) -> None:
    steps = {"a": waits(), "b": transform(1, needs=["a"])}
    execution_id = house.run(house.publish("late", steps, timeout="1h"))
    house.sweep()
    assert house.status(execution_id) == "waiting"
    house.write("UPDATE executions SET deadline_at = 1")
    house.sweep()
    assert house.execution(execution_id, "status", "reason") == ("failed", "timeout")
    assert "longer than its 3600 s" in house.execution(execution_id, "error")[0]
    check(house.database)


def test_the_deadline_counts_from_when_the_execution_may_start(house: House) -> None:
    wanted = house.publish("delayed", {"a": transform(1)}, timeout="10s")
    execution_id = house.start(wanted, delay=60_000_000)
    created, deadline = house.execution(execution_id, "created_at", "deadline_at")
    assert deadline - created == 70_000_000


def test_what_runs_at_the_deadline_has_the_grace_of_a_cancel(house: House) -> None:
    execution_id, _key = claimed(house)
    house.write("UPDATE executions SET deadline_at = 1")
    house.sweep()
    assert house.execution(execution_id, "status", "ending") == ("running", "failed")


def test_steps_that_run_at_the_end_outlive_the_deadline(house: House) -> None:
    steps = {"a": waits(), "tidy": waits("tidied")}
    execution_id = house.run(house.publish("tidy", steps, timeout="1h", **{"finally": ["tidy"]}))
    house.write("UPDATE executions SET deadline_at = 1")
    house.sweep()
    house.drain()
    house.sweep()
    assert house.execution(execution_id, "status", "phase") == ("waiting", "closing")


# --- queued step runs ----------------------------------------------------------------------------


def queued_for(house: House, seconds: float) -> None:
    """Make every queued step run look as if it had been queued that long ago."""
    then = house.database.now() - int(seconds * 1e6)
    house.write("UPDATE step_runs SET queued_at = :then WHERE status = 'queued'", then=then)


@pytest.mark.parametrize("found_by", ["rescue", "its worker"])
def test_a_step_that_no_worker_takes_in_its_time_expires(house: House, found_by: str) -> None:
    steps = {"a": {**python(inc, x=1), "expires": "30s"}, "b": transform(1, needs=["a"])}
    execution_id = house.start(house.publish("stale", steps))
    [ticket] = house.plan(execution_id)
    house.inbox.clear()
    queued_for(house, 31)
    if found_by == "rescue":
        house.sweep()
    else:
        house.deliver(ticket)
    house.drain()
    assert house.step(execution_id, 0, "status", "reason", "attempts") == ("failed", "expired", 0)
    assert house.status(execution_id) == "failed"
    check(house.database)


def test_a_step_in_its_time_does_not_expire(house: House) -> None:
    steps = {"a": {**python(inc, x=1), "expires": "30s"}}
    execution_id = house.start(house.publish("fresh", steps))
    house.plan(execution_id)
    queued_for(house, 29)
    house.sweep()
    house.drain()
    assert house.status(execution_id) == "completed"


def test_what_expires_is_a_failure_that_may_be_borne(house: House) -> None:
    steps = {
        "a": {**python(inc, x=1), "expires": "30s", "on_failure": "continue"},
        "b": transform("${{ steps.a.error.type }}"),
    }
    execution_id = house.start(house.publish("borne", steps))
    house.plan(execution_id)
    house.inbox.clear()
    queued_for(house, 31)
    house.sweep()
    house.drain()
    assert house.output(execution_id) == "Expired"


# --- results that are kept -----------------------------------------------------------------------


class Counted:
    """A step's function, and what it was called with."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def counted(self, x: Any) -> Any:
        self.calls.append(x)
        return {"was": x}


def kept(house: House, counted: Counted, name: str = "kept", **more: Any) -> str:
    def count(x: Any) -> Any:
        return counted.counted(x)

    step = {**python(count, x="${{ input.n }}"), "cache": {"key": "${{ input.n }}", "ttl": "1h"}}
    steps = {"a": {**step, **more}, "b": transform("${{ steps.a.output.was }}")}
    return house.publish(name, steps)


def test_the_same_key_gives_the_same_result_without_an_attempt(house: House) -> None:
    counted = Counted()
    wanted = kept(house, counted)
    first, second, other = (house.run(wanted, {"n": n}) for n in (1, 1, 2))
    assert counted.calls == [1, 2]
    assert [house.output(one) for one in (first, second, other)] == [1, 1, 2]
    assert house.step(second, 0, "status", "reason", "attempts") == ("completed", "cached", 0)
    check(house.database)


def test_a_result_is_kept_for_its_time_and_its_owner_and_its_step_only(house: House) -> None:
    counted = Counted()
    house.run(kept(house, counted), {"n": 1})
    house.run(kept(house, counted, "another"), {"n": 1})
    assert counted.calls == [1, 1]
    house.write("UPDATE cached_results SET expires_at = 1")
    house.run(kept(house, counted), {"n": 1})
    assert counted.calls == [1, 1, 1]
    house.write("UPDATE cached_results SET owner_id = 'someoneelse00'")
    house.run(kept(house, counted), {"n": 1})
    assert counted.calls == [1, 1, 1, 1]


def test_results_that_are_too_old_are_forgotten(house: House) -> None:
    house.run(kept(house, Counted()), {"n": 1})
    house.write("UPDATE cached_results SET expires_at = 1")
    now = house.database.now()
    assert house.database.write(lambda connection: result_cache.forget(connection, now)) == 1
    assert house.query("SELECT count(*) FROM cached_results") == [(0,)]


def test_items_of_a_fan_out_are_kept_each_by_its_own_key(house: House) -> None:
    counted = Counted()

    def count(x: Any) -> Any:
        return counted.counted(x)

    cache = {"key": "${{ item }}", "ttl": "1h"}
    step = {**python(count, x="${{ item }}"), "for_each": "${{ input.xs }}", "cache": cache}
    wanted = house.publish("items", {"a": step})
    house.run(wanted, {"xs": [1, 2]})
    execution_id = house.run(wanted, {"xs": [2, 3, 1]})
    assert counted.calls == [1, 2, 3]
    assert house.step(execution_id, 0, "reason", item=0) == ("cached",)
    check(house.database)
