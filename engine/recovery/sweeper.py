"""Rescue's transactions, one per execution: what goes wrong with one stays with that one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.definition import Definition
from engine.errors import EngineError, NotFound, StaleClaim, Unavailable
from engine.flow.definition_cache import Versions
from engine.flow.journal import Journal
from engine.flow.outgoing import Look, Sends
from engine.flow.transaction import commit
from engine.settings import Settings
from engine.store.db import lock_timeout
from engine.store.db.database import Database
from engine.store.writes.execution_tx import ExecutionTx
from engine.store.writes.step_runs import RunRow, Ticket

HELD_AGAIN = 10.0  # seconds until an execution that another transaction holds is tried again
FAULTY_AGAIN = 60.0  # seconds until one that cannot be looked after is: others may have mended it
MOST = 2_000  # executions left alone at once: each question names them all

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An execution that is left alone until ``until`` (``time.monotonic``).

    ``why`` is what is wrong with it; empty when it is only held by another transaction.
    """

    until: float
    why: str = ""


@dataclass(slots=True)
class Sweeper:
    """What the stages of a sweep share: a transaction per execution, and which ones have failed."""

    settings: Settings
    database: Database
    versions: Versions
    look: Callable[[Look], None]
    _quarantined: dict[str, Quarantined] = field(default_factory=dict)
    _told: set[tuple[str, str]] = field(default_factory=set)  # what was logged, once

    @property
    def grace(self) -> int:
        """The µs that running steps have when their execution ends."""
        return int(self.settings.cancel_grace_seconds * 1e6)

    def definition(self, tx: ExecutionTx) -> Definition:
        """Return the definition of the execution that the transaction is on."""
        return self.versions.get(tx.state.workflow_id, tx.state.version)

    def quarantined(self) -> list[str]:
        """Return the executions to be left alone now: no query need find them."""
        now = time.monotonic()
        for name, entry in list(self._quarantined.items()):
            if entry.until <= now:
                self._quarantined.pop(name, None)
        return list(self._quarantined)

    def faulty(self) -> dict[str, str]:
        """Return what is wrong with each execution that could not be looked after."""
        self.quarantined()
        return {name: entry.why for name, entry in list(self._quarantined.items()) if entry.why}

    def each(
        self, run: RunRow, sends: Sends, move: Callable[[ExecutionTx, RunRow], list[Ticket]]
    ) -> None:
        """Change one step run; a row that moved on meanwhile needs nothing."""
        self.change(run.execution_id, sends, lambda tx: move(tx, run))

    def change(
        self, execution_id: str, sends: Sends, move: Callable[[ExecutionTx], list[Ticket]]
    ) -> None:
        """Change one execution; its messages go to ``sends``.

        Raises:
            Unavailable: the database does not answer, whatever it is asked.
        """
        if execution_id in self._quarantined:
            return

        def work(tx: ExecutionTx) -> tuple[list[Ticket], Look]:
            return move(tx), Look.of(tx.state)

        try:
            journal, first = Journal(self.versions), lock_timeout.short
            tickets, look = commit(self.database, execution_id, work, journal, sends, first=first)
        except (StaleClaim, NotFound):
            return
        except Unavailable as error:
            self._wait_for(execution_id, error)
            return
        except Exception as error:
            self.quarantine(execution_id, error)
            return
        self.look(look)
        sends.now += tickets

    def quarantine(self, execution_id: str, error: Exception) -> None:
        """Leave an execution alone for a while that fails each time: others must not pay for it."""
        if isinstance(error, EngineError):
            why, trace = error.message, None
        else:
            why, trace = f"a fault of the engine: {type(error).__name__}: {error}", error
        self._set_apart(execution_id, Quarantined(time.monotonic() + FAULTY_AGAIN, why))
        if (execution_id, why) not in self._told:
            if len(self._told) >= MOST:
                self._told.clear()
            self._told.add((execution_id, why))
            about = "execution %s cannot be looked after: %s"
            _log.warning(about, execution_id, why, exc_info=trace)

    def _wait_for(self, execution_id: str, error: Unavailable) -> None:
        """Leave an execution alone that another transaction holds: all others must not wait for it.

        A process that stands still in a transaction holds it until the server ends its session.

        Raises:
            Unavailable: it is the database that does not answer.
        """
        if not lock_timeout.is_held(error):
            self.database.read(lock_timeout.answers)
        self._set_apart(execution_id, Quarantined(time.monotonic() + HELD_AGAIN))
        _log.warning("execution %s is looked after later: %s", execution_id, error.message)

    def _set_apart(self, execution_id: str, entry: Quarantined) -> None:
        while len(self._quarantined) >= MOST:
            apart = list(self._quarantined.items())
            self._quarantined.pop(min(apart, key=lambda one: one[1].until)[0], None)
        self._quarantined[execution_id] = entry
