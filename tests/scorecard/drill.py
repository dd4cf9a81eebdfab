"""One run of one row: a fleet, a seeded workload, a fault, and what was seen of it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from engine.errors import EngineError, Unavailable
from tests.scorecard import throughput, workload
from tests.scorecard.bench import Bench
from tests.scorecard.workload import Given
from tests.support.fleet import Fleet, Worker
from tests.support.processes import eventually
from tests.support.proxy import Proxy, proxy

ENDS = ("completed", "failed", "cancelled")
STUCK_SECONDS = 60
THREADS = 8  # of a worker; the default of ``engine up``
BEFORE = (
    6.0  # seconds of traffic before a fault: the first to get going, the others to compare with
)
LATEST = 60.0  # seconds after an outage within which the throughput must be back
A_SECOND = 5.0  # executions that the even traffic starts
CATCH_UP = 0.5  # seconds of traffic that a slow start may put off and make up for
LEASE, BEAT, SWEEP = 10.0, 3.0, 1.0  # seconds; the defaults, which scale 1 leaves alone
SLACK = 120.0  # seconds beyond lease + 2 sweeps that an accepted execution gets on a busy machine
# With leases of a second a busy machine's late beats look like deaths: a limit beyond bad luck.
PATIENT_CRASHES = 12


class Weak(Exception):
    """The run shows nothing: the fault did not strike, or too little was running."""


@dataclass(frozen=True)
class Wanted:
    """What an accepted execution must come to.

    Attributes:
        statuses: the ends that are right.
        output: the output it must have if it completed.
        reason: the reason that its first failed step must give, if any is stated.
    """

    statuses: tuple[str, ...] = ("completed",)
    output: Any = None
    reason: str | None = None


@dataclass(frozen=True)
class Strike:
    """A fault that happened at ``at`` (this machine's time) with so many executions in flight."""

    at: float
    in_flight: tuple[str, ...]


@dataclass
class Drill:
    """What a row's function works with.

    Attributes:
        bench: where the database comes from.
        fleet: workers, Valkey, database and a client of the engine.
        chance: seeded; decides sizes, victims and moments.
        scale: what heartbeats, leases and sweeps are multiplied by; 1 are the defaults.
        accepted: the client's log: what was acknowledged, and what it must come to.
        strikes: the faults so far.
        recoveries: seconds each, as the row defines them.
        healed: when the last fault was over.
        notes: what a reader of the report should know of this run.
        broken: promises that a row found broken by itself; each counts as a wrong end.
        stuck: accepted executions that were open a minute after the faults.
    """

    bench: Bench
    fleet: Fleet
    chance: random.Random
    scale: float = 1.0
    slack: float = SLACK
    accepted: dict[str, Wanted] = field(default_factory=dict)
    strikes: list[Strike] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)
    healed: float = 0.0
    notes: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    stuck: int = 0
    _steady: dict[str, float] = field(default_factory=dict)  # the even traffic, and when it began
    _stack: ExitStack = field(default_factory=ExitStack)

    # --- times --------------------------------------------------------------------------------

    @property
    def lease(self) -> float:
        """Seconds after which a silent worker counts as dead."""
        return LEASE * self.scale

    @property
    def patience(self) -> float:
        """Seconds after the faults within which all that was accepted must have ended."""
        return self.lease + 2 * SWEEP * self.scale + self.slack

    def moment(self, least: float, most: float) -> None:
        """Let a seeded while pass: faults strike at different moments of the same work."""
        time.sleep(self.chance.uniform(least, most))

    def last(self, seconds: float) -> None:
        """Let a fault last for so long."""
        time.sleep(seconds)

    # --- workers ------------------------------------------------------------------------------

    def workers(self, count: int, environment: Mapping[str, str] | None = None) -> list[Worker]:
        """Start workers and return them when they are ready."""
        started = [self.start(environment) for _ in range(count)]
        self.fleet.await_ready()
        return started

    def start(self, environment: Mapping[str, str] | None = None) -> Worker:
        """Start a worker with the default number of threads and return it at once."""
        return self.fleet.start(threads=THREADS, **dict(environment or {}))

    def kill(self, victim: Worker) -> Strike:
        """Kill -9 a worker, start another in its place, and say when it was."""
        strike = self.strike()
        victim.kill()
        self.heal()
        self.start()
        return strike

    def await_death(self, victim: Worker, seconds: float = 60) -> Strike:
        """Wait until a worker has met the fault it was armed with; start another in its place."""
        eventually(lambda: victim.ended, seconds=seconds, what="the worker meets its fault")
        strike = self.strike()
        self.heal()
        self.start()
        return strike

    # --- work ---------------------------------------------------------------------------------

    def begin(self, given: Given, *, workflow_id: str | None = None, **more: Any) -> str | None:
        """Start an execution; if that is acknowledged, log what it must come to."""
        wanted = more.pop("wanted", None) or Wanted(output=given.output)
        try:
            execution_id = self.fleet.begin(workflow_id or self.publish(given), **more)
        except Unavailable:
            return None  # not acknowledged: nothing was promised
        self.accepted[execution_id] = wanted
        return execution_id

    def publish(self, given: Given) -> str:
        """Publish a workflow and return its id."""
        document = dict(given.document)
        name, steps = document.pop("name"), document.pop("steps")
        return self.fleet.publish(name, steps, **document)

    def mixture(self, times: int = 1) -> list[str]:
        """Start the seeded mixture so many times; return what was accepted."""
        given = [one for _ in range(times) for one in workload.mixture(self.chance)]
        return [found for one in given if (found := self.begin(one)) is not None]

    def long_steps(self, count: int, seconds: float, **options: Any) -> list[str]:
        """Start steps that take long at their first call; return when all have begun."""
        given = workload.long(round(seconds, 2), **options)
        workflow_id = self.publish(given)
        found = [self.begin(given, workflow_id=workflow_id) for _ in range(count)]
        self.fleet.await_effect("start", step="long", count=count, seconds=30)
        return [execution_id for execution_id in found if execution_id is not None]

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Break a server in the block, under traffic, and have it mended when the block ends.

        How long the throughput of new work was down after it is a sample of the row's recovery.
        Nobody has to start a worker again by hand, whatever a server does.
        """
        with self.traffic():
            self.mixture()
            self.last(BEFORE)
            strike = self.strike()
            yield
            healed = self.heal()
            self._throughput_back(strike, healed)
        self.settle()
        gone = [worker.log.stem for worker in self.fleet.workers if worker.ended]
        self.expect("workers that ended with the server", gone, [])
        late = max((at for begun, at in self._ends() if begun < healed), default=healed)
        self.notes.append(f"what began before the heal had ended {late - healed:.1f} s after it")

    @contextmanager
    def traffic(self, a_second: float = A_SECOND) -> Iterator[None]:
        """Start short chains at an even rate for as long as the block lasts."""
        given, over = workload.chain(4, seconds=0.3), threading.Event()
        workflow_id = self.publish(given)

        def feed() -> None:
            due = time.monotonic()
            while not over.wait(max(0.0, due - time.monotonic())):
                # A slow start is caught up with: the rate stays. An outage is not: the burst after
                # it would pass for throughput.
                due = max(due + 1 / a_second, time.monotonic() - CATCH_UP)
                begun = time.time()
                try:
                    execution_id = self.begin(given, workflow_id=workflow_id)
                except EngineError as error:
                    self.notes.append(f"the traffic met {error!r}")
                    continue
                if execution_id is not None:
                    self._steady[execution_id] = begun

        thread = threading.Thread(target=feed, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(60)

    # --- faults -------------------------------------------------------------------------------

    def strike(self) -> Strike:
        """Write down that a fault happens now."""
        try:
            still = self.open()
        except Unavailable:
            still = list(self.accepted)
        self.strikes.append(Strike(time.time(), tuple(still)))
        return self.strikes[-1]

    def heal(self) -> float:
        """Write down that the fault is over now, and return the time."""
        self.healed = time.time()
        return self.healed

    def before_redis(self) -> Proxy:
        """Put a proxy between the workers to come and Redis, and return it."""
        port = int(self.fleet.redis_url.rsplit(":", 1)[1].split("/")[0])
        made = self._stack.enter_context(proxy(port))
        self.fleet.variables["REDIS_URL"] = f"redis://127.0.0.1:{made.port}/0"
        return made

    def before_postgres(self) -> Proxy:
        """Put a proxy between the workers to come and PostgreSQL, and return it."""
        url = self.fleet.variables["DATABASE_URL"]
        head, name = url.rsplit("/", 1)
        made = self._stack.enter_context(proxy(int(head.rsplit(":", 1)[1])))
        self.fleet.variables["DATABASE_URL"] = f"{head.rsplit(':', 1)[0]}:{made.port}/{name}"
        return made

    # --- what came of it ----------------------------------------------------------------------

    def open(self) -> list[str]:
        """Return the accepted executions that have not ended, or are nowhere."""
        sql = f"SELECT id FROM executions WHERE status IN {ENDS}"
        ended = {row[0] for row in self.fleet.query(sql)}
        return [execution_id for execution_id in list(self.accepted) if execution_id not in ended]

    def settle(self, *, work: float = 0) -> None:
        """Return when all that was accepted has ended, or its time is over.

        Counts what is still open ``STUCK_SECONDS`` after the faults.

        Args:
            work: seconds that the work itself may take when nothing is wrong.
        """
        since = self.healed or self.heal()
        checked = False
        while time.time() < since + self.patience + work:
            still = self._still_open()
            if not still:
                return
            if not checked and time.time() > since + STUCK_SECONDS + work:
                self.stuck, checked = len(still), True
            time.sleep(0.2)
        self.stuck = max(self.stuck, len(self.open()))

    def _still_open(self) -> list[str]:
        try:
            return self.open()
        except Unavailable:
            return list(self.accepted)

    def ran_again(self, strike: Strike, *pids: int) -> None:
        """Recovery: for each step that ran in these processes, until its next start elsewhere."""
        starts: dict[str, list[Any]] = {}
        done = {e.key for e in self.fleet.effects("effect") if e.at < strike.at}
        for effect in self.fleet.effects("start"):
            starts.setdefault(effect.key, []).append(effect)
        held = 0
        for key, told in starts.items():
            before = [effect for effect in told if effect.at < strike.at]
            after = [effect for effect in told if effect.at >= strike.at and effect.pid not in pids]
            if not before or before[-1].pid not in pids or key in done:
                continue
            if after and after[0].attempt != before[-1].attempt:
                continue  # that attempt had failed by itself: a lost one is tried under its number
            held += 1
            self.recoveries += [after[0].at - strike.at] if after else []
        if not held:
            raise Weak("the worker had no step in hand")

    def moved_on(self, *strikes: Strike, since: float | None = None) -> None:
        """Recovery: until each execution in flight at the strike had done something again.

        Args:
            strikes: the faults; a sample each, unless nothing was in flight.
            since: when the clock starts if not at the strike.
        """
        found = [self._moved_on(strike, since or strike.at) for strike in strikes]
        self.recoveries += [seconds for seconds in found if seconds is not None]
        if not any(found):
            raise Weak("nothing was in flight")

    def _moved_on(self, strike: Strike, start: float) -> float | None:
        firsts: dict[str, float] = {}
        for effect in self.fleet.effects():
            if effect.at > start:
                firsts.setdefault(effect.execution, effect.at)
        sql = "SELECT id, finished_at FROM executions WHERE finished_at IS NOT NULL"
        for execution_id, finished_at in self.fleet.query(sql):
            if finished_at / 1e6 > start:
                first = firsts.get(execution_id, finished_at / 1e6)
                firsts[execution_id] = min(first, finished_at / 1e6)
        hit = [firsts[found] - start for found in strike.in_flight if found in firsts]
        return max(hit, default=None)

    def _throughput_back(self, strike: Strike, healed: float) -> None:
        """Recovery: from the heal until the throughput of new work is back."""
        before = throughput.rate([at for _, at in self._ends()], until=strike.at)
        if before < A_SECOND / 2:
            raise Weak(f"{before:.1f} executions a second before the fault: too few to compare")
        until = time.time() + LATEST
        while time.time() < until:
            new = [at for begun, at in self._ends() if begun >= healed]
            at = throughput.back(new, before=before)
            if at is not None:
                self.recoveries.append(at - healed)
                return
            time.sleep(0.5)
        self.broken.append(f"the throughput was not back {LATEST:g} s after the heal")

    def _ends(self) -> list[tuple[float, float]]:
        """Return when each execution of the even traffic began and completed, if it did."""
        sql = "SELECT id, finished_at FROM executions WHERE status = 'completed'"
        try:
            found = self.fleet.query(sql)
        except Unavailable:
            return []
        return [(self._steady[name], at / 1e6) for name, at in found if name in self._steady]

    def expect(self, what: str, found: object, wanted: object) -> None:
        """Count what is not as it was promised as a wrong end."""
        if found != wanted:
            self.broken.append(f"{what}: {found} instead of {wanted}")

    def expect_no_crash(self) -> None:
        """Nobody died, so no claim may count as a crash."""
        [(crashes,)] = self.fleet.query("SELECT coalesce(sum(crashes), 0) FROM step_runs")
        self.expect("claims that count as crashes though no worker died", int(crashes), 0)

    def close(self) -> None:
        """End what was opened here."""
        self._stack.close()
