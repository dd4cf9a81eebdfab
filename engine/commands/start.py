"""Start an execution: check the input, pin the version, admit it. The message comes after."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from engine.codec import decode, encode
from engine.core.status import Trigger
from engine.definition import Definition, check_input
from engine.errors import InvalidInput, InvalidQuery
from engine.flow.definition_cache import Versions
from engine.store.db.database import Connection, Database
from engine.store.writes import executions, workflows
from engine.store.writes.executions import Admitted, NewExecution, Parent
from engine.store.writes.schedules import DueSchedule

MAX_DELAY = 366 * 86_400  # seconds


def start(
    database: Database,
    versions: Versions,
    *,
    owner_id: str,
    workflow_id: str,
    input: Any,
    message_id: str,
    version: int | None = None,
    trigger: str = Trigger.API,
    trigger_detail: str | None = None,
    idempotency_key: str | None = None,
    delay: int = 0,
) -> Admitted:
    """Admit an execution of the workflow for the owner and return it.

    Args:
        database: where it is kept.
        versions: the parsed versions of this process.
        owner_id: who it belongs to; the workflow must be theirs or shared.
        workflow_id: the workflow's id or name.
        input: plain JSON values; the schema's defaults are filled in.
        message_id: the id of the message that the caller will send.
        version: a number, or None for the newest.
        trigger: what started it.
        trigger_detail: in words, e.g. the name of a token.
        idempotency_key: the same key with the same request gives the same execution again.
        delay: µs to wait before anything runs.

    Raises:
        NotFound: no such workflow or version for this owner.
        InvalidInput, TooLarge: the schema refuses the input, or it is over 1 MB.
        Conflict: the idempotency key was used for another request.
    """
    workflow = database.read(
        lambda connection: workflows.readable(connection, owner_id, workflow_id)
    )
    request = None
    if idempotency_key is not None:
        # Before the input is checked: what was accepted once is not refused when asked again,
        # also when a newest version that came since would not take it.
        request = _hash(workflow.id, version, input, delay)
        before = find_asked(database, owner_id, workflow.id, idempotency_key, request)
        if before is not None:
            return before
    number = version or workflow.latest_version
    definition = versions.get(workflow.id, number)
    text = encode(check_input(definition, input, owner_id=owner_id))
    wanted = NewExecution(
        owner_id=owner_id,
        workflow_id=workflow.id,
        version=number,
        input=text,
        trigger=trigger,
        trigger_detail=trigger_detail,
        idempotency_key=idempotency_key,
        request_hash=request,
        delay=delay,
        deadline=deadline_of(definition),
        message_id=message_id,
    )
    now = database.now()
    return database.write(lambda connection: executions.admit(connection, wanted, now))


def delay_of(seconds: float) -> int:
    """Return a wait before the start in µs.

    Raises:
        InvalidQuery: it is no time, negative, or longer than a step may wait.
    """
    # Asked so that what is no number is refused: with NaN every comparison is false.
    if not 0 <= seconds <= MAX_DELAY:
        raise InvalidQuery(
            f"the delay must be from 0 to {MAX_DELAY:,} seconds (366 days), not {seconds:g}",
            hint="start it later, or make a schedule",
        )
    return int(seconds * 1e6)


def _hash(workflow_id: str, version: int | None, input: Any, delay: int) -> str:
    # Each by itself: in a list the deepest input that is allowed would be too deep.
    asked = [encode(part) for part in (workflow_id, version, input)]
    asked += [str(delay)] if delay else []
    return hashlib.sha256(f"[{','.join(asked)}]".encode()).hexdigest()


def find_asked(
    database: Database, owner_id: str, workflow_id: str, key: str, request_hash: str
) -> Admitted | None:
    """Return the execution that the same request has started, None when its key is new.

    Raises:
        Conflict: the idempotency key was used for another request.
    """
    return database.read(
        lambda connection: executions.asked_before(
            connection, owner_id, workflow_id, key, request_hash
        )
    )


def deadline_of(definition: Definition) -> int | None:
    """Return how many µs an execution may take, or None."""
    return None if definition.timeout is None else int(definition.timeout * 1e6)


def child_of(
    database: Database,
    versions: Versions,
    *,
    owner_id: str,
    workflow_id: str,
    input: Any,
    version: int | None,
    parent: Parent,
    child_id: str,
    message_id: str,
) -> NewExecution:
    """Return the execution that a step run asks for, checked, to be admitted in its commit.

    Raises:
        NotFound: no such workflow or version for this owner.
        InvalidInput, TooLarge: the schema refuses the input, or it is over 1 MB.
    """
    workflow = database.read(
        lambda connection: workflows.readable(connection, owner_id, workflow_id)
    )
    number = version or workflow.latest_version
    definition = versions.get(workflow.id, number)
    return NewExecution(
        owner_id=owner_id,
        workflow_id=workflow.id,
        version=number,
        input=encode(check_input(definition, input, owner_id=owner_id)),
        trigger=Trigger.PARENT,
        trigger_detail=parent.key.execution_id,
        deadline=deadline_of(definition),
        message_id=message_id,
        parent=parent,
        id=child_id,
    )


@dataclass(frozen=True, slots=True)
class SlotStart:
    """What the executions of a schedule's slots start with; ``deadline`` as ``deadline_of``."""

    version: int
    input: str  # JSON
    deadline: int | None


def slot_start(database: Database, versions: Versions, schedule: DueSchedule) -> SlotStart:
    """Return what a slot of the schedule starts with now.

    The input was checked when the schedule was made, but perhaps with an older version: it is
    checked with the one that is started, and gets that one's defaults.

    Raises:
        NotFound: the workflow is gone, or the owner may not read it any more.
        InvalidInput, TooLarge: the version's schema refuses the input.
    """
    workflow = database.read(
        lambda connection: workflows.readable(connection, schedule.owner_id, schedule.workflow_id)
    )
    version = schedule.version or workflow.latest_version
    definition = versions.get(workflow.id, version)
    try:
        text = encode(check_input(definition, decode(schedule.input)))
    except InvalidInput as error:
        raise InvalidInput(
            f"its input does not fit version {version} of {workflow.name}: {error.message}",
            hint="make a schedule whose input fits, or publish a version that takes this one",
            faults=error.faults,
        ) from None
    return SlotStart(version, text, deadline_of(definition))


def admit_slot(
    connection: Connection,
    schedule: DueSchedule,
    slot: int,
    start: SlotStart,
    *,
    now: int,
    message_id: str,
) -> str | None:
    """Admit the execution of a schedule's slot; return its id, or None when it was there before."""
    wanted = NewExecution(
        owner_id=schedule.owner_id,
        workflow_id=schedule.workflow_id,
        version=start.version,
        input=start.input,
        deadline=start.deadline,
        trigger=Trigger.SCHEDULE,
        trigger_detail=schedule.name,
        schedule_id=schedule.id,
        slot=slot,
        message_id=message_id,
    )
    admitted = executions.admit(connection, wanted, now)
    return admitted.execution_id if admitted.created else None
