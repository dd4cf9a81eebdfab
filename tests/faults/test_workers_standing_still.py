"""Code that keeps the interpreter's lock stops its worker: that one is ended, who was at fault
comes to an end and says why, and nobody else pays for it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import psutil
import pytest

from engine.codec import decode
from engine.worker import guardian
from tests.support import invariants
from tests.support.fleet import QUICK, Fleet, fleet_on, python
from tests.support.processes import eventually

# Time enough on a busy machine to tell who is at fault before others take the worker for dead.
PATIENT = {**QUICK, "ENGINE_LEASE_SECONDS": "6", "ENGINE_MAX_CRASHES": "2"}


@pytest.fixture(params=["sqlite", "postgresql"])
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """A fleet without a worker."""
    with fleet_on(request, request.param, variables=PATIENT) as fleet:
        yield fleet


@pytest.fixture
def on_sqlite(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """The same where the database makes no difference."""
    with fleet_on(request, "sqlite", variables=PATIENT) as fleet:
        yield fleet


def await_end_with(fleet: Fleet, count: int, execution_id: str) -> None:
    """Keep ``count`` workers, as a supervisor does, until the execution has ended."""

    def ended() -> bool:
        fleet.keep(count)
        return fleet.status(execution_id) in ("completed", "failed")

    eventually(ended, seconds=120, what="it ends", every=0.2)


def test_a_step_that_keeps_the_lock_fails_and_its_neighbours_count_no_crash(fleet: Fleet) -> None:
    fleet.keep(2)
    fleet.await_ready()
    # Threads enough for all: neighbours stand in both workers when they are stopped.
    nap = python("nap_first", seconds=40)
    neighbours = [fleet.begin(fleet.publish("neighbour", {"a": nap})) for _ in range(4)]
    fleet.await_effect("start", count=4)
    hog = fleet.begin(fleet.publish("hog", {"a": python("keep_the_lock")}))
    await_end_with(fleet, 2, hog)

    assert fleet.step(hog, 0, "status", "reason", "crashes") == ("failed", "worker_crashed", 2)
    error = decode(fleet.step(hog, 0, "error")[0])
    assert error["type"] == "InterpreterLockHeld"
    assert "isolation: process" in error["message"]
    assert "in keep_the_lock" in error["trace"]
    said = [text for (text,) in fleet.query("SELECT message FROM logs WHERE level = 'error'")]
    assert any("kept the interpreter's lock" in text for text in said)

    fleet.await_end(*neighbours, seconds=60)
    for neighbour in neighbours:
        assert fleet.status(neighbour) == "completed"
        assert fleet.step(neighbour, 0, "attempts", "crashes") == (1, 0)
    ends = [reason for (reason,) in fleet.query("SELECT end_reason FROM workers") if reason]
    assert len(ends) == 2
    assert all("kept the interpreter's lock" in reason for reason in ends)
    invariants.check(fleet.database, effects=fleet.effects())


def test_who_keeps_the_lock_and_computes_nothing_is_not_told_from_its_neighbours(
    on_sqlite: Fleet,
) -> None:
    fleet = on_sqlite
    fleet.keep(1)
    fleet.await_ready()
    hog = fleet.begin(fleet.publish("hog", {"a": python("sleep_with_the_lock")}))
    await_end_with(fleet, 1, hog)
    assert fleet.step(hog, 0, "status", "reason", "crashes") == ("failed", "worker_crashed", 2)
    assert "perhaps it, kept" in decode(fleet.step(hog, 0, "error")[0])["message"]


def test_a_worker_that_somebody_stopped_is_left_to_its_lease(on_sqlite: Fleet) -> None:
    fleet = on_sqlite
    stopped, other = fleet.start(), fleet.start(threads=1)
    fleet.await_ready()
    run = fleet.begin(fleet.publish("nap", {"a": python("nap_first", seconds=4)}))
    fleet.await_effect("start")
    hit = next(one for one in (stopped, other) if one.pid == fleet.effects("start")[0].pid)
    hit.signal(signal.SIGSTOP)
    fleet.await_end(run, seconds=40)
    assert fleet.step(run, 0, "crashes") == (1,)
    assert psutil.pid_exists(hit.pid)
    hit.signal(signal.SIGCONT)
    eventually(
        lambda: fleet.query("SELECT count(*) FROM workers WHERE stopped_at IS NULL") == [(2,)],
        seconds=20,
        what="it lives on",
    )
    assert fleet.query("SELECT count(*) FROM workers WHERE end_reason IS NOT NULL") == [(0,)]


def test_programs_of_a_worker_that_is_killed_end_with_it(on_sqlite: Fleet) -> None:
    fleet = on_sqlite
    worker = fleet.start()
    fleet.await_ready()
    fleet.begin(fleet.publish("wait", {"a": python("wait_for_programs")}))
    fleet.await_effect("programs")
    pids = [int(pid) for pid in (fleet.folder / "programs").read_text().split()]
    assert all(psutil.pid_exists(pid) for pid in pids)
    worker.signal(signal.SIGKILL)
    eventually(lambda: not any(map(psutil.pid_exists, pids)), seconds=10, what="they are gone")


def test_a_worker_whose_guardian_is_gone_ends_in_good_order(on_sqlite: Fleet) -> None:
    fleet = on_sqlite
    worker = fleet.start(ENGINE_LEASE_SECONDS="3")
    fleet.await_ready()
    [watcher] = [one for one in psutil.process_iter() if is_guardian_of(one, worker.pid)]
    watcher.kill()
    eventually(lambda: worker.ended, seconds=60, what="the worker ends")
    assert worker.process.returncode == 0
    assert fleet.query("SELECT end_reason FROM workers") == [("its guardian is gone",)]


def is_guardian_of(process: psutil.Process, pid: int) -> bool:
    """Return whether the process watches over the worker ``pid``."""
    try:
        return str(guardian.__file__) in process.cmdline() and str(pid) in process.cmdline()
    except psutil.Error:
        return False
