"""Steps in processes of their own: real processes, no database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import registry
from engine.core.failures import Failure
from engine.core.status import Reason
from engine.core.transitions import RunKey
from engine.definition import Step, parse
from engine.io.artifacts import kind_of
from engine.steps.attempt_log import AttemptLog, Progress
from engine.steps.context import Context
from engine.steps.watchdog import Watchdog
from engine.worker.attempt import Cancelled, Lost, Outcome, Released, Returned, run_attempt
from engine.worker.claim_registry import Claim, Stop
from tests.support import steps_in_a_process
from tests.support.processes import eventually, lives

STEPS = steps_in_a_process.__name__
SECONDS = 20  # a start of the interpreter on a busy machine


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the processes load the module of these steps, as a worker's do."""
    monkeypatch.setenv("ENGINE_MODULES", STEPS)


def _step(name: str, **options: Any) -> Step:
    body = {"uses": "python", "with": {"function": f"{STEPS}.{name}"}, "isolation": "process"}
    return parse({"name": "isolated", "steps": {"alone": body | options}}).steps[0]


def _claim() -> Claim:
    return Claim(RunKey("e", 0, -1), 1, 2, AttemptLog())


def _context(claim: Claim) -> Context:
    return Context(
        execution_id="e",
        workflow="isolated",
        step="alone",
        idempotency_key="e.0.-1",
        item=3,
        attempt=claim.attempt,
        lines=claim.log,
        is_cancelled=lambda: claim.cancelled or claim.stop is not None,
    )


def _run(
    name: str,
    claim: Claim | None = None,
    *,
    timeout: float = SECONDS,
    limit: int = 1000,
    memory: str | None = None,
    **params: Any,
) -> Outcome:
    claim = claim or _claim()
    step = _step(name, **({"memory": memory} if memory else {}))
    watchdog = Watchdog(poll=0.05)
    try:
        return run_attempt(
            step,
            {"function": f"{STEPS}.{name}", **params},
            claim,
            _context(claim),
            timeout=timeout,
            limit=limit,
            watchdog=watchdog,
        )
    finally:
        watchdog.close()


def _failure(name: str, **more: Any) -> Failure:
    outcome = _run(name, **more)
    assert isinstance(outcome, Failure), outcome
    return outcome


def _value(outcome: Outcome) -> Any:
    assert isinstance(outcome, Returned), outcome
    return outcome.value


def _pids(folder: Path) -> list[int]:
    file = folder / "pids"
    eventually(file.exists, seconds=SECONDS, what="the step runs")
    return [int(word) for word in file.read_text().split()]


def _await_gone(pids: list[int]) -> None:
    # The kill has been sent by now; a busy machine takes a moment to carry it out.
    eventually(lambda: not any(map(lives, pids)), seconds=5, what="nothing is left")


# --- as in a thread --------------------------------------------------------------------------


def test_the_function_runs_in_another_process_that_is_gone_afterwards() -> None:
    value = _value(_run("who", x=4))
    assert value["x"] == 4
    assert value["pid"] != os.getpid()
    assert not lives(value["pid"])
    assert _value(_run("waited")) == "waited"


def test_lines_artifacts_and_the_context_cross_the_pipe() -> None:
    claim = _claim()
    outcome = _run("tell", claim)
    assert _value(outcome) == {"attempt": 2, "item": 3, "key": "e.0.-1"}
    assert isinstance(outcome, Returned)
    assert [(line.level, line.message) for line in claim.log.drain()] == [
        ("info", "printed"),
        ("warning", "logged"),
        ("debug", "told 1"),
    ]
    artifact, table = outcome.artifacts
    assert (table.name, kind_of(table.media_type)) == ("table", "table")
    assert claim.log.take().progress == Progress(1, 2, "half")
    assert (artifact.name, artifact.media_type, artifact.body) == (
        *("data.bin", "application/octet-stream"),
        b"\x00\xff",
    )


def _in_a_thread(name: str, limit: int = 1000, **params: Any) -> Outcome:
    claim = _claim()
    watchdog = Watchdog()
    try:
        return run_attempt(
            _step(name, isolation="thread"),
            {"function": f"{STEPS}.{name}", **params},
            claim,
            _context(claim),
            timeout=SECONDS,
            limit=limit,
            watchdog=watchdog,
        )
    finally:
        watchdog.close()


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("fail", {"words": "no such thing"}),
        ("fail", {"sentence": "an argument it does not take"}),
        ("halt", {}),
        ("unreadable", {}),
        ("chained", {}),
        ("leave", {"code": 3}),
        ("unsayable", {}),
        ("large", {"size": 1001}),
        ("too_many_artifacts", {}),
        ("nowhere", {}),
    ],
)
def test_what_fails_in_a_thread_fails_in_a_process_alike(name: str, params: dict[str, Any]) -> None:
    there = _failure(name, **params)
    assert there == _in_a_thread(name, **params)


def test_the_trace_names_the_line_of_the_users_code() -> None:
    failure = _failure("fail", words="no such thing")
    assert (failure.reason, failure.type, failure.retryable) == ("error", "LookupError", True)
    assert "raise LookupError(words)" in failure.described["trace"]


def test_a_function_of_a_module_that_no_setting_names_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENGINE_MODULES", "json")
    assert _value(_run("who", x=1))["x"] == 1


def test_a_large_parameter_and_a_large_result_pass() -> None:
    registry.register_step(f"{STEPS}.who", steps_in_a_process.who)
    text = "é" * 300_000
    assert _value(_run("large", limit=2**20, size=10**6)) == "x" * 10**6
    failure = _failure("fail", words=text)
    assert failure.described["message"].startswith("ééé")


# --- death -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("segfault", {}, "signal 11 (SIGSEGV)"),
        ("vanish", {"code": 7}, "exit code 7"),
        ("vanish", {"code": 0}, "exit code 0"),
        ("kill_self", {}, "signal 9 (SIGKILL)"),
    ],
)
def test_a_process_that_dies_fails_its_attempt_with_how(
    name: str, params: dict[str, Any], words: str
) -> None:
    failure = _failure(name, **params)
    assert failure.reason == Reason.PROCESS_DIED
    assert failure.retryable
    assert f"function {STEPS}.{name} ended by {words}" in failure.described["message"]


def test_last_words_and_the_place_of_a_fault_are_in_the_log() -> None:
    claim = _claim()
    _run("vanish", claim, code=7)
    assert [line.message for line in claim.log.drain()] == ["last words"]
    _run("segfault", claim)
    [line] = claim.log.drain()
    assert line.level == "error"
    assert "Segmentation fault" in line.message
    assert "in segfault" in line.message


def test_a_step_over_its_memory_fails_with_that_reason() -> None:
    failure = _failure("hog", megabytes=2000, memory="256MB")
    assert (failure.reason, failure.type) == (Reason.OUT_OF_MEMORY, "MemoryError")
    assert failure.retryable
    assert "its limit of 256 MB" in failure.described["message"]
    assert "held = [" in failure.described["trace"]
    assert _value(_run("hog", megabytes=20, memory="256MB")) == 20


# --- ends ------------------------------------------------------------------------------------


def _during(folder: Path, name: str, act: Callable[[Claim], object], **more: Any) -> Outcome:
    """Run a step that holds, and act once it does."""
    claim = _claim()

    def wait_and_act() -> None:
        _pids(folder)
        act(claim)

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    try:
        return _run(name, claim, timeout=60, folder=str(folder), **more)
    finally:
        thread.join()


def _stop(stop: Stop) -> Callable[[Claim], None]:
    return lambda claim: setattr(claim, "stop", stop)


@pytest.mark.parametrize(
    ("stop", "outcome"),
    [(Stop.LOST, Lost()), (Stop.CANCEL, Cancelled()), (Stop.DRAIN, Released())],
)
def test_an_attempt_that_is_stopped_may_tidy_up_and_takes_its_children_along(
    tmp_path: Path, stop: Stop, outcome: Outcome
) -> None:
    assert _during(tmp_path, "hold", _stop(stop)) == outcome
    assert (tmp_path / "tidied").exists()
    _await_gone(_pids(tmp_path))


@pytest.mark.parametrize(("name", "more"), [("hold", {"stubborn": True}), ("hold_in_c", {})])
def test_what_does_not_end_by_itself_is_killed_after_two_seconds(
    tmp_path: Path, name: str, more: dict[str, Any]
) -> None:
    begun: list[float] = []

    def act(claim: Claim) -> None:
        begun.append(time.monotonic())
        claim.stop = Stop.CANCEL

    assert _during(tmp_path, name, act, **more) == Cancelled()
    assert time.monotonic() - begun[0] >= 2
    assert not (tmp_path / "tidied").exists()
    _await_gone(_pids(tmp_path))


def test_a_timeout_ends_the_process(tmp_path: Path) -> None:
    failure = _failure("hold", timeout=1.5, folder=str(tmp_path))
    assert (failure.reason, failure.type) == ("timeout", "TimedOut")
    _await_gone(_pids(tmp_path))


def test_the_flag_of_a_cancel_is_seen_inside(tmp_path: Path) -> None:
    def act(claim: Claim) -> None:
        claim.cancelled = True

    assert _value(_during(tmp_path, "until_cancelled", act)) == "saw it"


def test_a_function_leaves_no_child_behind(tmp_path: Path) -> None:
    _run("leave_a_child", folder=str(tmp_path))
    _await_gone(_pids(tmp_path))


def test_a_signal_from_elsewhere_is_a_death_like_others(tmp_path: Path) -> None:
    outcome = _during(tmp_path, "hold", lambda _claim: os.kill(_pids(tmp_path)[0], signal.SIGTERM))
    assert isinstance(outcome, Failure)
    assert outcome.reason == Reason.PROCESS_DIED
    assert "signal 15 (SIGTERM)" in outcome.described["message"]
    _await_gone(_pids(tmp_path))


def test_no_descriptor_and_no_thread_is_left(tmp_path: Path) -> None:
    _run("who")
    open_files = len(os.listdir("/proc/self/fd"))
    threads = threading.active_count()
    for name in ("who", "segfault", "nowhere"):
        _run(name)
    eventually(lambda: threading.active_count() <= threads, seconds=5, what="threads have ended")
    assert len(os.listdir("/proc/self/fd")) == open_files


WORKER = """
import sys
from tests.integration.test_isolated import _run
_run(sys.argv[1], folder=sys.argv[2])
"""


@pytest.mark.parametrize("name", ["hold", "hold_in_c"])
def test_a_worker_that_is_killed_takes_the_process_and_its_children_along(
    tmp_path: Path, name: str
) -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, name, str(tmp_path)])
    try:
        pids = _pids(tmp_path)
        assert all(lives(pid) for pid in pids)
    finally:
        worker.kill()
        worker.wait()
    _await_gone(pids)


def test_a_worker_that_is_killed_before_it_hears_of_the_end_leaves_no_child_behind(
    tmp_path: Path,
) -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, "hold", str(tmp_path)])
    try:
        child, grandchild = _pids(tmp_path)
        os.kill(worker.pid, signal.SIGSTOP)
        # What the kernel does, too, when of a dying worker the thread ends first that started it.
        os.kill(child, signal.SIGTERM)
        eventually((tmp_path / "tidied").exists, seconds=SECONDS, what="it was interrupted")
    finally:
        worker.kill()
        worker.wait()
    _await_gone([child, grandchild])
