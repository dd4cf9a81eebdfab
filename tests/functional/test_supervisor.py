"""Processes are kept running, and none is ever left behind: shown with real ones."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.processes import eventually

ROOT = Path(__file__).parents[2]
SLEEPER = "print('up', flush=True); import time; time.sleep(600)"
# As dramatiq does: a master that has a worker of its own
MASTER = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
print('master of', child.pid, flush=True)
time.sleep(600)
"""
STUBBORN = """
import signal, time
def asked(*_):
    try: print('asked', flush=True)
    except OSError: pass  # whoever listened is gone
signal.signal(signal.SIGTERM, asked)
print('up', flush=True)
while True: time.sleep(600)
"""


class Run:
    """A running supervisor and what it has said so far."""

    def __init__(self, home: Path, drain: float, how: str, *sources: str) -> None:
        toy = [sys.executable, "-m", "tests.support.toy"]
        self.process = subprocess.Popen(
            [*toy, str(home), str(drain), how, *sources],
            cwd=ROOT,
            # As the supervisor of `engine up` has it: its copies are known by it
            env={**os.environ, "ENGINE_HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.append(line.rstrip())

    def hears(self, pattern: str, *, times: int = 1, seconds: float = 15) -> re.Match[str]:
        def found() -> list[re.Match[str]]:
            return [hit for line in list(self.said) if (hit := re.search(pattern, line))]

        def enough() -> bool:
            return len(found()) >= times

        eventually(
            lambda: enough() or self.process.poll() is not None,
            seconds=seconds,
            what=f"{times} × {pattern!r}, or the end",
        )
        # What an ended process has said may still be on its way through the pipe.
        eventually(enough, seconds=1, what=f"{times} × {pattern!r} before the end")
        return found()[times - 1]

    def __repr__(self) -> str:
        return "\n".join(self.said)

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


Start = Callable[..., Run]


@pytest.fixture(params=["copied", "afresh"])
def start(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Start]:
    """Start a supervisor; both ways of starting its children keep the same promises."""
    runs: list[Run] = []

    def begin(*sources: str, drain: float = 1) -> Run:
        runs.append(Run(tmp_path, drain, request.param, *sources))
        return runs[-1]

    yield begin
    for run in runs:
        run.process.kill()
        run.process.wait()


def none_left(family: list[psutil.Process], *, seconds: float = 10) -> None:
    def alive() -> list[psutil.Process]:
        return [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]

    eventually(lambda: not alive(), seconds=seconds, what="no process is left")


def test_a_killed_child_is_restarted_alone_with_a_word(start: Start) -> None:
    run = start(SLEEPER, SLEEPER)
    run.hears("up", times=2)
    first, second = psutil.Process(run.process.pid).children()
    first.kill()
    run.hears("toy 0 was ended by SIGKILL, starting it again")
    run.hears("toy 0 +up", times=2)
    assert second.is_running()


def test_the_helpers_of_a_killed_child_end_with_it(start: Start) -> None:
    run = start(MASTER)
    helper = psutil.Process(int(run.hears(r"master of (\d+)")[1]))
    master = psutil.Process(run.process.pid).children()[0]
    master.kill()
    none_left([helper])


def test_a_dead_worker_is_reported_by_the_process_id_it_worked_under(start: Start) -> None:
    run = start(MASTER)
    worker = run.hears(r"master of (\d+)")[1]
    eventually(lambda: len(run.family()) == 2, seconds=5, what="master and worker run")
    # The supervisor learns the worker's number at its next look, every half second.
    threading.Event().wait(1)
    psutil.Process(run.process.pid).children()[0].kill()
    run.hears(rf"buried \[{worker}\]")


def test_sigterm_leaves_no_process(start: Start) -> None:
    run = start(SLEEPER, MASTER)
    run.hears("up")
    run.hears("master of")
    family = run.family()
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(15) == 0
    run.hears("stopped")
    none_left(family, seconds=0)


def test_sigkill_of_the_supervisor_leaves_no_process(start: Start) -> None:
    run = start(SLEEPER, SLEEPER)
    run.hears("up", times=2)
    family = run.family()
    run.process.kill()
    none_left(family)


def test_what_ignores_the_end_of_its_supervisor_is_ended_by_the_next_start(start: Start) -> None:
    run = start(STUBBORN)
    run.hears("up")
    family = run.family()
    run.process.kill()
    run.process.wait()
    assert [p for p in family if p.is_running()]
    start(SLEEPER).hears("ended 1 left")
    none_left(family, seconds=0)


def test_a_child_that_ignores_sigterm_is_killed_after_the_drain_time(start: Start) -> None:
    run = start(STUBBORN)
    run.hears("up")
    run.process.send_signal(signal.SIGTERM)
    run.hears("asked")
    assert run.process.wait(15) == 0
    run.hears("toy 0 is ended at once")


def test_a_second_request_ends_everything_at_once(start: Start) -> None:
    run = start(STUBBORN, drain=60)
    run.hears("up")
    run.process.send_signal(signal.SIGINT)
    run.hears("asked")
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(15) == 0


def test_a_second_supervisor_in_the_same_home_is_refused(start: Start) -> None:
    first = start(SLEEPER)
    first.hears("up")
    second = start(SLEEPER)
    second.hears(rf"the engine already runs in .* \(process {first.process.pid}\)")
    assert second.process.wait(5) != 0
    assert first.process.poll() is None


def test_a_process_with_a_recycled_number_is_left_alone(start: Start, tmp_path: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", SLEEPER], process_group=0)
    row = {"name": "toy 0", "pid": bystander.pid, "started": 1.0}
    (tmp_path / "processes.json").write_text(json.dumps([row]))
    try:
        start(SLEEPER).hears("ended 0 left")
        assert bystander.poll() is None
    finally:
        os.kill(bystander.pid, signal.SIGKILL)
        bystander.wait()
