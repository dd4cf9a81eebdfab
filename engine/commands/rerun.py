"""Run an ended execution again: always as a new one, linked to its origin.

What completed is taken over and not run again, but for the step it is run again from, what had
failed, and all that follows these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.codec import decode, encode
from engine.commands.start import deadline_of, find_asked
from engine.core.planning import first_rows, same_steps, still_done, without
from engine.core.status import EXECUTION_ENDS, ExecutionStatus, Trigger
from engine.definition import Definition, Step, check_input
from engine.errors import Conflict, InvalidQuery
from engine.expressions import did_you_mean
from engine.flow.definition_cache import Versions
from engine.store.db.database import Connection, Database
from engine.store.writes import executions, prune, reuse, workflows
from engine.store.writes.executions import Admitted, NewExecution, Origin

NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class RerunRequest:
    """How an execution is to be run again.

    ``from_step`` runs again with all that follows; without one, what had failed does.
    ``version`` is a number, "newest", or None for the one it had. ``input`` replaces the
    origin's when ``edited``; what earlier steps gave is taken over all the same.
    """

    from_step: str | None = None
    version: int | str | None = None
    input: Any = None
    edited: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """What running again would do, told before: names of steps."""

    version: int
    reused: list[str]
    repeated: list[str]  # they were begun in the origin: what they did outside may be done twice
    fresh: list[str]  # they were not


def start_again(
    database: Database,
    versions: Versions,
    *,
    owner_id: str,
    execution_id: str,
    message_id: str,
    wish: RerunRequest | None = None,
    trigger_detail: str | None = None,
    idempotency_key: str | None = None,
) -> Admitted:
    """Admit a new execution that goes on from an ended one.

    Args:
        database: where it is kept.
        versions: the parsed versions of this process.
        owner_id: whose execution it is.
        execution_id: the origin.
        message_id: the id of the message that the caller will send.
        wish: how; None retries what had failed.
        trigger_detail: in words, e.g. the name of a token.
        idempotency_key: the same key with the same wish gives the same execution again.

    Raises:
        NotFound: no such execution or version for this owner.
        Conflict: it has not ended; it completed and no step to run again from is named; or the
            idempotency key was used for another request.
        InvalidQuery: there is no such step.
        InvalidInput, TooLarge: the schema refuses the edited input.
    """
    wish = wish or RerunRequest()
    origin = _origin(database, owner_id, execution_id)
    request = None
    if idempotency_key is not None:
        request, workflow_id = _hash(execution_id, wish), origin.wanted.workflow_id
        before = find_asked(database, owner_id, workflow_id, idempotency_key, request)
        if before is not None:
            return before
    if origin.status is ExecutionStatus.COMPLETED and wish == RerunRequest():
        raise Conflict(
            f"execution {execution_id} is completed: only a failed or cancelled one can be retried",
            hint="rerun it from a step, or start a new one",
        )
    wanted, _definition = _wanted(database, versions, origin, wish)
    wanted = replace(
        _asked(wanted, wish, message_id, trigger_detail),
        idempotency_key=idempotency_key,
        request_hash=request,
    )
    now = database.now()

    def admit(connection: Connection) -> Admitted:
        prune.hold(connection, execution_id)
        return executions.admit(connection, wanted, now)

    return database.write(admit)


def successor(
    database: Database,
    versions: Versions,
    *,
    owner_id: str,
    execution_id: str,
    message_id: str,
    wish: RerunRequest,
    trigger_detail: str,
) -> NewExecution:
    """Return the execution that is to take the place of one that ends as it is admitted.

    Arguments and errors are those of ``start_again``.
    """
    origin = database.read(lambda connection: executions.origin(connection, owner_id, execution_id))
    wanted, _definition = _wanted(database, versions, origin, wish)
    return _asked(wanted, wish, message_id, trigger_detail)


def _asked(
    wanted: NewExecution, wish: RerunRequest, message_id: str, trigger_detail: str | None
) -> NewExecution:
    return replace(
        wanted,
        trigger=Trigger.RETRY if wish == RerunRequest() else Trigger.RERUN,
        trigger_detail=trigger_detail,
        message_id=message_id,
    )


def _hash(execution_id: str, wish: RerunRequest) -> str:
    asked = [execution_id, wish.from_step, wish.version, wish.input, wish.edited]
    return hashlib.sha256(encode(asked).encode()).hexdigest()


def preview(
    database: Database,
    versions: Versions,
    *,
    owner_id: str,
    execution_id: str,
    wish: RerunRequest | None = None,
) -> Preview:
    """Return what ``start_again`` would do; errors as there."""
    wish = wish or RerunRequest()
    origin = _origin(database, owner_id, execution_id)
    wanted, definition = _wanted(database, versions, origin, wish)
    before = versions.get(origin.wanted.workflow_id, origin.wanted.version)
    ended, begun = database.read(
        lambda connection: (
            reuse.reusable(connection, execution_id),
            reuse.begun(connection, execution_id),
        )
    )
    ended = still_done(before, ended, begun)
    same = same_steps(definition, before, ended)
    if wish.from_step is not None:
        same = without(definition, same, wish.from_step)
    rows = first_rows(definition, {step: ended[there] for step, there in same.items()})
    names = {before.steps[index].name for index in begun}
    again = [definition.steps[row.step].name for row in rows if not row.reused]
    return Preview(
        version=wanted.version,
        reused=[definition.steps[row.step].name for row in rows if row.reused],
        repeated=[name for name in again if name in names],
        fresh=[name for name in again if name not in names],
    )


def _origin(database: Database, owner_id: str, execution_id: str) -> Origin:
    origin = database.read(lambda connection: executions.origin(connection, owner_id, execution_id))
    if origin.status not in EXECUTION_ENDS:
        raise Conflict(
            f"execution {execution_id} is {origin.status}: only an ended one can be run again",
            hint="cancel it first",
        )
    return origin


def _wanted(
    database: Database, versions: Versions, origin: Origin, wish: RerunRequest
) -> tuple[NewExecution, Definition]:
    before = origin.wanted
    number = before.version if wish.version is None else wish.version
    if number == NEWEST:
        number = database.read(
            lambda connection: workflows.readable(connection, before.owner_id, before.workflow_id)
        ).latest_version
    if not isinstance(number, int):
        raise InvalidQuery(f"version: {number!r} is neither a number nor {NEWEST}")
    definition = versions.get(before.workflow_id, number)
    if wish.from_step is not None:
        _check_step(definition, wish.from_step)
    text = before.input
    if wish.edited or number != before.version:
        given = wish.input if wish.edited else decode(before.input)
        text = encode(check_input(definition, given, owner_id=before.owner_id))
    wanted = replace(
        before,
        version=number,
        input=text,
        origin_id=origin.id,
        rerun_from=wish.from_step,
        deadline=deadline_of(definition),
    )
    return wanted, definition


def _check_step(definition: Definition, name: str) -> None:
    known: Mapping[str, Step] = {step.name: step for step in definition.steps}
    if name not in known:
        raise InvalidQuery(
            f"from: workflow '{definition.name}' has no step {name!r}",
            hint=did_you_mean(name, [step.name for step in definition.steps if not step.closing]),
        )
    if known[name].closing:
        raise InvalidQuery(
            f"from: step {name!r} runs at the end only", hint="name one that runs before"
        )
