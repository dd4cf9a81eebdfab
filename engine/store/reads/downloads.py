"""Values as downloads: whole whatever their size, checked, in parts."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from engine.core.status import ExecutionStatus
from engine.errors import InvalidQuery, NotFound
from engine.io.payloads import reference
from engine.store.db.database import Connection, Database
from engine.store.reads.detail import find_step, pinned
from engine.store.reads.rows import ArtifactBody
from engine.store.tables import Artifact, Execution, StepRun, table

PARTS = 64  # items read at once
KINDS = ("input", "output", "value")

_EXECUTIONS = table(Execution)
_RUNS = table(StepRun)
_ARTIFACTS = table(Artifact)
_ITEMS = (_RUNS.c.execution_id == bindparam("b_execution"), _RUNS.c.step == bindparam("b_step"))


class Download:
    """A value as JSON, read piece by piece: a list of thousands of items is never in memory."""

    def __init__(
        self, database: Database, pieces: Iterator[Sequence[str | None]], what: str
    ) -> None:
        self._database = database
        self._pieces = pieces
        self._what = what

    def parts(self, *, of_list: bool) -> Iterator[bytes]:
        """Yield the JSON text; each part is checked before it is given.

        Raises:
            PayloadLost, Unavailable: from the payload store.
        """
        first = True
        for texts in self._pieces:
            for text in texts:
                whole = self._database.payloads.read(text or "null", self._what).encode()
                yield (b"[" if first else b",") + whole if of_list else whole
                first = False
        if of_list:
            yield b"[]" if first else b"]"


def step_value(
    database: Database,
    owner_id: str,
    execution_id: str,
    step: int | str,
    *,
    kind: str,
    item: int | None = None,
) -> Iterator[bytes]:
    """Return the JSON of a step's ``input`` or ``output``, or of an item's ``value``, in parts.

    Raises:
        NotFound: no such execution, step or item, it belongs to someone else, or has no such
            value (yet).
        InvalidQuery: there is no such kind of value.
        PayloadLost, Unavailable: while the parts are taken.
    """
    if kind not in KINDS:
        raise InvalidQuery(f"a step has no {kind!r}", hint=f"use one of {', '.join(KINDS)}")
    definition = database.read(lambda connection: pinned(connection, owner_id, execution_id))
    node = find_step(definition, step)
    number = -1 if item is None else item
    row = database.read(
        lambda connection: connection.execute(
            select(_RUNS.c[kind], _RUNS.c["items"]).where(*_ITEMS, _RUNS.c.item == number),
            {"b_execution": execution_id, "b_step": node.index},
        ).one_or_none()
    )
    what = f"steps.{node.name}: the {kind}" + ("" if item is None else f" of item {item}")
    if row is not None and row.items is not None and kind == "output":
        return Download(database, _items(database, execution_id, node.index), what).parts(
            of_list=True
        )
    if row is None or row[0] is None:
        raise NotFound(f"{what} is not there")
    return Download(database, iter([[row[0]]]), what).parts(of_list=False)


def execution_output(database: Database, owner_id: str, execution_id: str) -> Iterator[bytes]:
    """Return the JSON of an execution's output in parts.

    Raises:
        NotFound: no such execution, it belongs to someone else, or has no output (yet).
        PayloadLost, Unavailable: while the parts are taken.
    """
    definition = database.read(lambda connection: pinned(connection, owner_id, execution_id))
    row = database.read(
        lambda connection: connection.execute(
            select(_EXECUTIONS.c.output, _EXECUTIONS.c.status).where(
                _EXECUTIONS.c.id == execution_id
            )
        ).one()
    )
    what = f"the output of execution {execution_id}"
    if row.output is not None:
        return Download(database, iter([[row.output]]), what).parts(of_list=False)
    if row.status != ExecutionStatus.COMPLETED:
        raise NotFound(f"{what} is not there: it is {row.status}")
    # What is not stored a second time is the list of the fan-out that it ends with.
    last = definition.sinks[0].index
    return step_value(database, owner_id, execution_id, last, kind="output")


def artifact(
    database: Database, owner_id: str, execution_id: str, artifact_id: str
) -> ArtifactBody:
    """Return an artifact with its bytes.

    Raises:
        NotFound: there is none, or it belongs to someone else.
        PayloadLost, Unavailable: from the payload store.
    """
    row = database.read(
        lambda connection: _artifact(connection, owner_id, execution_id, artifact_id)
    )
    found = reference(row.body)
    what = f"artifact {row.name!r}"
    body = b64decode(row.body) if found is None else database.payloads.read_bytes(found, what)
    return ArtifactBody(row.name, row.media_type, body)


def _artifact(connection: Connection, owner_id: str, execution_id: str, artifact_id: str) -> Any:
    pinned(connection, owner_id, execution_id)
    row = connection.execute(
        select(_ARTIFACTS.c.name, _ARTIFACTS.c.media_type, _ARTIFACTS.c.body).where(
            _ARTIFACTS.c.execution_id == execution_id, _ARTIFACTS.c.id == artifact_id
        )
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no artifact {artifact_id}")
    return row


def _items(database: Database, execution_id: str, step: int) -> Iterator[Sequence[str | None]]:
    statement = (
        select(_RUNS.c.output)
        .where(*_ITEMS, _RUNS.c.item >= bindparam("b_first"), _RUNS.c.item < bindparam("b_end"))
        .order_by(_RUNS.c.item)
    )
    first = 0
    while True:
        values = {
            "b_execution": execution_id,
            "b_step": step,
            "b_first": first,
            "b_end": first + PARTS,
        }
        texts = database.read(
            lambda connection, values=values: (  # type: ignore[misc]
                connection.execute(statement, values).scalars().all()
            )
        )
        if not texts:
            return
        yield texts
        first += PARTS
