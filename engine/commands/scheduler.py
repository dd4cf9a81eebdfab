"""Start what schedules have due. Any number of processes may tick at once: each slot fires once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial

from engine.commands.start import admit_slot, slot_start
from engine.core import calendar
from engine.core.calendar import Missed, Skipped
from engine.errors import EngineError, Unavailable
from engine.flow.definition_cache import Versions
from engine.store.db import lock_timeout
from engine.store.db.database import Connection, Database
from engine.store.writes import schedules
from engine.store.writes.schedules import DueSchedule, Firing

_PAGE = 200

_log = logging.getLogger(__name__)


def tick(database: Database, versions: Versions, new_message_id: Callable[[], str]) -> list[str]:
    """Start an execution for each slot that is due, and return the ids of those to send.

    A schedule that cannot start is left due and tried again by the next tick, and its row says
    why; the others go on.

    Args:
        database: where schedules are kept; its clock says what is due.
        versions: the parsed versions of this process.
        new_message_id: gives the id of the message that the caller will send for an execution.

    Raises:
        Unavailable: the database does not answer.
    """
    now = database.now()
    started: list[str] = []
    for schedule in _due(database, now):
        try:
            started += _fire(database, versions, schedule, new_message_id, now)
        except Unavailable as error:
            database.read(
                lock_timeout.answers
            )  # if it answers others, only this one waits a minute
            _log.warning("schedule %s (%s) starts later: %s", schedule.name, schedule.id, error)
        except EngineError as error:
            _hold_up(database, schedule, str(error), now)
        except Exception as error:
            _log.exception("schedule %s (%s) cannot start", schedule.name, schedule.id)
            _hold_up(database, schedule, f"a fault of the engine: {type(error).__name__}", now)
    return started


def _fire(
    database: Database,
    versions: Versions,
    schedule: DueSchedule,
    new_message_id: Callable[[], str],
    now: int,
) -> list[str]:
    firing = _firing(schedule, now)
    # Before the transaction, in which no JSON work is done.
    start = slot_start(database, versions, schedule) if firing.slots else None

    def admit(connection: Connection, due: DueSchedule, slot: int) -> str | None:
        assert start is not None, "it is asked for slots that fire"
        return admit_slot(connection, due, slot, start, now=now, message_id=new_message_id())

    return database.write(partial(schedules.fire, firing=firing, admit=admit, now=now))


def _hold_up(database: Database, schedule: DueSchedule, problem: str, now: int) -> None:
    """Write down why the schedule does not start, and tell it once."""
    if schedule.problem == problem:
        return
    _log.warning("schedule %s (%s) cannot start: %s", schedule.name, schedule.id, problem)
    database.write(partial(schedules.hold_up, schedule_id=schedule.id, problem=problem, now=now))


def _due(database: Database, now: int) -> Iterator[DueSchedule]:
    # By pages from a cursor: schedules that fail stay due and must not hide those behind them.
    last: DueSchedule | None = None
    while True:
        page = database.read(partial(schedules.due, now=now, limit=_PAGE, after=last))
        yield from page
        if len(page) < _PAGE:
            return
        last = page[-1]


def _firing(schedule: DueSchedule, now: int) -> Firing:
    cron, zone, since = schedule.cron, schedule.zone, schedule.next_at - 1
    policy = Missed(schedule.missed)
    limit = schedule.missed_cap if policy is Missed.ALL else 1
    newest = calendar.slots_between(cron, zone, since, now, limit)
    fires = calendar.missed(policy, newest, schedule.missed_cap, now_us=now)
    return Firing(
        schedule,
        fires,
        calendar.next_slot(cron, zone, now),
        _skipped(schedule, fires, now),
    )


def _skipped(schedule: DueSchedule, fires: list[int], now: int) -> Skipped | None:
    """Return which due slots do not fire, if any: they come before those that do."""
    until = fires[0] - 1 if fires else now
    return calendar.skipped(schedule.cron, schedule.zone, schedule.next_at - 1, until)
