"""The events say which failure ended an execution: folding them, and judging, guess nothing."""

from __future__ import annotations

from typing import Any

import pytest

from engine.codec import decode
from engine.store.db.database import Database
from tests.support.folding import fold
from tests.support.house import House, python
from tests.support.invariants import check
from tests.support.saying import sweep, transform, waits
from tests.support.transitions import boom

ROWS = "SELECT step, item, status FROM step_runs WHERE execution_id = :id"
FACTS = "SELECT seq, type, step, item, data FROM events WHERE execution_id = :id ORDER BY seq"


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


def folded(house: House, execution_id: str) -> dict[tuple[int, int], str]:
    """Return what the events say of the step runs, which must be what is stored of each."""
    status, found = fold(house.query(FACTS, id=execution_id))
    stored = {(step, item): told for step, item, told in house.query(ROWS, id=execution_id)}
    assert found == {key: stored[key] for key in found}
    assert status == house.status(execution_id)
    return found


def ending(house: House, execution_id: str) -> list[tuple[int, int]]:
    """Return the step runs whose failure, as its event says, ended the execution."""
    facts = house.query(FACTS, id=execution_id)
    return [(step, item) for _, _, step, item, data in facts if decode(data or "{}").get("ends")]


def failing(**more: Any) -> dict[str, Any]:
    return {**python(boom), **more}


def test_of_two_failures_only_the_one_that_ends_the_execution_says_so(house: House) -> None:
    steps = {
        "tolerated": failing(on_failure="continue"),
        "waits": waits(),
        "last": failing(needs=["tolerated"]),
    }
    execution_id = house.run(house.publish("two", steps))
    assert ending(house, execution_id) == [(2, -1)]
    assert folded(house, execution_id) == {
        (0, -1): "failed",
        (1, -1): "skipped",
        (2, -1): "failed",
    }
    check(house.database)


def test_what_was_dropped_stands_as_folded_while_the_execution_still_ends(house: House) -> None:
    steps = {"asks": waits(), "runs": transform(1), "fails": failing()}
    execution_id = house.start(house.publish("ends", steps))
    tickets = {ticket.step: ticket for ticket in house.plan(execution_id)}
    house.deliver(tickets[0])
    house.write("UPDATE step_runs SET status = 'running' WHERE step = 1")  # claimed by another
    house.deliver(tickets[2])
    assert house.execution(execution_id, "status", "ending") == ("running", "failed")
    assert folded(house, execution_id) == {(0, -1): "skipped", (2, -1): "failed"}


def test_a_failed_item_ends_its_fan_out_only_where_it_ends_the_execution(house: House) -> None:
    each = {**failing(), "for_each": [1, 2], "max_parallel": 1}
    handled = {**each, "on_failure": {"run": "mend"}}
    steps = {"each": handled, "mend": transform(1), "then": {**each, "needs": ["mend"]}}
    execution_id = house.run(house.publish("items", steps))
    assert ending(house, execution_id) == [(2, 0)]
    found = folded(house, execution_id)
    assert (found[0, -1], found[2, -1], found[2, 0]) == ("failed", "failed", "failed")
    check(house.database)


def test_a_missed_deadline_is_a_fact_that_drops_what_waits(house: House) -> None:
    steps = {"asks": waits(), "then": transform(1, needs=["asks"]), "tidy": waits("tidied")}
    wanted = house.publish("late", steps, timeout="1h", **{"finally": ["tidy"]})
    execution_id = house.run(wanted)
    house.write("UPDATE executions SET deadline_at = 1")
    sweep(house)
    assert ending(house, execution_id) == []
    assert house.events(execution_id).count("timed_out") == 1
    assert folded(house, execution_id) == {(0, -1): "skipped", (2, -1): "waiting"}


@pytest.mark.parametrize("wrong", ["cancelled", "failed"])
def test_a_row_that_was_dropped_otherwise_than_the_events_say_is_seen(
    house: House, wrong: str
) -> None:
    house.run(house.publish("two", {"asks": waits(), "fails": failing()}))
    check(house.database)
    house.write(f"UPDATE step_runs SET status = '{wrong}' WHERE status = 'skipped'")
    with pytest.raises(AssertionError, match="its events say skipped"):
        check(house.database)


def test_the_fold_is_told_nothing_by_an_error_that_only_looks_like_it(house: House) -> None:
    fail = {"uses": "fail", "with": {"message": '{"ends":true}'}, "on_failure": "continue"}
    execution_id = house.run(house.publish("liar", {"lies": fail, "then": transform(1)}))
    assert ending(house, execution_id) == []
    assert folded(house, execution_id) == {(0, -1): "failed", (1, -1): "completed"}
    check(house.database)
