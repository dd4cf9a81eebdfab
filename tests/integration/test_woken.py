"""A wait whose time has come is over, whatever becomes of the worker that hears of it first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine import steps as step_types
from engine.core import transitions
from engine.core.status import StepStatus
from engine.core.transitions import RunKey
from engine.steps import Park
from engine.steps.context import Context
from engine.store.db.database import Database
from engine.worker import run
from engine.worker.attempt import Released
from engine.worker.claim_registry import Claim, Stop
from tests.support.dying import die
from tests.support.house import House
from tests.support.transitions import apply

WEEK: dict[str, Any] = {"uses": "sleep", "with": {"for": "7d"}}


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


def asleep(house: House, step: dict[str, Any] = WEEK) -> str:
    """Return an execution whose step waits, and whose time has come."""
    execution_id = house.run(house.publish("nap", {"a": step}))
    assert house.step(execution_id, 0, "status", "woken") == ("waiting", False)
    house.write("UPDATE step_runs SET due_at = 1")
    return execution_id


def heard(house: House, execution_id: str) -> None:
    """Its message comes by itself."""


def swept(house: House, execution_id: str) -> None:
    """Rescue wakes it."""
    house.sweep()
    house.inbox.clear()
    assert house.step(execution_id, 0, "status") == ("queued",)


both_ways = pytest.mark.parametrize("woken", [heard, swept])
Woken = Callable[[House, str], None]


@both_ways
def test_a_sleep_is_not_slept_again_when_its_worker_is_killed_before_it_is_over(
    house: House, database_url: str, woken: Woken
) -> None:
    execution_id = asleep(house)
    woken(house, execution_id)
    house.worker("doomed")
    die(database_url, "doomed", "between_claim_and_run", house.ticket(execution_id, 0))
    assert house.step(execution_id, 0, "status", "worker_id") == ("running", "doomed")
    house.kill("doomed")
    house.sweep()
    house.drain()
    assert house.status(execution_id) == "completed"
    assert house.step(execution_id, 0, "crashes") == (1,)


@both_ways
def test_nor_when_its_worker_gives_it_back(
    house: House, monkeypatch: pytest.MonkeyPatch, woken: Woken
) -> None:
    execution_id = asleep(house)
    woken(house, execution_id)
    with monkeypatch.context() as draining:
        draining.setattr(run, "run_attempt", released)
        house.deliver(house.ticket(execution_id, 0))
    assert house.step(execution_id, 0, "status", "reason") == ("queued", None)
    house.drain()
    assert house.status(execution_id) == "completed"


def released(_step: Any, _params: Any, claim: Claim, *_others: Any, **_more: Any) -> Any:
    claim.stop = Stop.DRAIN
    return Released()


class Twice:
    """A step type of somebody's own: it waits, and does its work once it is woken."""

    name = "twice"
    runs: list[bool]

    def __init__(self) -> None:
        self.runs = []

    def run(self, params: dict[str, Any], context: Context) -> Any:
        self.runs.append(context.woken)
        if not context.woken:
            return Park(context.clock() + 3_600_000_000)
        if params.get("fails") and self.runs.count(True) == 1:
            raise ValueError("not yet")
        return "done"


@pytest.fixture
def twice(monkeypatch: pytest.MonkeyPatch) -> Twice:
    made = Twice()
    types = {**step_types._types(), "twice": made}
    monkeypatch.setattr(step_types, "_types", lambda: types)
    monkeypatch.setattr("engine.definition.uses._installed", lambda: ("twice",))
    return made


def test_a_step_type_of_ones_own_is_told_too_that_it_was_woken(house: House, twice: Twice) -> None:
    execution_id = asleep(house, {"uses": "twice"})
    swept(house, execution_id)
    crash(house, execution_id)
    house.drain()
    assert house.status(execution_id) == "completed"
    assert twice.runs == [False, True]


def test_nor_is_it_forgotten_by_a_worker_that_lacks_its_code(
    house: House, twice: Twice, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = asleep(house, {"uses": "twice"})
    swept(house, execution_id)
    with monkeypatch.context() as old:
        old.setattr(step_types, "has", lambda uses: uses != "twice")
        house.deliver(house.ticket(execution_id, 0))
    assert house.step(execution_id, 0, "status", "reason") == ("queued", "unknown_step")
    house.deliver(house.ticket(execution_id, 0))
    assert house.status(execution_id) == "completed"
    assert twice.runs == [False, True]


def test_an_attempt_that_failed_after_its_wait_waits_anew(house: House, twice: Twice) -> None:
    step = {"uses": "twice", "with": {"fails": True}, "retry": {"attempts": 2, "backoff": "1s"}}
    execution_id = asleep(house, step)
    swept(house, execution_id)
    house.deliver(house.ticket(execution_id, 0))
    assert house.step(execution_id, 0, "status", "woken") == ("retrying", False)
    house.write("UPDATE step_runs SET due_at = 1")
    house.deliver(house.ticket(execution_id, 0))
    assert house.step(execution_id, 0, "status") == ("waiting",)
    assert twice.runs == [False, True, False]


def test_one_that_waits_again_is_not_woken_yet(house: House) -> None:
    execution_id = asleep(house)
    swept(house, execution_id)
    key = RunKey(execution_id, 0)
    epoch = house.step(execution_id, 0, "epoch")[0]
    claim = transitions.claim(StepStatus.QUEUED, worker_id="w1", now=1, deadline=2, input="{}")
    apply(house, key, epoch, claim)
    apply(house, key, epoch, transitions.park(now=1, until=2, wait_for=None, data={}))
    assert house.step(execution_id, 0, "status", "woken") == ("waiting", False)


def crash(house: House, execution_id: str) -> None:
    """Let the step's worker claim it and die."""
    key, epoch = RunKey(execution_id, 0), house.step(execution_id, 0, "epoch")[0]
    house.worker("gone")
    now = house.database.now()
    claim = transitions.claim(
        StepStatus.QUEUED, worker_id="gone", now=now, deadline=now + 10**9, input="{}"
    )
    apply(house, key, epoch, claim)
    house.kill("gone")
    house.sweep()
