"""Start what schedules owe. Any number of processes may tick at once: each slot fires once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial

from engine.errors import EngineError, Unavailable
from engine.machine import calendar
from engine.machine.calendar import Missed
from engine.store import schedules
from engine.store.database import Database
from engine.store.schedules import Admit, DueSchedule, Firing

_PAGE = 200

_log = logging.getLogger(__name__)


def tick(database: Database, admit: Admit) -> list[str]:
    """Start an execution for each slot that is due, and return the ids of those to send.

    A schedule that fails is left due and tried again by the next tick; the others go on.

    Args:
        database: where schedules are kept; its clock says what is due.
        admit: inserts the execution of (schedule, slot in µs) in the given transaction and returns
            its id, or None when it was there before. It may be called again for the same slot.

    Raises:
        Unavailable: the database does not answer.
    """
    now = database.now()
    started: list[str] = []
    for schedule in _due(database, now):
        try:
            firing = _firing(schedule, now)
            started += database.write(partial(schedules.fire, firing=firing, admit=admit))
        except Unavailable:
            raise
        except EngineError as error:
            _log.warning("schedule %s (%s) cannot start: %s", schedule.name, schedule.id, error)
        except Exception:
            _log.exception("schedule %s (%s) cannot start", schedule.name, schedule.id)
    return started


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
    cron, zone = schedule.cron, schedule.zone
    policy = Missed(schedule.missed)
    limit = schedule.missed_cap if policy is Missed.ALL else 1
    slots = calendar.slots_between(cron, zone, schedule.next_at - 1, now, limit)
    return Firing(
        schedule,
        calendar.missed(policy, slots, schedule.missed_cap, now_us=now),
        calendar.next_slot(cron, zone, now),
    )
