"""The workflows that the manual shows in Python do what its words say."""

from __future__ import annotations

from typing import Any

import pytest

from engine import registry
from engine.commands import signals
from engine.commands.publish import publish
from engine.commands.signals import Decision
from engine.definition import Definition
from engine.store.db.database import Database
from tests.support.house import House
from tests.support.manual import written_in_python

TRIP = {"trip": {"flight": "LH1", "hotel": "Ritz"}}


@pytest.fixture
def manual(monkeypatch: pytest.MonkeyPatch) -> dict[str, Definition]:
    monkeypatch.setattr(registry, "_workflows", {})
    monkeypatch.setattr(registry, "_functions", {})
    return written_in_python()


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


@pytest.fixture
def done(manual: dict[str, Definition]) -> list[Any]:
    """What the trip's functions were called with, in order."""
    calls: list[Any] = []

    def unbook(booking: dict[str, Any]) -> None:
        calls.append(booking["booking"])

    def tell(outcome: str, error: dict[str, Any] | None) -> None:
        calls.append((outcome, None if error is None else error["message"]))

    registry.register_step("shop.unbook", unbook)
    registry.register_step("shop.tell", tell)
    return calls


def published(house: House, definition: Definition) -> str:
    return publish(house.database, house.owner_id, definition).workflow_id


def failing(**arguments: Any) -> Any:
    raise ValueError(f"no room in {arguments}")


def test_a_trip_that_fails_is_undone_and_told(
    house: House, manual: dict[str, Definition], done: list[Any]
) -> None:
    def book(what: str) -> dict[str, str]:
        return failing(what=what) if what == "Ritz" else {"booking": what}

    registry.register_step("shop.book", book)
    trip = house.run(published(house, manual["book-trip"]), TRIP)
    assert house.status(trip) == "failed"
    assert done == ["LH1", ("failed", "no room in {'what': 'Ritz'}")]


def test_a_cancelled_trip_is_undone_in_reverse(
    house: House, manual: dict[str, Definition], done: list[Any]
) -> None:
    trip = house.start(published(house, manual["book-trip"]), TRIP)
    house.plan(trip)
    for _ in range(2):  # flight and hotel
        house.deliver(house.inbox.pop(0))
    house.cancel(trip)
    house.drain()
    assert house.status(trip) == "cancelled"
    assert done == ["Ritz", "LH1", ("cancelled", None)]


def test_a_trip_without_insurance_completes_and_nothing_is_undone(
    house: House, manual: dict[str, Definition], done: list[Any]
) -> None:
    registry.register_step("shop.insure", failing)
    trip = house.run(published(house, manual["book-trip"]), TRIP)
    assert (house.status(trip), house.output(trip)) == ("completed", {"insured": False})
    assert done == [("completed", None)]


def decide(house: House, execution_id: str, *, yes: bool, **more: Any) -> None:
    _, sends = signals.decide(
        house.database,
        house.versions,
        user_id=house.owner_id,
        execution_id=execution_id,
        step="approval",
        decision=Decision(yes, **more),
        grace_seconds=0,
    )
    house.inbox += sends.now
    house.dispatches += sends.dispatches
    house.drain()


def test_what_is_approved_is_paid_on_its_terms_and_waits_for_the_money(
    house: House, manual: dict[str, Definition]
) -> None:
    paid: list[Any] = []

    def pay(amount: float, terms: Any) -> None:
        paid.append((amount, terms))

    registry.register_step("shop.pay", pay)
    spent = house.run(published(house, manual["spend"]), {"amount": 50})
    assert house.status(spent) == "waiting"
    decide(house, spent, yes=True, by="ada", values={"limit": 60, "note": "go"})
    assert paid == [(50, {"limit": 60, "note": "go"})]
    assert house.status(spent) == "waiting"
    body = {"at": "noon"}
    sent = signals.signal(
        house.database, owner_id=house.owner_id, name="paid", body=body, correlation=spent
    )
    assert sent.execution_id == spent
    house.plan(spent)  # the message that the sender owes it
    house.drain()
    assert (house.status(spent), house.output(spent)) == ("completed", body)


def test_an_approval_that_comes_last_ends_the_execution_without_a_sweep(house: House) -> None:
    waits = {"approval": {"uses": "approval", "with": {"title": "Ship it?"}}}
    shipped = house.run(house.publish("ship", waits))
    decide(house, shipped, yes=True, by="ada")
    assert house.status(shipped) == "completed"
    assert house.output(shipped)["by"] == "ada"


def test_a_no_fails_the_execution_with_the_handlers_words(
    house: House, manual: dict[str, Definition]
) -> None:
    spent = house.run(published(house, manual["spend"]), {"amount": 50})
    decide(house, spent, yes=False, by="grace", comment="too much")
    assert house.status(spent) == "failed"
    assert "not approved: rejected by grace: too much" in house.execution(spent, "error")[0]
    assert house.step(spent, 2, "status")[0] == "skipped"  # pay


def test_reports_that_fail_are_told_apart_and_the_archive_is_not_waited_for(
    house: House, manual: dict[str, Definition]
) -> None:
    def fetch(url: str) -> list[dict[str, Any]]:
        return failing(url=url) if url == "bad:" else [{"id": 1, "amount": 5}]

    registry.register_step("shop.fetch", fetch)
    house.publish("archive", {"keep": {"uses": "signal", "with": {"name": "never"}}})
    published(house, manual["order-report"])
    urls = [f"good:{n}" for n in range(9)] + ["bad:"]
    both = house.run(published(house, manual["two-reports"]), {"urls": urls})
    for _ in range(60):
        if house.status(both) == "completed":
            break
        # Time passes: the reports' retries and sleeps, and what the children owe their parent.
        house.write(
            "UPDATE step_runs SET due_at = 1"
            " WHERE status IN ('retrying', 'waiting') AND wait_for IS NULL"
        )
        house.sweep()
        house.drain()
    assert house.status(both) == "completed"
    output = house.output(both)
    assert output["failed"] == [9]
    assert house.status(output["archive"]) == "waiting"
