"""Signals under an idempotency key: sent however often, each is one signal."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from engine.commands import signals
from engine.errors import Conflict, InvalidInput
from engine.store.db.database import Database
from engine.store.writes.signals import Received
from tests.support.house import House
from tests.support.invariants import check
from tests.support.saying import signal, together, waiting

NUMBER = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


def keyed(house: House, body: Any = 1, **more: Any) -> Received:
    """Send a signal under the key k."""
    return signal(house, body=body, idempotency_key="k", **more)


def test_a_signal_sent_again_under_its_key_is_delivered_once(house: House) -> None:
    first, second = waiting(house), waiting(house)
    sent = keyed(house)
    assert sent.execution_id == first
    assert keyed(house) == sent, "while it is on its way"
    house.drain()
    assert keyed(house) == sent, "when it has come, and whoever waited has ended"
    assert keyed(house, sent_by="another word for the same") == sent
    house.drain()
    assert (house.output(first), house.status(second)) == (1, "waiting")
    assert len(house.query("SELECT id FROM signals")) == 1
    check(house.database, all_ended=False)


def test_a_kept_signal_sent_again_says_who_has_taken_it_since(house: House) -> None:
    sent = keyed(house)
    assert (sent.execution_id, keyed(house)) == (None, sent)
    execution_id = waiting(house)
    assert keyed(house) == Received(sent.signal_id, execution_id)
    assert house.output(execution_id) == 1


@pytest.mark.parametrize(
    "other", [{"body": 2}, {"correlation": "c"}, {"name": "due"}, {"execution": True}]
)
def test_a_signals_key_is_refused_for_another_request(house: House, other: dict[str, Any]) -> None:
    execution_id = waiting(house)
    keyed(house)
    if other.pop("execution", False):
        other["execution_id"] = execution_id
    with pytest.raises(Conflict, match="was used for another request"):
        keyed(house, **other)
    assert len(house.query("SELECT id FROM signals")) == 1


def test_a_signal_for_one_execution_sent_again_does_not_ask_how_that_stands(house: House) -> None:
    execution_id = waiting(house, schema=NUMBER)
    sent = keyed(house, {"n": 1}, execution_id=execution_id)
    house.drain()
    assert house.status(execution_id) == "completed"
    assert keyed(house, {"n": 1}, execution_id=execution_id) == sent


def test_keys_of_signals_are_their_owners(house: House) -> None:
    sent = keyed(house)
    theirs = signals.signal(
        house.database, owner_id="other", name="paid", body=2, idempotency_key="k"
    )
    assert theirs.signal_id != sent.signal_id


def test_a_key_that_no_column_holds_is_refused(house: House) -> None:
    for key in ("", "k" * 129):
        with pytest.raises(InvalidInput, match="1 to 128 characters"):
            signal(house, idempotency_key=key)
    signal(house, idempotency_key="k" * 128)


@pytest.mark.parametrize("round_", range(5))
def test_one_key_sent_by_many_at_once_is_one_signal(house: House, round_: int) -> None:
    execution_id = waiting(house)
    other = waiting(house)
    barrier = threading.Barrier(4)
    received: list[Received] = []

    def send() -> None:
        barrier.wait()
        received.append(keyed(house, round_))

    together(send, send, send, send)
    assert len({one.signal_id for one in received}) == 1
    assert {one.execution_id for one in received} == {execution_id}
    house.drain()
    assert (house.output(execution_id), house.status(other)) == (round_, "waiting")
    check(house.database, all_ended=False)


def test_of_two_requests_with_one_key_at_once_one_is_refused(house: House) -> None:
    barrier = threading.Barrier(2)
    outcomes: list[str] = []

    def send(name: str) -> None:
        barrier.wait()
        try:
            keyed(house, name=name)
            outcomes.append("kept")
        except Conflict:
            outcomes.append("refused")

    # Senders of two names do not wait for each other: the unique index decides.
    together(lambda: send("paid"), lambda: send("due"))
    assert sorted(outcomes) == ["kept", "refused"]
