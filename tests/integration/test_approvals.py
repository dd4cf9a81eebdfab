"""Approvals: who may decide, what they fill in, what a rejection does, and that it is once."""

from __future__ import annotations

from datetime import datetime

import pytest

from engine.errors import Conflict, Forbidden, InvalidInput, NotFound
from engine.store.db.database import Database
from tests.support.house import House
from tests.support.invariants import check
from tests.support.saying import decide, error, sweep, transform

FORM = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


def asking(house: House, **params: object) -> str:
    """Return an execution that waits for an approval."""
    ask = {"uses": "approval", "with": {"title": "Ship?", **params}}
    return house.run(
        house.publish("asking", {"ask": ask, "then": transform("${{ steps.ask.output }}")})
    )


def test_an_approval_gives_who_and_what_they_filled_in(house: House) -> None:
    execution_id = asking(house, form=FORM)
    decide(house, execution_id, "ask", comment="go", n=3)
    house.drain()
    output = house.output(execution_id)
    at = datetime.fromisoformat(output.pop("at"))
    assert abs(at.timestamp() - house.database.now() / 1e6) < 60
    assert at.tzinfo is not None
    assert output == {"approved": True, "by": "ada", "comment": "go", "values": {"n": 3}}
    check(house.database)


def test_what_does_not_fit_the_form_is_refused_and_it_waits_on(house: House) -> None:
    execution_id = asking(house, form=FORM)
    with pytest.raises(InvalidInput):
        decide(house, execution_id, "ask", n="three")
    assert house.status(execution_id) == "waiting"


def test_a_rejection_fails_the_step_with_who_and_why(house: House) -> None:
    execution_id = asking(house)
    decide(house, execution_id, "ask", approved=False, comment="too soon")
    assert house.step(execution_id, 0, "status", "reason") == ("failed", "rejected")
    assert error(house, execution_id) == "rejected by ada: too soon"
    check(house.database)


def test_only_those_named_decide(house: House) -> None:
    execution_id = asking(house, approvers=["grace"])
    with pytest.raises(Forbidden, match="grace"):
        decide(house, execution_id, "ask")
    decide(house, execution_id, "ask", by="grace")
    house.drain()
    assert house.status(execution_id) == "completed"


def test_it_is_decided_once(house: House) -> None:
    execution_id = asking(house)
    with pytest.raises(NotFound):
        decide(house, execution_id, "nobody")
    with pytest.raises(NotFound, match="no approval step 'then'"):
        decide(house, execution_id, "then")
    decide(house, execution_id, "ask")
    with pytest.raises(Conflict):
        decide(house, execution_id, "ask", approved=False)
    house.drain()
    assert house.status(execution_id) == "completed"


def test_an_approval_that_does_not_come_in_time_expires(house: House) -> None:
    execution_id = asking(house, deadline="1h")
    house.write("UPDATE step_runs SET due_at = 1 WHERE status = 'waiting'")
    sweep(house)
    assert house.step(execution_id, 0, "status", "reason") == ("failed", "expired")
    with pytest.raises(Conflict):
        decide(house, execution_id, "ask")
    check(house.database)


def test_who_comes_second_is_told_who_decided_what(house: House) -> None:
    execution_id = asking(house, approvers=["eve", "grace"])
    decide(house, execution_id, "ask", by="eve", approved=False)
    with pytest.raises(Conflict, match=r"rejected by eve at 20\d\d-.*\+00:00"):
        decide(house, execution_id, "ask", by="grace")


def test_who_comes_after_the_deadline_is_told_that_nobody_decided(house: House) -> None:
    execution_id = asking(house, deadline="1h")
    house.write("UPDATE step_runs SET due_at = 1 WHERE status = 'waiting'")
    sweep(house)
    with pytest.raises(Conflict, match="not decided in time"):
        decide(house, execution_id, "ask")


def test_what_does_not_wait_yet_was_decided_by_nobody(house: House) -> None:
    ask = {"uses": "approval", "with": {"title": "Ship?"}}
    steps = {"first": ask, "second": {**ask, "needs": ["first"]}}
    execution_id = house.run(house.publish("twice", steps))
    with pytest.raises(Conflict, match=r"waits for no approval$"):
        decide(house, execution_id, "second")


def test_an_approval_that_names_nobody_may_have_a_title_longer_than_a_name(house: House) -> None:
    execution_id = asking(house, title="Which of the two hundred parcels may go? " * 20)
    assert house.status(execution_id) == "waiting"
