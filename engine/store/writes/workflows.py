"""Workflows and their versions: found by id or name, published by content hash."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from engine.codec import decode
from engine.definition import Definition, parse
from engine.errors import EngineError, NotFound, UnreadableVersion
from engine.ids import is_id, new_id
from engine.store.db.compiled import Prepared
from engine.store.tables import Workflow, WorkflowVersion, table

_WORKFLOWS = table(Workflow)
_VERSIONS = table(WorkflowVersion)
UNREADABLE = "cannot be read by this release"
_KEPT = 256  # parsed versions: lists name the steps of many workflows at once
_parsed: dict[tuple[str, int], Definition] = {}
_parsed_lock = Lock()


@dataclass(frozen=True, slots=True)
class WorkflowRecord:
    """A workflow that its reader may see."""

    id: str
    owner_id: str
    name: str
    shared: bool
    latest_version: int
    created_at: int
    archived_at: int | None


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A parsed document on its way to the store: ``text`` is its JSON, ``hash`` that of it."""

    name: str
    text: str
    hash: str


@dataclass(frozen=True, slots=True)
class Published:
    """The version that now holds a document; not ``created`` when it was there before."""

    workflow_id: str
    name: str
    version: int
    created: bool


def visible_to(owner_id: Any) -> Any:
    """Return the condition that a workflow is the owner's own or shared."""
    return or_(_WORKFLOWS.c.owner_id == owner_id, _WORKFLOWS.c.shared)


def _readable(by: Any) -> Prepared:
    owner: Any = bindparam("owner")
    return Prepared(
        select(*(_WORKFLOWS.c[name] for name in WorkflowRecord.__dataclass_fields__))
        .where(by == bindparam("wanted"), visible_to(owner))
        # The owner's own first: publishing a name of one's own must win over an example.
        .order_by((_WORKFLOWS.c.owner_id == owner).desc(), _WORKFLOWS.c.id)
        .limit(1)
    )


_BY_ID, _BY_NAME = _readable(_WORKFLOWS.c.id), _readable(_WORKFLOWS.c.name)


def readable(connection: Connection, owner_id: str, id_or_name: str) -> WorkflowRecord:
    """Return the owner's workflow of that id or name, else a shared one.

    Raises:
        NotFound: there is none that the owner may see.
    """
    found = _BY_ID if is_id(id_or_name) else _BY_NAME
    row = found.row(connection, {"wanted": id_or_name, "owner": owner_id})
    if row is None:
        raise NotFound(
            f"there is no workflow {id_or_name}", hint="`engine workflows list` names them"
        )
    record = WorkflowRecord(*row)
    return replace(record, shared=bool(record.shared))


def publish(
    connection: Connection,
    owner_id: str,
    new: NewVersion,
    now: int,
    *,
    shared: bool = False,
    workflow_id: str | None = None,
) -> Published:
    """Make ``new`` the latest version of the owner's workflow of that name and return it.

    A document equal to the latest version's changes nothing. Two that publish at once agree:
    the row of the workflow is locked before its latest version is read.

    Args:
        now: µs.
        shared: everyone may read and run it; never taken back by a later publication.
        workflow_id: must be the workflow of that name, when given.

    Raises:
        NotFound: ``workflow_id`` is not the owner's workflow of that name.
    """
    if workflow_id is None:
        _ensure(connection, owner_id, new.name, now, shared=shared)
    row = _locked(connection, owner_id, new.name)
    if row is None or (workflow_id is not None and row.id != workflow_id):
        raise NotFound(
            f"there is no workflow {workflow_id} of yours named {new.name}",
            hint="a version keeps its workflow's name; create a workflow for another name",
        )
    if _hash_of(connection, row.id, row.latest_version) == new.hash:
        return Published(row.id, new.name, row.latest_version, created=False)
    number = row.latest_version + 1
    connection.execute(
        insert(_VERSIONS),
        {
            "workflow_id": row.id,
            "number": number,
            "hash": new.hash,
            "document": new.text,
            "created_by": owner_id,
            "created_at": now,
        },
    )
    connection.execute(
        update(_WORKFLOWS)
        .where(_WORKFLOWS.c.id == row.id)
        .values(latest_version=number, shared=_WORKFLOWS.c.shared | shared, archived_at=None)
    )
    return Published(row.id, new.name, number, created=True)


def _ensure(connection: Connection, owner_id: str, name: str, now: int, *, shared: bool) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    values = {
        "id": new_id(),
        "owner_id": owner_id,
        "name": name,
        "shared": shared,
        "latest_version": 0,
        "created_at": now,
    }
    connection.execute(dialect.insert(_WORKFLOWS).on_conflict_do_nothing().values(values))


def _locked(connection: Connection, owner_id: str, name: str) -> Row[Any, Any] | None:
    return connection.execute(
        select(_WORKFLOWS.c.id, _WORKFLOWS.c.latest_version)
        .where(_WORKFLOWS.c.owner_id == owner_id, _WORKFLOWS.c.name == name)
        .with_for_update()
    ).one_or_none()


def _hash_of(connection: Connection, workflow_id: str, number: int) -> str | None:
    return connection.execute(
        select(_VERSIONS.c.hash).where(
            _VERSIONS.c.workflow_id == workflow_id, _VERSIONS.c.number == number
        )
    ).scalar_one_or_none()


def definition(connection: Connection, workflow_id: str, version: int) -> Definition:
    """Return a version's definition, parsed once a process: versions never change.

    Raises:
        NotFound: there is no such version.
        UnreadableVersion: it was stored by a release that allowed more than this one does.
    """
    pair = (workflow_id, version)
    found, unreadable = _find(connection, {pair})
    if pair in found:
        return found[pair]
    if pair in unreadable:
        raise UnreadableVersion(
            f"version {version} of workflow {workflow_id} {UNREADABLE}: {unreadable[pair]}",
            hint="install the release that published it, or publish the workflow anew",
        )
    raise NotFound(f"workflow {workflow_id} has no version {version}")


def parsed(workflow_id: str, version: int) -> Definition | None:
    """Return a version's definition if this process has parsed it already."""
    return _parsed.get((workflow_id, version))


def definitions(
    connection: Connection, wanted: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], Definition]:
    """Return the definitions of (workflow id, version) pairs.

    Absent ones are left out, and those that cannot be read: one of them must cost a list no more
    than what it would say of that one.
    """
    return _find(connection, set(wanted))[0]


def step_name(definition: Definition | None, index: int) -> str:
    """Return what to call a step of a version that may be one that cannot be read."""
    return f"step {index}" if definition is None else definition.steps[index].name


def _find(
    connection: Connection, pairs: set[tuple[str, int]]
) -> tuple[dict[tuple[str, int], Definition], dict[tuple[str, int], str]]:
    """Return the definitions that can be read, and why each of the others cannot."""
    unreadable: dict[tuple[str, int], str] = {}
    found = {pair: known for pair in pairs if (known := _parsed.get(pair)) is not None}
    missing = pairs - found.keys()
    if missing:
        rows = connection.execute(
            select(_VERSIONS.c.workflow_id, _VERSIONS.c.number, _VERSIONS.c.document).where(
                tuple_(_VERSIONS.c.workflow_id, _VERSIONS.c.number).in_(missing)
            )
        )
        fresh: dict[tuple[str, int], Definition] = {}
        for row in rows:
            try:
                definition = parse(decode(row.document), stored=True)
            except EngineError as error:
                unreadable[row.workflow_id, row.number] = _in_one_line(error)
            except Exception as error:  # also a fault of ours is that of one version only
                unreadable[row.workflow_id, row.number] = f"{type(error).__name__}: {error}"
            else:
                fresh[row.workflow_id, row.number] = definition
        found |= fresh
        _keep(fresh)
    return found, unreadable


def _in_one_line(error: EngineError) -> str:
    return "; ".join([error.message, *map(str, error.faults)])


def _keep(fresh: dict[tuple[str, int], Definition]) -> None:
    with _parsed_lock:
        while _parsed and len(_parsed) + len(fresh) > _KEPT:
            _parsed.pop(next(iter(_parsed)))
        _parsed.update(fresh)
