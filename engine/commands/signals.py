"""What people and other programs say to step runs that wait for them: signals and approvals."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.codec import decode, encode
from engine.core.pending_input import Kind
from engine.core.status import Reason, StepStatus
from engine.core.transitions import RunKey
from engine.definition import check_value
from engine.definition.uses import is_name
from engine.errors import Conflict, Forbidden, InvalidInput, NotFound, StaleClaim
from engine.flow.definition_cache import Versions
from engine.flow.journal import Journal
from engine.flow.message_delivery import Answer, Deliverer, Invalid, Valid
from engine.flow.outgoing import Look, Sends
from engine.flow.transaction import commit
from engine.store.db.database import Connection, Database
from engine.store.reads import pending_actions
from engine.store.reads.pending_actions import Place
from engine.store.reads.summaries import decision_words
from engine.store.writes import executions, signals, step_runs
from engine.store.writes.execution_tx import ExecutionTx
from engine.store.writes.signals import NewSignal, Received
from engine.store.writes.step_runs import RunRow, Ticket

MAX_NAME = 63
MAX_CORRELATION = 128
MAX_KEY = 128


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's yes or no. ``by`` is the name they are signed in as, ``values`` what they
    filled in."""

    approved: bool
    by: str
    comment: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    item: int | None = None  # of a fan-out


def signal(
    database: Database,
    *,
    owner_id: str,
    name: str,
    body: Any,
    correlation: str = "",
    execution_id: str | None = None,
    sent_by: str | None = None,
    idempotency_key: str | None = None,
) -> Received:
    """Keep the signal for the owner's step run that waits for it now, or will.

    One that nobody waits for yet is taken by the first that does, within that step's look-back.

    Args:
        database: where it is kept.
        owner_id: whose executions may take it.
        name: of the signal.
        body: plain JSON values; it becomes the output of the step.
        correlation: tells signals of one name apart.
        execution_id: the one execution that it is meant for; None: any of the owner's.
        sent_by: in words, for people.
        idempotency_key: the same key with the same request gives the same signal again, whatever
            has become of who waited; None: each call sends another one.

    Raises:
        NotFound: no such execution for this owner.
        Conflict: that execution has ended, or the idempotency key was used for another request.
        InvalidInput, TooLarge: the waiting step's schema refuses the body, or it is over 1 MB.
    """
    _check_words(name, correlation, idempotency_key)
    text = encode(check_value({}, body, root="body", wanted_by="a signal"))
    request = None if idempotency_key is None else _hash(name, correlation, execution_id, text)
    wanted = NewSignal(
        owner_id, name, correlation, text, execution_id, sent_by, idempotency_key, request
    )
    before = database.read(lambda connection: signals.sent_before(connection, wanted))
    if before is not None:
        return before
    if execution_id is not None:
        _check_open(database, owner_id, execution_id)
    _check_fits(database, wanted, body)
    now = database.now()
    return database.write(lambda connection: signals.send(connection, wanted, now))


def _check_words(name: str, correlation: str, idempotency_key: str | None) -> None:
    if not is_name(name):
        raise InvalidInput(
            f"{name[:MAX_NAME]!r} is no name for a signal",
            hint=f"letters, digits, -, _ and ., at most {MAX_NAME}",
        )
    if len(correlation) > MAX_CORRELATION:
        raise InvalidInput(f"a correlation has at most {MAX_CORRELATION} characters")
    if idempotency_key is not None and not 1 <= len(idempotency_key) <= MAX_KEY:
        raise InvalidInput(f"an idempotency key has 1 to {MAX_KEY} characters")


def _hash(*asked: str | None) -> str:
    return hashlib.sha256(encode(asked).encode()).hexdigest()


def _check_fits(database: Database, wanted: NewSignal, body: Any) -> None:
    """Refuse what the step that would get it refuses: its sender can mend it, nobody else."""
    waiter = database.read(lambda connection: signals.waiter(connection, wanted))
    if waiter is None or waiter.input is None:
        return
    schema = decode(database.payloads.read(waiter.input, "parameters")).get("schema", {})
    check_value(schema, body, root="body", wanted_by=f"signal {wanted.name!r}")


def decide(
    database: Database,
    versions: Versions,
    *,
    user_id: str,
    execution_id: str,
    step: str,
    decision: Decision,
    grace_seconds: float,
) -> tuple[Look, Sends]:
    """Approve or reject; return whose page has news and the messages to send.

    A rejection fails the step with reason ``rejected``: what follows is the step's policy.
    Where a step names approvers, these decide and nobody else, whoever owns the execution;
    where it names none, its owner does.

    Args:
        database: where it is kept.
        versions: the parsed versions of this process.
        user_id: who decides; ``decision.by`` is their name.
        execution_id: whose step it is.
        step: its name.
        decision: what they say.
        grace_seconds: what running steps have when a rejection ends the execution.

    Raises:
        NotFound: no such execution or step for this user: it is neither theirs nor names them.
        Conflict: the step waits for no approval (any more); it says who decided what.
        Forbidden: it is theirs, and the step names others as its approvers.
        InvalidInput, TooLarge: what was filled in does not fit the form.
    """
    pinned = database.read(lambda connection: executions.pinned(connection, execution_id))
    if pinned is None:
        raise NotFound(f"there is no execution {execution_id}")
    definition = versions.get(pinned.workflow_id, pinned.version)
    names = {one.name: one.index for one in definition.steps if one.uses == Kind.APPROVAL}
    item = -1 if decision.item is None else decision.item
    key = RunKey(execution_id, names.get(step, -1), item)
    place = Place(execution_id, step, decision.item)
    run, text = database.read(lambda connection: _asked(connection, key))
    asked = asked_for(text if text is None else database.payloads.read(text, "parameters"))
    if pinned.owner_id != user_id and decision.by not in asked.approvers:
        raise NotFound(f"there is no execution {execution_id}")
    if step not in names:
        raise NotFound(f"execution {execution_id} has no approval step {step!r}")
    if run is None or run.status is not StepStatus.WAITING or run.wait_for != Kind.APPROVAL:
        raise _too_late(database, user_id, decision.by, place)
    journal = Journal(versions)
    deliverer = Deliverer(database, definition, journal, int(grace_seconds * 1e6))
    answer = deliverer.kept(run, _answer(asked, decision, step, database.now()))
    sends = Sends()

    def move(tx: ExecutionTx) -> tuple[Look, list[Ticket]]:
        tickets = deliverer.settle(tx, run, answer)
        return Look.of(tx.state), tickets

    try:
        look, tickets = commit(database, execution_id, move, journal, sends)
    except StaleClaim:
        raise _too_late(database, user_id, decision.by, place) from None
    sends.now += tickets
    if not sends.now:
        # It may have been the last step: without a message rescue would finish it seconds later.
        sends.dispatches.append(execution_id)
    return look, sends


def _too_late(database: Database, user_id: str, name: str, place: Place) -> Conflict:
    """Return the refusal of a decision that nobody waits for (any more): who came first."""
    told = f"step {place.step!r} of execution {place.execution_id} waits for no approval"
    try:
        row = database.read(
            lambda connection: pending_actions.decision(connection, user_id, name, place)
        )
    except NotFound:
        row = None  # it never waited
    if row is None:
        return Conflict(told)
    at = datetime.fromtimestamp(row.at / 1e6, UTC).isoformat(timespec="seconds")
    return Conflict(f"{told}: it was {decision_words(row.status, row.reason, row.by)} at {at}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What an approval step asks for."""

    form: dict[str, Any]
    approvers: list[str]


def asked_for(text: str | None) -> Asked:
    """Return what the step asks for, from its parameters as JSON text."""
    params = {} if text is None else decode(text)
    return Asked(params.get("form") or {}, params.get("approvers") or [])


def _answer(asked: Asked, decision: Decision, step: str, now: int) -> Answer:
    if asked.approvers and decision.by not in asked.approvers:
        raise Forbidden(f"step {step!r} is decided by {', '.join(asked.approvers)}")
    at = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=now)  # exact: a float is not
    told = {"by": decision.by, "at": at, "comment": decision.comment}
    if not decision.approved:
        words = f"rejected by {decision.by}" + (f": {decision.comment}" * bool(decision.comment))
        return Invalid(Reason.REJECTED, {"message": words, "type": "Rejected", **told})
    values = check_value(
        asked.form, decision.values, root="values", wanted_by=f"the form of step {step!r}"
    )
    return Valid(encode({"approved": True, **told, "values": values}), {"by": decision.by})


def _asked(connection: Connection, key: RunKey) -> tuple[RunRow | None, str | None]:
    return step_runs.get(connection, key), step_runs.input_of(connection, key)


def _check_open(database: Database, owner_id: str, execution_id: str) -> None:
    pinned = database.read(lambda connection: executions.pinned(connection, execution_id))
    if pinned is None or pinned.owner_id != owner_id:
        raise NotFound(f"there is no execution {execution_id}")
    if pinned.status.ended:
        raise Conflict(f"execution {execution_id} is {pinned.status} already")
