"""Approvals whose parameters are too large for a row: found, shown and decided as any other."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import Forbidden, InvalidInput, NotFound, PayloadLost
from engine.io.payloads import Payloads, reference
from engine.store import reads
from engine.store.db.database import Database
from engine.store.reads import pending_actions
from engine.store.writes import users
from tests.support.house import House
from tests.support.invariants import check
from tests.support.saying import decide, error, signal, waits

PLACES = [f"place number {number}" for number in range(20_000)]
FORM = {"type": "object", "required": ["place"], "properties": {"place": {"enum": PLACES}}}


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


def asking(house: House, *approvers: str, **more: Any) -> str:
    """Return an execution that waits for a decision with a form of half a megabyte."""
    named = {"approvers": list(approvers)} if approvers else {}
    asked = {"title": "Where?", "description": "Choose well.", "form": FORM, **named}
    ask = {"uses": "approval", "with": asked, **more}
    execution_id = house.run(house.publish("asking", {"ask": ask}))
    assert house.status(execution_id) == "waiting"
    return execution_id


def person(house: House, name: str) -> str:
    now = house.database.now()
    return house.database.write(lambda connection: users.add(connection, name, now))


def listed(house: House, user_id: str, name: str) -> list[reads.ApprovalRow]:
    page = house.database.read(lambda connection: reads.approvals(connection, user_id, name))
    return list(page.rows)


def one(house: House, user_id: str, name: str, execution_id: str) -> reads.ApprovalRow:
    return reads.approval(
        house.database, user_id, name, execution_id=execution_id, step="ask", item=None
    )


def test_one_approval_is_shown_with_its_whole_form(house: House) -> None:
    execution_id = asking(house)
    [brief] = listed(house, house.owner_id, "owner")
    [text] = house.step(execution_id, 0, "input")
    found = reference(text)
    assert found is not None
    assert (brief.title, brief.form, brief.description) == ("Where?", {}, "")
    assert brief.left_out == found.size
    whole = one(house, house.owner_id, "owner", execution_id)
    assert (whole.title, whole.form, whole.left_out) == ("Where?", FORM, None)
    assert whole.description == "Choose well."
    decide(house, execution_id, "ask", place=PLACES[7])
    house.drain()
    assert house.output(execution_id)["values"] == {"place": PLACES[7]}
    check(house.database)


def test_a_list_reads_nothing_from_the_payload_store(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking(house, for_each=list(range(12)))

    def read(*_args: object) -> bytes:
        raise AssertionError("a list asked the payload store")

    monkeypatch.setattr(Payloads, "read_bytes", read)
    found = listed(house, house.owner_id, "owner")
    assert [row.item for row in found] == list(range(12))
    assert all(row.left_out for row in found)


def test_who_is_named_finds_it_and_whoever_is_not_does_not(house: House) -> None:
    bob, eve = person(house, "bob"), person(house, "eve")
    execution_id = asking(house, "bob", "grace")
    [row] = listed(house, bob, "bob")
    assert (row.execution_id, row.approvers, row.mine) == (execution_id, ["bob", "grace"], False)
    assert one(house, bob, "bob", execution_id).form == FORM
    for user_id, name in ((eve, "eve"), (house.owner_id, "owner"), (eve, "place")):
        assert listed(house, user_id, name) == []
        with pytest.raises(NotFound):
            one(house, user_id, name, execution_id)
    with pytest.raises(Forbidden):
        decide(house, execution_id, "ask", place=PLACES[0])
    decide(house, execution_id, "ask", by="bob", place=PLACES[0])


def test_what_does_not_fit_a_large_form_is_refused(house: House) -> None:
    execution_id = asking(house)
    with pytest.raises(InvalidInput):
        decide(house, execution_id, "ask", place="nowhere")
    assert house.status(execution_id) == "waiting"


def test_a_form_that_the_store_has_lost_is_told_and_its_list_stays(house: House) -> None:
    execution_id = asking(house)
    house.database.payloads.remove(execution_id)
    assert len(listed(house, house.owner_id, "owner")) == 1
    with pytest.raises(PayloadLost, match=r"steps\.ask: its parameters"):
        one(house, house.owner_id, "owner", execution_id)


def test_an_execution_says_who_is_asked_for_what_without_the_form(house: House) -> None:
    execution_id = asking(house, "bob")
    now = house.database.now()
    detail = house.database.read(
        lambda connection: reads.execution(connection, house.owner_id, execution_id, now=now)
    )
    wait = detail.steps[0].waits_for
    assert wait is not None
    assert (wait.title, wait.approvers, wait.form) == ("Where?", ["bob"], {})
    assert wait.left_out
    [row] = house.database.read(
        lambda connection: pending_actions.asks(connection, house.owner_id, execution_id)
    )
    assert row.params == {"title": "Where?", "approvers": ["bob"]}
    assert row.left_out == wait.left_out


def test_a_signal_with_a_large_schema_is_known_by_its_name(house: House) -> None:
    step = waits("place", correlation="a:b", schema=FORM)
    execution_id = house.run(house.publish("waiting", {"wait": step}))
    [row] = house.database.read(
        lambda connection: pending_actions.asks(connection, house.owner_id, execution_id)
    )
    assert (row.kind, row.params) == ("signal", {"name": "place", "correlation": "a:b"})
    signal(house, "place", {"place": PLACES[1]}, correlation="a:b")
    house.drain()
    assert house.status(execution_id) == "completed"


@pytest.mark.parametrize("approvers", [["a"] * 101, ["a" * 65]])
def test_approvers_beyond_what_a_list_can_tell_are_refused(
    house: House, approvers: list[str]
) -> None:
    names = {"approvers": "${{ input.names }}"}
    step = {"uses": "approval", "with": {"title": "Where?", **names}}
    execution_id = house.run(house.publish("asking", {"ask": step}), {"names": approvers})
    assert house.status(execution_id) == "failed"
    assert "more than 100 names, or one of over 64" in error(house, execution_id)
