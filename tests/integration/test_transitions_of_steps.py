"""The rows of ``docs/transitions.md`` that one worker walks through, on both databases."""

from __future__ import annotations

import pytest

from engine.core import transitions
from engine.core.status import StepStatus
from engine.core.transitions import RunKey
from engine.errors import StaleClaim
from engine.settings import Settings
from engine.store.db.database import Database
from tests.support.house import House, python
from tests.support.transitions import apply, boom, chain, claimed, fan, flaky, inc


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


# --- plan, claim -------------------------------------------------------------------------------


def test_planning_queues_the_roots_and_nothing_else(house: House) -> None:
    execution_id = house.start(chain(house))
    [ticket] = house.plan(execution_id)
    assert (ticket.step, ticket.epoch) == (0, 1)
    assert house.step(execution_id, 0, "status") == ("queued",)
    assert house.step(execution_id, 1, "status", "needs_left") == ("pending", 1)
    assert house.events(execution_id) == ["created", "started"]


def test_planning_twice_changes_nothing(house: House) -> None:
    execution_id = house.start(chain(house))
    house.plan(execution_id)
    before = house.query("SELECT * FROM step_runs ORDER BY step")
    assert house.plan(execution_id) == []
    assert house.query("SELECT * FROM step_runs ORDER BY step") == before


def test_a_claim_counts_an_attempt_and_names_its_worker(house: House) -> None:
    execution_id, _key = claimed(house)
    assert house.step(execution_id, 0, "status", "attempts", "worker_id") == ("running", 1, "w1")
    assert house.execution(execution_id, "status", "active") == ("running", 1)


def test_a_claim_with_an_old_epoch_is_stale(house: House) -> None:
    execution_id = house.start(chain(house))
    house.plan(execution_id)
    key = RunKey(execution_id, 0)
    move = transitions.claim(StepStatus.QUEUED, worker_id="w2", now=0, deadline=0, input=None)
    with pytest.raises(StaleClaim):
        apply(house, key, 0, move)


def test_of_two_claims_the_second_is_stale(house: House) -> None:
    _id, key = claimed(house)
    move = transitions.claim(StepStatus.QUEUED, worker_id="w2", now=0, deadline=0, input=None)
    with pytest.raises(StaleClaim):
        apply(house, key, 1, move)


def test_a_doubled_message_runs_its_step_once(house: House) -> None:
    calls: list[int] = []

    def count() -> int:
        calls.append(1)
        return len(calls)

    execution_id = house.start(house.publish("once", {"a": python(count)}))
    [ticket] = house.plan(execution_id)
    house.deliver(ticket)
    house.deliver(ticket, house.worker("w2"))
    assert calls == [1]
    assert house.status(execution_id) == "completed"


def test_nothing_is_claimed_while_an_execution_ends(house: House) -> None:
    execution_id, _key = claimed(house)
    house.cancel(execution_id)
    house.deliver(house.ticket(execution_id, 1))
    assert house.step(execution_id, 1, "status", "attempts") == ("cancelled", 0)


# --- complete ----------------------------------------------------------------------------------


def test_completing_readies_the_dependant_in_the_same_commit(house: House) -> None:
    execution_id = house.start(chain(house))
    [ticket] = house.plan(execution_id)
    sends = house.deliver(ticket)
    assert [t.step for t in sends.now] == [1]
    assert house.step(execution_id, 1, "status", "epoch") == ("queued", 1)


def test_a_result_under_an_old_epoch_changes_nothing(house: House) -> None:
    execution_id, key = claimed(house)
    apply(house, key, 1, transitions.crash(now=1, crashes=1))
    before = house.query("SELECT * FROM events ORDER BY seq")
    with pytest.raises(StaleClaim):
        apply(house, key, 1, transitions.complete(now=2, output="1"))
    assert house.step(execution_id, 0, "status", "output") == ("queued", None)
    assert house.query("SELECT * FROM events ORDER BY seq") == before


def test_completing_twice_is_stale(house: House) -> None:
    _id, key = claimed(house)
    apply(house, key, 1, transitions.complete(now=1, output="1"))
    with pytest.raises(StaleClaim):
        apply(house, key, 1, transitions.complete(now=1, output="2"))


def test_a_chain_gives_its_last_output_and_gapless_events(house: House) -> None:
    execution_id = house.run(chain(house, 4))
    assert house.output(execution_id) == 4
    assert house.execution(execution_id, "status", "active", "steps_left", "runs_done") == (
        "completed",
        0,
        0,
        4,
    )
    expected = ["created", "started", *["step_started", "step_completed"] * 4, "completed"]
    assert house.events(execution_id) == expected


def test_a_chain_that_continues_leaves_the_same_facts(database: Database) -> None:
    house = House(database, Settings(continuation_ms=60_000))
    execution_id = house.start(chain(house, 4))
    [ticket] = house.plan(execution_id)
    sends = house.deliver(ticket)
    assert sends.now == []
    assert house.output(execution_id) == 4
    expected = ["created", "started", *["step_started", "step_completed"] * 4, "completed"]
    assert house.events(execution_id) == expected


@pytest.mark.parametrize("continuation_ms", [0, 60_000])
def test_a_step_that_rides_along_has_what_advance_and_claim_would_have_written(
    database: Database, continuation_ms: int
) -> None:
    house = House(database, Settings(continuation_ms=continuation_ms))
    execution_id = house.run(chain(house, 3))
    columns = ("status", "epoch", "attempts", "needs_left", "needs_ran", "output", "reason")
    for step in (1, 2):
        found = house.step(execution_id, step, *columns)
        assert found == ("completed", 1, 1, 0, 1, str(step + 1), None)


def test_a_step_that_does_not_wait_for_its_need_any_more_cannot_ride(house: House) -> None:
    execution_id, _key = claimed(house)
    house.write("UPDATE step_runs SET status = 'cancelled' WHERE step = 1")
    move = transitions.claim_next(worker_id="w1", now=1, deadline=2, input="{}")
    with pytest.raises(StaleClaim):
        apply(house, RunKey(execution_id, 1), 0, move)
    assert house.step(execution_id, 1, "status", "attempts") == ("cancelled", 0)


# --- retry, fail, reject -----------------------------------------------------------------------


def test_a_failure_with_attempts_left_is_owed_again_with_a_new_epoch(house: House) -> None:
    execution_id = house.run(flaky(house))
    assert house.step(execution_id, 0, "status", "attempts", "epoch", "reason") == (
        "retrying",
        1,
        2,
        "error",
    )
    [(ticket, delay)] = house.later
    assert (ticket.epoch, delay) == (2, 20_000_000)
    assert house.status(execution_id) == "waiting"
    assert house.events(execution_id)[-2:] == ["step_retrying", "waiting"]
    assert house.query("SELECT attempt, outcome, reason FROM attempts") == [(1, "failed", "error")]


def test_a_retry_that_arrives_early_comes_back_by_the_rest(house: House) -> None:
    execution_id = house.run(flaky(house))
    [(ticket, _delay)] = house.later
    house.later.clear()
    house.deliver(ticket)
    [(again, rest)] = house.later
    assert again == ticket
    assert 0 < rest <= 20_000_000
    assert house.step(execution_id, 0, "attempts") == (1,)


def test_attempts_never_pass_their_limit(house: House) -> None:
    execution_id = house.run(flaky(house))
    for _ in range(5):
        house.write("UPDATE step_runs SET due_at = 0 WHERE status = 'retrying'")
        tickets, house.later = house.later, []
        for ticket, _delay in tickets:
            house.deliver(ticket)
    assert house.step(execution_id, 0, "status", "attempts", "reason") == ("failed", 3, "error")
    assert house.execution(execution_id, "status", "reason") == ("failed", "step_failed")


def test_the_log_of_a_step_tells_how_its_attempts_ended(house: House) -> None:
    execution_id = house.run(flaky(house))
    house.write("UPDATE step_runs SET due_at = 0, attempts = 2 WHERE status = 'retrying'")
    [(ticket, _delay)] = house.later
    house.deliver(ticket)
    rows = house.query("SELECT attempt, level, message FROM logs ORDER BY seq")
    assert rows == [
        (1, "warning", "attempt 1 of 3 failed: ValueError: boom · attempt 2 in 20.00 s"),
        (3, "error", "attempt 3 of 3 failed: ValueError: boom · no attempts left"),
    ]
    assert house.status(execution_id) == "failed"


def test_a_failure_ends_what_follows_and_names_its_cause(house: House) -> None:
    steps = {"a": python(boom), "b": {**python(inc, x=1), "needs": ["a"]}}
    execution_id = house.run(house.publish("fails", steps))
    assert house.status(execution_id) == "failed"
    assert house.step(execution_id, 1, "status", "reason") == ("skipped", "upstream_failed")
    from engine.codec import decode

    error = decode(house.execution(execution_id, "error")[0])
    assert (error["message"], error["type"], error["step"]) == ("boom", "ValueError", "a")
    assert "in boom" in error["trace"]
    assert house.events(execution_id)[-2:] == ["step_failed", "failed"]


def test_no_retry_is_granted_while_the_execution_ends(house: House) -> None:
    def slow() -> None:
        house.cancel(execution_id)
        raise ValueError("late")

    retry = {"attempts": 5}
    workflow_id = house.publish("ends", {"a": {**python(slow), "retry": retry}})
    execution_id = house.start(workflow_id)
    house.plan(execution_id)
    house.drain()
    assert house.step(execution_id, 0, "status") == ("failed",)
    assert house.status(execution_id) == "cancelled"


def test_a_step_whose_own_expression_fails_is_rejected_without_an_attempt(house: House) -> None:
    steps = {"a": python(inc, x="${{ input.missing.deep }}")}
    execution_id = house.run(house.publish("rejects", steps))
    assert house.step(execution_id, 0, "status", "reason", "attempts") == (
        "failed",
        "rejected_input",
        0,
    )
    assert house.status(execution_id) == "failed"


# --- skip --------------------------------------------------------------------------------------


def test_a_false_condition_skips_and_what_needs_only_skipped_steps_is_skipped_too(
    house: House,
) -> None:
    steps = {
        "a": python(inc, x=1),
        "b": {**python(inc, x=1), "when": "${{ steps.a.output > 5 }}"},
        "c": {**python(inc, x=1), "needs": ["b"]},
        "d": {**python(inc, x=1), "needs": ["a", "c"]},
    }
    execution_id = house.run(house.publish("skips", steps))
    found = [house.step(execution_id, index, "status", "reason") for index in range(4)]
    assert found == [
        ("completed", None),
        ("skipped", "condition_false"),
        ("skipped", "needs_skipped"),
        ("completed", None),
    ]
    assert house.status(execution_id) == "completed"


# --- fan-out -----------------------------------------------------------------------------------


def test_a_fan_out_joins_once_with_results_in_item_order(house: House) -> None:
    execution_id = house.run(fan(house), {"xs": list(range(40))})
    assert house.output(execution_id) == [x + 1 for x in range(40)]
    assert house.execution(execution_id, "runs_done", "runs_total") == (41, 41)
    assert house.step(execution_id, 0, "status", "items", "items_left") == ("completed", 40, 0)


def test_max_parallel_bounds_what_is_in_flight(house: House) -> None:
    execution_id = house.start(fan(house, max_parallel=3), {"xs": list(range(10))})
    [ticket] = house.plan(execution_id)
    house.inbox.clear()
    house.deliver(ticket)
    assert len(house.inbox) == 3
    while house.inbox:
        house.deliver(house.inbox.pop())
        [(flying,)] = house.query(
            "SELECT count(*) FROM step_runs WHERE item >= 0 AND status IN ('queued', 'running')"
        )
        assert flying <= 3
    assert house.output(execution_id) == [x + 1 for x in range(10)]


def test_an_empty_fan_out_completes_at_once(house: House) -> None:
    execution_id = house.run(fan(house), {"xs": []})
    assert house.output(execution_id) == []
    assert house.execution(execution_id, "status", "runs_done", "runs_total") == (
        "completed",
        2,
        2,
    )


def test_an_expansion_begun_twice_makes_each_item_once(house: House) -> None:
    execution_id = house.start(fan(house), {"xs": [1, 2, 3]})
    [ticket] = house.plan(execution_id)
    house.write(
        "INSERT INTO step_runs (execution_id, step, item, status, queue, value)"
        " VALUES (:id, 0, 1, 'pending', 'steps', '2')",
        id=execution_id,
    )
    house.deliver(ticket)
    house.deliver(ticket)
    house.drain()
    assert house.output(execution_id) == [2, 3, 4]


def test_a_failed_item_fails_its_fan_out_and_the_execution(house: House) -> None:
    def picky(x: int) -> int:
        if x == 2:
            raise ValueError("not two")
        return x

    steps = {"each": {**python(picky, x="${{ item }}"), "for_each": "${{ input.xs }}"}}
    execution_id = house.run(house.publish("picky", steps), {"xs": [1, 2, 3]})
    assert house.status(execution_id) == "failed"
    assert house.step(execution_id, 0, "status", "reason") == ("failed", "step_failed")
    assert house.step(execution_id, 0, "status", item=2) == ("skipped",)
