"""Signals: words from outside, and the step runs that wait for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, exists, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from engine.core.pending_input import Kind, PendingInput
from engine.core.transitions import RunKey
from engine.errors import Conflict
from engine.ids import new_id
from engine.store.tables import LISTENING, Execution, Notice, Signal, StepRun, literally, table
from engine.store.writes import outbox
from engine.store.writes.execution_tx import ExecutionTx

_SIGNALS = table(Signal)
_RUNS = table(StepRun)
_EXECUTIONS = table(Execution)
_NOTICES = table(Notice)
# As literal text: SQLite uses a partial index only where its own words stand.
_LISTENING = literally("step_runs", LISTENING)


@dataclass(frozen=True, slots=True)
class NewSignal:
    """A word for whoever waits for it; ``body`` is JSON text."""

    owner_id: str
    name: str
    correlation: str
    body: str
    execution_id: str | None = None  # the one execution that it is meant for
    sent_by: str | None = None
    idempotency_key: str | None = None
    request_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """A signal that was kept; ``execution_id`` is whose step takes it, None while none waits."""

    signal_id: str
    execution_id: str | None


@dataclass(frozen=True, slots=True)
class Waiter:
    """A step run that waits for a signal."""

    key: RunKey
    epoch: int
    input: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a step run that begins to wait would take, if it has come before."""

    name: str
    correlation: str
    since: int  # µs; older ones that were sent to no execution in particular do not count


def waiter(connection: Connection, wanted: NewSignal) -> Waiter | None:
    """Return the step run that the signal would go to: of several, the one that waits longest."""
    pending = exists().where(
        _NOTICES.c.execution_id == _RUNS.c.execution_id,
        _NOTICES.c.step == _RUNS.c.step,
        _NOTICES.c.item == _RUNS.c.item,
        _NOTICES.c.epoch == _RUNS.c.epoch,
    )
    where: list[Any] = [_LISTENING, ~pending]
    word = PendingInput(Kind.SIGNAL, wanted.name, wanted.correlation).word
    if wanted.execution_id is not None and not wanted.correlation:
        where.append(_RUNS.c.wait_for.startswith(word, autoescape=True))  # of any correlation
    else:
        where.append(_RUNS.c.wait_for == word)
    if wanted.execution_id is not None:
        where.append(_RUNS.c.execution_id == wanted.execution_id)
    row = connection.execute(
        select(*(_RUNS.c[name] for name in ("execution_id", "step", "item", "epoch", "input")))
        .join(_EXECUTIONS, _EXECUTIONS.c.id == _RUNS.c.execution_id)
        .where(*where, _EXECUTIONS.c.owner_id == wanted.owner_id)
        # It has waited since it was claimed last: what parked it took no time.
        .order_by(*(_RUNS.c[name] for name in ("started_at", "execution_id", "step", "item")))
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return Waiter(RunKey(row.execution_id, row.step, row.item), row.epoch, row.input)


def sent_before(connection: Connection, wanted: NewSignal) -> Received | None:
    """Return the signal that the same request left, or None when its key is new, or it has none.

    Raises:
        Conflict: the idempotency key was used for another request.
    """
    if wanted.idempotency_key is None:
        return None
    row = connection.execute(
        select(*(_SIGNALS.c[name] for name in ("id", "taken_by", "request_hash"))).where(
            _SIGNALS.c.owner_id == wanted.owner_id,
            _SIGNALS.c.idempotency_key == wanted.idempotency_key,
        )
    ).one_or_none()
    if row is None:
        return None
    if row.request_hash != wanted.request_hash:
        raise Conflict(
            f"the idempotency key {wanted.idempotency_key!r} was used for another request",
            hint="use a new key for a new request",
        )
    return Received(row.id, row.taken_by)


def send(connection: Connection, wanted: NewSignal, now: int) -> Received:
    """Keep the signal, notify whoever waits for it, and return it.

    The same idempotency key finds the signal already there, of which nobody is notified anew.

    Raises:
        Conflict: the idempotency key was used for another request.
    """
    _alone(connection, wanted.owner_id, wanted.name)
    signal_id = new_id()
    values = {
        "id": signal_id,
        "owner_id": wanted.owner_id,
        "execution_id": wanted.execution_id,
        "name": wanted.name,
        "correlation": wanted.correlation,
        "body": wanted.body,
        "sent_by": wanted.sent_by,
        "created_at": now,
        "idempotency_key": wanted.idempotency_key,
        "request_hash": wanted.request_hash,
    }
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insertion = dialect.insert(_SIGNALS).values(values).on_conflict_do_nothing()
    if connection.execute(insertion.returning(_SIGNALS.c.id)).one_or_none() is None:
        # Sent twice at once: the other was kept first.
        before = sent_before(connection, wanted)
        assert before is not None
        return before
    return Received(signal_id, _offer(connection, signal_id, wanted, now))


def _offer(connection: Connection, signal_id: str, wanted: NewSignal, now: int) -> str | None:
    """Notify whoever waits for the signal, if anyone does; return the execution's id."""
    found = waiter(connection, wanted)
    if found is None:
        _take(connection, signal_id, at=None, by=None)
        return None
    _take(connection, signal_id, at=now, by=found.key.execution_id)
    outbox.answer(connection, found.key, found.epoch, now, signal_id=signal_id)
    return found.key.execution_id


def _take(connection: Connection, signal_id: str, *, at: int | None, by: str | None) -> None:
    connection.execute(
        update(_SIGNALS).where(_SIGNALS.c.id == signal_id).values(taken_at=at, taken_by=by)
    )


def take_early(tx: ExecutionTx, key: RunKey, epoch: int, wanted: Wanted) -> None:
    """Notify the step run, waiting with ``epoch`` from this commit on, of a signal sent before."""
    head, connection = tx.state, tx.connection
    _alone(connection, head.owner_id, wanted.name)
    mine = (_SIGNALS.c.execution_id == head.id) & _SIGNALS.c.correlation.in_(
        [wanted.correlation, ""]
    )
    anyone = (
        _SIGNALS.c.execution_id.is_(None)
        & (_SIGNALS.c.correlation == wanted.correlation)
        & (_SIGNALS.c.created_at >= wanted.since)
    )
    signal_id = connection.execute(
        select(_SIGNALS.c.id)
        .where(
            _SIGNALS.c.owner_id == head.owner_id,
            _SIGNALS.c.name == wanted.name,
            text("taken_at IS NULL"),
            or_(mine, anyone),
        )
        .order_by(_SIGNALS.c.created_at, _SIGNALS.c.id)
        .limit(1)
    ).scalar_one_or_none()
    if signal_id is None:
        return
    _take(connection, signal_id, at=tx.now, by=head.id)
    outbox.answer(connection, key, epoch, tx.now, signal_id=signal_id)
    tx.dispatches.append(head.id)


@dataclass(frozen=True, slots=True)
class Sent:
    """A signal as it was sent."""

    id: str
    name: str
    body: str
    sent_by: str | None
    created_at: int


def get(connection: Connection, signal_id: str) -> Sent | None:
    """Return the signal, or None when it was pruned."""
    row = connection.execute(
        select(*(_SIGNALS.c[name] for name in Sent.__dataclass_fields__)).where(
            _SIGNALS.c.id == signal_id
        )
    ).one_or_none()
    return None if row is None else Sent(**row._asdict())


def give_back(connection: Connection, signal_id: str, now: int) -> str | None:
    """Notify the next who waits of the signal, if anyone does: whoever was to get it waits no more.

    Returns the execution that gets it now.
    """
    row = connection.execute(
        select(*(_SIGNALS.c[name] for name in NewSignal.__dataclass_fields__)).where(
            _SIGNALS.c.id == signal_id
        )
    ).one_or_none()
    if row is None:
        return None
    wanted = NewSignal(**row._asdict())
    _alone(connection, wanted.owner_id, wanted.name)
    return _offer(connection, signal_id, wanted, now)


def forget(connection: Connection, before: int, limit: int) -> int:
    """Drop signals sent before ``before`` (µs) and return how many there were."""
    old = select(_SIGNALS.c.id).where(_SIGNALS.c.created_at < before).limit(limit)
    return connection.execute(delete(_SIGNALS).where(_SIGNALS.c.id.in_(old))).rowcount


def _alone(connection: Connection, owner_id: str, name: str) -> None:
    """Let senders and those who begin to wait go one after the other.

    Otherwise a signal that is sent while its step run parks could miss it: neither transaction
    sees the other's row. SQLite has one writer anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtext(:word))"), {"word": f"{owner_id}:{name}"}
        )
