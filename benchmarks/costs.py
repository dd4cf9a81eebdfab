"""What a running product costs, by groups of processes, so that one sees what limits it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable

import psutil
import psycopg

Groups = dict[str, list[psutil.Process]]
OURSELVES = "client"  # this process: it starts executions and looks for their ends
DATABASE = "database"

# What stands in the name or the command line of a group's first process. The first that fits
# counts. Copies of the supervisor have its command line, and names of their own.
_SIGNS = (
    ("long steps", "long steps"),
    ("long steps", "steps.long"),
    ("workers", "dramatiq"),
    ("workers", "worker "),
    ("web", "granian"),
    ("scheduler", "periodiq"),
    ("scheduler", "scheduler"),
    ("web", "web"),
    ("valkey", "valkey"),
    ("valkey", "redis-server"),
)


class Costs:
    """CPU and memory of processes that may come and go.

    Args:
        groups: returns the processes that there are now, by group.
    """

    def __init__(self, groups: Callable[[], Groups]) -> None:
        self._groups = groups

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds of each group so far, and of ourselves."""
        spent = {name: sum(map(_cpu, members)) for name, members in self._groups().items()}
        return {**spent, OURSELVES: time.process_time()}

    def memory_mb(self) -> dict[str, float]:
        """Return the memory of each group, shared pages counted once (PSS)."""
        return {name: sum(map(_pss, members)) / 1e6 for name, members in self._groups().items()}


def since(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Return what each group has spent between two looks."""
    return {name: max(spent - before.get(name, 0.0), 0.0) for name, spent in after.items()}


def of_product(spent: dict[str, float]) -> float:
    """Return the sum of the product's own groups: neither the database server nor ourselves."""
    return sum(cost for name, cost in spent.items() if name not in (DATABASE, OURSELVES))


def family(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and all that it started and still runs."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def groups_of_up(process: psutil.Process) -> Groups:
    """Return the processes of an ``engine up``."""
    groups: Groups = {"supervisor": [process]}
    for child in process.children():
        groups.setdefault(group_of(_words(child)), []).extend(family(child))
    return groups


def group_of(command: Iterable[str]) -> str:
    """Return the group that a command line belongs to."""
    words = " ".join(command)
    return next((name for name, sign in _SIGNS if sign in words), "supervisor")


def database_server(url: str) -> list[psutil.Process]:
    """Return the first process of the PostgreSQL at ``url``; nothing when it is elsewhere."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        try:
            # On another machine the number may be another program's
            ours = psutil.Process(row[0])
            return [ours.parents()[0]] if ours.name().startswith("postgres") else []
        except (psutil.Error, IndexError):
            return []


def cores() -> int:
    """Return how many cores we may use."""
    return len(os.sched_getaffinity(0))


def _cpu(process: psutil.Process) -> float:
    """Return its CPU seconds and those of its children that have ended: none is counted twice."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _pss(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0.0


def _words(process: psutil.Process) -> list[str]:
    try:
        return [process.name(), *process.cmdline()]
    except psutil.NoSuchProcess:
        return []
