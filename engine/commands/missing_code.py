"""Executions in flight whose steps no worker has the code for: find them, move or end them.

Nothing need be done about them: they wait until a worker that knows the steps appears.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from engine.codec import decode
from engine.commands import lifecycle
from engine.commands.rerun import RerunRequest, successor
from engine.definition import Definition, check_input
from engine.errors import Conflict, EngineError, InvalidError, NotFound, UnreadableVersion
from engine.flow.definition_cache import Versions
from engine.flow.journal import Journal
from engine.flow.outgoing import Look, Sends
from engine.flow.transaction import commit
from engine.store.db.database import Database
from engine.store.recovery import liveness, missing_code
from engine.store.recovery.missing_code import Candidate, OpenVersion
from engine.store.writes import executions, step_runs, workflows
from engine.store.writes.execution_tx import ExecutionTx
from engine.store.writes.step_runs import Ticket

AT_ONCE = 500  # executions that one call moves or cancels
RUNS = "a step of it runs: ask again once that has ended"
MOVED = "moved to version {} by its owner: no worker has its code"


@dataclass(frozen=True, slots=True)
class MissingStep:
    """A step and the code that no worker has: a function, ``actor:NAME`` or ``type:NAME``."""

    step: str
    code: str


@dataclass(frozen=True, slots=True)
class Stranded:
    """A version whose executions wait for code."""

    workflow_id: str
    workflow: str
    version: int
    newest_version: int
    missing: list[MissingStep]
    executions: int


@dataclass(frozen=True, slots=True)
class Settled:
    """An execution that was ended; ``moved_to`` goes on in its place."""

    execution_id: str
    moved_to: str | None


@dataclass(frozen=True, slots=True)
class Left:
    """An execution that was left as it is, and why."""

    execution_id: str
    why: str


@dataclass(slots=True)
class Bulk:
    """What was done, or would be. ``more`` are there than one call takes."""

    done: list[Settled] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    more: bool = False
    sends: Sends = field(default_factory=Sends)
    looks: list[Look] = field(default_factory=list)


def known_by_workers(database: Database, lease_seconds: float) -> frozenset[str] | None:
    """Return the code that live workers have; None when none is alive, and nobody can tell."""
    dead_before = database.now() - int(lease_seconds * 1e6)
    alive = database.read(lambda connection: liveness.alive(connection, dead_before))
    return alive.functions if alive.workers else None


def find(
    database: Database, versions: Versions, *, known: Collection[str], owner_id: str | None = None
) -> list[Stranded]:
    """Return the versions whose open executions have steps before them that ``known`` lacks.

    Args:
        database: to look at; what has ended costs nothing.
        versions: the parsed versions of this process.
        known: the code that workers have.
        owner_id: whose executions; None for everybody's.
    """
    found = []
    for of in database.read(lambda connection: missing_code.open_versions(connection, owner_id)):
        definition = _readable(versions, of)
        lacking = _lacking(definition, known) if definition is not None else []
        if definition is None or not lacking:
            continue
        at_end = any(definition.steps[index].closing for index in lacking)
        executions = database.read(
            lambda connection, of=of, lacking=lacking, at_end=at_end: missing_code.count(  # type: ignore[misc]
                connection, of, owner_id, lacking, at_end=at_end
            )
        )
        if executions:
            missing = _missing(definition, lacking)
            found.append(
                Stranded(
                    of.workflow_id, of.workflow, of.version, of.newest_version, missing, executions
                )
            )
    return found


def _readable(versions: Versions, of: OpenVersion) -> Definition | None:
    try:
        return versions.get(of.workflow_id, of.version)
    except (NotFound, UnreadableVersion):
        return None  # `engine doctor` tells of it


def _lacking(definition: Definition, known: Collection[str]) -> list[int]:
    return [
        step.index
        for step in definition.steps
        if step.function is not None and step.function not in known
    ]


def _missing(definition: Definition, lacking: Iterable[int]) -> list[MissingStep]:
    steps = [definition.steps[index] for index in lacking]
    return [MissingStep(step.name, step.function or "") for step in steps]


def settle(
    database: Database,
    versions: Versions,
    *,
    owner_id: str,
    workflow: str,
    known: Collection[str],
    grace_seconds: float,
    move: bool,
    version: int | None = None,
    dry_run: bool = False,
) -> Bulk:
    """Cancel the owner's stranded executions of a workflow; ``move`` runs them again.

    Moved ones go on as new executions of the newest version: what completed and is the same
    there is taken over. Those that cannot be moved safely are left, each with the reason.

    Args:
        database: where they are kept.
        versions: the parsed versions of this process.
        owner_id: whose.
        workflow: its id or name.
        known: the code that workers have.
        grace_seconds: what running steps of cancelled ones get.
        move: to the newest version, instead of only cancelling.
        version: only those pinned to this one.
        dry_run: change nothing, only tell what would be done.

    Raises:
        NotFound: the owner may see no such workflow.
        Conflict: they cannot be moved: no worker has the newest version's code either.
    """
    record = database.read(lambda connection: workflows.readable(connection, owner_id, workflow))
    newest = versions.get(record.id, record.latest_version)
    if move and (lacking := _lacking(newest, known)):
        names = ", ".join(f"{one.step} ({one.code})" for one in _missing(newest, lacking))
        raise Conflict(
            f"version {record.latest_version} of {record.name} waits for code too: {names}",
            hint="publish a version whose steps the workers know, or start workers with the code",
        )
    bulk = Bulk()
    work = _Work(database, versions, owner_id, grace_seconds, newest, record.latest_version, bulk)
    for of in database.read(lambda connection: missing_code.open_versions(connection, owner_id)):
        if of.workflow_id == record.id and version in (None, of.version):
            _settle_version(work, of, known, move=move, dry_run=dry_run)
    return bulk


@dataclass(frozen=True, slots=True)
class _Work:
    """What settling each execution takes."""

    database: Database
    versions: Versions
    owner_id: str
    grace_seconds: float
    newest: Definition
    newest_version: int
    bulk: Bulk


def _settle_version(
    work: _Work, of: OpenVersion, known: Collection[str], *, move: bool, dry_run: bool
) -> None:
    definition = _readable(work.versions, of)
    lacking = _lacking(definition, known) if definition is not None else []
    if definition is None or not lacking:
        return
    at_end = any(definition.steps[index].closing for index in lacking)
    room = AT_ONCE - len(work.bulk.done) - len(work.bulk.left)
    found = work.database.read(
        lambda connection: missing_code.candidates(
            connection, of, work.owner_id, lacking, at_end=at_end, limit=room + 1
        )
    )
    work.bulk.more = work.bulk.more or len(found) > room
    for one in found[:room]:
        why = _why_left(definition, work.newest, one) if move else None
        if why is not None:
            work.bulk.left.append(Left(one.id, why))
        elif dry_run:
            work.bulk.done.append(Settled(one.id, None))
        else:
            _settle_one(work, definition, one, move=move)


def _why_left(definition: Definition, newest: Definition, one: Candidate) -> str | None:
    """Return why moving the execution would do harm, or None."""
    if definition.closing:
        return (
            "its steps at the end would run, and may undo what is taken over:"
            " cancel it, then start it anew"
        )
    if one.awaited:
        return "its parent waits for it, and would fail: move the parent, or cancel it"
    if one.running:
        return RUNS
    try:
        check_input(newest, decode(one.input))
    except InvalidError as error:
        return f"the newest version does not take its input: {error.message}"
    return None


def _settle_one(work: _Work, definition: Definition, one: Candidate, *, move: bool) -> None:
    try:
        moved_to = None
        if move:
            moved_to = _move(work, definition, one)
        else:
            _cancel(work, one)
    except EngineError as error:
        work.bulk.left.append(Left(one.id, error.message))
        return
    work.bulk.done.append(Settled(one.id, moved_to))


def _cancel(work: _Work, one: Candidate) -> None:
    look, sends = lifecycle.cancel(
        work.database,
        work.versions,
        owner_id=work.owner_id,
        execution_id=one.id,
        grace_seconds=work.grace_seconds,
        note="no worker has its code",
    )
    work.bulk.sends.now += sends.now
    work.bulk.sends.dispatches += sends.dispatches
    work.bulk.looks.append(look)


def _move(work: _Work, definition: Definition, one: Candidate) -> str:
    """Cancel the execution and admit the one that takes its place, both or neither.

    Raises:
        Conflict: it has moved on meanwhile; nothing was changed.
    """
    wanted = successor(
        work.database,
        work.versions,
        owner_id=work.owner_id,
        execution_id=one.id,
        message_id=str(uuid.uuid4()),
        wish=RerunRequest(version=work.newest_version),
        trigger_detail=f"moved from {one.id}",
    )
    grace, note = int(work.grace_seconds * 1e6), MOVED.format(work.newest_version)

    def move(tx: ExecutionTx) -> tuple[Look, list[Ticket], str]:
        # Asked again: a worker that has the code may have come since it was found.
        if step_runs.running(tx.connection, one.id):
            raise Conflict(RUNS)
        tickets = lifecycle.cancel_in(tx, definition, grace=grace, note=note)
        if not tx.state.over:
            raise Conflict("it would not end at once: ask again in a moment")
        admitted = executions.admit(tx.connection, wanted, tx.now)
        return Look.of(tx.state), tickets, admitted.execution_id

    look, tickets, moved_to = commit(
        work.database, one.id, move, Journal(work.versions), work.bulk.sends
    )
    work.bulk.sends.now += tickets
    work.bulk.sends.dispatches.append(moved_to)
    work.bulk.looks.append(look)
    return moved_to
