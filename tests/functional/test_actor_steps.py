"""Actors of the user's own as steps: unchanged, in a worker of the user's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from engine.codec import decode
from tests.support import invariants
from tests.support.fleet import QUICK, STEPS, Fleet, fleet_on, python, ref

MODULES = f"{STEPS},tests.support.actors_as_steps"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """One worker of ours and one of the user's."""
    variables = {**QUICK, "ENGINE_MODULES": MODULES}
    with fleet_on(request, request.param, variables=variables) as fleet:
        fleet.start()
        theirs(fleet)
        yield fleet.await_ready()


@pytest.fixture
def fleet(shared: Fleet) -> Iterator[Fleet]:
    """The shared fleet; at the end of each test all that ever ran in it must be legal."""
    yield shared
    invariants.check(shared.database, effects=shared.effects())


def theirs(fleet: Fleet) -> None:
    """Start the user's own worker, as the user does."""
    flags = ["--processes", "1", "--threads", "2"]
    fleet.run(sys.executable, "-m", "dramatiq", "tests.support.users_actors", *flags)


def actor(name: str, **arguments: Any) -> dict[str, Any]:
    return {"uses": "actor", "with": {"actor": name, **arguments}}


def test_an_actor_runs_as_a_step_between_others(fleet: Fleet) -> None:
    steps = {
        "before": python("inc", x=41),
        "charge": actor("charge", order=ref("before")),
        "after": python("inc", x="${{ steps.charge.output.order }}"),
    }
    execution_id = fleet.begin(fleet.publish("charging", steps))
    fleet.await_end(execution_id)
    assert fleet.output(execution_id) == 43
    charged = decode(fleet.step(execution_id, 1, "output")[0])
    assert charged["pid"] == fleet.workers[1].pid
    assert fleet.step(execution_id, 1, "status", "attempts", "epoch") == ("completed", 1, 1)
    assert ("charging 42",) in fleet.query("SELECT message FROM logs")


def test_an_actor_that_fails_is_tried_again_by_the_steps_policy(fleet: Fleet) -> None:
    retry = {"attempts": 2, "backoff": "100ms"}
    steps = {"refuse": {**actor("refuse", order=7), "retry": retry}}
    execution_id = fleet.begin(fleet.publish("refusing", steps))
    fleet.await_end(execution_id)
    assert fleet.step(execution_id, 0, "status", "attempts") == ("failed", 2)
    assert "order 7 is refused" in str(fleet.step(execution_id, 0, "error"))


def test_items_of_a_fan_out_go_to_an_actor_each(fleet: Fleet) -> None:
    steps = {
        "each": {**actor("charge", order="${{ item }}"), "for_each": list(range(20))},
        "sum": python("total", numbers="${{ steps.each.output.map(c, c.order) }}"),
    }
    execution_id = fleet.begin(fleet.publish("many", steps))
    fleet.await_end(execution_id)
    assert fleet.output(execution_id) == 190


def test_a_killed_worker_of_the_user_loses_nothing(fleet: Fleet) -> None:
    execution_id = fleet.begin(fleet.publish("crawling", {"crawl": actor("crawl", seconds=60)}))
    fleet.await_status(execution_id, 0, "running")
    fleet.workers[-1].kill()
    theirs(fleet)
    fleet.await_end(execution_id)
    assert fleet.output(execution_id) == "done"
    assert fleet.step(execution_id, 0, "crashes", "epoch") == (1, 2)
