"""Carry out the safe repairs: by the moves that the engine makes itself, each with its guards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.commands import lifecycle
from engine.commands.dispatch import dispatch
from engine.core import termination, transitions
from engine.core.event import EventType
from engine.core.finding import RULES, Finding, Repair, Rule
from engine.core.status import ExecutionStatus, Reason, StepStatus
from engine.core.transitions import RunKey
from engine.definition import Definition
from engine.errors import EngineError
from engine.flow.definition_cache import Versions
from engine.flow.journal import Journal
from engine.flow.message_delivery import Deliverer, expire_wait
from engine.flow.outgoing import Sends
from engine.flow.transaction import carry_out, commit
from engine.recovery import Rescue
from engine.recovery.doctor.examine import Examination
from engine.store.db.database import Connection
from engine.store.recovery import lost_steps, repairs, snapshots
from engine.store.writes import outbox, step_runs
from engine.store.writes.execution_tx import ExecutionTx
from engine.store.writes.step_runs import RunRow, Ticket


@dataclass(frozen=True, slots=True)
class Repaired:
    """What came of one repair: done, or why not."""

    finding: Finding
    done: bool
    why: str = ""


class Repairer:
    """Repairs what an examination found. The messages to send then are in ``sends``."""

    def __init__(self, examination: Examination, versions: Versions, rescue: Rescue) -> None:
        self._examination = examination
        self._database = examination.database
        self._settings = examination.settings
        self._versions = versions
        self._rescue = rescue
        self._grace = int(self._settings.cancel_grace_seconds * 1e6)
        self.sends = Sends()

    def repair(self, finding: Finding) -> Repaired:
        """Repair the finding if it still stands; return what came of it."""
        kind = RULES[finding.rule].repair
        if kind is None:
            return Repaired(finding, done=False, why="this cannot be repaired safely")
        if kind is Repair.DROP:
            self._database.write(lambda connection: outbox.take(connection, finding.mark))
            return Repaired(finding, done=True)
        assert finding.execution_id is not None
        places = {one.place for one in self._examination.look([finding.execution_id])}
        if finding.place not in places:
            return Repaired(finding, done=False, why="it has moved on meanwhile")
        try:
            self._carry_out(kind, finding, finding.execution_id)
        except EngineError as error:
            return Repaired(finding, done=False, why=error.message)
        return Repaired(finding, done=True)

    def _carry_out(self, kind: Repair, finding: Finding, execution_id: str) -> None:
        match kind:
            case Repair.RECOUNT:
                self._turn(execution_id, self._recount)
            case Repair.CLOSE:
                self._turn(execution_id, self._close)
            case Repair.DISPATCH:
                self._dispatch(finding, execution_id)
            case Repair.END:
                self._rescue.end_now(execution_id, self.sends)
            case Repair.CANCEL:
                self._cancel(execution_id)
            case Repair.ANSWER:
                self._answer(finding, execution_id)
            case _:
                self._of_step(kind, finding, execution_id)

    def _turn(
        self, execution_id: str, move: Callable[[ExecutionTx, Definition], list[Ticket]]
    ) -> None:
        definition = self._definition(execution_id)
        self.sends.now += commit(
            self._database,
            execution_id,
            lambda tx: move(tx, definition),
            Journal(self._versions),
            self.sends,
        )

    def _definition(self, execution_id: str) -> Definition:
        [history] = self._database.read(
            lambda connection: snapshots.load(connection, [execution_id])
        )
        return self._versions.get(history.head.workflow_id, history.head.version)

    # --- executions ---------------------------------------------------------------------------

    @staticmethod
    def _recount(tx: ExecutionTx, definition: Definition) -> list[Ticket]:
        return repairs.recount(tx, definition) + _go_on(tx, definition)

    @staticmethod
    def _close(tx: ExecutionTx, _definition: Definition) -> list[Ticket]:
        """End the step runs that an ended execution left open."""
        if not tx.state.over:
            return []
        for run in step_runs.running(tx.connection, tx.state.id):
            ended = transitions.revoke(now=tx.now, ending=ExecutionStatus(tx.state.status))
            tx.apply(run.key, run.epoch, ended)
        step_runs.drop_open(tx, StepStatus.CANCELLED, Reason.UPSTREAM_FAILED)
        tx.state.active = 0
        tx.emit(EventType.REPAIRED, closed=True)
        return []

    def _dispatch(self, finding: Finding, execution_id: str) -> None:
        if finding.rule is Rule.DISPATCH_OWED:
            # Sent and due: if this message is lost too, rescue sends the next one.
            self._turn(execution_id, _owe_dispatch)
            self.sends.dispatches.append(execution_id)
            return
        if finding.rule is Rule.UNFINISHED:
            self._turn(execution_id, _go_on)
        done = dispatch(self._database, self._versions, self._settings, execution_id).sends
        self.sends.now += done.now
        self.sends.dispatches += done.dispatches

    def _cancel(self, child_id: str) -> None:
        """Let the child end as the end of its parent should have made it."""
        [history] = self._database.read(lambda connection: snapshots.load(connection, [child_id]))
        if history.parent_status == "gone":
            _look, sends = lifecycle.cancel(
                self._database,
                self._versions,
                owner_id=history.head.owner_id,
                execution_id=child_id,
                grace_seconds=self._settings.cancel_grace_seconds,
                note="its parent is gone",
            )
            self.sends.now += sends.now
            self.sends.dispatches += sends.dispatches
            return
        assert history.head.parent_id is not None
        commit(
            self._database,
            history.head.parent_id,
            outbox.cancel_children,
            Journal(self._versions),
            self.sends,
        )

    def _answer(self, finding: Finding, execution_id: str) -> None:
        """Write the news of a child's end again: a second answer would only come too late."""

        def notify(connection: Connection) -> None:
            [history] = snapshots.load(connection, [execution_id])
            for child in history.children:
                if (child.step, child.item) == (finding.step, finding.item):
                    key = RunKey(execution_id, child.step, child.item)
                    body = {"child": child.id, "status": child.status}
                    now = self._database.now()
                    outbox.answer(connection, key, child.epoch, now, body=body)

        self._database.write(notify)
        self.sends.dispatches.append(execution_id)

    # --- step runs ----------------------------------------------------------------------------

    def _of_step(self, kind: Repair, finding: Finding, execution_id: str) -> None:
        assert finding.step is not None
        assert finding.item is not None
        key = RunKey(execution_id, finding.step, finding.item)
        run = self._database.read(lambda connection: step_runs.get(connection, key))
        if run is None:
            return
        if kind is Repair.GIVE_BACK:
            given = self._rescue.give_back(run)
            self.sends.now += given.now
            self.sends.dispatches += given.dispatches
        elif kind is Repair.WAKE:
            self._turn(execution_id, lambda tx, definition: self._wake(tx, definition, run))
        else:
            now = self._database.now()
            self._database.write(lambda connection: lost_steps.sent_again(connection, [run], now))
            self.sends.now.append(run.ticket)

    def _wake(self, tx: ExecutionTx, definition: Definition, run: RunRow) -> list[Ticket]:
        if not tx.state.moving:
            return []
        if run.wait_for is not None:
            journal = Journal(self._versions)
            deliverer = Deliverer(self._database, definition, journal, self._grace)
            return expire_wait(deliverer, tx, run)
        tx.apply(run.key, run.epoch, transitions.wake(run.status, now=tx.now))
        return [run.ticket]


def _owe_dispatch(tx: ExecutionTx, _definition: Definition) -> list[Ticket]:
    if tx.state.status is ExecutionStatus.PENDING:
        tx.set(due_at=tx.now)
    return []


def _go_on(tx: ExecutionTx, definition: Definition) -> list[Ticket]:
    """Take the next step of an execution nothing of which is left in its present phase."""
    state = tx.state
    if state.over or not state.runs_total or state.active > 0:
        return []
    return carry_out(tx, definition, termination.go_on(state, definition, tx.now)).ready
