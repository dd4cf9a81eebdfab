"""Each limit of size and depth refuses with words of its own, on both databases."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine import context
from engine.codec import decode
from engine.commands.publish import publish
from engine.definition import parse, parse_text
from engine.errors import InvalidDocument, InvalidInput, TooLarge
from engine.store.db.database import Database
from tests.support.house import House, python

STEP = {"uses": "transform", "with": {"value": 1}}


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def message_of(house: House, run: str, step: int = 0) -> str:
    status, error = house.step(run, step, "status", "error")
    assert status == "failed"
    return str(decode(error)["message"])


def test_an_input_nested_over_64_deep_is_refused(house: House) -> None:
    workflow = house.publish("w", {"one": STEP})
    assert house.start(workflow, {"deep": nested(63)})
    for levels in (64, 10_000):
        with pytest.raises(InvalidInput, match="nested deeper than 64 levels"):
            house.start(workflow, {"deep": nested(levels)})


def test_a_result_nested_over_64_deep_fails_its_step_at_once(house: House) -> None:
    def deep(levels: int) -> Any:
        return nested(levels)

    workflow = house.publish(
        "w", {"one": {**python(deep, levels="${{ input.levels }}"), "retry": {"attempts": 3}}}
    )
    assert house.status(house.run(workflow, {"levels": 64})) == "completed"
    run = house.run(workflow, {"levels": 65})
    assert "nested deeper than 64 levels" in message_of(house, run)
    assert house.step(run, 0, "attempts") == (1,)


@pytest.mark.parametrize("levels", [65, 10_000])
def test_a_document_nested_over_64_deep_is_refused(levels: int) -> None:
    inner = "[" * levels + "1" + "]" * levels
    text = (
        f'{{"name": "w", "steps": {{"a": {{"uses": "transform", "with": {{"value": {inner}}}}}}}}}'
    )
    with pytest.raises(InvalidDocument, match="nested deeper than 64 levels"):
        parse_text(text)


def test_an_input_over_1_mb_is_refused_with_its_size(house: House) -> None:
    workflow = house.publish("w", {"one": STEP})
    assert house.start(workflow, {"a": "x" * 999_990})
    with pytest.raises(TooLarge, match=r"1,?000,?000"):
        house.start(workflow, {"a": "x" * 1_000_000})


def test_a_document_over_16_mb_is_refused(house: House) -> None:
    steps = {
        f"s{number}": {"uses": "transform", "with": {"value": "x" * 1_000_000}}
        for number in range(17)
    }
    document = {"name": "w", "steps": steps}
    with pytest.raises(TooLarge, match=r"16,?000,?000 bytes"):
        publish(house.database, house.owner_id, parse(document))
    with pytest.raises(TooLarge, match=r"16,?000,?000 bytes"):
        parse_text(json.dumps(document))


def test_more_than_20_000_steps_are_refused() -> None:
    with pytest.raises(InvalidDocument) as caught:
        parse({"name": "w", "steps": {f"s{number}": STEP for number in range(20_001)}})
    assert "over the limit of 20000" in str(caught.value)


def test_a_list_of_over_20_000_items_fails_its_step_before_any_item(house: House) -> None:
    def many() -> list[int]:
        return list(range(20_001))

    steps = {
        "many": python(many),
        "each": {
            "uses": "transform",
            "with": {"value": "${{ item }}"},
            "for_each": "${{ steps.many.output }}",
        },
    }
    run = house.run(house.publish("w", steps))
    assert "20001 items are over the limit of 20000" in message_of(house, run, 1)
    assert house.query("SELECT count(*) FROM step_runs") == [(2,)]


def test_a_workflow_that_starts_itself_ends_at_a_depth_of_20(house: House) -> None:
    again = {"uses": "workflow", "with": {"workflow": "itself"}}
    house.run(house.publish("itself", {"again": again}))
    assert house.query("SELECT max(depth), count(*) FROM executions") == [(20, 21)]
    [deepest] = house.query("SELECT id FROM executions WHERE depth = 20")[0]
    assert "nested 20 deep" in message_of(house, deepest)
    assert house.query("SELECT DISTINCT status FROM executions") == [("failed",)]


def test_a_signal_over_1_mb_is_refused(house: House) -> None:
    from engine.commands.signals import signal

    with pytest.raises(TooLarge, match=r"1,?000,?000"):
        signal(house.database, owner_id=house.owner_id, name="paid", body="x" * 1_000_001)


def test_the_artifacts_of_an_attempt_are_bounded_in_size_and_number(house: House) -> None:
    def make(count: int, size: int) -> None:
        for number in range(count):
            context.artifact(f"a{number}", b"x" * size)

    workflow = house.publish(
        "w", {"one": python(make, count="${{ input.count }}", size="${{ input.size }}")}
    )
    assert house.status(house.run(workflow, {"count": 20, "size": 1})) == "completed"
    many = house.run(workflow, {"count": 21, "size": 1})
    assert "one too many: 20 an attempt" in message_of(house, many)
    large = house.run(workflow, {"count": 1, "size": 5 * 1024 * 1024 + 1})
    assert "5242880 is the most" in message_of(house, large)
    assert house.step(large, 0, "reason") == ("too_large",)
