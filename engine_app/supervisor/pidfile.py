"""Which processes run for a home: written down, so that the next start can end what is left."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from engine.errors import Conflict

# create_time comes from clock ticks and the boot time, which may shift a little between reads.
_SAME_START_SECONDS = 1.0
_POLL_SECONDS = 0.05


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the home for this process.

    Raises:
        Conflict: another supervisor holds it.
    """
    with (home / "supervisor.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Conflict(
                f"the engine already runs in {home.absolute()} (process {file.read().strip()})",
                hint="stop that one, or set ENGINE_HOME and ENGINE_PORT for a second engine",
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


class Record:
    """The file in the home with each child's process id and start time."""

    def __init__(self, home: Path) -> None:
        self._home = home.absolute()
        self._path = home / "processes.json"

    def write(self, children: Mapping[str, int]) -> None:
        """Replace what is written: the children now by name, each the leader of its group."""
        rows = [
            {"name": name, "pid": pid, "started": started}
            for name, pid in children.items()
            if (started := _start_of(pid)) is not None
        ]
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(rows))
        new.replace(self._path)

    def clear(self) -> None:
        """Nothing runs any more."""
        self._path.unlink(missing_ok=True)

    def end_leftovers(self, seconds: float) -> int:
        """End what an earlier supervisor left behind, and return how many processes that were.

        Args:
            seconds: how long they may take to end by themselves before they are killed.
        """
        left = self._left()
        for process in left:
            _send(process, signal.SIGTERM)
        _, stubborn = psutil.wait_procs(left, timeout=seconds)
        for process in stubborn:
            _send(process, signal.SIGKILL)
        psutil.wait_procs(stubborn, timeout=5)
        self.clear()
        return len(left)

    def _left(self) -> list[psutil.Process]:
        try:
            rows = json.loads(self._path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return []
        members: list[psutil.Process] = []
        for row in rows:
            pid, now = row["pid"], _start_of(row["pid"])
            if now is None:
                # The leader is gone, its number may be another's group: the home must match too
                members += [member for member in group(pid) if self._is_ours(member)]
            elif abs(now - row["started"]) < _SAME_START_SECONDS:
                members += group(pid)
        return members

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("ENGINE_HOME") == str(self._home)
        except psutil.Error:
            return False


def group(leader: int) -> list[psutil.Process]:
    """Return the living processes of the group that ``leader`` leads or led."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.Error):
            continue  # it ended while we looked
    return found


def kill_group(leader: int) -> None:
    """Kill all of the group at once, and wait until they are gone."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return
    deadline = time.monotonic() + 5
    while group(leader) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _start_of(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
