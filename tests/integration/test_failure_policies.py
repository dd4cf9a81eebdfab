"""What a failed step does to its execution: end it, nothing, or hand over to a handler."""

from __future__ import annotations

from typing import Any

import pytest

from engine.store.db.database import Database
from tests.support.house import House, python
from tests.support.invariants import check
from tests.support.saying import transform
from tests.support.transitions import boom


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


def inverse(x: float) -> float:
    return 1 / x


def failing(**more: Any) -> dict[str, Any]:
    return {**python(boom), **more}


def each(numbers: list[int], **more: Any) -> dict[str, Any]:
    return {**python(inverse, x="${{ item }}"), "for_each": numbers, **more}


def statuses(house: House, execution_id: str) -> list[tuple[Any, ...]]:
    return house.query(
        "SELECT status, reason FROM step_runs WHERE execution_id = :id AND item = -1 ORDER BY step",
        id=execution_id,
    )


# --- continue and fail ---------------------------------------------------------------------------


def test_after_a_failure_that_is_borne_the_dependants_see_its_error(house: House) -> None:
    value = "${{ [steps.a.output, steps.a.status, steps.a.error.message] }}"
    steps = {"a": failing(on_failure="continue"), "b": transform(value)}
    execution_id = house.run(house.publish("borne", steps))
    assert house.output(execution_id) == [None, "failed", "boom"]
    assert statuses(house, execution_id) == [("failed", "error"), ("completed", None)]
    check(house.database)


def test_a_failure_is_borne_only_when_no_attempt_is_left(house: House) -> None:
    retry = {"attempts": 2, "backoff": 0, "jitter": False}
    steps = {"a": failing(on_failure="continue", retry=retry), "b": transform(1, needs=["a"])}
    execution_id = house.run(house.publish("twice", steps))
    assert house.step(execution_id, 0, "status") == ("retrying",)
    house.deliver(house.later.pop(0)[0])
    house.drain()
    assert house.status(execution_id) == "completed"
    assert house.step(execution_id, 0, "status", "attempts") == ("failed", 2)


def test_a_step_whose_own_expression_fails_is_borne_alike(house: House) -> None:
    broken = transform("${{ 1 / (input.n - 1) }}", on_failure="continue")
    wanted = house.publish("broken", {"a": broken, "b": transform("${{ steps.a.status }}")})
    execution_id = house.run(wanted, {"n": 1})
    assert house.output(execution_id) == "failed"
    assert house.step(execution_id, 0, "reason", "attempts") == ("rejected_input", 0)


def test_a_workflow_may_fail_on_purpose_with_its_own_words(house: House) -> None:
    steps = {
        "a": transform("${{ input.n }}"),
        "stop": {
            "uses": "fail",
            "with": {"message": "no more than 3, not ${{ steps.a.output }}"},
            "when": "${{ steps.a.output > 3 }}",
            "retry": {"attempts": 5},
        },
        "b": transform(1, needs=["stop", "a"]),
    }
    wanted = house.publish("purpose", steps)
    assert house.status(house.run(wanted, {"n": 3})) == "completed"
    execution_id = house.run(wanted, {"n": 4})
    assert house.execution(execution_id, "status", "reason") == ("failed", "step_failed")
    assert "no more than 3, not 4" in house.execution(execution_id, "error")[0]
    assert house.step(execution_id, 1, "attempts") == (1,)


# --- handlers ------------------------------------------------------------------------------------


def handled(first: dict[str, Any], **handler: Any) -> dict[str, Any]:
    return {
        "a": {**first, "on_failure": {"run": "h"}},
        "b": transform("${{ steps.a.output }}"),
        "h": {**transform("${{ steps.a.error.message }}"), **handler},
        "join": transform("${{ [steps.b.status, steps.h.output] }}"),
    }


def test_a_handler_runs_in_place_of_what_follows_the_failed_step(house: House) -> None:
    execution_id = house.run(house.publish("handled", handled(failing())))
    assert house.output(execution_id) == ["skipped", "boom"]
    assert statuses(house, execution_id) == [
        ("failed", "error"),
        ("skipped", "needs_skipped"),
        ("completed", None),
        ("completed", None),
    ]
    check(house.database)


def test_a_handler_is_not_needed_when_all_goes_well(house: House) -> None:
    execution_id = house.run(house.publish("well", handled(transform(7))))
    assert house.output(execution_id) == ["completed", None]
    assert house.step(execution_id, 2, "status", "reason") == ("skipped", "not_needed")
    check(house.database)


def test_a_handler_that_fails_fails_the_execution(house: House) -> None:
    steps = {**handled(failing()), "h": failing()}
    execution_id = house.run(house.publish("unhandled", steps))
    assert house.status(execution_id) == "failed"
    assert '"step":"h"' in house.execution(execution_id, "error")[0]
    check(house.database)


def test_a_handler_of_two_runs_once_when_either_fails(house: House) -> None:
    steps = {
        "a": failing(on_failure={"run": "h"}),
        "b": transform(1, on_failure={"run": "h"}),
        "h": transform("${{ [steps.a.status, steps.b.status] }}"),
    }
    execution_id = house.run(house.publish("two", steps))
    assert house.step(execution_id, 2, "status", "output") == (
        "completed",
        '["failed","completed"]',
    )


# --- items ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("allowed", [2, "40%"])
def test_as_many_items_as_allowed_may_fail_and_are_told_apart(
    house: House, allowed: int | str
) -> None:
    steps = {
        "each": each([1, 0, 2, 0, 4], allow_failures=allowed),
        "all": transform("${{ [steps.each.output, steps.each.failures] }}"),
    }
    execution_id = house.run(house.publish("some", steps))
    outputs, failures = house.output(execution_id)
    assert outputs == [1, None, 0.5, None, 0.25]
    assert [(one["item"], one["type"]) for one in failures] == [
        (1, "ZeroDivisionError"),
        (3, "ZeroDivisionError"),
    ]
    assert house.step(execution_id, 0, "status", "items_failed") == ("completed", 2)
    check(house.database)


@pytest.mark.parametrize("allowed", [1, "39%"])
def test_one_failed_item_more_ends_the_execution_at_once(house: House, allowed: int | str) -> None:
    steps = {"each": each([1, 0, 2, 0, 4], allow_failures=allowed, max_parallel=1)}
    execution_id = house.run(house.publish("many", steps))
    assert house.status(execution_id) == "failed"
    assert house.step(execution_id, 0, "status", "items_failed") == ("failed", 2)
    assert house.step(execution_id, 0, "status", item=4) == ("skipped",)
    check(house.database)


def test_a_fan_out_whose_failure_is_borne_tries_every_item(house: House) -> None:
    steps = {
        "each": each([0, 1, 0], on_failure="continue", max_parallel=1),
        "all": transform("${{ [steps.each.output, steps.each.error.message] }}"),
    }
    execution_id = house.run(house.publish("borne-items", steps))
    assert house.output(execution_id) == [[None, 1, None], "2 of 3 items failed"]
    assert house.step(execution_id, 0, "status", "reason") == ("failed", "step_failed")
    check(house.database)


def test_the_last_item_may_be_the_one_too_many(house: House) -> None:
    steps = {"each": each([1, 0], on_failure={"run": "h"}), "h": transform("handled")}
    execution_id = house.run(house.publish("last", steps))
    assert house.step(execution_id, 1, "output") == ('"handled"',)
    assert house.status(execution_id) == "completed"
