"""Workers: who is alive, who may sweep, and what those that ended left behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from engine.codec import decode, encode
from engine.core.stall import Stall
from engine.core.status import ExecutionStatus, Phase
from engine.core.transitions import RunKey
from engine.store.tables import (
    CRASHED,
    EXPIRING,
    LIVE_STEP,
    Execution,
    Lease,
    StepRun,
    Worker,
    literally,
    table,
)
from engine.store.writes.step_runs import RunRow, as_run, run_columns

_RUNS = table(StepRun)
_WORKERS = table(Worker)
_LEASES = table(Lease)
_EXECUTIONS = table(Execution)

_LIVE = literally("step_runs", LIVE_STEP)
_EXPIRING = literally("step_runs", EXPIRING)
_CRASHED = literally("step_runs", CRASHED)
_RUNNING = literally("step_runs", "status = 'running'")
_NOT_PAUSED = _EXECUTIONS.c.status != ExecutionStatus.PAUSED.value

_LEASE = select(_LEASES.c.holder, _LEASES.c.until).where(_LEASES.c.name == bindparam("name"))

_FAULTY = "rescue.faulty"  # a note only, which nobody holds
FORGET_AFTER = 24 * 3600 * 1_000_000  # µs that a stopped worker's row is kept for people to see


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker process as it introduces itself."""

    id: str
    host: str
    pid: int
    queues: list[str]
    threads: int
    functions: list[str]


def register(connection: Connection, worker: WorkerRow, now: int) -> None:
    """Introduce a worker process, and forget those long gone."""
    connection.execute(delete(_WORKERS).where(_WORKERS.c.stopped_at < now - FORGET_AFTER))
    connection.execute(
        _WORKERS.insert(),
        {
            "id": worker.id,
            "host": worker.host,
            "pid": worker.pid,
            "queues": encode(worker.queues),
            "threads": worker.threads,
            "functions": encode(worker.functions),
            "started_at": now,
            "beat_at": now,
            "watermarks": "{}",
        },
    )


def beat(
    connection: Connection, worker_id: str, watermarks: Mapping[str, int], now: int
) -> list[RunRow]:
    """Say that the worker is alive; return what the database thinks it is running.

    One that was taken for dead lives again: its claims have new epochs by then, so all it can
    have lost is time.
    """
    connection.execute(
        update(_WORKERS)
        .where(_WORKERS.c.id == worker_id)
        .values(beat_at=now, stopped_at=None, watermarks=encode(dict(watermarks)))
    )
    rows = connection.execute(
        select(*run_columns()).where(_RUNS.c.worker_id == worker_id, _RUNNING)
    )
    return [as_run(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Told:
    """A running step run whose execution was told to end."""

    key: RunKey
    epoch: int
    interrupting: bool  # the time it had to stop by itself is over


def told_to_end(connection: Connection, worker_id: str) -> list[Told]:
    """Return which of the worker's running step runs are to stop."""
    columns = [_RUNS.c[name] for name in ("execution_id", "step", "item", "epoch")]
    rows = connection.execute(
        select(*columns, _EXECUTIONS.c.interrupting)
        .join(_EXECUTIONS, _EXECUTIONS.c.id == _RUNS.c.execution_id)
        .where(
            _RUNS.c.worker_id == worker_id,
            _RUNNING,
            _EXECUTIONS.c.ending.is_not(None),
            _EXECUTIONS.c.phase != Phase.CLOSING.value,
        )
    )
    return [
        Told(RunKey(row.execution_id, row.step, row.item), row.epoch, row.interrupting)
        for row in rows
    ]


def stopped(connection: Connection, now: int, *, worker_id: str) -> None:
    """Say that the worker has ended: it vouches for nothing any more and holds no lease."""
    _stop(connection, now, _WORKERS.c.id == worker_id)


def leaves(connection: Connection, worker_id: str, reason: str) -> None:
    """Write down why the worker is about to end although nobody has asked it to."""
    connection.execute(update(_WORKERS).where(_WORKERS.c.id == worker_id).values(end_reason=reason))


def condemn(connection: Connection, now: int, worker_id: str, stall: Stall) -> None:
    """Say that the worker stands still and is being killed, and what is known of it."""
    connection.execute(
        update(_WORKERS)
        .where(_WORKERS.c.id == worker_id)
        .values(end_reason=stall.words, stall=encode(stall.plain()))
    )
    stopped(connection, now, worker_id=worker_id)


def stall_of(connection: Connection, worker_id: str | None) -> Stall | None:
    """Return what the worker's guardian found, if the worker stood still."""
    found = connection.execute(select(_WORKERS.c.stall).where(_WORKERS.c.id == worker_id)).scalar()
    return None if found is None else Stall.of(decode(found))


def stop_processes(connection: Connection, now: int, *, host: str, pid: int) -> int:
    """Say that the worker process ``pid`` on ``host`` is known to be dead; return how many were."""
    return _stop(connection, now, (_WORKERS.c.host == host) & (_WORKERS.c.pid == pid))


def _stop(connection: Connection, now: int, who: Any) -> int:
    stopping = update(_WORKERS).where(who, _WORKERS.c.stopped_at.is_(None)).values(stopped_at=now)
    gone = list(connection.execute(stopping.returning(_WORKERS.c.id)).scalars())
    # Otherwise nobody sweeps until its lease has run out, and its steps wait for that.
    connection.execute(update(_LEASES).where(_LEASES.c.holder.in_(gone)).values(until=0))
    return len(gone)


@dataclass(frozen=True, slots=True)
class Faulty:
    """Executions that rescue leaves alone because each look at them fails: ``why`` of some."""

    count: int
    why: dict[str, str]


def lease(connection: Connection, name: str) -> Any | None:
    """Return ``holder`` and ``until`` (µs) of the lease, or None before anybody ever took it."""
    return connection.execute(_LEASE, {"name": name}).one_or_none()


def take_lease(connection: Connection, name: str, holder: str, now: int, length: int) -> bool:
    """Take or keep the lease for ``length`` µs; return whether it is the holder's now."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(_LEASES).values(name=name, until=0).on_conflict_do_nothing())
    taken = connection.execute(
        update(_LEASES)
        .where(_LEASES.c.name == name, or_(_LEASES.c.holder == holder, _LEASES.c.until < now))
        .values(holder=holder, until=now + length)
    )
    return taken.rowcount == 1


def lease_note(connection: Connection, name: str) -> str | None:
    """Return what the holder of the lease noted last."""
    note = connection.execute(select(_LEASES.c.note).where(_LEASES.c.name == name)).scalar()
    return None if note is None else str(note)


def write_faulty(connection: Connection, note: str, now: int) -> None:
    """Note which executions rescue cannot look after, as JSON."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = dialect.insert(_LEASES).values(name=_FAULTY, until=now, note=note)
    there = row.on_conflict_do_update(
        index_elements=[_LEASES.c.name], set_={"until": now, "note": note}
    )
    connection.execute(there)


def faulty(connection: Connection) -> Faulty:
    """Return which executions rescue could not look after at its last sweep."""
    note = lease_note(connection, _FAULTY)
    told: dict[str, Any] = {"count": 0, "shown": []} if note is None else decode(note)
    return Faulty(told["count"], {one["execution"]: one["why"] for one in told["shown"]})


def write_lease_note(connection: Connection, name: str, note: str) -> None:
    """Note something that outlives the holder of the lease."""
    connection.execute(update(_LEASES).where(_LEASES.c.name == name).values(note=note))


@dataclass(frozen=True, slots=True)
class Alive:
    """What the live workers say of themselves together."""

    watermarks: dict[str, int]
    functions: frozenset[str]
    workers: int


def alive(connection: Connection, dead_before: int) -> Alive:
    """Return the newest watermark per queue and every step function that a live worker knows."""
    rows = connection.execute(
        select(_WORKERS.c.watermarks, _WORKERS.c.functions).where(
            _WORKERS.c.stopped_at.is_(None), _WORKERS.c.beat_at >= dead_before
        )
    ).all()
    watermarks: dict[str, int] = {}
    functions: set[str] = set()
    for row in rows:
        functions.update(decode(row.functions))
        for queue, mark in decode(row.watermarks).items():
            watermarks[queue] = max(watermarks.get(queue, 0), mark)
    return Alive(watermarks, frozenset(functions), len(rows))


def threads(connection: Connection, dead_before: int) -> dict[str, int]:
    """Return how many threads of live workers serve each queue."""
    rows = connection.execute(
        select(_WORKERS.c.threads, _WORKERS.c.queues).where(
            _WORKERS.c.stopped_at.is_(None), _WORKERS.c.beat_at >= dead_before
        )
    )
    found: Counter[str] = Counter()
    for row in rows:
        found.update(dict.fromkeys(decode(row.queues), row.threads))
    return found
