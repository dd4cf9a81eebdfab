"""Make a workflow start by itself: check what it will start with, then write the schedule."""

from __future__ import annotations

from typing import Any

from engine.codec import encode
from engine.core.calendar import Missed
from engine.definition import check_input
from engine.store.db.database import Database
from engine.store.writes import schedules, workflows
from engine.store.writes.schedules import NewSchedule


def create(
    database: Database,
    *,
    owner_id: str,
    workflow: str,
    name: str,
    cron: str,
    zone: str = "UTC",
    input: Any = None,
    version: int | None = None,
    missed: str = Missed.LATEST,
    missed_cap: int = 10,
) -> str:
    """Write a schedule that is first due at its next slot, and return its id.

    Args:
        database: where it is kept.
        owner_id: who its executions will belong to; the workflow must be theirs or shared.
        workflow: id or name.
        name: what people call the schedule.
        cron: five fields, or an alias such as ``@daily``.
        zone: the IANA zone that the fields are in.
        input: what each execution starts with, checked now so that no slot fails for it.
        version: a number, or None for the newest at each slot.
        missed: what becomes of slots that passed while nothing ticked.
        missed_cap: executions at most that ``all`` catches up with.

    Raises:
        NotFound: no such workflow or version for this owner.
        InvalidInput: the input, cron, zone or policy cannot be used; every fault is named.
    """
    record = database.read(lambda connection: workflows.readable(connection, owner_id, workflow))
    number = version or record.latest_version
    definition = database.read(
        lambda connection: workflows.definition(connection, record.id, number)
    )
    new = NewSchedule(
        owner_id=owner_id,
        workflow=record.id,
        name=name,
        cron=cron,
        zone=zone,
        input=encode(check_input(definition, {} if input is None else input, owner_id=owner_id)),
        version=version,
        missed=missed,
        missed_cap=missed_cap,
    )
    now = database.now()
    return database.write(lambda connection: schedules.create(connection, new, now))
