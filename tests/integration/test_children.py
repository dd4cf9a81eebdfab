"""Executions that step runs start: answers, failures and cancels between parent and child."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import Unavailable
from engine.store.db.database import Database
from engine.worker import subworkflows
from tests.support.house import House, python
from tests.support.invariants import check
from tests.support.saying import child, error, statuses, sweep, transform, waits


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


def parent(house: House, steps: dict[str, Any], **params: Any) -> tuple[str, str]:
    """Run a parent of one child of ``steps``; return the ids of both."""
    house.publish("kid", steps)
    mine = {"call": child("kid", **params), "then": transform("${{ steps.call.output }}")}
    mother = house.run(house.publish("mother", mine))
    [(kid,)] = house.query("SELECT id FROM executions WHERE parent_id = :id", id=mother)
    return mother, kid


def test_the_childs_output_is_that_of_the_step_and_arrives_without_rescue(house: House) -> None:
    mother, kid = parent(house, {"k": transform("${{ input.n * 2 }}")}, input={"n": 4})
    assert (house.status(mother), house.output(mother)) == ("completed", 8)
    assert house.execution(kid, "trigger", "trigger_detail", "depth") == ("parent", mother, 1)
    check(house.database)


def test_twenty_levels_of_success_need_no_rescue(house: House) -> None:
    steps = {
        "down": child("deep", input={"n": "${{ input.n - 1 }}"}) | {"when": "${{ input.n > 0 }}"},
        "bottom": transform("bottom", when="${{ input.n == 0 }}"),
    }
    workflow_id = house.publish("deep", steps)
    top = house.run(workflow_id, {"n": 20})
    assert house.query("SELECT DISTINCT status FROM executions") == [("completed",)]
    assert house.query("SELECT max(depth) FROM executions") == [(20,)]
    assert house.status(top) == "completed"
    check(house.database)


def test_the_twenty_first_level_fails_and_the_cause_comes_up(house: House) -> None:
    workflow_id = house.publish("self", {"again": child("self")})
    top = house.run(workflow_id)
    assert house.query("SELECT max(depth) FROM executions") == [(20,)]
    assert "nested 20 deep" in error(house, top)
    check(house.database)


def test_a_failure_goes_up_with_its_cause(house: House) -> None:
    mother, kid = parent(house, {"k": {"uses": "fail", "with": {"message": "no flour"}}})
    assert house.step(mother, 0, "status", "reason") == ("failed", "child_failed")
    assert error(house, mother) == f"execution {kid} of kid failed: no flour"


def test_a_cancelled_child_fails_the_step_that_waits(house: House) -> None:
    mother, kid = parent(house, {"k": waits()})
    house.cancel(kid)
    house.drain()
    assert house.step(mother, 0, "status", "reason") == ("failed", "child_cancelled")
    assert house.status(mother) == "failed"
    check(house.database)


def test_a_cancel_goes_down_to_the_last_child(house: House) -> None:
    house.publish("grandkid", {"k": waits()})
    mother, kid = parent(house, {"k": child("grandkid")})
    house.cancel(mother)
    assert house.status(kid) == "waiting", "it is owed its end, and never locked with its parent"
    house.drain()
    rows = house.query("SELECT status, reason FROM executions WHERE depth > 0")
    assert rows == [("cancelled", "parent_ended")] * 2
    assert house.query("SELECT id FROM notices") == []
    check(house.database)


def test_a_failed_parent_ends_its_other_children(house: House) -> None:
    house.publish("slow", {"k": waits()})
    house.publish("bad", {"k": {"uses": "fail", "with": {"message": "no"}}})
    mother = house.run(house.publish("two", {"a": child("slow"), "b": child("bad")}))
    assert house.status(mother) == "failed"
    assert house.query("SELECT status FROM executions WHERE depth = 1 ORDER BY 1") == [
        ("cancelled",),
        ("failed",),
    ]
    check(house.database)


def test_a_parent_that_is_cancelled_while_the_answer_is_under_way_stays_cancelled(
    house: House,
) -> None:
    mother, kid = parent(house, {"k": waits()})
    house.cancel(kid)
    house.dispatches.clear()
    assert house.query("SELECT kind, execution_id FROM notices") == [("answer", mother)]
    house.cancel(mother)
    house.drain()
    house.write("UPDATE notices SET created_at = 1")
    house.broker.empty = True
    sweep(house)
    assert house.status(mother) == "cancelled"
    assert house.query("SELECT id FROM notices") == []
    check(house.database)


def test_a_child_that_is_not_waited_for_may_outlive_its_parent(house: House) -> None:
    mother, kid = parent(house, {"k": waits()}, wait=False, parent_ends="leave")
    assert house.output(mother) == {"execution": kid}
    assert house.status(kid) == "waiting"
    house.cancel(kid)
    house.drain()
    assert house.status(mother) == "completed"
    check(house.database)


def test_a_child_that_may_not_outlive_its_parent_ends_with_it(house: House) -> None:
    mother, kid = parent(house, {"k": waits()}, wait=False, parent_ends="cancel")
    assert (house.status(mother), house.status(kid)) == ("completed", "cancelled")
    check(house.database)


def test_children_end_with_a_parent_whose_output_cannot_be_told(house: House) -> None:
    house.publish("kid", {"k": waits()})
    steps = {"call": child("kid", wait=False, parent_ends="cancel")}
    mother = house.run(house.publish("mother", steps, output="${{ input.nothing }}"))
    assert house.status(mother) == "failed"
    house.drain()
    assert house.query("SELECT status FROM executions WHERE depth = 1") == [("cancelled",)]


def test_a_child_that_closes_is_not_cut_short_by_its_parents_end(house: House) -> None:
    calls: list[str] = []

    def tidy() -> None:
        calls.append("tidy")

    house.publish("kid", {"k": transform(1), "tidy": python(tidy)}, **{"finally": ["tidy"]})
    mother = house.start(house.publish("mother", {"call": child("kid")}))
    house.plan(mother)
    house.deliver(house.inbox.pop(0))
    kid = house.dispatches.pop(0)
    house.plan(kid)
    while "closing" not in house.events(kid):
        house.deliver(house.inbox.pop(0))
    house.cancel(mother)
    while house.dispatches:
        house.plan(house.dispatches.pop(0))
    house.drain()
    assert (calls, house.status(kid)) == (["tidy"], "completed")
    check(house.database)


def test_no_child_starts_once_its_parent_was_cancelled(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.publish("kid", {"k": transform(1)})
    calls = {"call": child("kid", wait=False), "tidy": transform(1)}
    mother = house.start(house.publish("mother", calls, **{"finally": ["tidy"]}))
    house.plan(mother)
    wanted = subworkflows.Children.wanted

    def cancelled_meanwhile(*args: Any) -> Any:
        house.cancel(mother)
        return wanted(*args)

    monkeypatch.setattr(subworkflows.Children, "wanted", cancelled_meanwhile)
    house.drain()
    assert house.query("SELECT id FROM executions WHERE depth = 1") == []
    assert statuses(house, mother) == {0: "cancelled", 1: "completed"}
    check(house.database)


def test_a_database_that_is_away_rejects_no_child(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.publish("kid", {"k": transform(1)})
    mother = house.start(house.publish("mother", {"call": child("kid")}))
    [ticket] = house.plan(mother)

    def away(*args: Any, **more: Any) -> Any:
        raise Unavailable("the database did not answer")

    monkeypatch.setattr(subworkflows, "child_of", away)
    with pytest.raises(Unavailable):
        house.deliver(ticket)
    assert statuses(house, mother) == {0: "running"}, "its claim goes back by and by"


def test_a_child_that_cannot_be_started_fails_the_step_and_says_why(house: House) -> None:
    mother = house.run(house.publish("mother", {"call": child("nobody")}))
    assert house.step(mother, 0, "status", "reason") == ("failed", "rejected_input")
    assert "nobody" in error(house, mother)


def test_another_attempt_starts_another_child(house: House) -> None:
    fails = [True]

    def sometimes() -> str:
        if fails[0]:
            raise ValueError("not yet")
        return "now"

    house.publish("kid", {"k": python(sometimes)})
    retry = {"attempts": 2, "backoff": "1s", "jitter": False}
    mother = house.run(house.publish("mother", {"call": {**child("kid"), "retry": retry}}))
    assert statuses(house, mother) == {0: "retrying"}
    fails[0] = False
    house.write("UPDATE step_runs SET due_at = 1 WHERE status = 'retrying'")
    sweep(house)
    assert house.output(mother) == "now"
    assert house.step(mother, 0, "attempts") == (2,)
    rows = house.query("SELECT status FROM executions WHERE depth = 1 ORDER BY id")
    assert rows == [("failed",), ("completed",)]
    check(house.database)


def test_running_a_failed_parent_again_makes_a_new_child(house: House) -> None:
    mother, _kid = parent(house, {"k": {"uses": "fail", "with": {"message": "no"}}})
    again = house.retry(mother)
    house.plan(again)
    house.drain()
    assert len(house.query("SELECT id FROM executions WHERE parent_id = :id", id=again)) == 1
    assert house.status(again) == "failed"


def test_one_child_per_item_answers_in_the_order_of_the_items(house: House) -> None:
    house.publish("kid", {"k": transform("${{ input.n * 10 }}")})
    each = {**child("kid", input={"n": "${{ item }}"}), "for_each": [3, 1, 2], "max_parallel": 2}
    steps = {"each": each, "all": transform("${{ steps.each.output }}")}
    mother = house.run(house.publish("mother", steps))
    assert house.output(mother) == [30, 10, 20]
    check(house.database)


def test_a_child_that_ends_with_a_fan_out_gives_its_list(house: House) -> None:
    each = transform("${{ item * 2 }}", for_each="${{ input.xs }}")
    mother, _kid = parent(house, {"each": each}, input={"xs": [3, 1, 2]})
    assert house.output(mother) == [6, 2, 4]


def test_a_message_that_no_one_carried_is_sent_again_by_rescue(house: House) -> None:
    mother, kid = parent(house, {"k": waits()})
    house.cancel(kid)
    house.dispatches.clear()  # whoever committed that died before it could send
    house.broker.empty = True
    sweep(house)
    assert house.status(mother) == "waiting", "it may still be on its way"
    house.write("UPDATE notices SET created_at = 1")
    sweep(house)
    assert house.status(mother) == "failed"
    check(house.database)


def test_a_notice_under_a_backlog_is_not_sent_again_and_again(house: House) -> None:
    _mother, kid = parent(house, {"k": waits()})
    house.cancel(kid)
    house.dispatches.clear()
    house.write("UPDATE notices SET created_at = created_at - 3000000")
    house.sweep()
    assert house.dispatches == [], "nothing says that its message was lost"
    house.broker.empty = True
    house.write("UPDATE notices SET created_at = created_at - 10000000")
    for _sweep in range(3):
        house.sweep()
    assert len(house.dispatches) == 1


def test_a_notice_for_an_execution_that_is_gone_is_dropped(house: House) -> None:
    _mother, kid = parent(house, {"k": waits()})
    house.cancel(kid)
    house.write("UPDATE notices SET execution_id = '1aaaaaaaaaaaa', created_at = 1")
    house.broker.empty = True
    sweep(house)
    assert house.query("SELECT id FROM notices") == []
