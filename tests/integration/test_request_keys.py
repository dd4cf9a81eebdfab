"""A request sent again under its key is the same request, whatever has changed since."""

from __future__ import annotations

from typing import Any

import pytest

from engine.commands.rerun import RerunRequest, start_again
from engine.errors import Conflict, InvalidInput
from engine.store.db.database import Database
from tests.support.house import House, python
from tests.support.saying import together, transform
from tests.support.transitions import boom

KEY = {"idempotency_key": "order-7"}
STEPS = {"a": transform("${{ input }}")}


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


def publish(house: House, *required: str) -> str:
    schema = {"type": "object", "required": list(required)}
    return house.publish("orders", STEPS, input=schema)


def count(house: House) -> int:
    return int(house.query("SELECT count(*) FROM executions")[0][0])


def test_what_was_accepted_is_not_refused_by_a_version_that_came_since(house: House) -> None:
    first = house.start(publish(house), {"n": 1}, **KEY)
    workflow_id = publish(house, "m")
    assert house.start(workflow_id, {"n": 1}, **KEY) == first
    with pytest.raises(InvalidInput):
        house.start(workflow_id, {"n": 1})
    assert count(house) == 1


def test_nor_by_a_version_that_cannot_be_read(house: House) -> None:
    workflow_id = publish(house)
    first = house.start(workflow_id, {"n": 1}, **KEY)
    house.write("UPDATE workflows SET latest_version = 7")
    assert house.start(workflow_id, {"n": 1}, **KEY) == first


def test_what_was_refused_may_be_sent_again_under_its_key(house: House) -> None:
    workflow_id = publish(house, "m")
    with pytest.raises(InvalidInput):
        house.start(workflow_id, {"n": 1}, **KEY)
    assert house.start(workflow_id, {"m": 1}, **KEY)


@pytest.mark.parametrize(
    "other",
    [{"delay": 5_000_000}, {"version": 1}, {"input": {"n": 2}}, {"input": {"n": 1.0}}],
    ids=["delay", "version", "input", "kind of number"],
)
def test_the_same_key_for_another_request_is_a_conflict(
    house: House, other: dict[str, Any]
) -> None:
    workflow_id = publish(house)
    house.start(workflow_id, {"n": 1}, **KEY)
    with pytest.raises(Conflict, match="used for another request"):
        house.start(workflow_id, **{"input": {"n": 1}, **KEY, **other})


def test_a_conflict_is_told_before_what_is_wrong_with_the_input(house: House) -> None:
    workflow_id = publish(house, "n")
    house.start(workflow_id, {"n": 1}, **KEY)
    with pytest.raises(Conflict, match="used for another request"):
        house.start(workflow_id, {}, **KEY)


def test_a_delayed_request_sent_again_is_the_same(house: House) -> None:
    workflow_id = publish(house)
    first = house.start(workflow_id, delay=5_000_000, **KEY)
    assert house.start(workflow_id, delay=5_000_000, **KEY) == first


def test_one_request_sent_twice_at_once_is_one_execution(house: House) -> None:
    workflow_id, told = publish(house), []

    def send() -> None:
        told.append(house.start(workflow_id, {"n": 1}, **KEY))

    together(send, send, send)
    assert len(set(told)) == 1
    assert count(house) == 1


def test_a_rerun_sent_again_is_not_refused_by_a_version_that_came_since(house: House) -> None:
    failing = {"a": python(boom)}
    failed = house.run(house.publish("orders", failing, input={"type": "object"}), {"n": 1})

    def rerun() -> str:
        return start_again(
            house.database,
            house.versions,
            owner_id=house.owner_id,
            execution_id=failed,
            message_id="m",
            wish=RerunRequest(version="newest"),
            **KEY,
        ).execution_id

    first = rerun()
    house.publish("orders", failing, input={"type": "object", "required": ["m"]})
    assert rerun() == first
