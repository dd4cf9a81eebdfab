"""A worker process: its executor, its heartbeat, its part in the rescue, its good end."""

from __future__ import annotations

import logging
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Collection
from functools import cached_property
from multiprocessing.util import Finalize
from typing import Any

import redis

from actors import console, messages
from actors.broker import EngineBroker
from actors.heart import Heart
from actors.notifications import Looks
from engine import registry
from engine.commands import missing_code
from engine.errors import EngineError
from engine.flow.definition_cache import Versions
from engine.flow.outgoing import Sends
from engine.ids import new_id
from engine.io.payloads import Payloads
from engine.recovery import Rescue
from engine.settings import Settings
from engine.steps import capture, event_loop
from engine.steps.threads import on_death, start_vital
from engine.store.db.database import Database
from engine.store.recovery import liveness
from engine.store.writes import dead_letters
from engine.store.writes.step_runs import RunRow
from engine.worker.claim import known_code
from engine.worker.claim_registry import Claim, Claims, Stop
from engine.worker.commit_retry import flush_all, release
from engine.worker.external_worker import ExternalWorker
from engine.worker.run import Executor

PULSE_SECONDS = 0.5  # how often lines of running steps are written, and a beat may be due
YOUNG = 5_000_000  # µs within which a claim may be in the database and not yet in our book
RELEASE_SECONDS = 1.5  # what interrupted threads get to give their claims back
MANY_STUCK = 0.5  # share of threads lost to steps that ignore their timeout: then start afresh

_log = logging.getLogger("engine.worker")


class WorkerRuntime:
    """Everything one worker process holds. Opened at worker boot, never at import: the process
    that imports this module may fork."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.id = new_id()  # short: each step run and each of its starts names it
        self.claims = Claims()
        self.heart = Heart(settings, self.id, self.go)
        self.broker: EngineBroker | None = None
        self._threads = 0
        self._ended = threading.Event()
        self._steady_since: float | None = None
        self._last_beat = 0.0
        self._marks_before: dict[str, int] = {}
        self._parent = 0
        self._going = False
        self._threads_of_all: dict[str, int] = {}  # of all workers by queue, as of the last beat

    @cached_property
    def database(self) -> Database:
        """The database of this process."""
        return Database.open(
            self.settings.database,
            synchronous=self.settings.sqlite_synchronous,
            threads=max(self._threads, 4) + 4,
            payloads=Payloads.of(self.settings),
        )

    @cached_property
    def versions(self) -> Versions:
        """The parsed versions of this process."""
        return Versions(self.database)

    @cached_property
    def looks(self) -> Looks:
        """Tells pages that there is news."""
        assert self.broker is not None
        return Looks(self.broker.client)

    @cached_property
    def executor(self) -> Executor:
        """Runs step runs."""
        return Executor(
            settings=self.settings,
            database=self.database,
            versions=self.versions,
            worker_id=self.id,
            claims=self.claims,
            look=self.looks.add,
            lanes=self._free_threads,
            signs=self.heart.signs,
        )

    @cached_property
    def guest(self) -> ExternalWorker:
        """Claims and settles for actors of the user's own."""
        return ExternalWorker(
            settings=self.settings,
            database=self.database,
            versions=self.versions,
            worker_id=self.id,
            claims=self.claims,
        )

    @cached_property
    def rescue(self) -> Rescue:
        """Sweeps while this process holds the lease."""
        assert self.broker is not None
        return Rescue(self.settings, self.database, self.versions, self.broker, self.looks.add)

    def board(self, *, queues: Collection[str] | None, threads: int) -> None:
        """Load the user's modules, introduce the worker, start its pulse and its rescue."""
        self._parent = os.getppid()
        console.set_up(self.settings)
        self.heart.set_apart()
        on_death(lambda name, error: self.go(f"its thread {name} has ended: {error!r}"))
        capture.install()
        capture.install_for_warnings()
        registry.load_modules(self.settings.modules)
        assert self.broker is not None
        declared = self.broker.get_declared_queues()
        self._introduce(sorted(queues or declared), threads, known_code())
        _ = self.executor, self.rescue  # made here once: threads must not race to make two
        self.heart.start()
        self._start("rescue", self._sweep, self.settings.sweep_seconds)
        self._start("parent", self._mind_parent, 1.0)
        _log.info("worker %s is ready: %d threads", self.id[:8], threads)
        self._warn_of_stranded()

    def _warn_of_stranded(self) -> None:
        """Log which executions in flight have steps that neither this worker nor another knows."""
        others = missing_code.known_by_workers(self.database, self.settings.lease_seconds)
        known = {*known_code(), *(others or ())}
        for one in missing_code.find(self.database, self.versions, known=known):
            _log.warning(
                "%d executions of %s v%d wait for code that no worker has: %s;"
                " `engine stranded list` tells what can be done",
                one.executions,
                one.workflow,
                one.version,
                ", ".join(f"{missing.step} ({missing.code})" for missing in one.missing),
            )

    def visit(self, *, queues: Collection[str], threads: int) -> None:
        """Introduce a worker of the user's own, whose actors run steps, and start its pulse.

        It neither sweeps nor takes steps of others, and ends as its owner wants.
        """
        capture.install()
        self._introduce(sorted(queues), threads, [])
        _ = self.guest

    def _introduce(self, queues: list[str], threads: int, functions: list[str]) -> None:
        self._threads = threads
        worker = liveness.WorkerRow(
            id=self.id,
            host=platform.node(),
            pid=os.getpid(),
            queues=queues,
            threads=threads,
            functions=functions,
        )
        now = self.database.now()
        self.database.write(lambda connection: liveness.register(connection, worker, now))
        # A second signal ends the process at once; what it held goes back all the same.
        # (Dramatiq's workers are multiprocessing's, which run no atexit handlers.)
        Finalize(None, self._give_back, exitpriority=10)
        self._start("pulse", self._pulse, PULSE_SECONDS)
        self._start("lines", self._write_lines, PULSE_SECONDS)

    def drain(self) -> None:
        """Begin nothing new; interrupt what is left when the drain time is over."""
        self.claims.drain()
        seconds = self.settings.drain_seconds
        _log.info("worker stops: %d running steps get %g s", len(self.claims.all()), seconds)
        timer = threading.Timer(seconds, self.claims.interrupt_all)
        timer.daemon = True
        timer.start()

    def leave(self) -> None:
        """Give back what still runs, stop the threads and say that this worker has ended."""
        self.claims.interrupt_all()
        until = time.monotonic() + RELEASE_SECONDS
        while self.claims.all() and time.monotonic() < until:
            time.sleep(0.05)
        self._ended.set()
        self._give_back()
        now = self.database.now()
        self.database.write(lambda connection: liveness.stopped(connection, now, worker_id=self.id))

    def _give_back(self) -> None:
        """Give back every claim that is left, whatever its thread does: it will find it gone."""
        sends = Sends()
        for claim in self.claims.all():
            try:
                sends.now += release(self.database, claim)
            except EngineError as error:
                _log.warning("cannot give %s back, its lease will run out: %s", claim.key, error)
            self.claims.drop(claim)
        if self.broker is not None:
            messages.send(self.broker, sends)

    def bury_message(self, message: dict[str, Any], queue: str, actor: str, error: str) -> None:
        """Keep a message that could not be carried out."""
        now = self.database.now()
        letter = dead_letters.Letter.of(message, queue=queue, actor=actor, error=error)
        self.database.write(lambda connection: dead_letters.keep(connection, letter, now))
        _log.error("message for %s is a dead letter: %s", actor, error.strip().splitlines()[-1:])

    # --- threads ------------------------------------------------------------------------------

    def _start(self, name: str, work: Callable[[], None], seconds: float) -> None:
        def loop() -> None:
            while not self._ended.wait(seconds):
                try:
                    work()
                except EngineError as error:
                    _log.warning("%s: %s", name, error.message)
                except Exception:
                    # The thread must outlive any one fault: without it nobody is rescued.
                    _log.exception("%s failed; trying again", name)

        start_vital(name, loop)

    def _write_lines(self) -> None:
        """Write what running steps said. Apart from the pulse: a locked execution takes long."""
        for look in flush_all(self.database, self.claims.all()):
            self.looks.add(look)

    def _pulse(self) -> None:
        self._pass_on_ends()
        if time.monotonic() - self._last_beat >= self.settings.heartbeat_seconds:
            self._beat()

    def _beat(self) -> None:
        """Say that this worker lives, and compare its book with the database's."""
        marks = self._marks_before
        self._marks_before = self.claims.watermarks()
        held = self.claims.all()
        now = self.database.now()
        vouched = self.database.write(
            lambda connection: liveness.beat(connection, self.id, marks, now)
        )
        self._keep_steady()
        self._count_threads(now)
        self._compare(held, vouched, now)
        self._restart_when_stuck()

    def _free_threads(self, queue: str) -> int:
        """Return how many threads that serve ``queue`` have no message to work on, nor one to
        begin; the thread that asks counts as one."""
        assert self.broker is not None
        try:
            busy = self.broker.count(queue)
        except redis.RedisError:
            return 1  # no other thread would hear of an item now
        return self._threads_of_all.get(queue, self._threads) - busy + 1

    def _count_threads(self, now: int) -> None:
        alive = now - int(self.settings.lease_seconds * 1e6)
        self._threads_of_all = self.database.read(
            lambda connection: liveness.threads(connection, alive)
        )

    def _compare(self, held: list[Claim], vouched: list[RunRow], now: int) -> None:
        """Stop what was taken away, give back what no thread works on."""
        known = {(run.key, run.epoch): run for run in vouched}
        for claim in held:
            if (claim.key, claim.epoch) not in known:
                claim.stop = claim.stop or Stop.LOST
        for (key, epoch), run in known.items():
            young = (run.started_at or now) > now - YOUNG
            if not young and run.items is None and not self.claims.has(key, epoch):
                assert self.broker is not None
                messages.send(self.broker, self.rescue.give_back(run))

    def _pass_on_ends(self) -> None:
        """Tell running steps that their execution ends; interrupt them when their time is over."""
        held = {(claim.key, claim.epoch): claim for claim in self.claims.all()}
        if not held:
            return
        told = self.database.read(lambda connection: liveness.told_to_end(connection, self.id))
        for row in told:
            claim = held.get((row.key, row.epoch))
            if claim is not None:
                claim.cancelled = True
                claim.stop = claim.stop or (Stop.CANCEL if row.interrupting else None)

    def _keep_steady(self) -> None:
        now = time.monotonic()
        if (
            self._steady_since is None
            or now - self._last_beat > 2 * self.settings.heartbeat_seconds
        ):
            self._steady_since = now
        self._last_beat = now

    @property
    def steady(self) -> bool:
        """Whether this worker's beats have committed without a gap for a whole lease."""
        now = time.monotonic()
        return (
            self._steady_since is not None
            and now - self._last_beat < 2 * self.settings.heartbeat_seconds
            and now - self._steady_since >= self.settings.lease_seconds
        )

    def _sweep(self) -> None:
        assert self.broker is not None
        messages.send(self.broker, self.rescue.sweep(self.id, steady=self.steady))

    def _restart_when_stuck(self) -> None:
        if "executor" not in self.__dict__:
            return  # the worker is the user's own
        if self._threads and self.executor.stuck_threads > self._threads * MANY_STUCK:
            self.go("half of its threads ignore their timeouts")
        elif event_loop.is_lost():
            self.go("a coroutine has kept its event loop to itself for too long")

    def _mind_parent(self) -> None:
        """End with the parent: an orphan would go on without anybody to stop it."""
        if os.getppid() != self._parent:
            self.go("the process that started it is gone")

    def go(self, reason: str) -> None:
        """End this worker in good order, once; it is not whole any more. Whoever keeps workers
        running starts another."""
        if self._going:
            return
        self._going = True
        _log.error("worker %s ends: %s", self.id[:8], reason)
        try:
            self.database.write(lambda connection: liveness.leaves(connection, self.id, reason))
        except EngineError as error:
            _log.warning("cannot write down why this worker ends: %s", error.message)
        os.kill(os.getpid(), signal.SIGTERM)
