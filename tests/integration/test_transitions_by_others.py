"""The rows of ``docs/transitions.md`` that people, drains and rescue walk through."""

from __future__ import annotations

from typing import Any

import pytest

from engine import steps as step_types
from engine.commands import lifecycle
from engine.commands.publish import publish
from engine.core import transitions
from engine.core.status import Reason
from engine.core.transitions import RunKey
from engine.definition import parse
from engine.errors import Conflict, StaleClaim
from engine.flow.outgoing import Sends
from engine.flow.transaction import after_success, commit
from engine.steps import Context
from engine.store.db.database import Database
from engine.store.recovery import due_executions, liveness
from engine.worker.claim import known_code
from engine.worker.fan_out import Expander
from tests.support.house import House, python
from tests.support.transitions import apply, chain, claimed, fan, inc


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


# --- park, wake, hold, release -----------------------------------------------------------------


def test_a_sleep_parks_the_step_run_and_holds_no_claim(house: House) -> None:
    steps = {"nap": {"uses": "sleep", "with": {"for": "1h"}}, "b": {**python(inc, x=1)}}
    steps["b"]["needs"] = ["nap"]
    execution_id = house.run(house.publish("naps", steps))
    assert house.step(execution_id, 0, "status", "attempts") == ("waiting", 0)
    assert house.execution(execution_id, "status", "active") == ("waiting", 0)


def test_a_parked_step_run_that_is_due_is_woken_and_completes(house: House) -> None:
    execution_id = house.run(
        house.publish("naps", {"nap": {"uses": "sleep", "with": {"for": "1h"}}})
    )
    house.write("UPDATE step_runs SET due_at = 1 WHERE status = 'waiting'")
    house.inbox += house.rescue.sweep("w1", steady=True).now
    assert house.step(execution_id, 0, "status") == ("queued",)
    house.drain()
    assert house.status(execution_id) == "completed"


def test_a_step_unknown_to_this_worker_stays_queued_with_the_reason(house: House) -> None:
    steps = {"a": {"uses": "python", "with": {"function": "elsewhere.work"}}}
    execution_id = house.run(house.publish("elsewhere", steps))
    assert house.step(execution_id, 0, "status", "reason", "attempts") == (
        "queued",
        "unknown_step",
        0,
    )
    assert house.events(execution_id)[-1] == "step_unknown"


def test_an_unknown_step_is_sent_only_to_workers_that_know_it(house: House) -> None:
    steps = {"a": {"uses": "python", "with": {"function": "elsewhere.work"}}}
    execution_id = house.run(house.publish("elsewhere", steps))
    house.broker.empty = True
    house.write("UPDATE step_runs SET due_at = 1")
    assert house.rescue.sweep("w1", steady=True).now == []
    house.write("UPDATE step_runs SET due_at = 1")
    house.worker("w2", functions=["elsewhere.work"])
    assert [t.key.execution_id for t in house.rescue.sweep("w1", steady=True).now] == [execution_id]


class Shout:
    name = "shout"

    def run(self, params: dict[str, Any], context: Context) -> Any:
        return str(params["word"]).upper()


def test_a_step_of_a_type_that_is_not_installed_waits_for_a_worker_that_has_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {
        "name": "loud",
        "steps": {
            "a": python(inc, x=0),
            "b": {"uses": "shout", "with": {"word": "on"}, "needs": ["a"]},
        },
    }
    published = publish(house.database, house.owner_id, parse(document, stored=True))
    execution_id = house.run(published.workflow_id)
    assert house.step(execution_id, 1, "status", "reason", "attempts") == (
        "queued",
        "unknown_step",
        0,
    )
    house.broker.empty = True
    house.write("UPDATE step_runs SET due_at = 1 WHERE step = 1")
    assert house.rescue.sweep("w1", steady=True).now == []

    types = {**step_types._types(), "shout": Shout()}
    monkeypatch.setattr(step_types, "_types", lambda: types)
    house.worker("w2", functions=known_code())
    house.write("UPDATE step_runs SET due_at = 1 WHERE step = 1")
    house.sweep()
    house.drain()
    assert house.step(execution_id, 1, "status", "output") == ("completed", '"ON"')


def test_a_release_counts_neither_as_attempt_nor_as_crash(house: House) -> None:
    execution_id, key = claimed(house)
    apply(house, key, 1, transitions.release(now=5))
    assert house.step(execution_id, 0, "status", "attempts", "crashes", "epoch") == (
        "queued",
        0,
        0,
        2,
    )
    assert house.query("SELECT attempt, outcome FROM attempts") == [(1, "released")]


# --- crash, revoke, cancel ---------------------------------------------------------------------


def test_a_dead_workers_step_runs_again_under_a_new_epoch(house: House) -> None:
    execution_id, _key = claimed(house, worker="w2")
    house.worker("w2")
    house.write("UPDATE workers SET beat_at = 1 WHERE id = 'w2'")
    [ticket] = house.rescue.sweep("w1", steady=True).now
    assert ticket.epoch == 2
    assert house.step(execution_id, 0, "status", "attempts", "crashes") == ("queued", 0, 1)
    house.deliver(ticket)
    house.drain()
    assert house.output(execution_id) == 2


def test_an_unsteady_sweeper_declares_nobody_dead(house: House) -> None:
    execution_id, _key = claimed(house, worker="w2")
    house.worker("w2")
    house.write("UPDATE workers SET beat_at = 1 WHERE id = 'w2'")
    assert house.rescue.sweep("w1", steady=False).now == []
    assert house.step(execution_id, 0, "status") == ("running",)


def test_a_worker_known_to_have_stopped_needs_no_lease_to_run_out(house: House) -> None:
    claimed(house, worker="w2")
    house.worker("w2")
    house.write("UPDATE workers SET stopped_at = 1 WHERE id = 'w2'")
    assert len(house.rescue.sweep("w1", steady=False).now) == 1


def test_a_buried_worker_leaves_no_lease_behind(house: House) -> None:
    claimed(house, worker="w2")
    house.worker("w2")
    assert house.rescue.sweep("w2", steady=True).now == []
    now = house.database.now()
    house.database.write(
        lambda connection: liveness.stop_processes(connection, now, host="here", pid=1)
    )
    assert len(house.rescue.sweep("w1", steady=False).now) == 1


def test_the_third_crash_is_the_last(house: House) -> None:
    execution_id, key = claimed(house, worker="gone")
    house.write("UPDATE step_runs SET crashes = 2 WHERE status = 'running'")
    house.rescue.sweep("w1", steady=True)
    assert house.step(execution_id, key.step, "status", "reason", "crashes") == (
        "failed",
        "worker_crashed",
        3,
    )
    assert house.status(execution_id) == "failed"


def test_a_claim_beyond_its_deadline_times_out(house: House) -> None:
    execution_id, _key = claimed(house)
    house.write("UPDATE step_runs SET due_at = 1 WHERE status = 'running'")
    house.rescue.sweep("w1", steady=True)
    assert house.step(execution_id, 0, "status", "reason") == ("failed", "timeout")


def test_cancelling_a_pending_execution_ends_it_at_once(house: House) -> None:
    execution_id = house.start(chain(house))
    house.cancel(execution_id, "wrong file")
    assert house.execution(execution_id, "status", "reason", "cancel_note") == (
        "cancelled",
        "cancelled_by_user",
        "wrong file",
    )
    assert house.plan(execution_id) == []


def test_no_item_is_made_once_a_cancel_has_committed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = house.start(fan(house), {"xs": [1, 2, 3]})
    [ticket] = house.plan(execution_id)
    kept_items = Expander._kept_items

    def cancelled_first(expander: Expander, *arguments: Any) -> Any:
        # Between the reading of the items and their rows.
        house.cancel(execution_id)
        return kept_items(expander, *arguments)

    monkeypatch.setattr(Expander, "_kept_items", cancelled_first)
    house.deliver(ticket)
    assert house.status(execution_id) == "cancelled"
    assert house.query("SELECT count(*) FROM step_runs WHERE item >= 0") == [(0,)]


def test_cancelling_lets_the_running_step_finish_and_starts_no_other(house: House) -> None:
    def during(x: int) -> int:
        house.cancel(execution_id)
        return x

    steps = {"a": python(during, x=1), "b": python(inc, x="${{ steps.a.output }}")}
    execution_id = house.start(house.publish("cancels", steps))
    house.plan(execution_id)
    house.drain()
    assert house.step(execution_id, 0, "status", "output") == ("completed", "1")
    assert house.step(execution_id, 1, "status") == ("cancelled",)
    assert house.status(execution_id) == "cancelled"


def test_a_claim_that_outlives_the_grace_is_revoked(house: House) -> None:
    execution_id, key = claimed(house)
    house.cancel(execution_id)
    assert house.status(execution_id) == "running"
    house.sweep()  # the grace is over: it is interrupted
    assert house.status(execution_id) == "running"
    assert house.events(execution_id)[-1] == "interrupting"
    house.sweep()
    assert house.status(execution_id) == "cancelled"
    assert house.step(execution_id, 0, "status", "epoch") == ("cancelled", 2)
    with pytest.raises(StaleClaim):
        apply(house, key, 1, transitions.complete(now=1, output="1"))


def test_an_execution_ends_once_however_often_it_is_told(house: House) -> None:
    execution_id, _key = claimed(house)
    house.cancel(execution_id)
    # Found overdue by two sweeps at once, the second of which comes when it has ended.
    found = house.database.read(
        lambda connection: due_executions.overdue(connection, house.database.now(), 10)
    )
    for _sweep in range(2):
        for row in found:
            house.rescue.end_now(row.id, Sends())
    assert house.events(execution_id).count("cancelled") == 1
    assert house.step(execution_id, 0, "reason") == ("cancelled_by_user",)


def test_cancelling_twice_or_after_the_end_is_a_conflict(house: House) -> None:
    execution_id, _key = claimed(house)
    house.cancel(execution_id)
    with pytest.raises(Conflict, match="ending already"):
        house.cancel(execution_id)
    done = house.run(chain(house))
    with pytest.raises(Conflict, match="completed already"):
        house.cancel(done)


# --- messages that are lost --------------------------------------------------------------------


def test_an_unclaimed_row_is_sent_again_without_a_new_epoch(house: House) -> None:
    execution_id = house.start(chain(house))
    [ticket] = house.plan(execution_id)
    house.inbox.clear()
    house.broker.empty = True
    house.write(
        "UPDATE step_runs SET due_at = due_at - 10000000, queued_at = due_at - 10000000"
        " WHERE status = 'queued'"
    )
    assert house.rescue.sweep("w1", steady=True).now == [ticket]
    assert house.rescue.sweep("w1", steady=True).now == []


def test_no_message_is_sent_again_without_evidence(house: House) -> None:
    execution_id = house.start(chain(house))
    house.plan(execution_id)
    house.write("UPDATE step_runs SET due_at = 1 WHERE status = 'queued'")
    assert house.rescue.sweep("w1", steady=True).now == []


def test_all_messages_are_sent_again_when_redis_lost_its_memory(house: House) -> None:
    house.rescue.sweep("w1", steady=True)
    planned = house.start(chain(house))
    house.plan(planned)
    pending = house.start(chain(house))
    house.broker.word = "second"
    sends = house.rescue.sweep("w1", steady=True)
    assert [ticket.execution_id for ticket in sends.now] == [planned]
    assert sends.dispatches == [pending]


def test_an_execution_whose_worker_died_before_its_end_is_finished(house: House) -> None:
    execution_id, key = claimed(house)
    definition = house.versions.get(house.execution(execution_id, "workflow_id")[0], 1)

    def both(taken: Any) -> None:
        taken.apply(key, 1, transitions.complete(now=taken.now, output="1"))
        after_success(taken, definition, key, ran=True)

    commit(house.database, execution_id, both)
    second = RunKey(execution_id, 1)
    move = transitions.skip(now=1, reason=Reason.CONDITION_FALSE)

    def last(taken: Any) -> None:
        taken.apply(second, 1, move)
        after_success(taken, definition, second, ran=False)

    commit(house.database, execution_id, last)
    assert house.status(execution_id) == "running"
    house.write("UPDATE executions SET due_at = 1")
    [again] = house.rescue.sweep("w1", steady=True).dispatches
    house.plan(again)
    assert house.status(execution_id) == "completed"


# --- admit, retry ------------------------------------------------------------------------------


def test_the_same_idempotency_key_gives_the_same_execution(house: House) -> None:
    workflow_id = chain(house)
    first = house.start(workflow_id, idempotency_key="k")
    assert house.start(workflow_id, idempotency_key="k") == first
    with pytest.raises(Conflict, match="another request"):
        house.start(workflow_id, {"other": 1}, idempotency_key="k")


def test_a_retry_is_a_new_execution_that_reuses_what_completed(house: House) -> None:
    calls: list[str] = []

    def first() -> int:
        calls.append("first")
        return 7

    def second(x: int) -> int:
        calls.append("second")
        if calls.count("second") == 1:
            raise ValueError("once")
        return x + 1

    steps = {"a": python(first), "b": python(second, x="${{ steps.a.output }}")}
    failed = house.run(house.publish("again", steps))
    assert house.status(failed) == "failed"
    again = house.retry(failed)
    house.plan(again)
    house.drain()
    assert calls == ["first", "second", "second"]
    assert house.output(again) == 8
    assert house.execution(again, "origin_id", "trigger") == (failed, "retry")
    assert house.execution(again, "runs_done", "runs_total") == (2, 2)
    assert house.status(failed) == "failed"


def test_only_a_failed_or_cancelled_execution_is_retried(house: House) -> None:
    done = house.run(chain(house))
    with pytest.raises(Conflict, match="is completed"):
        house.retry(done)


def test_a_running_step_of_a_paused_execution_still_times_out(house: House) -> None:
    execution_id, _key = claimed(house)
    lifecycle.pause(house.database, owner_id=house.owner_id, execution_id=execution_id)
    house.write("UPDATE step_runs SET due_at = 1 WHERE status = 'running'")
    house.sweep()
    assert house.step(execution_id, 0, "status", "reason") == ("failed", "timeout")
