"""Commit what came of a claim although the database may be away, and settle what is unknown."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tenacity import stop_after_delay

from engine.codec import encode
from engine.core import transitions
from engine.core.status import STEP_ENDS, StepStatus
from engine.errors import EngineError, NotFound, StaleClaim, Unavailable
from engine.flow.journal import Journal
from engine.flow.outgoing import Look, Sends
from engine.flow.transaction import commit, commit_fast
from engine.insist import insist
from engine.steps.attempt_log import Said
from engine.store.db.database import Database
from engine.store.writes import progress, step_runs
from engine.store.writes.execution_tx import ExecutionTx, Line
from engine.store.writes.fast_path import FastWrite, Written
from engine.store.writes.step_runs import Ticket
from engine.worker.claim_registry import Claim, Stop

T = TypeVar("T")

SETTLE_SECONDS = 45  # how long a result is offered to a database that does not answer
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Told:
    """What the attempt said as it is stored: made outside the transaction that writes it."""

    said: Said
    lines: Sequence[Line]
    progress: str | None  # as JSON


@dataclass(frozen=True, slots=True)
class CommonCase(Generic[T]):
    """What most transactions that end a claim come to: tried first, for it takes one trip."""

    write: Callable[[Sequence[Line]], FastWrite | None]
    follow: Callable[[Written], T]


def insist_on_commit(
    database: Database,
    claim: Claim,
    work: Callable[[ExecutionTx], T],
    journal: Journal,
    sends: Sends,
    *,
    common: CommonCase[T] | None = None,
) -> T | None:
    """Commit what came of a claim, insisting while the database is away.

    ``common`` is tried before ``work``, where it can be all that there is to do.

    Returns what ``work`` returns, or None when an earlier try had committed although its answer
    was lost: the messages it had to send are then sent by rescue.

    Raises:
        StaleClaim: the claim was taken away; the result changes nothing.
        Unavailable: the database stayed away; rescue gives the claim back.
    """
    with claim.writing:
        told = _told(claim, claim.log.take(over=True))
        if told.said.forget or told.progress is not None:
            common = None

        def with_lines(tx: ExecutionTx) -> T:
            _keep(tx, claim, told)
            return work(tx)

        def once() -> T:
            if common is not None:
                written = commit_fast(database, lambda: common.write(told.lines), journal)
                if written is not None:
                    return common.follow(written)
            return commit(database, claim.key.execution_id, with_lines, journal, sends)

        try:
            return _insist(database, claim, once)
        except BaseException:
            claim.log.put_back(told.said)  # another outcome may be settled in the place of this one
            raise


def _insist(database: Database, claim: Claim, once: Callable[[], T]) -> T | None:
    doubtful = False

    def tell(error: BaseException) -> None:
        nonlocal doubtful
        doubtful = True
        _log.warning("cannot settle %s yet: %s", claim.key, error)

    try:
        return insist(
            once,
            when=lambda error: isinstance(error, Unavailable),
            stop=stop_after_delay(SETTLE_SECONDS),
            first=0.1,
            most=2.0,
            told=tell,
        )
    except StaleClaim:
        if doubtful and _was_settled(database, claim):
            return None
        raise


def _was_settled(database: Database, claim: Claim) -> bool:
    run = database.read(lambda connection: step_runs.get(connection, claim.key))
    if run is None:
        return False
    waits = (StepStatus.RETRYING, StepStatus.WAITING)
    moved_on = run.epoch == claim.epoch + 1 and run.status in waits
    return moved_on or (run.epoch == claim.epoch and run.status in STEP_ENDS)


def release(database: Database, claim: Claim) -> list[Ticket]:
    """Give the claim back without waiting for its thread; return the message to send.

    Raises:
        Unavailable: the database does not answer; the claim's lease will run out.
    """

    def move(tx: ExecutionTx) -> list[Ticket]:
        if tx.state.stopping:
            return []
        tx.apply(claim.key, claim.epoch, transitions.release(now=tx.now))
        run = step_runs.get(tx.connection, claim.key)
        return [] if run is None else [run.ticket]

    try:
        return commit(database, claim.key.execution_id, move)
    except (StaleClaim, NotFound):
        return []  # it was settled, or taken away, a moment before


def flush_all(database: Database, claims: Sequence[Claim]) -> list[Look]:
    """Write what all these said so far; return whose pages have news.

    A moment in which the database does not answer costs the one claim that met it some time, and
    the others nothing.
    """
    looks: list[Look] = []
    late: EngineError | None = None
    for claim in claims:
        try:
            look = flush_lines(database, claim)
        except NotFound:
            claim.stop = Stop.LOST
        except EngineError as error:
            late = error
        else:
            looks += [] if look is None else [look]
    if late is not None:
        _log.warning("some lines of running steps are written later: %s", late.message)
    return looks


def flush_lines(database: Database, claim: Claim) -> Look | None:
    """Write what user code said so far; return whose page has news, if anyone's."""
    with claim.writing:
        told = _told(claim, claim.log.take())
        if not told.lines and told.progress is None:
            return None

        def write(tx: ExecutionTx) -> tuple[Look, int]:
            first = _keep(tx, claim, told)
            return Look(tx.state.id, tx.state.owner_id, tx.state.workflow_id), first

        try:
            look, first = commit(database, claim.key.execution_id, write)
        except BaseException:
            claim.log.put_back(told.said)
            raise
        claim.log.wrote(told.said, first)
        return look


def _told(claim: Claim, said: Said) -> _Told:
    key, attempt = claim.key, claim.attempt
    lines = [
        Line(key.step, key.item, attempt, line.at, line.level, line.message)
        for line in said.all_lines
    ]
    return _Told(said, lines, None if said.progress is None else encode(said.progress))


def _keep(tx: ExecutionTx, claim: Claim, told: _Told) -> int:
    """Write what the attempt said; return the number of its first line."""
    tx.forget_lines(told.said.forget)
    if told.progress is not None:
        progress.keep(tx, claim.key, claim.epoch, told.progress)
    return tx.log(told.lines)
