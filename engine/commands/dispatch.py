"""Look at an execution: plan it if new, carry out its notices, finish it if done."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.core import lifecycle
from engine.core.planning import first_rows, same_steps, still_done, without
from engine.core.status import ExecutionStatus, StepStatus
from engine.definition import Definition
from engine.errors import StaleClaim
from engine.flow.definition_cache import Versions
from engine.flow.expression_scope import Scope
from engine.flow.finish import finish
from engine.flow.journal import Journal
from engine.flow.message_delivery import Deliverer
from engine.flow.outgoing import Look, Sends
from engine.flow.transaction import carry_out, commit
from engine.settings import Settings
from engine.store.db.database import Database
from engine.store.writes import executions, outbox, reuse
from engine.store.writes.execution_tx import ExecutionTx
from engine.store.writes.executions import Pinned
from engine.store.writes.step_runs import Ticket


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What a dispatch gave: messages to send, whose page has news, since when it was due (µs)."""

    sends: Sends = field(default_factory=Sends)
    look: Look | None = None
    due_at: int | None = None


def dispatch(
    database: Database, versions: Versions, settings: Settings, execution_id: str
) -> Dispatched:
    """Do what is due of the execution and return the messages for what is ready.

    Called again it changes nothing; an execution whose last step ended but whose worker died
    before it was completed is completed here.
    """
    pinned = database.read(lambda connection: executions.pinned(connection, execution_id))
    if pinned is None:
        database.write(lambda connection: outbox.forget(connection, execution_id))
        return Dispatched()
    definition = versions.get(pinned.workflow_id, pinned.version)
    journal = Journal(versions)
    done = Dispatched(
        Sends(),
        Look(pinned.id, pinned.owner_id, pinned.workflow_id),
        pinned.due_at if pinned.status is ExecutionStatus.PENDING else None,
    )
    grace = int(settings.cancel_grace_seconds * 1e6)
    if Deliverer(database, definition, journal, grace).deliver(pinned.id, done.sends):
        # The last that it waited for may have come: it has to be finished here and now.
        pinned = database.read(lambda connection: executions.pinned(connection, execution_id))
        if pinned is None:
            return done
    if pinned.status is ExecutionStatus.PENDING:
        tickets = _plan(
            database, pinned, definition, _Reuse.of(database, versions, pinned), journal
        )
        if tickets is None:
            return done
        done.sends.now += tickets
        finishable = not tickets
    else:
        finishable = _may_be_finished(pinned)
    if finishable:
        scope = Scope(database, pinned, definition)
        finish(database, pinned.id, definition, scope, journal=journal, sends=done.sends)
    return done


def _may_be_finished(pinned: Pinned) -> bool:
    planned = pinned.status in (ExecutionStatus.RUNNING, ExecutionStatus.WAITING)
    return planned and pinned.ending is None and pinned.steps_left == 0


@dataclass(frozen=True, slots=True)
class _Reuse:
    """What of an origin need not run again, by index here and there."""

    steps: dict[int, int]
    ended: dict[int, StepStatus]  # by index there
    fan_outs: dict[int, int]  # of which some items completed

    @classmethod
    def of(cls, database: Database, versions: Versions, pinned: Pinned) -> _Reuse:
        """Return what the execution may take over from its origin."""
        origin_id = pinned.origin_id
        if origin_id is None:
            return cls({}, {}, {})
        origin = database.read(lambda connection: executions.pinned(connection, origin_id))
        if origin is None:
            return cls({}, {}, {})
        ended, begun, failed = database.read(
            lambda connection: (
                reuse.reusable(connection, origin_id),
                reuse.begun(connection, origin_id),
                reuse.failed_fan_outs(connection, origin_id),
            )
        )
        here = versions.get(pinned.workflow_id, pinned.version)
        there = versions.get(origin.workflow_id, origin.version)
        ended = still_done(there, ended, begun)
        same = same_steps(here, there, ended)
        partly = same_steps(here, there, dict.fromkeys(failed, StepStatus.FAILED))
        if pinned.rerun_from is not None:
            same = without(here, same, pinned.rerun_from)
            partly = {}
        return cls(same, ended, partly)


def _plan(
    database: Database, pinned: Pinned, definition: Definition, again: _Reuse, journal: Journal
) -> list[Ticket] | None:
    ended = {step: again.ended[there] for step, there in again.steps.items()}
    planned = first_rows(definition, ended)
    reused = {run.step: again.steps[run.step] for run in planned if run.reused}

    def move(tx: ExecutionTx) -> list[Ticket]:
        if tx.state.status is not ExecutionStatus.PENDING or tx.state.ending is not None:
            raise StaleClaim("it was planned, or cancelled, by another")
        if pinned.origin_id is not None:
            reuse.copy_reused(tx, pinned.origin_id, reused)
            reuse.copy_items(tx, pinned.origin_id, again.fan_outs)
        plan = lifecycle.begin(tx.state, definition, planned, now=tx.now)
        return carry_out(tx, definition, plan).ready

    try:
        return commit(database, pinned.id, move, journal)
    except StaleClaim:
        return None
