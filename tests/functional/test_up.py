"""``engine up`` as people meet it: a clear line when it cannot start, nothing left at its end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.processes import eventually
from tests.support.system import ROOT, System, running


@pytest.fixture(scope="module")
def own_system() -> Iterator[System]:
    """An engine that a test may harm, but must leave running."""
    with running() as system:
        yield system.await_ready()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def alive(family: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def refused(**variables: str) -> str:
    """Return what a start says that must fail."""
    with running(**variables) as system:
        assert system.process.wait(60) != 0
        eventually(lambda: system.said, seconds=2, what="it says why")
        text = "\n".join(system.said)
    assert "Traceback" not in text
    return text


def test_a_busy_port_is_one_clear_line(taken_port: int) -> None:
    said = refused(ENGINE_PORT=str(taken_port))
    lines = [line for line in said.splitlines() if "ENGINE_PORT" in line]
    assert len(lines) == 1
    assert f"port {taken_port} on 127.0.0.1 cannot be used: Address already in use" in lines[0]


def test_everything_in_the_way_is_said_at_once(taken_port: int) -> None:
    said = refused(
        ENGINE_PORT=str(taken_port),
        REDIS_URL="redis://127.0.0.1:1/0",
        DATABASE_URL="postgresql://nobody:canary-secret@127.0.0.1:1/none",
    )
    for name in ("ENGINE_PORT", "REDIS_URL", "DATABASE_URL"):
        assert len([line for line in said.splitlines() if f"{name}:" in line]) == 1, said
    assert "canary-secret" not in said


def test_a_home_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refused(ENGINE_HOME=str(tmp_path / "file" / "home"))
    assert "cannot be written: Not a directory" in said


def test_a_home_with_too_long_a_path_for_a_socket_is_one_clear_line(tmp_path: Path) -> None:
    said = refused(ENGINE_HOME=str(tmp_path / ("deep" * 30)))
    assert "is too long for a socket" in said


@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare to mount a small disk with")
def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o size=1m none {tmp_path}"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], check=False).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    up = f"{mount} && exec {sys.executable} -m engine_app.cli up"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", up],
        cwd=ROOT,
        env={**os.environ, "ENGINE_HOME": str(tmp_path / "home"), "ENGINE_PORT": "1024"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "has only 0 MiB left" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_start_says_what_runs_where_and_how_to_sign_in(system: System) -> None:
    said = "\n".join(system.said)
    assert f"Pages and API  {system.url}" in said
    assert "2 processes × 8 threads" in said
    assert "Valkey, embedded" in said
    assert "run weather --follow" in said
    assert httpx.get(system.link.split("#")[0]).status_code == 200


def test_the_processes_have_names_and_share_memory(system: System) -> None:
    names = ("web", "worker 1", "worker 2", "long steps", "scheduler")
    assert [psutil.Process(system.pid(name)).name() for name in names] == list(names)
    family = [psutil.Process(system.process.pid), *system.family()]
    together = sum(map(_memory, family))
    assert together < 450e6  # 340 at rest; 590 if each had started afresh


def _memory(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):  # such as the child in which Valkey writes its file
        return int(process.memory_full_info().pss)
    return 0


def test_a_module_that_ends_its_process_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "deadly.py").write_text("import os; os._exit(3)")
    said = refused(ENGINE_MODULES="deadly", PYTHONPATH=str(tmp_path))
    assert "does a module of ENGINE_MODULES end its process" in said


def test_a_module_that_asks_to_exit_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "leaving.py").write_text("import sys; sys.exit(0)")
    said = refused(ENGINE_MODULES="leaving", PYTHONPATH=str(tmp_path))
    assert "module leaving (ENGINE_MODULES) cannot be imported: it ends the process" in said


def test_a_killed_worker_is_restarted_alone_and_known_to_be_dead_at_once(
    own_system: System,
) -> None:
    others = [own_system.pid(name) for name in ("web", "worker 2", "long steps", "scheduler")]
    killed = own_system.worker_pid("worker 1")
    os.kill(killed, signal.SIGKILL)
    own_system.hears("worker 1 .* starting it again")

    def marked() -> bool:
        with sqlite3.connect(own_system.home / "engine.db") as connection:
            rows = connection.execute("SELECT stopped_at FROM workers WHERE pid = ?", (killed,))
            return rows.fetchall()[0][0] is not None

    # Well before its lease of 10 s is over
    eventually(marked, seconds=4, what="the dead worker's row says so")
    names = ("web", "worker 2", "long steps", "scheduler")
    assert [own_system.pid(name) for name in names] == others
    assert own_system.worker_pid("worker 1") != killed


def test_after_sigterm_nothing_is_left_and_the_next_start_is_quick(own_system: System) -> None:
    family = own_system.family()
    own_system.process.send_signal(signal.SIGTERM)
    assert own_system.process.wait(20) == 0
    assert alive(family) == []
    assert not (own_system.home / "redis.url").exists()
    own_system.start_again().await_ready()
    seconds = float(own_system.hears(r"ready after ([\d.]+) s")[1])
    assert seconds < 15  # 4 on two cores with nothing else to do


def test_after_sigkill_of_the_supervisor_nothing_is_left_and_it_starts_again(
    own_system: System,
) -> None:
    family = own_system.family()
    own_system.process.kill()
    own_system.process.wait()
    eventually(lambda: not alive(family), seconds=20, what=f"all of {family} have ended")
    own_system.start_again().await_ready()


def test_with_real_servers_nothing_is_embedded(postgresql_url: str, redis_url: str) -> None:
    with running(DATABASE_URL=postgresql_url, REDIS_URL=redis_url) as system:
        system.await_ready()
        said = "\n".join(system.said)
        assert "PostgreSQL at 127.0.0.1" in said
        assert "embedded" not in said
        assert not list(system.home.glob("*.db"))
