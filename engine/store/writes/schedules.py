"""Schedules as the engine needs them: make, pause, find due, claim. People read ``views``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, tuple_, update

from engine.codec import encode
from engine.core import calendar
from engine.core.calendar import Missed, Skipped
from engine.errors import Fault, InvalidInput, NotFound
from engine.ids import new_id
from engine.store.tables import Schedule, table
from engine.store.writes import workflows

MAX_PROBLEM = 1_000  # characters
MAX_CAP = 1_000  # executions that one schedule may catch up with in one transaction

_SCHEDULES = table(Schedule)


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """What is asked for; ``input`` is JSON text that the workflow's schema accepted.

    ``workflow`` is an id or a name; ``version`` None means the newest at each slot.
    """

    owner_id: str
    workflow: str
    name: str
    cron: str
    zone: str = "UTC"
    input: str = "{}"
    version: int | None = None
    missed: str = Missed.LATEST
    missed_cap: int = 10


@dataclass(frozen=True, slots=True)
class DueSchedule:
    """A schedule whose ``next_at`` has come, with what its executions are made of."""

    id: str
    owner_id: str
    workflow_id: str
    version: int | None
    name: str
    cron: str
    zone: str
    input: str
    missed: str
    missed_cap: int
    next_at: int
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Firing:
    """What a due schedule does now: the slots that fire, oldest first, when it is due again, and
    which slots are passed over."""

    schedule: DueSchedule
    slots: list[int]
    next_at: int
    skipped: Skipped | None = None


# Inserts the execution of a schedule's slot (µs); returns its id, or None when it was there before.
Admit = Callable[[Connection, DueSchedule, int], str | None]


def create(connection: Connection, new: NewSchedule, now: int) -> str:
    """Insert a schedule that is first due at its next slot after ``now``, and return its id.

    Raises:
        InvalidInput: with a fault for each field that is not usable.
        NotFound: no such workflow or version for this owner.
    """
    _check(new)
    workflow = workflows.readable(connection, new.owner_id, new.workflow)
    if new.version is not None and not 1 <= new.version <= workflow.latest_version:
        raise NotFound(f"workflow {workflow.name} has no version {new.version}")
    schedule_id = new_id()
    connection.execute(
        insert(Schedule),
        {
            "id": schedule_id,
            "owner_id": new.owner_id,
            "workflow_id": workflow.id,
            "version": new.version,
            "name": new.name,
            "cron": new.cron,
            "zone": new.zone,
            "input": new.input,
            "missed": new.missed,
            "missed_cap": new.missed_cap,
            "next_at": calendar.next_slot(new.cron, new.zone, now),
            "created_at": now,
        },
    )
    return schedule_id


def pause(connection: Connection, owner_id: str, schedule_id: str, now: int) -> None:
    """Make the schedule fire no more until it is resumed; again is no harm.

    Raises:
        NotFound: no such schedule of this owner.
    """
    _find(connection, owner_id, schedule_id)
    connection.execute(
        update(_SCHEDULES)
        .where(_SCHEDULES.c.id == schedule_id, _SCHEDULES.c.paused_at.is_(None))
        .values(paused_at=now, next_at=None)
    )


def resume(connection: Connection, owner_id: str, schedule_id: str, now: int) -> None:
    """Make the schedule due at its next slot after ``now``; what it passed over is not missed.

    Raises:
        NotFound: no such schedule of this owner.
    """
    row = _find(connection, owner_id, schedule_id)
    connection.execute(
        update(_SCHEDULES)
        .where(_SCHEDULES.c.id == schedule_id, _SCHEDULES.c.paused_at.is_not(None))
        .values(paused_at=None, next_at=calendar.next_slot(row.cron, row.zone, now))
    )


def remove(connection: Connection, owner_id: str, schedule_id: str) -> None:
    """Delete the schedule; the executions it started stay.

    Raises:
        NotFound: no such schedule of this owner.
    """
    _find(connection, owner_id, schedule_id)
    connection.execute(delete(_SCHEDULES).where(_SCHEDULES.c.id == schedule_id))


def due(
    connection: Connection, now: int, limit: int, after: DueSchedule | None = None
) -> list[DueSchedule]:
    """Return at most ``limit`` schedules due at ``now``, longest due first, from ``after`` on."""
    order = (_SCHEDULES.c.next_at, _SCHEDULES.c.id)
    query = (
        select(*(_SCHEDULES.c[name] for name in DueSchedule.__dataclass_fields__))
        .where(_SCHEDULES.c.next_at <= now, _SCHEDULES.c.paused_at.is_(None))
        .order_by(*order)
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(*order) > (after.next_at, after.id))
    return [DueSchedule(**row._asdict()) for row in connection.execute(query)]


def claim(
    connection: Connection,
    schedule_id: str,
    *,
    expected_next_at: int,
    new_next_at: int,
    last_slot: int | None,
) -> bool:
    """Move the schedule on to ``new_next_at`` and return True, or False when another tick has.

    ``last_slot`` is the newest slot that fires with this claim, None when none does.
    """
    values: dict[str, int] = {"next_at": new_next_at}
    if last_slot is not None:
        values["last_slot"] = last_slot
    moved = connection.execute(
        update(_SCHEDULES)
        .where(_SCHEDULES.c.id == schedule_id, _SCHEDULES.c.next_at == expected_next_at)
        .values(values)
    ).rowcount
    return moved == 1


def hold_up(connection: Connection, schedule_id: str, problem: str, now: int) -> None:
    """Write down why the schedule, which stays due, does not start."""
    connection.execute(
        update(_SCHEDULES)
        .where(_SCHEDULES.c.id == schedule_id)
        .values(problem=problem[:MAX_PROBLEM], problem_at=now)
    )


def held_up(connection: Connection) -> int:
    """Return how many schedules, of whoever, are due and cannot start."""
    held = _SCHEDULES.c.problem.is_not(None) & _SCHEDULES.c.paused_at.is_(None)
    return int(connection.execute(select(func.count()).where(held)).scalar_one())


def fire(connection: Connection, firing: Firing, admit: Admit, now: int) -> list[str]:
    """Claim the schedule, admit an execution for each slot and return their ids.

    All in this one transaction: a crash between claim and admission would lose the slot. Nothing
    is admitted when another tick has claimed it.
    """
    schedule = firing.schedule
    claimed = claim(
        connection,
        schedule.id,
        expected_next_at=schedule.next_at,
        new_next_at=firing.next_at,
        last_slot=firing.slots[-1] if firing.slots else None,
    )
    if not claimed:
        return []
    if schedule.problem is not None or firing.skipped is not None:
        _note(connection, firing, now)
    admitted = [admit(connection, schedule, slot) for slot in firing.slots]
    return [execution_id for execution_id in admitted if execution_id is not None]


def _note(connection: Connection, firing: Firing, now: int) -> None:
    """Write down that the schedule starts again, and what it has passed over."""
    values: dict[str, Any] = {"problem": None, "problem_at": None}
    if firing.skipped is not None:
        values["skipped"] = encode({**asdict(firing.skipped), "at": now})
    connection.execute(
        update(_SCHEDULES).where(_SCHEDULES.c.id == firing.schedule.id).values(values)
    )


def _find(connection: Connection, owner_id: str, schedule_id: str) -> Any:
    row = connection.execute(
        select(_SCHEDULES.c.cron, _SCHEDULES.c.zone)
        .where(_SCHEDULES.c.id == schedule_id, _SCHEDULES.c.owner_id == owner_id)
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no schedule {schedule_id}")
    return row


def _check(new: NewSchedule) -> None:
    faults = []
    if not (new.name.strip() and len(new.name) <= 64 and new.name.isprintable()):
        faults.append(Fault("name", "is not 1 to 64 printable characters"))
    if new.missed not in set(Missed):
        faults.append(Fault("missed", f"{new.missed!r} is no policy", "skip, latest or all"))
    if not 1 <= new.missed_cap <= MAX_CAP:
        faults.append(Fault("missed_cap", f"is not between 1 and {MAX_CAP}"))
    try:
        calendar.check(new.cron, new.zone)
    except InvalidInput as error:
        faults += error.faults
    if faults:
        raise InvalidInput("the schedule is not usable", faults=faults)
