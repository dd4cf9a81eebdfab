"""The same execution on a real database: every step of a history is taken by the real verbs."""

from __future__ import annotations

import queue
import tempfile
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from engine import registry
from engine.commands import lifecycle, signals
from engine.commands.publish import publish
from engine.commands.start import start
from engine.definition import Definition
from engine.errors import Conflict
from engine.flow.outgoing import Sends as RealSends
from engine.settings import Settings
from engine.store.writes.step_runs import Ticket
from engine.testing import temp_database
from engine.testing.clock import Clock, Clocked
from engine.testing.in_memory_engine import Bench
from engine.worker.run import Executor
from tests.support.model.engine import Outcome
from tests.support.model.rescue import Sends
from tests.support.model.shapes import FUNCTION, SIGNAL
from tests.support.model.table import Message

SECONDS = 30  # that a thread may take to say something
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_here = threading.local()

ROWS = (
    "SELECT step, item, status, epoch, attempts, crashes, reason, due_at, items_left"
    " FROM step_runs WHERE execution_id = :id ORDER BY step, item"
)
HEAD = (
    "SELECT status, ending, phase, active, steps_left, runs_done, runs_total, due_at,"
    " interrupting FROM executions WHERE id = :id"
)
FACTS = "SELECT seq, type, step, item, data FROM events WHERE execution_id = :id ORDER BY seq"
EVENTS = "SELECT type, step, item FROM events WHERE execution_id = :id ORDER BY seq"


class Puppet(threading.Thread):
    """A worker's thread that carries out one message, and asks what user code shall do."""

    def __init__(self, executor: Executor, ticket: Ticket) -> None:
        super().__init__(daemon=True)
        self._executor = executor
        self._ticket = ticket
        self._told: queue.Queue[Outcome] = queue.Queue()
        self._news: queue.Queue[RealSends | BaseException | None] = queue.Queue()

    def run(self) -> None:
        """Carry out the message."""
        _here.puppet = self
        try:
            self._news.put(self._executor.run(self._ticket))
        except BaseException as error:
            self._news.put(error)

    def news(self) -> RealSends | None:
        """Return the messages to send once it is done; None: user code waits to be told."""
        found = self._news.get(timeout=SECONDS)
        if isinstance(found, BaseException):
            raise found
        return found

    def tell(self, outcome: Outcome) -> RealSends:
        """Let user code come to ``outcome`` and return the messages to send."""
        self._told.put(outcome)
        sends = self.news()
        assert sends is not None
        return sends

    def ask(self) -> None:
        """Be user code: wait to be told, and do it."""
        self._news.put(None)
        if self._told.get(timeout=SECONDS) is not Outcome.RETURNED:
            raise ValueError("told to fail")


def told() -> None:
    """Do what the history says."""
    puppet: Puppet = _here.puppet
    puppet.ask()


class Store:
    """What :class:`Model` is in memory, by the real verbs."""

    def __init__(self, definition: Definition, now: int) -> None:
        registry.register_step(FUNCTION, told)
        self._folder = tempfile.TemporaryDirectory(prefix="engine-histories-")
        self._clock = Clock(_EPOCH + timedelta(microseconds=now))
        settings = Settings(
            continuation_ms=0, cancel_grace_seconds=10, cancel_interrupt_seconds=5, max_crashes=3
        )
        database = temp_database.open_database(Path(self._folder.name), settings)
        self.bench = Bench(Clocked(database, self._clock), settings)
        self._executors: dict[str, Executor] = {}
        self._hire("sweeper")
        self.bench.sweep_as("sweeper")  # takes note of the broker's present life
        self.sends = Sends(dispatch=True)
        workflow_id = publish(self.bench.database, self.bench.owner_id, definition).workflow_id
        self.id = start(
            self.bench.database,
            self.bench.versions,
            owner_id=self.bench.owner_id,
            workflow_id=workflow_id,
            input={},
            message_id="m",
        ).execution_id

    def close(self) -> None:
        """Throw the database away."""
        self.bench.database.close()
        self._folder.cleanup()

    def _hire(self, worker: str) -> Executor:
        if worker not in self._executors:
            self._executors[worker] = self.bench.hire(worker)
        return self._executors[worker]

    def _keep(self, real: RealSends) -> None:
        self.sends.now += [(one.step, one.item, one.epoch) for one in real.now]
        now = self._clock.micros
        self.sends.later += [
            ((one.step, one.item, one.epoch), now + delay) for one, delay in real.later
        ]
        self.sends.dispatch = self.sends.dispatch or bool(real.dispatches)

    def drain_sends(self) -> Sends:
        """Return what is owed since the last call."""
        found, self.sends = self.sends, Sends()
        return found

    # --- the verbs ----------------------------------------------------------------------------

    def pass_time(self, micros: int) -> None:
        """Let the clock go on."""
        self._clock.move_to(self._clock.micros + micros)

    def dispatch(self) -> None:
        """Look at the execution."""
        self._keep(self.bench.look_at(self.id))

    def deliver(self, message: Message, worker: str) -> Puppet | None:
        """Let the worker carry out the message; return its thread if user code is under way."""
        puppet = Puppet(self._hire(worker), Ticket(self.id, *message, "steps"))
        puppet.start()
        sends = puppet.news()
        if sends is None:
            return puppet
        self._keep(sends)
        return None

    def settle(self, puppet: Puppet, outcome: Outcome) -> None:
        """Let user code come to an end."""
        self._keep(puppet.tell(outcome))

    def kill(self, worker: str) -> None:
        """Say that the worker is dead."""
        self._hire(worker)
        self.bench.kill(worker)
        del self._executors[worker]

    def sweep(self, *, empty: bool, forgot: bool) -> None:
        """Let rescue look once."""
        self.bench.broker.empty = empty
        if forgot:
            self.bench.broker.word += "."
        for worker in self._executors:
            self.bench.beat(worker)
        self._keep(self.bench.sweep_as("sweeper"))

    def cancel(self) -> None:
        """Cancel, if that is possible."""
        self._try(
            lambda: lifecycle.cancel(
                self.bench.database,
                self.bench.versions,
                owner_id=self.bench.owner_id,
                execution_id=self.id,
                grace_seconds=10,
            )[1]
        )

    def pause(self) -> None:
        """Pause, if that is possible."""

        def move() -> RealSends:
            lifecycle.pause(self.bench.database, owner_id=self.bench.owner_id, execution_id=self.id)
            return RealSends()

        self._try(move)

    def resume(self) -> None:
        """Let it go on, if it is paused."""
        self._try(
            lambda: lifecycle.resume(
                self.bench.database, owner_id=self.bench.owner_id, execution_id=self.id
            )[1]
        )

    def signal(self) -> None:
        """Send the signal that the shapes wait for."""

        def move() -> RealSends:
            received = signals.signal(
                self.bench.database,
                owner_id=self.bench.owner_id,
                name=SIGNAL,
                body=None,
                execution_id=self.id,
            )
            return RealSends(dispatches=[self.id] if received.execution_id else [])

        self._try(move)

    def _try(self, verb: Any) -> None:
        with suppress(Conflict):  # the model says by itself whether it is possible
            self._keep(verb())

    # --- looking ------------------------------------------------------------------------------

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Return rows about the execution."""
        return self.bench.database.read(
            lambda connection: [
                tuple(row) for row in connection.execute(text(sql), {"id": self.id})
            ]
        )
