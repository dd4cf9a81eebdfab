"""Workers that die, freeze, hog, drain or know too little."""

from __future__ import annotations

import contextlib
import signal
import threading
import time

import psutil

from tests.scorecard import steps, workload
from tests.scorecard.drill import THREADS, Drill, Wanted, Weak
from tests.scorecard.registry import BY_MESSAGE, row
from tests.support.fleet import Worker
from tests.support.processes import eventually

RUNS_AGAIN = "kill → the step it held starts again, a sample a step"
HELD = 4.0  # seconds: long enough for all to have begun, over before the killed worker's lease
MOVES_ON = "fault → all in flight have moved on, a sample a fault"


@row("worker", "SIGKILL mid-step", recovery=RUNS_AGAIN)
def kill_mid_step(drill: Drill) -> None:
    """Kill one worker of two with its hands full, and later the other."""
    first, second = drill.workers(2)
    for victim in drill.chance.sample([first, second], 2):
        drill.mixture()
        drill.long_steps(2 * THREADS, HELD)
        drill.moment(0.0, 0.5)
        pid = victim.pid
        strike = drill.kill(victim)
        drill.settle(work=2 * drill.lease)
        drill.ran_again(strike, pid)


def at_a_boundary(drill: Drill, point: str, passes: tuple[int, int]) -> None:
    """Have one worker of two die at a failpoint, three times over."""
    drill.workers(1)
    for _ in range(3):
        nth = drill.chance.randint(*passes)
        [doomed] = drill.workers(1, {"ENGINE_FAILPOINTS": f"{point}=kill@{nth}"})
        with drill.traffic(8.0):
            drill.mixture()
            strike = drill.await_death(doomed)
        drill.settle()
        drill.moved_on(strike)


@row("worker", "SIGKILL between commit and enqueue", recovery=MOVES_ON, variables=BY_MESSAGE)
def kill_before_enqueue(drill: Drill) -> None:
    """What the commit owes was never sent."""
    at_a_boundary(drill, "before_enqueue", (2, 12))


@row("worker", "SIGKILL between enqueue and ack", recovery=MOVES_ON, variables=BY_MESSAGE)
def kill_before_ack(drill: Drill) -> None:
    """What was owed is on its way, and the message that led to it comes back."""
    at_a_boundary(drill, "after_enqueue", (2, 12))


@row("worker", "SIGKILL between effect and commit", recovery=MOVES_ON, variables=BY_MESSAGE)
def kill_after_effect(drill: Drill) -> None:
    """The effect has happened and nobody knows: it must repeat, with the same key."""
    at_a_boundary(drill, "after_effect", (2, 12))


@row("worker", "SIGSTOP 60 s then SIGCONT (zombie)", recovery=RUNS_AGAIN)
def zombie(drill: Drill) -> None:
    """Freeze a worker until another has its steps, then let it say what it has."""
    [frozen] = drill.workers(1)
    seconds = 60 * drill.scale
    # Of those that take as long as the freeze, another has begun and not ended when it wakes: then
    # its own are over, and it has results for claims that it lost.
    held = workload.chain(2, seconds=round(seconds, 2))
    workflow_id = drill.publish(held)
    for _ in range(4):
        drill.begin(held, workflow_id=workflow_id)
    drill.fleet.await_effect("start", step="s0", count=4, seconds=30)
    drill.long_steps(3, 2.0)
    pid = frozen.pid
    strike = drill.strike()
    frozen.signal(signal.SIGSTOP)
    drill.workers(1)
    drill.mixture()
    drill.last(max(0.0, strike.at + seconds - time.time()))
    frozen.signal(signal.SIGCONT)
    drill.heal()
    drill.settle(work=2 * seconds)
    drill.ran_again(strike, pid)
    frozen.stop()


@row("worker", "GIL-hogging step", recovery="first call → the second, a sample a step")
def gil_hog(drill: Drill) -> None:
    """A step lets no other thread of its process run, also not the heartbeat."""
    drill.workers(2)
    drill.mixture()
    if drill.bench.server is None:
        # A process that is frozen inside a write to SQLite holds up every other, which is a limit
        # of its own (docs/architecture.md), and nobody can take the step: let it be idle else.
        drill.settle()
    for _ in range(3):
        if _hogged(drill):
            break
        drill.notes.append("the hog's process was frozen inside a write: another hog was started")
    else:
        raise Weak("no hog's step was taken from its process")
    drill.heal()
    drill.settle()


def _hogged(drill: Drill) -> bool:
    """Run a hog, and others meanwhile; return whether another worker called it meanwhile."""
    seconds = round(1.6 * drill.lease, 2)
    execution_id = drill.begin(workload.alone("hog", "hog", n=0, seconds=seconds))

    def calls() -> list[float]:
        return [e.at for e in drill.fleet.effects("start") if e.execution == execution_id]

    eventually(calls, seconds=30, what="the hog begins")
    drill.strike()
    drill.mixture()
    drill.last(seconds)
    eventually(lambda: drill.fleet.status(str(execution_id)) == "completed", seconds=30, what="end")
    found = calls()
    drill.recoveries += [found[1] - found[0]] if len(found) > 1 else []
    return len(found) > 1


def poisoned(drill: Drill, function: str, **params: int) -> str:
    """Start a step that takes its worker down each time, beside others that do not; return its
    execution."""
    drill.workers(2)
    for _ in range(2):
        drill.mixture()
    drill.strike()
    given = workload.alone("poison", function, **params)
    bad = drill.begin(given, wanted=Wanted(("failed",), reason="worker_crashed"))
    assert bad is not None
    over = threading.Event()
    with contextlib.ExitStack() as stack:
        if function == "gobble":
            killer = threading.Thread(target=_kill_the_fat, args=(drill, over), daemon=True)
            killer.start()
            stack.callback(over.set)

        def ended() -> bool:
            drill.fleet.keep(2)
            return drill.fleet.status(bad) == "failed"

        eventually(ended, seconds=150, what="the poison is given up", every=0.2)
    since = drill.strikes[-1].at
    drill.heal()
    drill.settle()
    finished = drill.fleet.execution(bad, "finished_at")[0] / 1e6
    drill.recoveries.append(finished - since)
    drill.expect("crashes until the poison was given up", drill.fleet.step(bad, 0, "crashes")[0], 3)
    return bad


GIVEN_UP = "start of the poison → its end, after 3 crashes"


@row("worker", "os._exit", recovery=GIVEN_UP, max_crashes=3)
def os_exit(drill: Drill) -> None:
    """A step ends its process three times; then it is given up, and nobody else is."""
    poisoned(drill, "die")


@row("worker", "OOM", recovery=GIVEN_UP, max_crashes=3)
def oom(drill: Drill) -> None:
    """A step takes memory until its process is killed, as the kernel's OOM killer does."""
    poisoned(drill, "gobble", megabytes=3000)


def _kill_the_fat(drill: Drill, over: threading.Event) -> None:
    """Play the kernel's part: kill -9 whoever has taken too much."""
    while not over.wait(0.02):
        for worker in list(drill.fleet.workers):
            with contextlib.suppress(psutil.Error, ValueError):
                fat = psutil.Process(worker.pid).memory_info().rss > 600_000_000
                if fat:
                    worker.signal(signal.SIGKILL)


@row(
    "worker",
    "SIGTERM under load",
    recovery=MOVES_ON,
    variables={"ENGINE_DRAIN_SECONDS": "2"},
)
def sigterm_under_load(drill: Drill) -> None:
    """Ask a worker to stop while its steps outlast the drain."""
    leaving, _ = drill.workers(2)
    with drill.traffic():
        drill.mixture()
        drill.long_steps(8, 6)
        strike = drill.strike()
        drill.start()
        _expect_good_end(drill, leaving)
        drill.heal()
    drill.settle(work=10)
    drill.moved_on(strike)
    if drill.scale == 1:
        drill.expect_no_crash()


@row(
    "worker",
    "rolling restart",
    recovery=MOVES_ON,
    variables={"ENGINE_DRAIN_SECONDS": "2"},
)
def rolling_restart(drill: Drill) -> None:
    """Replace every worker, one after the other, under load."""
    old = drill.workers(2)
    strikes = []
    with drill.traffic():
        drill.mixture()
        for leaving in old:
            drill.workers(1)
            drill.moment(0, 1)
            strikes.append(drill.strike())
            _expect_good_end(drill, leaving)
        drill.heal()
    drill.settle()
    drill.moved_on(*strikes)
    if drill.scale == 1:
        drill.expect_no_crash()


def _expect_good_end(drill: Drill, leaving: Worker) -> None:
    drill.expect("exit code of a worker that was asked to stop", leaving.stop(), 0)


@row(
    "worker",
    "old code meets new step",
    recovery="new code is ready → the held step starts, a sample a step",
    variables={steps.WITHOUT: "newer"},
)
def old_code(drill: Drill) -> None:
    """A worker whose code lacks a step leaves it queued until one has it."""
    drill.workers(1)
    drill.mixture()
    drill.strike()
    given = workload.chain(2, "newer")
    held = [drill.begin(given) for _ in range(4)]
    sql = "SELECT count(*) FROM step_runs WHERE reason = 'unknown_step'"
    eventually(lambda: drill.fleet.query(sql)[0][0] == 4, seconds=30, what="the steps are held")
    drill.workers(1, {steps.WITHOUT: "nothing"})
    drill.heal()
    drill.settle(work=60)
    for execution_id in held:
        started = [e.at for e in drill.fleet.effects("start") if e.execution == execution_id]
        drill.recoveries += [min(started) - drill.healed] if started else []
