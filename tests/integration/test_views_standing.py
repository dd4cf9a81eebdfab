"""What pages read of asks, decisions and ends, from both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from engine.commands import signals
from engine.commands.signals import Decision
from engine.core.status import StepStatus
from engine.errors import NotFound
from engine.store import reads
from engine.store.db.database import Database
from engine.store.reads import pending_actions
from engine.store.reads.pending_actions import Place
from engine.store.writes import users
from tests.support.house import House, python

T = TypeVar("T")
ASKING = {
    "review": {
        "uses": "approval",
        "with": {"title": "Ship ${{ input.what }}?", "approvers": ["owner"], "deadline": "2d"},
    },
    "paid": {"uses": "signal", "with": {"name": "paid", "correlation": "A-1"}},
}


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


def _read(house: House, read: Callable[..., T], *arguments: Any) -> T:
    return house.database.read(lambda connection: read(connection, house.owner_id, *arguments))


def _asking(house: House) -> str:
    return house.run(house.publish("asking", ASKING), {"what": "it"})


def _decide(house: House, execution_id: str, *, approved: bool) -> None:
    signals.decide(
        house.database,
        house.versions,
        user_id=house.owner_id,
        execution_id=execution_id,
        step="review",
        decision=Decision(approved, "owner", "as agreed"),
        grace_seconds=0,
    )


def test_asks_bring_what_their_steps_were_given(house: House) -> None:
    review, paid = _read(house, pending_actions.asks, _asking(house))
    assert (review.kind, review.step, review.params["title"]) == ("approval", "review", "Ship it?")
    assert review.until is not None
    assert (paid.kind, paid.params["name"], paid.params["correlation"]) == ("signal", "paid", "A-1")
    assert paid.until is None


def test_what_waits_for_others_is_not_told(house: House) -> None:
    execution_id = _asking(house)
    now = house.database.now()
    house.owner_id = house.database.write(lambda connection: users.add(connection, "eve", now))
    for read in (
        pending_actions.asks,
        pending_actions.decisions,
        pending_actions.standing,
    ):
        with pytest.raises(NotFound):
            _read(house, read, execution_id)


@pytest.mark.parametrize("approved", [True, False])
def test_a_decision_tells_who_when_and_what_they_said(house: House, approved: bool) -> None:
    execution_id = _asking(house)
    assert _read(house, pending_actions.decisions, execution_id) == []
    _decide(house, execution_id, approved=approved)
    [row] = _read(house, pending_actions.decisions, execution_id)
    assert (row.step, row.by, row.comment) == ("review", "owner", "as agreed")
    assert row.status == (StepStatus.COMPLETED if approved else StepStatus.FAILED)
    assert row.at > 0


def test_standing_follows_the_stages_of_an_end(house: House) -> None:
    def boom() -> None:
        raise ValueError("no")

    execution_id = house.start(
        house.publish(
            "saga",
            {
                "hold": {"uses": "transform", "with": {"value": 1}, "compensate": "free"},
                "free": {"uses": "transform", "with": {"value": 2}},
                "fails": {**python(boom), "needs": ["hold"]},
            },
        )
    )
    assert _read(house, pending_actions.standing, execution_id).phase == "steps"
    house.plan(execution_id)
    house.deliver(house.inbox.pop(0))
    house.deliver(house.inbox.pop(0))
    standing = _read(house, pending_actions.standing, execution_id)
    assert (standing.phase, standing.ending) == ("closing", "failed")


def test_the_step_that_an_execution_was_run_again_from_is_told(house: House) -> None:
    first = house.run(house.publish("one", {"one": {"uses": "transform", "with": {"value": 1}}}))
    second = house.retry(first, from_step="one")
    assert _read(house, pending_actions.standing, second).rerun_from == "one"


def test_code_that_no_worker_has_is_named_with_who_waits_for_it(house: House) -> None:
    def ship() -> None: ...

    step = python(ship)
    step["with"]["function"] = "nobody.has_it"
    workflow_id = house.publish("orders", {"charge": step})
    executions = sorted(house.run(workflow_id) for _ in range(2))
    house.run(house.publish("fine", {"one": {"uses": "transform", "with": {"value": 1}}}))
    [lack] = _read(house, pending_actions.lacking)
    assert (lack.workflow, lack.version, lack.step) == ("orders", 1, "charge")
    assert (lack.needs, lack.executions) == ("nobody.has_it", 2)
    page = house.database.read(
        lambda connection: reads.executions(
            connection,
            house.owner_id,
            reads.Filter(lacks_code=True),
            now=house.database.now(),
        )
    )
    assert sorted(row.id for row in page.rows) == executions


def test_how_a_wait_ended_is_told_to_whom_it_was_for_and_to_nobody_else(house: House) -> None:
    execution_id = _asking(house)
    review = Place(execution_id, "review")

    def told(name: str, user_id: str = "", place: Place = review) -> Any:
        return house.database.read(
            lambda connection: pending_actions.decision(
                connection, user_id or house.owner_id, name, place
            )
        )

    assert told("owner") is None
    _decide(house, execution_id, approved=True)
    assert (told("owner").by, told("owner").status) == ("owner", "completed")
    with pytest.raises(NotFound):
        told("eve", "someone else")
    with pytest.raises(NotFound):
        told("owner", place=Place(execution_id, "paid", 3))
