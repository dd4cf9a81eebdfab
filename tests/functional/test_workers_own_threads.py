"""What a worker process needs to be whole: its threads, its event loop, a way to start processes
that cannot hang. Real workers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import invariants
from tests.support.fleet import QUICK, Fleet, fan_out, fleet_on, python
from tests.support.processes import eventually


@pytest.fixture
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """A fleet without a worker."""
    with fleet_on(request, "sqlite", variables=QUICK) as fleet:
        yield fleet
        invariants.check(fleet.database, effects=fleet.effects())


def await_leaving(fleet: Fleet, reason: str) -> None:
    """Return once the worker has ended in good order, and said why."""
    eventually(lambda: fleet.workers[0].ended, seconds=40, what="the worker has ended")
    assert fleet.workers[0].process.returncode == 0
    [(told,)] = fleet.query("SELECT end_reason FROM workers WHERE end_reason IS NOT NULL")
    assert reason in told
    assert fleet.query("SELECT count(*) FROM workers WHERE stopped_at IS NULL") == [(0,)]


@pytest.mark.parametrize("thread", ["watchdog", "rescue", "looks"])
def test_a_worker_that_loses_a_thread_ends_and_says_which(fleet: Fleet, thread: str) -> None:
    fleet.start()
    fleet.await_ready()
    fleet.begin(fleet.publish("end", {"a": python("end_a_thread", name=thread, x=1)}))
    await_leaving(fleet, f"its thread {thread} has ended")


def test_a_step_of_a_lost_worker_runs_again_elsewhere(fleet: Fleet) -> None:
    fleet.variables["ENGINE_DRAIN_SECONDS"] = "1"
    fleet.start()
    fleet.await_ready()
    run = fleet.begin(fleet.publish("nap", {"a": python("nap_first", seconds=25)}))
    fleet.await_effect("start")
    end = fleet.begin(fleet.publish("end", {"a": python("end_a_thread", name="pulse", x=1)}))
    fleet.start()
    fleet.await_end(run, end, seconds=60)
    assert fleet.status(run) == "completed"
    assert fleet.step(run, 0, "crashes") == (0,)


def test_a_worker_whose_modules_cannot_be_imported_ends_and_says_why(
    sqlite_url: str, redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "leaving.py").write_text("import sys; sys.exit(0)")
    done = subprocess.run(
        [sys.executable, "-m", "dramatiq", "actors", "--processes", "1"],
        cwd=tmp_path,
        env={
            **os.environ,
            "DATABASE_URL": sqlite_url,
            "REDIS_URL": redis_url,
            "ENGINE_MODULES": "leaving",
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 2
    assert "this worker cannot start: module leaving (ENGINE_MODULES) cannot be imported" in said
    assert "Traceback" not in said


def test_a_pool_of_processes_starts_none_that_could_hang(fleet: Fleet) -> None:
    fleet.start(threads=4)
    fleet.await_ready()
    run = fleet.begin(fleet.publish("pools", fan_out(6, "in_a_pool")))
    fleet.await_end(run, seconds=60)
    assert fleet.output(run) == 36


def test_objects_of_asyncio_that_a_module_keeps_serve_all_items(fleet: Fleet) -> None:
    fleet.start(threads=4)
    fleet.start(threads=4)
    fleet.await_ready()
    run = fleet.begin(fleet.publish("gate", fan_out(20, "through_a_gate", x="${{ item }}")))
    fleet.await_end(run, seconds=30)
    assert fleet.output(run) == sum(range(20))
    assert fleet.query("SELECT max(attempts), max(crashes) FROM step_runs") == [(1, 0)]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux is asked for it")
def test_a_worker_leads_a_group_and_reads_nothing(fleet: Fleet) -> None:
    fleet.start()
    fleet.await_ready()
    run = fleet.begin(fleet.publish("stands", {"a": python("how_it_stands")}))
    fleet.await_end(run)
    assert fleet.output(run) == {"leads": True, "reads": ""}
