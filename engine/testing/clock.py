"""A clock that stands still until it is told to go on, and a database that goes by it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from engine.definition import seconds
from engine.errors import InvalidInput
from engine.store.db.database import Connection, Database

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock:
    """The time of one engine. It begins at the machine's, then moves only when it is moved."""

    def __init__(self, start: datetime | None = None) -> None:
        self.micros = time.time_ns() // 1000 if start is None else _micros(start)
        self._pass: Callable[[int], None] = self.move_to

    @property
    def now(self) -> datetime:
        """The time, in UTC."""
        return _EPOCH + timedelta(microseconds=self.micros)

    def advance(self, span: str | float | timedelta) -> None:
        """Let ``span`` pass ("3d", "1h30m", seconds, or a timedelta); what falls due meanwhile is
        carried out, each at its time.

        Raises:
            InvalidInput: it is no duration.
        """
        self._pass(self.micros + _span(span))

    def advance_to(self, moment: datetime) -> None:
        """Let the time until ``moment`` pass, as ``advance`` does.

        Raises:
            InvalidInput: it has no time zone, or is over.
        """
        until = _micros(moment)
        if until < self.micros:
            raise InvalidInput(f"{moment} is over: it is {self.now}")
        self._pass(until)

    def move_to(self, micros: int) -> None:
        """Set the time, in µs since 1970, if it is not later already; nothing is carried out."""
        self.micros = max(self.micros, micros)

    def drive(self, pass_until: Callable[[int], None]) -> None:
        """Let ``pass_until`` carry out what falls due whenever the clock is advanced."""
        self._pass = pass_until


class Clocked(Database):
    """A database by another clock than its own."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.dialect = database.dialect
        self.has_server = database.has_server
        self.payloads = database.payloads
        self._database = database
        self._clock = clock

    def write(self, work: Callable[[Connection], T]) -> T:
        return self._database.write(work)

    def write_at_once(self, work: Callable[[Connection], T]) -> T:
        return self._database.write_at_once(work)

    def read(self, work: Callable[[Connection], T]) -> T:
        return self._database.read(work)

    def snapshot(self, work: Callable[[Connection], T]) -> T:
        return self._database.snapshot(work)

    def now(self) -> int:
        return self._clock.micros

    def close(self) -> None:
        self._database.close()


def _micros(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise InvalidInput(f"{moment} has no time zone", hint="give tzinfo=UTC")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _span(span: str | float | timedelta) -> int:
    if isinstance(span, timedelta):
        return span // timedelta(microseconds=1)
    found = seconds(span)
    if found is None:
        raise InvalidInput(f"{span!r} is no duration", hint="write 90s, 1h30m, 3d, or seconds")
    return round(found * 1e6)
