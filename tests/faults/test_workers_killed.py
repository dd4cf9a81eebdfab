"""Workers are killed and poisoned; nothing is lost, and nobody else is disturbed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.support import invariants
from tests.support.effects import Effect
from tests.support.fleet import QUICK, Fleet, Worker, chain, fan_out, fleet_on, python, ref
from tests.support.processes import eventually

KINDS = ("sqlite", "postgresql")


@pytest.fixture(params=KINDS)
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """A fleet without a worker; deaths are found in some five seconds."""
    with fleet_on(request, request.param, variables=QUICK) as fleet:
        yield fleet


@pytest.fixture
def on_sqlite(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """The same where the database makes no difference."""
    with fleet_on(request, "sqlite", variables=QUICK) as fleet:
        yield fleet


# --- kill -9 with the settings that people have ---------------------------------------------------


@dataclass
class Aftermath:
    """One worker of two was killed in the middle of its steps, and all executions have ended."""

    fleet: Fleet
    killed: int  # the pid
    killed_at: float
    starts: dict[str, list[Effect]]  # by execution


@pytest.fixture(scope="module")
def aftermaths(request: pytest.FixtureRequest) -> Iterator[list[Aftermath]]:
    """Kill a worker with the default heartbeat, lease and sweep, on both databases at once."""
    with ExitStack() as stack:
        fleets = [stack.enter_context(fleet_on(request, kind, workers=2)) for kind in KINDS]
        for fleet in fleets:
            # Six steps on two times four threads: each worker must have some.
            steps = {"long": python("nap_first", seconds=14), "after": python("inc", x=ref("long"))}
            workflow_id = fleet.publish("long", steps)
            for _ in range(6):
                fleet.begin(workflow_id)
        # Both before either is waited for: by then the steps of the other would be over.
        killed = [_kill_one(fleet) for fleet in fleets]
        yield [_aftermath(fleet, *death) for fleet, death in zip(fleets, killed, strict=True)]


def _kill_one(fleet: Fleet) -> tuple[int, float]:
    fleet.await_effect("start", step="long", count=6, seconds=30)
    pid = fleet.workers[0].pid
    killed_at = time.time()
    fleet.workers[0].signal(signal.SIGKILL)
    return pid, killed_at


def _aftermath(fleet: Fleet, pid: int, killed_at: float) -> Aftermath:
    fleet.await_end(seconds=90)
    starts: dict[str, list[Effect]] = {}
    for effect in fleet.effects("start"):
        if effect.step == "long":
            starts.setdefault(effect.execution, []).append(effect)
    invariants.check(fleet.database, effects=fleet.effects())
    return Aftermath(fleet, pid, killed_at, starts)


def test_steps_of_a_killed_worker_run_again_within_20_seconds(aftermaths: list[Aftermath]) -> None:
    for after in aftermaths:
        hit = {e: s for e, s in after.starts.items() if s[0].pid == after.killed}
        assert hit, "the killed worker ran nothing"
        for execution_id, (_first, again) in hit.items():
            assert again.at - after.killed_at <= 20
            assert after.fleet.status(execution_id) == "completed"
            assert after.fleet.step(execution_id, 0, "attempts", "crashes") == (1, 1)


def test_steps_of_the_other_worker_go_on_undisturbed(aftermaths: list[Aftermath]) -> None:
    for after in aftermaths:
        spared = {e: s for e, s in after.starts.items() if s[0].pid != after.killed}
        assert spared, "the other worker ran nothing"
        for execution_id, starts in spared.items():
            assert len(starts) == 1
            assert after.fleet.status(execution_id) == "completed"
            assert after.fleet.step(execution_id, 0, "attempts", "crashes") == (1, 0)


def starts_in(fleet: Fleet, worker: Worker) -> int:
    """Return how many steps have begun in the worker."""
    return sum(effect.pid == worker.pid for effect in fleet.effects("start"))


def await_another_start(fleet: Fleet, worker: Worker) -> None:
    """Return when the worker has just begun one more step."""
    before = starts_in(fleet, worker)
    eventually(lambda: starts_in(fleet, worker) > before, seconds=20, what="it begins another step")


def test_workers_replaced_one_by_one_under_load_count_no_crash(on_sqlite: Fleet) -> None:
    fleet = on_sqlite
    fleet.variables["ENGINE_DRAIN_SECONDS"] = "1"
    fleet.start()
    fleet.start()
    fleet.await_ready()
    busy = fleet.publish("busy", chain(3, "nap", seconds=2))
    wanted = {fleet.begin(busy): 3 for _ in range(16)}
    for leaving in fleet.workers[:2]:
        fleet.start()
        fleet.await_ready()
        # Asked to stop while it has just begun a step, which outlasts the drain.
        await_another_start(fleet, leaving)
        assert leaving.stop() == 0
    fleet.await_end(seconds=60)
    assert {execution_id: fleet.output(execution_id) for execution_id in wanted} == wanted
    assert fleet.query("SELECT max(crashes), max(attempts) FROM step_runs") == [(0, 1)]
    assert fleet.query("SELECT 1 FROM attempts WHERE outcome = 'released'")
    invariants.check(fleet.database, effects=fleet.effects())


# --- at each boundary -----------------------------------------------------------------------------


def mixed_work(fleet: Fleet, times: int) -> dict[str, int]:
    """Start chains, fan-outs and retries; return what each execution must give."""
    retry = {"attempts": 3, "backoff": "100ms"}
    failing = {"a": python("fail_until", attempt=2, options={"retry": retry})}
    kinds = [
        (fleet.publish("chain", chain(6)), 6),
        (fleet.publish("fan-out", fan_out(8, "double", x="${{ item }}")), 56),
        (fleet.publish("failing", failing), 2),
    ]
    return {fleet.begin(wf): gives for _ in range(times) for wf, gives in kinds}


def test_workers_killed_at_every_boundary_lose_nothing(fleet: Fleet) -> None:
    # Every hop by message, and a limit that bad luck alone cannot reach.
    fleet.variables |= {"ENGINE_CONTINUATION_MS": "0", "ENGINE_MAX_CRASHES": "12"}
    strikes = (
        "before_commit=kill@4",
        "after_commit=kill@3",
        "after_commit=kill@8",
        "between_claim_and_run=kill@2",
        "after_effect=kill@2",
        "before_enqueue=kill@2",
        "after_enqueue=kill@1",
    )
    doomed = [fleet.start(threads=2, ENGINE_FAILPOINTS=strike) for strike in strikes]
    fleet.await_ready()
    wanted = mixed_work(fleet, 5)
    eventually(
        lambda: all(worker.ended for worker in doomed), seconds=60, what="each reaches its point"
    )
    fleet.start()
    fleet.await_end(seconds=60)
    assert {execution_id: fleet.output(execution_id) for execution_id in wanted} == wanted
    invariants.check(fleet.database, effects=fleet.effects(), max_crashes=12)


def test_answers_lost_at_every_boundary_lose_nothing(fleet: Fleet) -> None:
    fleet.variables |= {"ENGINE_CONTINUATION_MS": "0", "ENGINE_MAX_CRASHES": "12"}
    for strike in (
        "before_commit=raise@4,after_effect=raise@6,before_enqueue=raise@1",
        "after_commit=raise@3,between_claim_and_run=raise@5,after_enqueue=raise@1",
        "after_commit=raise@10,before_enqueue=raise@4,before_commit=raise@14",
    ):
        fleet.start(threads=2, ENGINE_FAILPOINTS=strike)
    fleet.await_ready()
    wanted = mixed_work(fleet, 5)
    fleet.await_end(seconds=60)
    assert {execution_id: fleet.output(execution_id) for execution_id in wanted} == wanted
    assert any(worker.says("failpoint") for worker in fleet.workers)
    invariants.check(fleet.database, effects=fleet.effects(), max_crashes=12)


# --- poisoned -------------------------------------------------------------------------------------


def test_a_step_that_kills_its_worker_three_times_fails_and_others_do_not(on_sqlite: Fleet) -> None:
    fleet = on_sqlite
    fleet.keep(2)
    fleet.await_ready()
    others = [fleet.begin(fleet.publish("other", chain(3, "nap", seconds=0.3))) for _ in range(6)]
    poison = fleet.begin(fleet.publish("poison", {"a": python("die")}))

    def ended() -> bool:
        fleet.keep(2)
        return fleet.status(poison) == "failed"

    eventually(ended, seconds=90, what="the poison is given up", every=0.2)
    assert fleet.step(poison, 0, "status", "reason", "crashes") == ("failed", "worker_crashed", 3)
    assert len([e for e in fleet.effects("start") if e.execution == poison]) == 3
    fleet.await_end(*others, seconds=30)
    assert {fleet.output(execution_id) for execution_id in others} == {3}
    invariants.check(fleet.database, effects=fleet.effects())
