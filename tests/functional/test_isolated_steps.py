"""Steps in processes of their own, under a real worker: what they do to themselves harms nobody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.support import invariants, steps_for_tests, steps_in_a_process
from tests.support.fleet import Fleet, fleet_on, python
from tests.support.processes import eventually

MODULES = f"{steps_for_tests.__name__},{steps_in_a_process.__name__}"


@pytest.fixture(scope="module")
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """One worker whose processes know both modules of steps."""
    variables = {"ENGINE_MODULES": MODULES}
    with fleet_on(request, "sqlite", workers=1, variables=variables) as fleet:
        yield fleet


def _apart(function: str, **params: Any) -> dict[str, Any]:
    memory = params.pop("memory", None)
    return {
        "uses": "python",
        "with": {"function": f"{steps_in_a_process.__name__}.{function}", **params},
        "isolation": "process",
        "on_failure": "continue",
        **({"memory": memory} if memory else {}),
    }


def test_steps_that_kill_their_process_fail_with_a_reason_and_disturb_nobody(fleet: Fleet) -> None:
    worker = fleet.workers[0].pid
    steps = {
        "crash": _apart("segfault") | {"retry": {"attempts": 2, "backoff": "10ms"}},
        "quit": _apart("vanish", code=7),
        "hog": _apart("hog", megabytes=2000, memory="256MB"),
        "good": _apart("who", x=1),
        "thread": python("nap", seconds=1.5),
    }
    execution_id = fleet.begin(fleet.publish("accidents", steps))
    fleet.await_end(execution_id, seconds=60)
    sql = "SELECT step, status, reason, attempts, crashes FROM step_runs WHERE execution_id = :id"
    assert sorted(map(tuple, fleet.query(sql, id=execution_id))) == [
        (0, "failed", "process_died", 2, 0),
        (1, "failed", "process_died", 1, 0),
        (2, "failed", "out_of_memory", 1, 0),
        (3, "completed", None, 1, 0),
        (4, "completed", None, 1, 0),
    ]
    [nap] = [effect for effect in fleet.effects("start") if effect.execution == execution_id]
    assert nap.pid == worker == fleet.workers[0].pid
    invariants.check(fleet.database, effects=fleet.effects())


def test_a_worker_that_is_killed_leaves_no_process_behind(fleet: Fleet) -> None:
    folder = fleet.folder
    fleet.begin(fleet.publish("orphans", {"hold": _apart("hold_in_c", folder=str(folder))}))
    pids = folder / "pids"
    eventually(pids.exists, seconds=30, what="the step runs")
    family = [psutil.Process(int(word)) for word in pids.read_text().split()]
    assert family[0].ppid() == fleet.workers[0].pid
    psutil.Process(fleet.workers[0].pid).kill()
    _, left = psutil.wait_procs(family, timeout=10)
    assert not left
