"""Executions whose steps no worker has the code for are found, moved and cancelled."""

from __future__ import annotations

from typing import Any

import pytest

from engine.commands import missing_code
from engine.commands.missing_code import Bulk, Stranded
from engine.errors import Conflict, NotFound
from engine.store.db.database import Database
from engine.store.writes import users
from engine.worker.claim import known_code
from tests.support.house import House, python
from tests.support.transitions import inc


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database, whose worker has this process's code."""
    house = House(database)
    python(inc)
    house.worker("w2", functions=known_code())
    return house


def old(**more: Any) -> dict[str, Any]:
    """Return steps the second of which calls what is installed nowhere."""
    gone = {"uses": "python", "with": {"function": "gone.work", "x": "${{ steps.a.output }}"}}
    return {"a": python(inc, x=0), "b": {**gone, **more}}


def new() -> dict[str, Any]:
    """Return the same steps, the second with code that is installed."""
    return {"a": python(inc, x=0), "b": python(inc, x="${{ steps.a.output }}")}


def found(house: House, owner_id: str | None = None) -> list[Stranded]:
    known = missing_code.known_by_workers(house.database, 10)
    assert known is not None
    return missing_code.find(house.database, house.versions, known=known, owner_id=owner_id)


def settle(house: House, workflow: str = "shop", **more: Any) -> Bulk:
    bulk = missing_code.settle(
        house.database,
        house.versions,
        **{
            "owner_id": house.owner_id,
            "workflow": workflow,
            "known": known_code(),
            "grace_seconds": 0,
            "move": True,
            **more,
        },
    )
    house._post(bulk.sends)
    return bulk


def test_only_executions_with_the_step_still_before_them_are_stranded(house: House) -> None:
    workflow_id = house.publish("shop", old(when="${{ steps.a.output > 1 }}"))
    assert house.status(house.run(house.publish("fine", new()))) == "completed"
    house.run(workflow_id)
    house.start(workflow_id)
    [one] = found(house)
    assert (one.workflow, one.version, one.newest_version, one.executions) == ("shop", 1, 1, 2)
    assert [(missing.step, missing.code) for missing in one.missing] == [("b", "gone.work")]
    house.worker("w3", functions=["gone.work"])
    assert found(house) == []


def test_an_execution_that_is_past_the_step_is_not_stranded(house: House) -> None:
    steps = old()
    steps["c"] = {"uses": "sleep", "with": {"for": "1h"}, "needs": ["b"]}
    execution_id = house.run(house.publish("shop", steps))
    assert len(found(house)) == 1
    house.write("UPDATE step_runs SET status = 'completed' WHERE step = 1")
    assert found(house) == []
    assert house.status(execution_id) == "running"


def test_a_step_that_runs_at_the_end_is_told_of_before_its_row_is_there(house: House) -> None:
    steps = {
        "nap": {"uses": "sleep", "with": {"for": "1h"}},
        "tidy": {"uses": "python", "with": {"function": "gone.tidy"}},
    }
    house.run(house.publish("shop", steps, **{"finally": ["tidy"]}))
    assert [one.executions for one in found(house)] == [1]


def test_each_owner_sees_and_settles_their_own(house: House) -> None:
    execution_id = house.run(house.publish("shop", old()))
    other = house.database.write(lambda connection: users.add(connection, "other", 1))
    assert found(house, other) == []
    with pytest.raises(NotFound):
        settle(house, owner_id=other)
    house.write("UPDATE workflows SET shared = true")
    assert settle(house, owner_id=other, move=False).done == []
    assert house.status(execution_id) == "running"


def test_without_a_live_worker_nobody_can_tell(house: House) -> None:
    house.write("UPDATE workers SET stopped_at = 1")
    assert missing_code.known_by_workers(house.database, 10) is None


def test_a_moved_execution_goes_on_with_the_outputs_it_had(house: House) -> None:
    workflow_id = house.publish("shop", old())
    execution_id = house.run(workflow_id)
    house.publish("shop", new())
    dry = settle(house, dry_run=True)
    assert [one.execution_id for one in dry.done] == [execution_id]
    assert house.status(execution_id) == "running"

    [done] = settle(house).done
    assert done.moved_to is not None
    house.drain()
    assert house.status(execution_id) == "cancelled"
    assert house.execution(done.moved_to, "status", "version", "origin_id") == (
        "completed",
        2,
        execution_id,
    )
    assert house.step(done.moved_to, 0, "reused_from") == (execution_id,)
    assert house.output(done.moved_to) == 2
    assert found(house) == []


def test_only_the_version_that_is_named_is_settled(house: House) -> None:
    first = house.run(house.publish("shop", old()))
    second = house.run(house.publish("shop", old(when=True)))
    assert [one.execution_id for one in settle(house, move=False, version=2).done] == [second]
    assert (house.status(first), house.status(second)) == ("running", "cancelled")


def test_cancelling_takes_all_of_them(house: House) -> None:
    workflow_id = house.publish("shop", old())
    ids = {house.run(workflow_id), house.start(workflow_id)}
    bulk = settle(house, move=False)
    assert {one.execution_id for one in bulk.done} == ids
    assert {house.status(one) for one in ids} == {"cancelled"}


def test_nothing_is_moved_to_a_version_that_waits_for_code_too(house: House) -> None:
    execution_id = house.run(house.publish("shop", old()))
    with pytest.raises(Conflict, match=r"version 1 of shop waits for code too: b \(gone.work\)"):
        settle(house)
    assert house.status(execution_id) == "running"


@pytest.mark.parametrize(
    ("document", "input", "why"),
    [
        ({"finally": ["a"]}, {}, "steps at the end"),
        ({"input": {"properties": {"n": {"type": "integer"}}, "required": ["n"]}}, {}, "input"),
    ],
)
def test_what_cannot_be_moved_safely_is_left_with_the_reason(
    house: House, document: dict[str, Any], input: dict[str, Any], why: str
) -> None:
    first = {} if "input" in document else document
    steps = {"a": python(inc, x=0), "b": {"uses": "python", "with": {"function": "gone.work"}}}
    execution_id = house.run(house.publish("shop", steps, **first), input)
    steps["b"] = python(inc, x=1)
    house.publish("shop", steps, **document)
    bulk = settle(house)
    assert bulk.done == []
    assert why in bulk.left[0].why
    assert house.status(execution_id) == "running"


def test_one_with_a_running_step_or_a_parent_is_left(house: House) -> None:
    parent = house.publish(
        "parent", {"call": {"uses": "workflow", "with": {"workflow": "shop", "input": {}}}}
    )
    workflow_id = house.publish("shop", old())
    house.run(parent)
    running = house.run(workflow_id)
    house.write(
        "UPDATE step_runs SET status = 'running' WHERE step = 1 AND execution_id = :id", id=running
    )
    house.publish("shop", new())
    bulk = settle(house)
    assert bulk.done == []
    assert sorted(left.why.split(":")[0] for left in bulk.left) == [
        "a step of it runs",
        "its parent waits for it, and would fail",
    ]
