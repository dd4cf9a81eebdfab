"""Steps that run at the end: finally steps and compensations, after success, failure, cancel."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import Conflict
from engine.settings import Settings
from engine.steps import Park
from engine.store.db.database import Database
from tests.support.house import House, python
from tests.support.invariants import check
from tests.support.saying import error, pause, resume, statuses, transform, waits

Calls = list[str]


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


@pytest.fixture
def calls() -> Calls:
    """The names that steps called, in order."""
    return []


def note(calls: Calls, name: str, fails: bool = False) -> dict[str, Any]:
    """Return a step that says its name, and may then fail."""

    def said(name: str) -> str:
        calls.append(name)
        if fails:
            raise ValueError(f"{name} failed")
        return name

    said.__name__ = f"said_{name.replace('-', '_')}"
    return python(said, name=name)


def saga(calls: Calls, *failing: str) -> dict[str, Any]:
    """Return three steps one after the other, each with its compensation, and a finally step."""
    steps: dict[str, Any] = {}
    before: list[str] = []
    for name in ("a", "b", "c"):
        steps[name] = {
            **note(calls, name, name in failing),
            "compensate": f"un-{name}",
            "needs": before,
        }
        before = [name]
    for name in ("un-a", "un-b", "un-c", "tidy"):
        steps[name] = note(calls, name, name in failing)
    return steps


TIDY = {"finally": ["tidy"]}


def test_what_completed_is_undone_in_reverse_order_before_the_finally_steps(
    house: House, calls: Calls
) -> None:
    execution_id = house.run(house.publish("saga", saga(calls, "c"), **TIDY))
    assert calls == ["a", "b", "c", "un-b", "un-a", "tidy"]
    assert house.execution(execution_id, "status", "reason") == ("failed", "step_failed")
    assert statuses(house, execution_id)[5] == "skipped", "what failed itself is not undone"
    assert error(house, execution_id) == "c failed"
    check(house.database)


def test_nothing_is_undone_when_all_goes_well_but_the_finally_steps_run(
    house: House, calls: Calls
) -> None:
    execution_id = house.run(house.publish("saga", saga(calls), **TIDY))
    assert calls == ["a", "b", "c", "tidy"]
    assert house.status(execution_id) == "completed"
    assert house.output(execution_id) == "c", "the output is that of the steps before the end"
    assert house.execution(execution_id, "runs_done", "runs_total", "active") == (7, 7, 0)
    check(house.database)


def test_compensations_of_a_diamond_go_back_along_its_edges(house: House, calls: Calls) -> None:
    steps: dict[str, Any] = {
        "top": {**note(calls, "top"), "compensate": "un-top"},
        "left": {**note(calls, "left"), "needs": ["top"], "compensate": "un-left"},
        "right": {**note(calls, "right"), "needs": ["top"], "compensate": "un-right"},
        "end": {**note(calls, "end", fails=True), "needs": ["left", "right"]},
    }
    steps |= {f"un-{name}": note(calls, f"un-{name}") for name in ("top", "left", "right")}
    house.run(house.publish("diamond", steps))
    assert set(calls[4:6]) == {"un-left", "un-right"}
    assert calls[6:] == ["un-top"]


def test_a_compensation_that_fails_lets_the_others_run(house: House, calls: Calls) -> None:
    execution_id = house.run(house.publish("saga", saga(calls, "c", "un-b"), **TIDY))
    assert calls == ["a", "b", "c", "un-b", "un-a", "tidy"]
    assert error(house, execution_id) == "c failed", "the first cause stays"
    check(house.database)


def test_an_execution_whose_finally_step_failed_has_not_completed(
    house: House, calls: Calls
) -> None:
    execution_id = house.run(house.publish("saga", saga(calls, "tidy"), **TIDY))
    assert house.execution(execution_id, "status", "reason") == ("failed", "step_failed")
    assert error(house, execution_id) == "tidy failed"
    check(house.database)


def test_a_finally_step_may_fail_and_be_passed_over(house: House, calls: Calls) -> None:
    steps = saga(calls, "tidy")
    steps["tidy"]["on_failure"] = "continue"
    execution_id = house.run(house.publish("saga", steps, **TIDY))
    assert house.status(execution_id) == "completed"
    check(house.database)


def test_finally_steps_know_how_it_ends_and_why(house: House, calls: Calls) -> None:
    told = transform("${{ [execution.outcome, execution.error] }}")
    for failing, outcome in ((False, "completed"), (True, "failed")):
        steps = {"a": note(calls, "a", failing), "told": told}
        execution_id = house.run(house.publish(f"told-{outcome}", steps, **{"finally": ["told"]}))
        [output] = house.query(
            "SELECT output FROM step_runs WHERE execution_id = :id AND step = 1", id=execution_id
        )
        assert f'["{outcome}"' in output[0]
        assert ("a failed" in output[0]) is failing


def test_finally_steps_wait_for_each_other_only(house: House, calls: Calls) -> None:
    steps = {
        "a": note(calls, "a"),
        "second": {**note(calls, "second"), "needs": ["first"]},
        "first": {**note(calls, "first"), "needs": ["a"]},
    }
    house.run(house.publish("ends", steps, **{"finally": ["second", "first"]}))
    assert calls == ["a", "first", "second"]


def test_cancelling_undoes_what_completed_then_ends_as_cancelled(
    house: House, calls: Calls
) -> None:
    steps = saga(calls)
    steps["b"] = {**waits(), "compensate": "un-b", "needs": ["a"]}
    execution_id = house.run(house.publish("saga", steps, **TIDY))
    assert house.status(execution_id) == "waiting"
    house.cancel(execution_id)
    assert house.status(execution_id) == "running"
    house.drain()
    assert calls == ["a", "un-a", "tidy"]
    assert house.execution(execution_id, "status", "reason") == ("cancelled", "cancelled_by_user")
    check(house.database)


def test_cancelling_what_was_never_planned_runs_nothing_at_its_end(
    house: House, calls: Calls
) -> None:
    execution_id = house.start(house.publish("saga", saga(calls), **TIDY))
    house.cancel(execution_id)
    assert house.status(execution_id) == "cancelled"
    assert house.plan(execution_id) == []
    assert calls == []


def closing(house: House, calls: Calls, *failing: str) -> str:
    """Return an execution whose compensations wait to be delivered."""
    execution_id = house.start(house.publish("saga", saga(calls, "c", *failing), **TIDY))
    house.plan(execution_id)
    while "closing" not in house.events(execution_id):
        house.deliver(house.inbox.pop(0))
    return execution_id


def test_cancelled_once_more_the_closing_steps_are_abandoned(house: House, calls: Calls) -> None:
    execution_id = closing(house, calls)
    house.cancel(execution_id)
    house.drain()
    assert house.status(execution_id) == "failed", "how it ends was settled before"
    assert calls == ["a", "b", "c"]
    with pytest.raises(Conflict, match="failed already"):
        house.cancel(execution_id)
    check(house.database)


def test_an_abandoned_execution_keeps_the_reason_for_which_it_ends(
    house: House, calls: Calls
) -> None:
    execution_id = closing(house, calls)
    house.cancel(execution_id)
    assert house.execution(execution_id, "status", "reason") == ("failed", "step_failed")


def test_a_dead_workers_closing_step_runs_again(house: House, calls: Calls) -> None:
    execution_id = closing(house, calls)
    [ticket] = house.inbox
    house.write(
        "UPDATE step_runs SET status = 'running', worker_id = 'gone', attempts = 1"
        " WHERE execution_id = :id AND step = :step",
        id=execution_id,
        step=ticket.step,
    )
    house.inbox.clear()
    house.sweep()
    assert [again.step for again in house.inbox] == [ticket.step]
    house.drain()
    assert calls[3:] == ["un-b", "un-a", "tidy"]
    assert house.status(execution_id) == "failed"


def test_a_paused_execution_does_not_begin_to_close(house: House, calls: Calls) -> None:
    def during(x: int) -> int:
        pause(house, execution_id)
        return x

    steps = {"a": python(during, x=1), "tidy": note(calls, "tidy")}
    execution_id = house.start(house.publish("pausing", steps, **TIDY))
    house.plan(execution_id)
    house.drain()
    assert (house.status(execution_id), calls) == ("paused", [])
    resume(house, execution_id)
    house.drain()
    assert (house.status(execution_id), calls) == ("completed", ["tidy"])
    check(house.database)


@pytest.mark.parametrize("continuation_ms", [0, 10_000])
def test_a_finally_step_after_a_failed_one_is_told_of_it_wherever_it_runs(
    database: Database, calls: Calls, continuation_ms: int
) -> None:
    house = House(database, Settings(continuation_ms=continuation_ms))
    steps = {
        "a": note(calls, "a"),
        "bad": note(calls, "bad", fails=True),
        "told": transform("${{ execution.outcome }}", needs=["bad"]),
    }
    execution_id = house.run(house.publish("told", steps, **{"finally": ["bad", "told"]}))
    assert house.step(execution_id, 2, "output") == ('"failed"',)


def test_a_step_that_parks_in_vain_hands_on_to_closing_steps_that_know_the_end(
    database: Database,
) -> None:
    house = House(database, Settings(continuation_ms=10_000))

    def nap() -> Any:
        house.cancel(execution_id)
        return Park(None)

    steps = {"nap": python(nap), "told": transform("${{ execution.outcome }}")}
    execution_id = house.start(house.publish("naps", steps, **{"finally": ["told"]}))
    house.plan(execution_id)
    house.drain()
    assert house.status(execution_id) == "cancelled"
    assert house.step(execution_id, 1, "output") == ('"cancelled"',)
