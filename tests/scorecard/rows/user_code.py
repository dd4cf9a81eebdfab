"""Steps whose code keeps the lock, raises what no one catches, or starts what does not end."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

import psutil

from engine.codec import decode
from tests.scorecard import workload
from tests.scorecard.drill import Drill, Wanted
from tests.scorecard.registry import row
from tests.scorecard.rows.worker import GIVEN_UP, poisoned
from tests.support.processes import eventually, lives

GONE = 25.0  # seconds: a cancel leaves running steps 10 s to end by themselves
COUNT = 4  # programs at a time


@row("worker", "interpreter's lock held for good", recovery=GIVEN_UP, max_crashes=3)
def interpreter_lock_held(drill: Drill) -> None:
    """A step lets no other thread of its process run, each time; the steps beside it do not pay."""
    bad = poisoned(drill, "keep_the_lock")
    sql = "SELECT error FROM step_runs WHERE execution_id = :id AND error IS NOT NULL"
    [(error,)] = drill.fleet.query(sql, id=bad)
    if drill.scale == 1:
        # With leases of a second others take the worker for dead before its guardian has looked.
        drill.expect("type of the error", decode(error)["type"], "InterpreterLockHeld")
        sql = "SELECT count(*) FROM step_runs WHERE crashes > 0 AND execution_id <> :id"
        drill.expect("other step runs that count a crash", drill.fleet.query(sql, id=bad)[0][0], 0)


@row(
    "worker",
    "exceptions of every kind",
    recovery="the step begins what it raises → the attempt has failed, a sample an attempt",
)
def base_exception(drill: Drill) -> None:
    """What no ``except Exception`` sees leaves steps, and what cannot be written as text."""
    drill.workers(2)
    with drill.traffic():
        drill.mixture()
        drill.strike()
        wanted = Wanted(("failed",), reason="error")
        kinds = ("halt", "unreadable", "group", "generator", "exit")
        raising = [
            drill.begin(workload.alone(f"raise-{kind}", "raise_it", kind=kind), wanted=wanted)
            for kind in kinds
        ]
        drill.heal()
    drill.settle()
    sql = "SELECT execution_id, finished_at FROM attempts WHERE outcome = 'failed'"
    failed = {name: at / 1e6 for name, at in drill.fleet.query(sql) if name in raising}
    starts = [effect for effect in drill.fleet.effects("start") if effect.execution in raising]
    drill.expect("calls of the steps", set(Counter(e.key for e in starts).values()), {1})
    drill.recoveries += [failed[e.execution] - e.at for e in starts if e.execution in failed]
    if drill.scale == 1:
        drill.expect_no_crash()


@row(
    "worker",
    "programs that a step starts",
    recovery="cancel, timeout, kill → the program is gone, a sample a program",
)
def child_outlives(drill: Drill) -> None:
    """Steps wait for programs that do not end; they are cancelled, time out, lose their worker."""
    drill.workers(2)
    with drill.traffic():
        drill.mixture()
        cancelled = _wait_for_programs(drill, Wanted(("cancelled",)))
        for execution_id in cancelled:
            drill.fleet.client.cancel(owner_id=drill.fleet.owner_id, execution_id=execution_id)
        drill.strike()
        _gone(drill, _programs(drill, cancelled))
        late = Wanted(("failed",), reason="timeout")
        _gone(drill, _programs(drill, _wait_for_programs(drill, late, timeout="2s")))
        orphaned = _wait_for_programs(drill, late, timeout="20s")
        _gone(drill, _kill_their_worker(drill, _programs(drill, orphaned)))
    drill.settle(work=60)
    left = [pid for pid in _programs(drill, list(drill.accepted)) if lives(pid)]
    drill.expect("programs that are left", left, [])


def _wait_for_programs(drill: Drill, wanted: Wanted, **options: str) -> list[str]:
    """Start steps that wait for programs, and return when all of these run."""
    given = workload.alone(f"program-{len(drill.accepted)}", "program", options=options)
    workflow_id = drill.publish(given)
    found = [drill.begin(given, workflow_id=workflow_id, wanted=wanted) for _ in range(COUNT)]
    started = [one for one in found if one is not None]
    eventually(lambda: len(_programs(drill, started)) >= COUNT, seconds=30, what="programs run")
    return started


def _programs(drill: Drill, executions: list[str]) -> list[int]:
    """Return the process ids of what steps of these executions have started."""
    names = [path.name.removeprefix("program-") for path in drill.fleet.folder.glob("program-*")]
    pairs = [name.rsplit("-", 1) for name in names]
    return [int(pid) for key, pid in pairs if key.partition(".")[0] in executions]


def _gone(drill: Drill, pids: list[int]) -> None:
    """Recovery: for each program, until it is gone."""
    since, left = time.time(), set(pids)

    def all_gone() -> bool:
        for pid in [one for one in left if not lives(one)]:
            drill.recoveries.append(time.time() - since)
            left.remove(pid)
        return not left

    eventually(all_gone, seconds=GONE, what="the programs are gone")


def _kill_their_worker(drill: Drill, programs: list[int]) -> list[int]:
    """Kill the worker process that has started most of the programs; return those."""
    parents = Counter(psutil.Process(pid).ppid() for pid in programs)
    [(parent, _)] = parents.most_common(1)
    theirs = [pid for pid in programs if psutil.Process(pid).ppid() == parent]
    drill.strike()
    os.kill(parent, signal.SIGKILL)  # it alone: its programs are not this drill's to end
    drill.heal()
    drill.start()
    return theirs
