"""An engine in one thread: real verbs on a real database, and nobody who carries its messages.

Whoever holds it delivers them: in any order, twice, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.commands.dispatch import dispatch
from engine.core.planning import WINDOW
from engine.flow.definition_cache import Versions
from engine.flow.outgoing import Sends
from engine.recovery import Rescue
from engine.settings import Settings
from engine.store.db.database import Database
from engine.store.recovery import liveness
from engine.store.writes import users
from engine.testing.faults import Faults, FaultyExecutor
from engine.worker.claim_registry import Claims
from engine.worker.run import Executor

QUEUES = ["steps", "steps.long"]


class QuietBroker:
    """Evidence as a test wants it: by default nothing has been lost."""

    def __init__(self) -> None:
        self.word = "first"
        self.empty = False

    def generation(self) -> str:
        """Return the word of the broker's present life."""
        return self.word

    def is_empty(self, queue: str) -> bool:
        """Return whether no message waits."""
        return self.empty

    def is_idle(self, queue: str) -> bool:
        """Return the same: nobody holds messages that were not delivered."""
        return self.empty


class Bench:
    """Workers and rescue of one engine."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.versions = Versions(database)
        self.broker = QuietBroker()
        self.faults = Faults()
        self.lanes = WINDOW  # threads free for items, as workers take them to be
        now = database.now()
        self.owner_id = database.write(lambda connection: users.add(connection, "owner", now))

    def hire(self, worker_id: str, functions: Iterable[str] = ()) -> Executor:
        """Introduce a worker that knows ``functions`` and return its executor."""
        row = liveness.WorkerRow(worker_id, "here", 1, QUEUES, 8, list(functions))
        now = self.database.now()
        self.database.write(lambda connection: liveness.register(connection, row, now))
        return FaultyExecutor(
            self.faults,
            settings=self.settings,
            database=self.database,
            versions=self.versions,
            worker_id=worker_id,
            claims=Claims(),
            look=lambda _look: None,
            lanes=lambda _queue: self.lanes,
        )

    def kill(self, worker_id: str) -> None:
        """Say that the worker is dead."""
        now = self.database.now()
        self.database.write(
            lambda connection: liveness.stopped(connection, now, worker_id=worker_id)
        )

    @property
    def rescue(self) -> Rescue:
        """A rescue for whichever worker sweeps."""
        return Rescue(self.settings, self.database, self.versions, self.broker, lambda _look: None)

    def look_at(self, execution_id: str) -> Sends:
        """Dispatch the execution and return the messages to send."""
        return dispatch(self.database, self.versions, self.settings, execution_id).sends

    def beat(self, worker_id: str) -> None:
        """Say that the worker lives."""
        now = self.database.now()
        self.database.write(lambda connection: liveness.beat(connection, worker_id, {}, now))

    def sweep_as(self, worker_id: str) -> Sends:
        """Let rescue look once in the name of a worker that lives; return the messages to send."""
        self.beat(worker_id)
        return self.rescue.sweep(worker_id, steady=True)
