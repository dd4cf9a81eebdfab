"""Steps in processes of their own (``isolation: process``) that die, or whose worker does."""

from __future__ import annotations

import time
from collections import Counter

import psutil

from engine.core.status import Reason
from tests.scorecard import workload
from tests.scorecard.drill import Drill, Wanted, Weak
from tests.scorecard.registry import row
from tests.scorecard.rows.worker import RUNS_AGAIN
from tests.support.fleet import Worker
from tests.support.processes import eventually, lives

GONE = 5.0  # seconds within which nothing of a killed worker may be left
HELD = 8.0  # seconds for which a step holds its process: all of them have begun by then

# What a step does to its process, and the reason that its failure must give.
_DEATHS = [
    ("crash", Reason.PROCESS_DIED, {}, {}),
    ("die", Reason.PROCESS_DIED, {}, {}),
    ("gobble", Reason.OUT_OF_MEMORY, {"megabytes": 3000}, {"memory": "256MB"}),
]


@row(
    "worker",
    "segfault in a process of its own",
    recovery="the step begins what ends its process → the attempt has failed, a sample an attempt",
)
def own_process_dies(drill: Drill) -> None:
    """Processes of steps crash, leave, or outgrow their memory; nobody beside them notices."""
    pids = [worker.pid for worker in drill.workers(2)]
    with drill.traffic():
        drill.mixture()
        drill.strike()
        dying = [_start_dying(drill, *death) for death in _DEATHS]
        eventually(
            lambda: all(drill.fleet.status(one) == "failed" for one in dying),
            seconds=60,
            what="the steps whose processes died have failed",
        )
        drill.heal()
    drill.settle()
    drill.expect("worker processes", [worker.pid for worker in drill.fleet.workers], pids)
    told = drill.fleet.effects("start")
    begun = Counter((effect.key, effect.attempt) for effect in told)
    if drill.scale == 1:
        # With leases of a second a busy machine's late beat may cost a claim.
        drill.expect_no_crash()
        drill.expect("attempts that began twice", [a for a, n in begun.items() if n > 1], [])
    sql = "SELECT execution_id, attempt, finished_at FROM attempts WHERE outcome = 'failed'"
    failed = {(name, attempt): at / 1e6 for name, attempt, at in drill.fleet.query(sql)}
    starts = [e for e in told if e.execution in dying]
    drill.recoveries += [failed[(e.execution, e.attempt)] - e.at for e in starts]


def _start_dying(
    drill: Drill,
    function: str,
    reason: Reason,
    params: dict[str, int],
    options: dict[str, str],
) -> str:
    """Start a step whose process does not live through either of its two attempts."""
    options = {"isolation": "process", **options}
    retry = {"retry": {"attempts": 2, "backoff": "100ms"}}
    given = workload.alone(f"own-{function}", function, options={**options, **retry}, **params)
    execution_id = drill.begin(given, wanted=Wanted(("failed",), reason=reason.value))
    assert execution_id is not None
    return execution_id


@row("worker", "SIGKILL with a process of a step's own", recovery=RUNS_AGAIN)
def own_process_orphaned(drill: Drill) -> None:
    """Kill a worker while processes of its steps run: they go with it, and the steps run again."""
    workers = drill.workers(2)
    drill.mixture()
    drill.long_steps(6, HELD, isolation="process")
    drill.moment(0, 0.5)
    victim, children = _most_children(drill, workers)
    strike = drill.kill(victim)
    eventually(
        lambda: not any(map(lives, children)),
        seconds=GONE,
        what="the processes of the killed worker's steps are gone",
    )
    drill.notes.append(f"{len(children)} processes gone {time.time() - strike.at:.2f} s after it")
    drill.settle(work=2 * HELD)
    drill.ran_again(strike, *children)
    held = {e.key for e in drill.fleet.effects("start") if e.pid in children}
    times = Counter(e.key for e in drill.fleet.effects("start") if e.key in held)
    drill.expect("starts of the steps that were held", set(times.values()), {2})


def _most_children(drill: Drill, workers: list[Worker]) -> tuple[Worker, list[int]]:
    """Return the worker that has most steps in processes of their own, and these processes."""
    begun = {e.pid for e in drill.fleet.effects("start") if e.step == "long"}
    of = {
        w: [pid for pid in begun if lives(pid) and psutil.Process(pid).ppid() == w.pid]
        for w in workers
    }
    victim = max(workers, key=lambda worker: len(of[worker]))
    if not of[victim]:
        raise Weak("no worker had a process of a step's own")
    return victim, of[victim]
