"""Paused executions: what runs may finish, nothing new starts, nothing is lost or runs out."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import Conflict, NotFound
from engine.store.db.database import Database
from engine.store.recovery import lost_steps
from tests.support.house import House, python
from tests.support.invariants import check
from tests.support.saying import (
    HOUR,
    error,
    pause,
    resume,
    signal,
    statuses,
    sweep,
    transform,
    waits,
)
from tests.support.transitions import claimed, inc


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


def overdue(house: House) -> None:
    """Make everything that has a time overdue since the beginning of time."""
    house.write("UPDATE executions SET due_at = 1 WHERE due_at IS NOT NULL")
    house.write("UPDATE step_runs SET due_at = 1 WHERE due_at IS NOT NULL")


def pausing(house: House, *, fails: bool = False, then: dict[str, Any] | None = None) -> str:
    """Return an execution that was paused while its first of two steps ran."""

    def during(x: int) -> int:
        pause(house, execution_id)
        if fails:
            raise ValueError("failed while paused")
        return x

    second = then or transform("${{ steps.a.output + 1 }}")
    execution_id = house.start(house.publish("pausing", {"a": python(during, x=1), "b": second}))
    house.plan(execution_id)
    house.drain()
    return execution_id


def test_what_runs_finishes_and_nothing_new_starts_until_it_is_resumed(house: House) -> None:
    execution_id = pausing(house)
    assert house.status(execution_id) == "paused"
    assert statuses(house, execution_id) == {0: "completed", 1: "queued"}
    overdue(house)
    house.broker.empty = True
    sweep(house)
    assert statuses(house, execution_id) == {0: "completed", 1: "queued"}
    resume(house, execution_id)
    house.drain()
    assert (house.status(execution_id), house.output(execution_id)) == ("completed", 2)
    assert house.events(execution_id)[2:5] == ["step_started", "paused", "step_completed"]
    check(house.database)


def test_a_message_that_comes_while_it_is_paused_starts_nothing(house: House) -> None:
    execution_id = house.start(house.publish("plain", {"a": python(inc, x=1)}))
    [ticket] = house.plan(execution_id)
    pause(house, execution_id)
    house.deliver(ticket)
    assert statuses(house, execution_id) == {0: "queued"}
    resume(house, execution_id)
    house.deliver(ticket)
    house.drain()
    assert house.events(execution_id).count("step_started") == 1
    assert house.status(execution_id) == "completed"


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(transform(1, when="${{ input.no }}"), id="skipped"),
        pytest.param(transform(1, when="${{ input.missing }}"), id="rejected"),
        pytest.param({**python(inc, x="${{ item }}"), "for_each": [1, 2]}, id="expanded"),
    ],
)
def test_no_step_is_decided_on_while_it_is_paused(house: House, step: dict[str, Any]) -> None:
    execution_id = house.start(house.publish("deciding", {"a": step}), {"no": False})
    [ticket] = house.plan(execution_id)
    house.inbox.clear()
    pause(house, execution_id)
    before = house.events(execution_id)
    assert house.deliver(ticket).now == []
    assert house.events(execution_id) == before
    resume(house, execution_id)
    house.drain()
    assert house.status(execution_id) in ("completed", "failed")
    check(house.database)


def test_its_last_step_may_end_while_it_is_paused_and_resuming_completes_it(house: House) -> None:
    def during() -> int:
        pause(house, execution_id)
        return 7

    execution_id = house.start(house.publish("last", {"a": python(during)}))
    house.plan(execution_id)
    house.drain()
    overdue(house)
    sweep(house)
    assert house.status(execution_id) == "paused"
    resume(house, execution_id)
    house.drain()
    assert (house.status(execution_id), house.output(execution_id)) == ("completed", 7)
    check(house.database)


def test_a_step_that_fails_while_it_is_paused_ends_it(house: House) -> None:
    execution_id = pausing(house, fails=True)
    assert (house.status(execution_id), error(house, execution_id)) == (
        "failed",
        "failed while paused",
    )
    check(house.database)


def test_what_is_parked_and_due_waits_until_it_is_resumed(house: House) -> None:
    execution_id = house.run(
        house.publish("naps", {"nap": {"uses": "sleep", "with": {"for": "1h"}}})
    )
    pause(house, execution_id)
    overdue(house)
    sweep(house)
    assert statuses(house, execution_id) == {0: "waiting"}
    resume(house, execution_id)
    assert house.status(execution_id) == "waiting"
    sweep(house)
    assert house.status(execution_id) == "completed"
    check(house.database)


def test_a_signal_is_taken_while_it_is_paused_and_what_follows_waits(house: House) -> None:
    steps = {"a": waits(), "b": transform("${{ steps.a.output }}")}
    execution_id = house.run(house.publish("waiting", steps))
    pause(house, execution_id)
    signal(house, body=5)
    house.drain()
    assert house.status(execution_id) == "paused"
    assert statuses(house, execution_id) == {0: "completed", 1: "queued"}
    resume(house, execution_id)
    house.drain()
    assert house.output(execution_id) == 5
    check(house.database)


def test_paused_before_it_was_planned_it_is_planned_once_it_is_resumed(house: House) -> None:
    execution_id = house.start(house.publish("early", {"a": transform(3)}))
    pause(house, execution_id)
    overdue(house)
    assert house.plan(execution_id) == []
    sweep(house)
    assert house.events(execution_id) == ["created", "paused"]
    resume(house, execution_id)
    assert house.status(execution_id) == "pending"
    house.drain()
    assert (house.status(execution_id), house.output(execution_id)) == ("completed", 3)
    check(house.database)


def test_resumed_before_its_delay_is_over_it_keeps_to_the_delay(house: House) -> None:
    execution_id = house.start(house.publish("late", {"a": transform(3)}), delay=HOUR)
    pause(house, execution_id)
    resume(house, execution_id)
    house.drain()
    sweep(house)
    assert house.status(execution_id) == "pending"
    overdue(house)
    house.broker.empty = True
    sweep(house)
    assert house.status(execution_id) == "completed"


def test_a_fan_out_stops_at_its_window_and_goes_on_from_there(house: House) -> None:
    calls: list[int] = []

    def item(x: int) -> int:
        calls.append(x)
        if x == 2:
            pause(house, execution_id)
        return x

    each = {**python(item, x="${{ item }}"), "for_each": [1, 2, 3, 4], "max_parallel": 1}
    execution_id = house.start(house.publish("fan", {"each": each}))
    house.plan(execution_id)
    house.drain()
    assert (house.status(execution_id), calls) == ("paused", [1, 2])
    resume(house, execution_id)
    house.drain()
    assert (house.status(execution_id), calls) == ("completed", [1, 2, 3, 4])
    check(house.database)


def test_the_time_that_steps_may_be_queued_stands_still(house: House) -> None:
    step = {**python(inc, x=1), "expires": "1h"}
    execution_id = house.start(house.publish("patient", {"a": step}))
    [ticket] = house.plan(execution_id)
    house.inbox.clear()
    pause(house, execution_id)
    house.write("UPDATE step_runs SET queued_at = 1")
    sweep(house)
    house.deliver(ticket)
    assert statuses(house, execution_id) == {0: "queued"}
    resume(house, execution_id)
    house.drain()
    assert house.status(execution_id) == "completed"


def test_a_claim_beyond_its_deadline_times_out_although_it_is_paused(house: House) -> None:
    execution_id, _key = claimed(house)
    pause(house, execution_id)
    house.write("UPDATE step_runs SET due_at = 1 WHERE status = 'running'")
    sweep(house)
    assert house.step(execution_id, 0, "status", "reason") == ("failed", "timeout")


def test_a_dead_workers_claim_goes_back_although_it_is_paused(house: House) -> None:
    execution_id, _key = claimed(house, worker="gone")
    pause(house, execution_id)
    house.sweep()
    assert house.step(execution_id, 0, "status", "crashes") == ("queued", 1)
    house.drain()
    assert statuses(house, execution_id)[0] == "queued"
    resume(house, execution_id)
    house.drain()
    assert house.status(execution_id) == "completed"


def last_chance(house: House) -> str:
    """Return an execution whose queued step has lost its worker twice."""
    execution_id, _key = claimed(house, worker="gone")
    house.write(
        "UPDATE step_runs SET crashes = 1 WHERE status = 'running' AND execution_id = :id",
        id=execution_id,
    )
    house.rescue.sweep("w1", steady=True)
    house.write(
        "UPDATE step_runs SET due_at = NULL WHERE status = 'queued' AND execution_id = :id",
        id=execution_id,
    )
    return execution_id


def test_a_last_chance_that_is_paused_keeps_no_other_from_theirs(house: House) -> None:
    paused = last_chance(house)
    pause(house, paused)
    other = last_chance(house)
    now = house.database.now()
    run = house.database.read(
        lambda connection: lost_steps.last_chance(
            connection, 2, ["steps"], since=now, sent_before=now
        )
    )
    assert run is not None
    assert run.execution_id == other


def test_resuming_leaves_last_chances_to_rescue_which_sends_them_one_by_one(house: House) -> None:
    execution_id = last_chance(house)
    pause(house, execution_id)
    house.inbox.clear()
    resume(house, execution_id)
    assert house.inbox == []
    house.drain()
    sweep(house)
    assert house.status(execution_id) == "completed"


def test_cancelled_while_paused_it_ends(house: House) -> None:
    execution_id = pausing(house)
    house.cancel(execution_id)
    assert house.status(execution_id) == "cancelled"
    check(house.database)
    early = house.start(house.publish("early", {"a": transform(3)}))
    pause(house, early)
    house.cancel(early)
    assert house.status(early) == "cancelled"


def test_only_what_moves_is_paused_and_only_what_is_paused_resumed(house: House) -> None:
    execution_id = pausing(house)
    with pytest.raises(Conflict, match="is paused already"):
        pause(house, execution_id)
    resume(house, execution_id)
    with pytest.raises(Conflict, match="is running, not paused"):
        resume(house, execution_id)
    house.drain()
    for verb in (pause, resume):
        with pytest.raises(Conflict, match="completed"):
            verb(house, execution_id)
        with pytest.raises(NotFound):
            verb(house, "1aaaaaaaaaaaa")
    ending, _key = claimed(house)
    house.cancel(ending)
    with pytest.raises(Conflict, match="ending already"):
        pause(house, ending)
