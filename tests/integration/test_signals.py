"""Signals: who takes which, whatever comes first, twice, late, or unfit."""

from __future__ import annotations

import threading

import pytest

from engine.commands import signals
from engine.commands.dispatch import dispatch
from engine.errors import Conflict, InvalidInput, NotFound
from engine.store.db.database import Database
from engine.store.writes import outbox
from tests.support.house import House
from tests.support.invariants import check
from tests.support.saying import error, signal, statuses, sweep, together, waiting, waits

NUMBER = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


def free(house: House) -> int:
    """Return how many signals nobody has taken."""
    return len(house.query("SELECT id FROM signals WHERE taken_at IS NULL"))


def test_a_signal_becomes_the_output_of_the_step_that_waits(house: House) -> None:
    execution_id = waiting(house)
    assert house.execution(execution_id, "status", "active") == ("waiting", 0)
    assert signal(house, body={"n": 1}, sent_by="ada").execution_id == execution_id
    house.drain()
    assert house.output(execution_id) == {"n": 1}
    assert house.step(execution_id, 0, "attempts") == (1,)
    check(house.database)


def test_an_execution_whose_last_step_was_answered_is_completed_with_that_message(
    house: House,
) -> None:
    execution_id = house.run(house.publish("one", {"a": waits()}))
    signal(house, body=1)
    house.drain()
    assert (house.status(execution_id), house.output(execution_id)) == ("completed", 1)


def test_an_early_signal_is_taken_by_the_first_that_waits_for_it(house: House) -> None:
    assert signal(house, body=1).execution_id is None
    first, second = waiting(house), waiting(house)
    assert (house.output(first), house.status(second)) == (1, "waiting")


def test_an_early_signal_counts_within_the_look_back_only(house: House) -> None:
    signal(house, body="old")
    house.write("UPDATE signals SET created_at = created_at - 60000000")
    assert house.status(waiting(house, look_back="59s")) == "waiting"
    assert house.output(waiting(house, look_back="61s")) == "old"


def test_of_early_signals_the_oldest_is_taken_first(house: House) -> None:
    for body in (1, 2, 3):
        signal(house, body=body)
    assert [house.output(waiting(house)) for _ in range(3)] == [1, 2, 3]


def test_zero_is_a_correlation_as_any_other_number(house: House) -> None:
    nought, one = waiting(house, correlation=0), waiting(house, correlation=1)
    assert signal(house, body=1).execution_id is None
    assert signal(house, body=8, correlation="1").execution_id == one
    assert signal(house, body=9, correlation="0").execution_id == nought
    house.drain()
    assert (house.output(nought), house.output(one)) == (9, 8)
    check(house.database)


def test_a_correlation_tells_signals_of_one_name_apart(house: House) -> None:
    steps = {"a": waits(correlation="${{ input.order }}")}
    workflow_id = house.publish("orders", steps)
    seven, eight = (house.run(workflow_id, {"order": order}) for order in ("o:7", "o:8"))
    assert signal(house, body=1).execution_id is None
    assert signal(house, body=1, correlation="o").execution_id is None
    assert signal(house, body=8, correlation="o:8").execution_id == eight
    house.drain()
    assert statuses(house, seven) == {0: "waiting"}
    assert house.output(eight) == 8


def test_a_name_that_no_step_can_wait_for_is_refused(house: House) -> None:
    steps = {"a": waits(correlation="b:c")}
    execution_id = house.run(house.publish("orders", steps))
    with pytest.raises(InvalidInput, match="name"):
        signal(house, "paid:b", correlation="c")
    assert statuses(house, execution_id) == {0: "waiting"}


def test_a_signal_for_one_execution_is_taken_by_no_other(house: House) -> None:
    first = waiting(house)
    second = waiting(house)
    assert signal(house, body=2, execution_id=second).execution_id == second
    house.drain()
    assert house.status(first) == "waiting"
    # Sent before its step began to wait it is kept for it, however long ago that was.
    third = house.start(house.publish("one", {"a": waits(look_back="1s")}))
    assert signal(house, body=3, execution_id=third).execution_id is None
    house.write("UPDATE signals SET created_at = 1")
    house.plan(third)
    house.drain()
    assert (house.status(first), house.output(third)) == ("waiting", 3)


def test_a_signal_goes_to_one_of_two_that_wait(house: House) -> None:
    first, second = waiting(house), waiting(house)
    assert signal(house, body=1).execution_id == first
    assert signal(house, body=2).execution_id == second, "the first has its answer on the way"
    assert signal(house, body=3).execution_id is None
    house.drain()
    assert (house.output(first), house.output(second)) == (1, 2)


def test_a_body_that_the_step_refuses_is_refused_to_whoever_sends_it(house: House) -> None:
    execution_id = waiting(house, schema=NUMBER)
    with pytest.raises(InvalidInput, match="n"):
        signal(house, body={"n": "one"})
    assert statuses(house, execution_id)[0] == "waiting"
    assert free(house) == 0


def test_an_unfit_early_signal_is_passed_over_for_the_next(house: House) -> None:
    signal(house, body={"n": "one"})
    signal(house, body="nothing")
    signal(house, body={"n": 3})
    execution_id = waiting(house, schema=NUMBER)
    assert house.output(execution_id) == {"n": 3}
    lines = house.query("SELECT message FROM logs WHERE execution_id = :id", id=execution_id)
    assert [("refused" in line[0]) for line in lines] == [True, True]
    check(house.database)


def test_an_unfit_early_signal_alone_leaves_the_step_waiting(house: House) -> None:
    signal(house, body={"n": "one"})
    execution_id = waiting(house, schema=NUMBER)
    assert statuses(house, execution_id)[0] == "waiting"
    signal(house, body={"n": 4})
    house.drain()
    assert house.output(execution_id) == {"n": 4}


def test_a_deadline_that_passes_fails_the_step_as_expired(house: House) -> None:
    execution_id = waiting(house, deadline="1h")
    house.write("UPDATE step_runs SET due_at = 1 WHERE status = 'waiting'")
    sweep(house)
    assert house.step(execution_id, 0, "status", "reason") == ("failed", "expired")
    assert error(house, execution_id) == "no signal came in time"
    assert signal(house, body=1).execution_id is None
    check(house.database)


def test_a_signal_that_was_taken_in_time_beats_the_deadline(house: House) -> None:
    execution_id = waiting(house, deadline="1h")
    signal(house, body=1)
    house.write("UPDATE step_runs SET due_at = 1 WHERE status = 'waiting'")
    house.sweep()  # before the message that brings the signal
    house.drain()
    assert (house.status(execution_id), house.output(execution_id)) == ("completed", 1)


def test_a_signal_for_who_waits_no_more_goes_to_the_next(house: House) -> None:
    first, second = waiting(house), waiting(house)
    assert signal(house, body=1).execution_id == first
    house.cancel(first)
    house.drain()
    assert (house.status(first), house.output(second)) == ("cancelled", 1)
    assert house.query("SELECT id FROM notices") == []


def test_a_signal_for_who_waits_no_more_is_kept_for_whoever_comes(house: House) -> None:
    first = waiting(house)
    signal(house, body=1)
    house.cancel(first)
    house.drain()
    assert free(house) == 1
    assert house.output(waiting(house)) == 1


def test_a_signal_delivered_twice_at_once_is_not_given_back(house: House) -> None:
    execution_id = waiting(house)
    signal(house, body=1)
    barrier = threading.Barrier(2)

    def work() -> None:
        barrier.wait()
        dispatch(house.database, house.versions, house.settings, execution_id)

    together(work, work)
    assert free(house) == 0
    assert house.events(execution_id).count("step_completed") == 1


def test_who_finds_a_notice_gone_gives_no_signal_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = waiting(house)
    signal(house, body=1)
    notices = house.database.read(lambda connection: outbox.pending(connection, execution_id))
    house.drain()
    # Another worker, which had read the notice before, is late with it.
    monkeypatch.setattr(outbox, "pending", lambda _connection, _id: notices)
    house.plan(execution_id)
    assert free(house) == 0
    assert house.status(waiting(house)) == "waiting"


@pytest.mark.parametrize("round_", range(5))
def test_a_signal_sent_while_its_step_parks_is_never_missed(house: House, round_: int) -> None:
    workflow_id = house.publish("waiting", {"a": waits()})
    execution_id = house.start(workflow_id)
    [ticket] = house.plan(execution_id)
    house.inbox.clear()
    barrier = threading.Barrier(2)

    def park() -> None:
        barrier.wait()
        house.deliver(ticket)

    def send() -> None:
        barrier.wait()
        signal(house, body=round_)

    together(park, send)
    house.drain()
    assert (house.status(execution_id), house.output(execution_id)) == ("completed", round_)
    check(house.database)


@pytest.mark.parametrize("round_", range(5))
def test_a_deadline_and_a_signal_at_once_have_one_outcome(house: House, round_: int) -> None:
    execution_id = waiting(house, deadline="1h")
    house.write("UPDATE step_runs SET due_at = 1 WHERE status = 'waiting'")
    barrier = threading.Barrier(2)

    def expire() -> None:
        barrier.wait()
        house.sweep()

    def send() -> None:
        barrier.wait()
        signal(house, body=round_)

    together(expire, send)
    house.drain()
    sweep(house)
    if house.status(execution_id) == "completed":
        assert (house.output(execution_id), free(house)) == (round_, 0)
    else:
        assert (house.status(execution_id), free(house)) == ("failed", 1)
    assert house.query("SELECT id FROM notices") == []
    check(house.database)


def test_an_ended_or_foreign_execution_gets_no_signal(house: House) -> None:
    execution_id = waiting(house)
    with pytest.raises(NotFound):
        signals.signal(
            house.database, owner_id="other", name="paid", body=1, execution_id=execution_id
        )
    assert (
        signals.signal(house.database, owner_id="other", name="paid", body=1).execution_id is None
    )
    house.cancel(execution_id)
    with pytest.raises(Conflict, match="cancelled already"):
        signal(house, body=1, execution_id=execution_id)


def test_a_retry_asks_no_signal_twice(house: House) -> None:
    steps = {"a": waits(), "b": {"uses": "fail", "with": {"message": "no"}, "needs": ["a"]}}
    execution_id = house.run(house.publish("asks", steps))
    signal(house, body=1)
    house.drain()
    assert house.status(execution_id) == "failed"
    again = house.retry(execution_id)
    house.plan(again)
    house.drain()
    assert statuses(house, again) == {0: "completed", 1: "failed"}


def test_of_several_that_wait_the_one_that_waits_longest_gets_it(house: House) -> None:
    gated = {"gate": waits("gate"), "a": {**waits(), "needs": ["gate"]}}
    late = house.run(house.publish("gated", gated))
    long = waiting(house)
    signal(house, "gate")
    house.drain()
    assert late < long  # it is the older execution, and has waited for this for less long
    assert signal(house, body=1).execution_id == long
    assert signal(house, body=2).execution_id == late


def test_a_deadline_does_not_change_who_waits_longest(house: House) -> None:
    first = waiting(house, deadline="3d")
    second = waiting(house)
    assert [signal(house).execution_id for _ in range(2)] == [first, second]


def test_of_the_items_of_a_fan_out_those_that_wait_longest_are_served_first(house: House) -> None:
    each = {**waits(), "for_each": [1, 2, 3], "max_parallel": 2}
    execution_id = house.run(house.publish("each", {"a": each}))
    house.write("UPDATE step_runs SET started_at = started_at - 1000000 WHERE item = 1")
    signal(house, body="x")
    house.drain()
    assert house.step(execution_id, 0, "status", item=1) == ("completed",)
    assert house.step(execution_id, 0, "status", item=0) == ("waiting",)
