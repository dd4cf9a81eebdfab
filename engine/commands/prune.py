"""Forget what ended long ago, in portions that hold nobody up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.store.db.database import Connection, Database
from engine.store.writes import payload_refs
from engine.store.writes import prune as store

ROWS = 5_000  # deleted at once: what SQLite's one writer does in a fraction of a second


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many of each are gone, or would be."""

    executions: int
    signals: int
    dead_letters: int
    cached_results: int


def preview(database: Database, *, before: int) -> Pruned:
    """Return what ``prune`` would delete; nothing is changed."""
    now = database.now()
    return Pruned(**database.read(lambda connection: store.counts(connection, before, now)))


def prune(database: Database, *, before: int, rows: int = ROWS) -> Pruned:
    """Delete what was over before ``before`` and return how many of each there were.

    Open executions stay, and those that an open one is made from, started or was started by.
    It may be ended at any time, and run again: each portion is a transaction.

    Args:
        database: where it is kept; everybody's. What of it lies in its payload store goes too, at
            the end, unless an execution that is there took it over.
        before: µs; what ended, was sent or was kept earlier goes. Cached results have a time of
            their own.
        rows: about how many to delete in one transaction.

    Raises:
        Unavailable: the database or the payload store does not answer.
    """
    now = database.now()
    gone = _executions(database, before, rows)
    found = Pruned(
        executions=len(gone),
        signals=_all(database, lambda c: store.signals(c, before, rows), rows),
        dead_letters=_all(database, lambda c: store.letters(c, before, rows), rows),
        cached_results=_all(database, lambda c: store.cached(c, now, rows), rows),
    )
    _forget_payloads(database, gone)
    return found


def _executions(database: Database, before: int, rows: int) -> list[str]:
    gone: list[str] = []
    place = ""
    while True:
        after = place
        ids, reached = database.write(
            lambda connection, after=after: store.executions(  # type: ignore[misc]
                connection, before, after=after, rows=rows
            )
        )
        gone += ids
        if reached is None:
            return gone
        place = reached


def _forget_payloads(database: Database, gone: list[str]) -> None:
    """Only of what went here: the store may hold what another database speaks of."""
    if not gone or database.payloads.url is None:
        return
    left = set(gone) & set(database.payloads.executions())
    if not left:
        return
    for execution_id in left - database.read(payload_refs.taken_over):
        database.payloads.remove(execution_id)


def _all(database: Database, some: Callable[[Connection], int], rows: int) -> int:
    total = 0
    while True:
        found = database.write(some)
        total += found
        if found < rows:
            return total
