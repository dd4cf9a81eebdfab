"""Steps in processes of their own, under a real worker: what they do to themselves harms nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.commands import lifecycle
from engine.commands.publish import publish
from examples import isolated
from tests.support import invariants, steps_for_tests, steps_in_a_process
from tests.support.fleet import Fleet, fleet_on, python
from tests.support.processes import eventually, lives

MODULES = ",".join(m.__name__ for m in (steps_for_tests, steps_in_a_process, isolated))


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


def _family(folder: Path) -> list[psutil.Process]:
    """Return the process of a step that holds, and its child."""
    pids = folder / "pids"
    eventually(pids.exists, seconds=30, what="the step runs")
    return [psutil.Process(int(word)) for word in pids.read_text().split()]


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


def test_the_example_sets_aside_what_brings_its_decoder_down(fleet: Fleet) -> None:
    definition = isolated.isolated.definition
    workflow_id = publish(fleet.database, fleet.owner_id, definition).workflow_id
    crashed, whole = (fleet.begin(workflow_id, {"broken": broken}) for broken in (True, False))
    fleet.await_end(crashed, whole, seconds=60)
    assert fleet.output(crashed) == {"decoded": None, "set_aside": "aside/photo.raw"}
    assert fleet.output(whole) == {"decoded": "photo.raw, decoded", "set_aside": None}
    assert fleet.step(crashed, 0, "reason", "attempts") == ("process_died", 2)


def test_a_cancel_lets_the_function_tidy_up_and_ends_all_it_started(fleet: Fleet) -> None:
    folder = fleet.folder / "cancelled"
    folder.mkdir()
    execution_id = fleet.begin(fleet.publish("held", {"hold": _apart("hold", folder=str(folder))}))
    family = _family(folder)
    lifecycle.cancel(
        fleet.database,
        fleet.client.versions,
        owner_id=fleet.owner_id,
        execution_id=execution_id,
        grace_seconds=0.2,
    )
    fleet.await_end(execution_id)
    assert fleet.events(execution_id)[-3:] == ["interrupting", "step_cancelled", "cancelled"]
    pids = [process.pid for process in family]
    eventually(lambda: not any(map(lives, pids)), seconds=5, what="nothing is left")
    assert (folder / "tidied").exists()


def test_a_worker_that_is_killed_leaves_no_process_behind(fleet: Fleet) -> None:
    folder = fleet.folder
    fleet.begin(fleet.publish("orphans", {"hold": _apart("hold_in_c", folder=str(folder))}))
    family = _family(folder)
    assert family[0].ppid() == fleet.workers[0].pid
    psutil.Process(fleet.workers[0].pid).kill()
    _, left = psutil.wait_procs(family, timeout=10)
    assert not left
