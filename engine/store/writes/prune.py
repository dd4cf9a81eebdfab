"""Forget what is long over: ended executions with all their rows, signals, cached results.

An execution goes whole, in one transaction, or not at all. Those that an open execution still has
to do with stay: its parent, its children, and the origin whose results it takes over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, exists, func, literal, or_, select

from engine.core.status import EXECUTION_ENDS, EXECUTION_OPEN
from engine.errors import NotFound
from engine.ids import first_id
from engine.store.tables import CachedResult, DeadLetter, Execution, Notice, Signal, table

_EXECUTIONS = table(Execution)
_SIGNALS = table(Signal)
_NOTICES = table(Notice)
_LETTERS = table(DeadLetter)
_CACHED = table(CachedResult)
_OTHERS = table(Execution).alias("others")
_ENDS = [status.value for status in EXECUTION_ENDS]
_OPEN = [status.value for status in EXECUTION_OPEN]
_LOOKED_AT = 200  # executions at once
_CLOCKS = 3_600_000_000  # µs by which the clocks of those who make ids may be apart at most


def hold(connection: Connection, execution_id: str) -> None:
    """Keep the execution from being pruned until this transaction has ended.

    Raises:
        NotFound: it was pruned a moment before.
    """
    statement = select(_EXECUTIONS.c.id).where(_EXECUTIONS.c.id == execution_id)
    if connection.execute(statement.with_for_update(read=True, key_share=True)).first() is None:
        raise NotFound(f"there is no execution {execution_id}")


def executions(
    connection: Connection, before: int, *, after: str, rows: int
) -> tuple[list[str], str | None]:
    """Delete some executions that ended before ``before`` (µs), with all that is theirs.

    Args:
        after: only those with a greater id: those that must stay are not looked at again.
        rows: about how many rows to delete; one execution goes whatever it has.

    Returns:
        The ids of those that are gone, and the id to go on after, None when there are no more.
    """
    columns = [_EXECUTIONS.c[name] for name in ("id", "runs_total", "last_seq", "last_log")]
    found = connection.execute(
        select(*columns)
        .where(_ended(before), _EXECUTIONS.c.id > after)
        .order_by(_EXECUTIONS.c.id)
        .limit(_LOOKED_AT)
        .with_for_update(skip_locked=True)
    ).all()
    if not found:
        return [], None
    taken: list[str] = []
    weight = 0
    for row in found:
        weight += row.runs_total + row.last_seq + row.last_log
        if taken and weight > rows:
            break
        taken.append(row.id)
    # Asked once they are locked: whoever runs one again now waits, and finds that it is gone.
    gone = list(
        connection.execute(
            select(_EXECUTIONS.c.id).where(_EXECUTIONS.c.id.in_(taken), ~_wanted_by_open())
        ).scalars()
    )
    _delete(connection, gone)
    return gone, taken[-1]


def _ended(before: int) -> Any:
    return and_(
        _EXECUTIONS.c.status.in_(_ENDS),
        _EXECUTIONS.c.finished_at < before,
        # What ended before was made before: this much of the index is read, not the whole table.
        _EXECUTIONS.c.id < first_id(before + _CLOCKS),
    )


def _wanted_by_open() -> Any:
    """Whether an open execution is its child, its parent, or was made from it."""
    related = (
        _OTHERS.c.parent_id == _EXECUTIONS.c.id,
        _OTHERS.c.origin_id == _EXECUTIONS.c.id,
        _OTHERS.c.id == _EXECUTIONS.c.parent_id,
    )
    # Three questions, each with an index of its own, and not one that has none.
    return or_(*(exists().where(way, _OTHERS.c.status.in_(_OPEN)) for way in related))


def _delete(connection: Connection, ids: Sequence[str]) -> None:
    if not ids:
        return
    connection.execute(delete(_NOTICES).where(_NOTICES.c.execution_id.in_(ids)))
    connection.execute(delete(_LETTERS).where(_LETTERS.c.execution_id.in_(ids)))
    # Step runs, attempts, events, logs and artifacts go with it by their foreign keys.
    connection.execute(delete(_EXECUTIONS).where(_EXECUTIONS.c.id.in_(ids)))


def signals(connection: Connection, before: int, limit: int) -> int:
    """Delete at most ``limit`` signals sent before ``before`` (µs); return how many there were.

    One that nobody has taken stays while the execution that it is meant for is open, and one
    that is on its way to whom it was given to stays too.
    """
    old = select(_SIGNALS.c.id).where(_old_signal(before)).limit(limit)
    found = delete(_SIGNALS).where(_SIGNALS.c.id.in_(old)).returning(_SIGNALS.c.id)
    return len(connection.execute(found).all())


def _old_signal(before: int) -> Any:
    on_its_way = exists().where(_NOTICES.c.signal_id == _SIGNALS.c.id)
    awaited = exists().where(_OTHERS.c.id == _SIGNALS.c.execution_id, _OTHERS.c.status.in_(_OPEN))
    return and_(
        _SIGNALS.c.created_at < before,
        ~on_its_way,
        or_(_SIGNALS.c.taken_at.is_not(None), ~awaited),
    )


def letters(connection: Connection, before: int, limit: int) -> int:
    """Delete dead letters of before ``before`` (µs) whose execution is not there (any more)."""
    old = select(_LETTERS.c.id).where(_lost_letter(before)).limit(limit)
    found = delete(_LETTERS).where(_LETTERS.c.id.in_(old)).returning(_LETTERS.c.id)
    return len(connection.execute(found).all())


def _lost_letter(before: int) -> Any:
    kept = exists().where(_EXECUTIONS.c.id == _LETTERS.c.execution_id)
    return and_(_LETTERS.c.created_at < before, ~kept)


def cached(connection: Connection, now: int, limit: int) -> int:
    """Delete at most ``limit`` cached results that are too old; return how many there were."""
    key = (_CACHED.c.owner_id, _CACHED.c.key)
    old = select(*key).where(_CACHED.c.expires_at <= now).limit(limit).subquery()
    here = exists().where(old.c.owner_id == _CACHED.c.owner_id, old.c.key == _CACHED.c.key)
    found = delete(_CACHED).where(here).returning(_CACHED.c.key)
    return len(connection.execute(found).all())


def counts(connection: Connection, before: int, now: int) -> dict[str, int]:
    """Return how many of each would be deleted."""
    lost = {
        "executions": (_EXECUTIONS, and_(_ended(before), ~_wanted_by_open())),
        "signals": (_SIGNALS, _old_signal(before)),
        "dead_letters": (_LETTERS, _lost_letter(before)),
        "cached_results": (_CACHED, _CACHED.c.expires_at <= now),
    }
    return {
        name: connection.execute(
            select(func.count(literal(1))).select_from(table).where(which)
        ).scalar_one()
        for name, (table, which) in lost.items()
    }
