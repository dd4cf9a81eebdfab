"""A fan-out begins as wide as threads are free; its items take each other along."""

from __future__ import annotations

from typing import Any

import pytest

from engine.codec import decode
from engine.errors import Unavailable
from engine.settings import Settings
from engine.store.db.database import Database
from engine.store.writes import carry_out
from tests.support.house import House, python
from tests.support.longhand import Longhand
from tests.support.saying import pause, resume, signal, transform, waits
from tests.support.transitions import fan, inc

ITEMS = 30
WHOLE = [x + 1 for x in range(ITEMS)]


@pytest.fixture
def house(database: Database) -> House:
    """Workers that hand on after each step run."""
    made = House(database)
    made.lanes = 10
    return made


@pytest.fixture
def staying(database: Database) -> House:
    """Workers that stay with an execution for as long as it has something to do."""
    made = House(database, Settings(continuation_ms=600_000))
    made.lanes = 10
    return made


def begun(house: House, **more: object) -> str:
    """Return an execution whose fan-out was just expanded."""
    execution_id = house.start(fan(house, **more), {"xs": list(range(ITEMS))})
    house.plan(execution_id)
    house.deliver(house.inbox.pop(0))
    return execution_id


def items(house: House, status: str) -> int:
    sql = f"SELECT count(*) FROM step_runs WHERE item >= 0 AND status = '{status}'"
    [(count,)] = house.query(sql)
    return int(count)


def grow_old(house: House) -> None:
    """Let the fan-out be older than the time that it may be narrow."""
    house.write("UPDATE step_runs SET started_at = started_at - 2000000 WHERE item = -1")


def test_at_first_as_many_items_are_queued_as_threads_are_free(house: House) -> None:
    begun(house)
    assert (items(house, "queued"), items(house, "pending")) == (10, 20)
    assert len(house.inbox) == 10


def test_whoever_completes_an_item_takes_the_next_one_along(staying: House) -> None:
    execution_id = begun(staying)
    # The thread that expanded it kept the first item, and went through all without a message.
    assert (items(staying, "completed"), items(staying, "queued")) == (21, 9)
    assert len(staying.inbox) == 9
    staying.drain()
    assert staying.output(execution_id) == WHOLE
    starts = [kind for kind in staying.events(execution_id) if kind == "step_started"]
    assert len(starts) == ITEMS + 1


def test_items_taken_along_have_what_a_message_would_have_given_them(staying: House) -> None:
    execution_id = begun(staying)
    staying.drain()
    columns = "status, epoch, attempts, needs_left, needs_ran, worker_id, reason, input"
    rows = staying.query(f"SELECT {columns} FROM step_runs WHERE item >= 0 ORDER BY item")
    assert {row[:7] for row in rows} == {("completed", 1, 1, 0, 0, "w1", None)}
    assert [decode(row[7])["x"] for row in rows] == list(range(ITEMS))
    assert staying.output(execution_id) == WHOLE


def test_a_fan_out_that_has_not_ended_after_a_second_is_opened_for_all_threads(
    house: House,
) -> None:
    execution_id = begun(house)
    house.hire("w2")  # eight threads each
    house.hire("w3")
    house.sweep()
    assert items(house, "queued") == 10  # it is young
    grow_old(house)
    house.sweep()
    assert items(house, "queued") == 24
    assert len(house.inbox) == 24
    house.sweep()
    assert len(house.inbox) == 24  # once
    house.hire("w4")
    house.sweep()
    assert len(house.inbox) == ITEMS
    house.drain()
    assert house.output(execution_id) == WHOLE


def test_it_is_opened_no_wider_while_all_threads_have_something_of_it_to_do(house: House) -> None:
    begun(house)
    grow_old(house)
    house.sweep()
    assert items(house, "queued") == 10


def test_items_that_wait_make_room_for_as_many_more(house: House) -> None:
    waits_for = {**waits(correlation="${{ string(item) }}"), "for_each": list(range(ITEMS))}
    steps = {"each": waits_for, "all": transform("${{ steps.each.output }}")}
    execution_id = house.run(house.publish("answers", steps))
    for waiting in (10, 20, ITEMS):
        assert items(house, "waiting") == waiting
        grow_old(house)
        house.sweep()
        house.drain()
    for number in range(ITEMS):
        signal(house, body=number, correlation=str(number))
    house.drain()
    assert house.output(execution_id) == list(range(ITEMS))


def test_it_is_never_opened_beyond_its_max_parallel(house: House) -> None:
    begun(house, max_parallel=12)
    house.hire("w2")
    grow_old(house)
    house.sweep()
    assert items(house, "queued") == 12
    assert house.query("SELECT items_held FROM step_runs WHERE items > 0") == [(None,)]


def test_a_paused_fan_out_stays_narrow_until_it_goes_on(house: House) -> None:
    execution_id = begun(house)
    house.hire("w2")
    pause(house, execution_id)
    grow_old(house)
    house.inbox.clear()
    house.sweep()
    assert (items(house, "queued"), house.inbox) == (10, [])
    resume(house, execution_id)
    house.sweep()
    assert items(house, "queued") == 16
    house.drain()
    assert house.output(execution_id) == WHOLE


def test_an_item_whose_parameters_fail_is_left_to_whoever_claims_it(house: House) -> None:
    xs = [*range(12), "none", *range(13, ITEMS)]
    steps = {
        "each": {
            **python(inc, x="${{ item + 1 }}"),
            "for_each": "${{ input.xs }}",
            "allow_failures": 1,
        }
    }
    execution_id = house.start(house.publish("fit", steps), {"xs": xs})
    house.plan(execution_id)
    house.drain()
    assert house.status(execution_id) == "completed"
    reasons = house.query("SELECT item, reason FROM step_runs WHERE status = 'failed'")
    assert reasons == [(12, "rejected_input")]


def test_of_a_commit_that_was_rolled_back_nothing_was_claimed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    staying = House(Longhand(database), Settings(continuation_ms=600_000))
    staying.lanes = 10
    claim_item, broken = carry_out._claim_item, [True]

    def fails_once(*arguments: Any) -> None:
        claim_item(*arguments)
        if broken:
            broken.pop()
            raise Unavailable("the database did not answer")

    monkeypatch.setattr(carry_out, "_claim_item", fails_once)
    execution_id = begun(staying)
    staying.drain()
    assert broken == []
    assert staying.output(execution_id) == WHOLE
    [(most,)] = staying.query("SELECT max(attempts) FROM step_runs")
    assert most == 1
