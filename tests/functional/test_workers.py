"""Workflows run by real worker processes, on both databases."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from engine.commands import lifecycle
from engine.commands.dispatch import dispatch
from engine.store import reads
from tests.support import invariants
from tests.support.fleet import QUICK, Fleet, chain, fleet_on, python, ref
from tests.support.processes import eventually

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Two workers that the tests of this module share and do no harm to."""
    with fleet_on(request, request.param, workers=2) as fleet:
        yield fleet


@pytest.fixture
def fleet(shared: Fleet) -> Iterator[Fleet]:
    """The shared fleet; at the end of each test all that ever ran in it must be legal."""
    yield shared
    invariants.check(shared.database, effects=shared.effects())


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """A fleet without a worker, of this test's own."""
    with fleet_on(request, request.param, variables=QUICK) as fleet:
        yield fleet
        invariants.check(fleet.database, effects=fleet.effects())


# --- shapes ------------------------------------------------------------------------------------


def test_a_chain_of_ten_steps_hands_each_output_on(fleet: Fleet) -> None:
    execution_id = fleet.begin(fleet.publish("chain", chain(10)))
    fleet.await_end(execution_id)
    assert fleet.output(execution_id) == 10
    assert fleet.events(execution_id).count("step_completed") == 10


def test_two_hundred_items_run_and_join_once(fleet: Fleet) -> None:
    steps = {
        "list": {"uses": "transform", "with": {"value": "${{ input.numbers }}"}},
        "each": python(
            "double", x="${{ item }}", options={"for_each": ref("list"), "max_parallel": 20}
        ),
        "sum": python("total", numbers=ref("each")),
    }
    numbers = list(range(200))
    execution_id = fleet.begin(fleet.publish("fan-out", steps), {"numbers": numbers})
    fleet.await_end(execution_id, seconds=60)
    assert fleet.output(execution_id) == 2 * sum(numbers)
    assert fleet.events(execution_id).count("step_expanded") == 1


def test_branches_run_at_once_on_several_threads(fleet: Fleet) -> None:
    steps = {f"b{index}": python("nap", seconds=0.5) for index in range(4)}
    steps["join"] = python("total", numbers=[ref(name) for name in list(steps)])
    execution_id = fleet.begin(fleet.publish("branches", steps))
    fleet.await_end(execution_id)
    assert fleet.output(execution_id) == 4
    ours = [e for e in fleet.effects() if e.execution == execution_id]
    last_start = max(e.at for e in ours if e.kind == "start")
    assert last_start < min(e.at for e in ours if e.kind == "end")


# --- retries, waits, timeouts ------------------------------------------------------------------


def test_retries_come_after_their_backoff(fleet: Fleet) -> None:
    retry = {"attempts": 4, "backoff": "500ms", "factor": 2, "jitter": False}
    steps = {"a": python("fail_until", attempt=4, options={"retry": retry})}
    execution_id = fleet.begin(fleet.publish("retries", steps))
    fleet.await_end(execution_id)
    assert fleet.output(execution_id) == 4
    starts = [e.at for e in fleet.effects("start") if e.execution == execution_id]
    waits = [later - earlier for earlier, later in pairwise(starts)]
    assert [w >= due for w, due in zip(waits, (0.5, 1.0, 2.0), strict=True)] == [True] * 3
    # Generous: the machine is shared. What is shown is that the broker, not a late sweep of an
    # hour, carries retries out.
    assert sum(waits) < 3.5 + 6


def test_a_step_that_always_fails_stops_at_its_limit(fleet: Fleet) -> None:
    retry = {"attempts": 2, "backoff": "100ms"}
    steps = {"a": python("fail_until", attempt=9, options={"retry": retry})}
    execution_id = fleet.begin(fleet.publish("hopeless", steps))
    fleet.await_end(execution_id)
    assert fleet.execution(execution_id, "status", "reason") == ("failed", "step_failed")
    assert fleet.step(execution_id, 0, "attempts", "reason") == (2, "error")


def test_a_sleep_is_parked_and_woken(fleet: Fleet) -> None:
    steps = {
        "nap": {"uses": "sleep", "with": {"for": "1500ms"}},
        "after": {**python("inc", x=1), "needs": ["nap"]},
    }
    execution_id = fleet.begin(fleet.publish("sleeper", steps))
    eventually(
        lambda: fleet.status(execution_id) == "waiting", seconds=10, what="nothing holds a thread"
    )
    fleet.await_end(execution_id)
    started, finished = fleet.execution(execution_id, "started_at", "finished_at")
    assert finished - started >= 1_500_000
    assert fleet.step(execution_id, 0, "attempts") == (1,)


def test_a_timeout_interrupts_the_step_and_counts_as_an_attempt(fleet: Fleet) -> None:
    options = {"timeout": "1s", "retry": {"attempts": 2, "backoff": "100ms"}}
    steps = {"a": python("nap", seconds=60, options=options)}
    execution_id = fleet.begin(fleet.publish("slow", steps))
    fleet.await_end(execution_id)
    assert fleet.step(execution_id, 0, "status", "reason", "attempts") == ("failed", "timeout", 2)
    ours = [e for e in fleet.effects() if e.execution == execution_id]
    assert [e.kind for e in ours] == ["start", "start"]


def test_a_step_with_a_long_timeout_goes_by_the_queue_for_long_ones(fleet: Fleet) -> None:
    steps = {"a": python("nap", seconds=0.1, options={"timeout": "90s"}), **chain(1)}
    execution_id = fleet.begin(fleet.publish("long", steps))
    fleet.await_end(execution_id)
    assert fleet.step(execution_id, 0, "status", "queue") == ("completed", "steps.long")
    assert fleet.step(execution_id, 1, "status", "queue") == ("completed", "steps")


def test_long_steps_run_at_once_on_several_threads(empty: Fleet) -> None:
    long = {"timeout": "90s"}
    steps = {f"b{index}": python("nap", seconds=0.5, options=long) for index in range(4)}
    execution_id = empty.begin(empty.publish("long-branches", steps))
    empty.start()
    empty.await_end(execution_id)
    ours = [e for e in empty.effects() if e.execution == execution_id]
    last_start = max(e.at for e in ours if e.kind == "start")
    assert last_start < min(e.at for e in ours if e.kind == "end")


def test_an_execution_started_with_a_delay_waits_for_it(fleet: Fleet) -> None:
    execution_id = fleet.begin(fleet.publish("later", chain(1)), delay_seconds=2)
    fleet.await_end(execution_id)
    created, started = fleet.execution(execution_id, "created_at", "started_at")
    assert started - created >= 2_000_000


# --- cancel, logs ------------------------------------------------------------------------------


def test_a_running_step_sees_that_its_execution_is_cancelled(fleet: Fleet) -> None:
    steps = {"a": python("until_cancelled", seconds=30), "b": python("inc", x=ref("a"))}
    execution_id = fleet.begin(fleet.publish("cancellable", steps))
    eventually(
        lambda: any(e.execution == execution_id for e in fleet.effects("start")),
        seconds=20,
        what="the step runs",
    )
    fleet.client.cancel(owner_id=fleet.owner_id, execution_id=execution_id, note="enough")
    fleet.await_end(execution_id)
    assert fleet.status(execution_id) == "cancelled"
    assert any(e.execution == execution_id for e in fleet.effects("cancelled"))
    # It ended by itself in its time: what it returned is kept, and nothing follows.
    assert fleet.step(execution_id, 0, "status") == ("completed",)
    assert fleet.step(execution_id, 1, "status", "attempts") == ("cancelled", 0)


def test_what_a_step_says_is_kept_per_attempt_in_order(fleet: Fleet) -> None:
    retry = {"attempts": 2, "backoff": "100ms"}
    steps = {"a": python("talk", words="hello", options={"retry": retry})}
    execution_id = fleet.begin(fleet.publish("talker", steps))
    fleet.await_end(execution_id)
    sql = "SELECT attempt, level, message FROM logs WHERE execution_id = :id ORDER BY seq"
    lines = fleet.query(sql, id=execution_id)
    of_the_engine = [line for line in lines if line[2].startswith("attempt ")]
    assert [line for line in lines if line not in of_the_engine] == [
        (attempt, level, f"{how} hello {attempt}")
        for attempt in (1, 2)
        for how, level in (("print", "info"), ("logging", "warning"), ("context", "info"))
    ]
    [failure] = of_the_engine
    assert failure == lines[3]
    assert "attempt 1 of 2 failed: ValueError: again" in failure[2]


def test_a_message_that_cannot_be_planned_is_a_dead_letter_until_it_is_replayed(
    fleet: Fleet,
) -> None:
    workflow_id = fleet.publish("unreadable", chain(1))
    sql = "SELECT document FROM workflow_versions WHERE workflow_id = :id"
    [(document,)] = fleet.query(sql, id=workflow_id)
    execution_id = fleet.begin(workflow_id, delay_seconds=3600)
    spoil = "UPDATE workflow_versions SET document = :document WHERE workflow_id = :id"
    fleet.write(spoil, id=workflow_id, document='{"name": "unreadable"}')
    # As the eighth retry: waiting for the seven before would take minutes.
    fleet.enqueue("dispatch", execution_id, retries=8)

    def letters() -> Sequence[reads.DeadLetterRow]:
        return fleet.database.read(
            lambda connection: reads.dead_letters(connection, fleet.owner_id)
        ).rows

    eventually(letters, seconds=20, what="the message is a dead letter")
    [letter] = letters()
    assert (letter.execution_id, letter.actor) == (execution_id, "dispatch")
    assert fleet.execution(execution_id, "status", "reason") == ("pending", "dispatch_failed")
    fleet.write(spoil, id=workflow_id, document=document)
    fleet.client.replay(owner_id=fleet.owner_id, dead_letter_id=letter.id)
    fleet.await_end(execution_id)
    assert fleet.status(execution_id) == "completed"
    assert not letters()


# --- workers come and go -----------------------------------------------------------------------


def test_a_worker_asked_to_stop_ends_short_steps_and_gives_long_ones_back(empty: Fleet) -> None:
    leaving = empty.start(ENGINE_DRAIN_SECONDS="2")
    empty.await_ready()
    short = empty.begin(empty.publish("short", {"a": python("nap", seconds=1.5)}))
    long = empty.begin(empty.publish("long", {"a": python("nap", seconds=5)}))
    empty.await_effect("start", count=2)
    asked_at = time.time()
    leaving.process.send_signal(signal.SIGTERM)
    empty.start()
    empty.await_end(short, long)
    assert leaving.process.wait(30) == 0
    [end] = [e for e in empty.effects("end") if e.execution == short]
    assert end.at > asked_at, "it ended before the worker was asked to stop"
    assert empty.step(short, 0, "attempts", "crashes") == (1, 0)
    assert empty.step(long, 0, "status", "attempts", "crashes") == ("completed", 1, 0)
    assert "step_released" in empty.events(long)
    first, second = [e for e in empty.effects("start") if e.execution == long]
    assert first.pid != second.pid
    assert (first.attempt, second.attempt) == (1, 1)


def test_a_worker_told_twice_to_stop_gives_its_claims_back_at_once(empty: Fleet) -> None:
    leaving = empty.start(ENGINE_DRAIN_SECONDS="60")
    empty.await_ready()
    execution_id = empty.begin(empty.publish("long", {"a": python("nap", seconds=30)}))
    empty.await_effect("start", count=1)
    leaving.process.send_signal(signal.SIGTERM)
    eventually(lambda: leaving.says("worker stops: 1 running"), seconds=10, what="it has heard")
    leaving.process.send_signal(signal.SIGTERM)
    leaving.process.wait(10)
    found = empty.step(execution_id, 0, "status", "attempts", "crashes", "epoch")
    assert found == ("queued", 0, 0, 2)
    assert empty.events(execution_id)[-1] == "step_released"
    empty.client.cancel(owner_id=empty.owner_id, execution_id=execution_id)


def test_a_step_that_ignores_its_cancel_is_interrupted(fleet: Fleet) -> None:
    steps = {"a": python("nap", seconds=60), "b": python("inc", x=ref("a"))}
    execution_id = fleet.begin(fleet.publish("stubborn", steps))
    fleet.await_status(execution_id, 0, "running")
    _look, sends = lifecycle.cancel(
        fleet.database,
        fleet.client.versions,
        owner_id=fleet.owner_id,
        execution_id=execution_id,
        grace_seconds=0.2,
    )
    assert sends.now == []
    fleet.await_end(execution_id, seconds=20)
    events = fleet.events(execution_id)
    assert events[-3:] == ["interrupting", "step_cancelled", "cancelled"]
    said = "SELECT outcome, reason FROM attempts WHERE execution_id = :id"
    assert fleet.query(said, id=execution_id) == [("cancelled", "cancelled_by_user")]


def test_of_two_workers_with_the_same_message_one_completes_the_step(empty: Fleet) -> None:
    wanted = [empty.begin(empty.publish("same", chain(3, "nap", seconds=0.1))) for _ in range(5)]
    tickets = []
    for execution_id in wanted:
        planned = dispatch(
            empty.database, empty.client.versions, empty.client.settings, execution_id
        )
        tickets += planned.sends.now * 6
    random.Random(5).shuffle(tickets)
    empty.send(tickets, wanted * 3)
    empty.start()
    empty.start()
    empty.await_ready().await_end()
    assert {empty.output(execution_id) for execution_id in wanted} == {3}
    starts = [e.key for e in empty.effects("start")]
    assert len(starts) == len(set(starts)) == 15


def test_a_step_nobody_knows_waits_for_a_worker_that_does(empty: Fleet) -> None:
    ignorant = empty.start(ENGINE_MODULES="json")
    empty.await_ready()
    execution_id = empty.begin(empty.publish("news", chain(1)))
    eventually(
        lambda: empty.events(execution_id)[-1] == "step_unknown", seconds=20, what="it is held"
    )
    assert empty.step(execution_id, 0, "status", "reason") == ("queued", "unknown_step")
    ignorant.stop()
    empty.start()
    empty.await_ready().await_end(execution_id, seconds=60)
    assert empty.step(execution_id, 0, "status", "attempts", "crashes") == ("completed", 1, 0)


@pytest.mark.parametrize("kind", ["sqlite"])
def test_plain_dramatiq_and_periodiq_need_nothing_but_the_two_urls(
    request: pytest.FixtureRequest, kind: str
) -> None:
    with fleet_on(request, kind) as fleet:
        for name in [name for name in fleet.variables if name.startswith("ENGINE_")]:
            del fleet.variables[name]
        worker = fleet.run(str(BIN / "dramatiq"), "actors", "--processes", "1")
        scheduler = fleet.run(str(BIN / "periodiq"), "actors")
        fleet.await_ready(1)
        steps = {"a": {"uses": "transform", "with": {"value": "${{ input.x + 1 }}"}}}
        execution_id = fleet.begin(fleet.publish("plain", steps), {"x": 1})
        fleet.await_end(execution_id)
        assert fleet.output(execution_id) == 2
        eventually(lambda: scheduler.says("tick"), seconds=20, what="periodiq knows the tick")
        scheduler.process.send_signal(signal.SIGTERM)
        scheduler.process.wait(10)
        assert worker.stop() == 0
        invariants.check(fleet.database)


def test_a_message_of_an_unknown_actor_stops_nobody(empty: Fleet) -> None:
    empty.enqueue("nobody", 1, queue="steps")
    empty.start()
    execution_id = empty.begin(empty.publish("chain", chain(3)))
    empty.await_ready().await_end(execution_id)
    assert empty.output(execution_id) == 3
