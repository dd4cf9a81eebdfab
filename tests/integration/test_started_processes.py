"""What a step starts ends with its attempt, however that ends. Real processes."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.worker.attempt import Cancelled
from engine.worker.claim_registry import Claim, Stop
from tests.support.attempts import attempt, failure, in_thread, new_claim, returned, said
from tests.support.processes import eventually, lives

SLEEP = ["sleep", "600"]


def _pids(file: Path) -> list[int]:
    eventually(file.exists, seconds=10, what="the step has started it")
    return [int(word) for word in file.read_text().split()]


def _write(file: Path, *pids: int) -> None:
    part = file.with_suffix(".part")
    part.write_text(" ".join(map(str, pids)))
    part.rename(file)


def _gone(pids: list[int]) -> None:
    eventually(lambda: not any(map(lives, pids)), seconds=10, what="nothing is left")


def waits_for_it(file: str) -> None:
    """Wait in C for a program that does not end."""
    with subprocess.Popen(SLEEP) as program:
        _write(Path(file), program.pid)
        program.wait()


def waits_for_a_grandchild(file: str) -> None:
    """Wait for a shell that waits for a program of its own."""
    script = "sleep 600 & echo $! $$; wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        _write(Path(file), *map(int, shell.stdout.readline().split()))
        shell.wait()


def waits_in_a_thread(file: str) -> None:
    """Have a pool of threads start the program."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(waits_for_it, file).result()


def waits_in_a_session(file: str) -> None:
    """Start the program in a session of its own."""
    with subprocess.Popen(SLEEP, start_new_session=True) as program:
        _write(Path(file), program.pid)
        program.wait()


async def awaits_it(file: str) -> None:
    """Await a program."""
    program = await asyncio.create_subprocess_exec(*SLEEP)
    _write(Path(file), program.pid)
    await program.wait()


def waits_for_a_pool(file: str) -> None:
    """Wait for a process of Python's own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = pool.submit(time.sleep, 600)
        _write(Path(file), *(one.pid for one in multiprocessing.active_children() if one.pid))
        waiting.result()


ALL = (
    waits_for_it,
    waits_for_a_grandchild,
    waits_in_a_thread,
    waits_in_a_session,
    awaits_it,
    waits_for_a_pool,
)


@pytest.mark.parametrize("function", ALL)
def test_it_ends_when_the_attempt_times_out(function: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "pids"
    outcome = failure(attempt(function, timeout=1.5, file=str(file)))
    assert outcome.reason == "timeout"
    _gone(_pids(file))


@pytest.mark.parametrize("function", ALL)
def test_it_ends_when_the_attempt_is_cancelled(
    function: Callable[..., Any], tmp_path: Path
) -> None:
    file, claim = tmp_path / "pids", new_claim()
    with in_thread(lambda: attempt(function, claim, file=str(file))) as results:
        pids = _pids(file)
        claim.stop = Stop.CANCEL
    assert results == [Cancelled()]
    _gone(pids)
    assert any("ended with the attempt: process" in text for _, text in said(claim))


def ignores_sigterm(file: str) -> None:
    """Start a program that does not end when asked to."""
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)"
    command = [sys.executable, "-c", f"{script}; time.sleep(600)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        _write(Path(file), program.pid)
        program.wait()


def test_what_does_not_end_when_asked_to_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    failure(attempt(ignores_sigterm, timeout=1.5, file=str(file)))
    _gone(_pids(file))


def leaves_it(file: str) -> str:
    """Return while the program runs on."""
    _write(Path(file), subprocess.Popen(SLEEP).pid)
    return "done"


def leaves_it_by_a_thread(file: str) -> str:
    """The same by a thread that has ended."""
    thread = threading.Thread(target=leaves_it, args=(file,))
    thread.start()
    thread.join()
    return "done"


def leaves_it_and_fails(file: str) -> None:
    """The same with an error."""
    leaves_it(file)
    raise ValueError("after it")


@pytest.mark.parametrize("function", [leaves_it, leaves_it_by_a_thread, leaves_it_and_fails])
def test_what_a_step_leaves_running_ends_with_it(
    function: Callable[..., Any], tmp_path: Path
) -> None:
    file, claim = tmp_path / "pids", new_claim()
    attempt(function, claim, file=str(file))
    [pid] = _pids(file)
    _gone([pid])
    # By its command line, or by its name alone when it had only just begun.
    named = [f"ended with the attempt: process {name} ({pid})" for name in ("sleep", "sleep 600")]
    assert {("warning", one) for one in named} & set(said(claim))


def test_programs_of_another_attempt_go_on(tmp_path: Path) -> None:
    files = [tmp_path / "one", tmp_path / "two"]
    claims = [new_claim(), new_claim()]

    def wait(number: int) -> Any:
        return attempt(waits_for_it, claims[number], file=str(files[number]))

    with in_thread(lambda: wait(0)), in_thread(lambda: wait(1)):
        [first], [second] = _pids(files[0]), _pids(files[1])
        claims[0].stop = Stop.CANCEL
        _gone([first])
        assert lives(second)
        claims[1].stop = Stop.CANCEL
    _gone([second])


_pool: ProcessPoolExecutor | None = None


def uses_the_modules_pool() -> int:
    """Use a pool that the module keeps for all its steps."""
    global _pool  # noqa: PLW0603  # as people's modules do
    if _pool is None:
        _pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    return _pool.submit(len, "four").result()


def test_a_pool_that_a_module_keeps_serves_its_later_steps() -> None:
    assert [returned(attempt(uses_the_modules_pool)) for _ in range(2)] == [4, 4]
    assert _pool is not None
    _pool.shutdown()


def its_exit_code() -> int:
    """Return how a program ended that ended by itself."""
    return subprocess.run(["sh", "-c", "exit 7"], check=False).returncode


def test_the_exit_code_of_a_program_is_the_steps_to_learn() -> None:
    assert returned(attempt(its_exit_code)) == 7


def _zombies() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if child.status() == psutil.STATUS_ZOMBIE]


def test_many_attempts_leave_no_process_and_no_descriptor(tmp_path: Path) -> None:
    claim: Claim = new_claim()
    attempt(its_exit_code, claim)
    before = psutil.Process().num_fds()
    for _ in range(50):
        attempt(its_exit_code, new_claim())
    assert psutil.Process().num_fds() <= before + 1
    assert not _zombies()
