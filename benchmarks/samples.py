"""Executions of ten steps as the engine itself leaves them: one of each kind, run in-process.

A history is made of their copies, so its rows are those the engine writes, whatever columns there
are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from engine.commands.publish import publish
from engine.commands.rerun import start_again
from engine.definition import parse
from engine.flow.outgoing import Sends
from engine.store.db.database import Database
from engine.testing import Harness, Run

Document = dict[str, Any]
# Of one column each, what names the execution that a row belongs to.
KEYS = {
    "executions": "id",
    "step_runs": "execution_id",
    "attempts": "execution_id",
    "events": "execution_id",
    "logs": "execution_id",
}
NAMES = ("orders", "invoices", "imports", "reports", "mails")  # of the same ten steps
TALK, WAIT, NAP = "talk", "parcels", "reminders"
_STEPS = 10
_ADD = "benchmarks.workflows.add_one"
_SAY = "benchmarks.workflows.say"
_TURN = 4  # the step at which kinds differ


@dataclass(frozen=True, slots=True)
class Sample:
    """One execution: its rows by table, and the workflows whose executions look like it.

    ``origin`` is the id of the sample that it was run again from.
    """

    id: str
    workflows: tuple[str, ...]
    status: str
    created_at: int
    rows: Mapping[str, list[dict[str, Any]]] = field(repr=False)
    origin: str | None = None


def documents() -> list[Document]:
    """Return the workflows of a history, ten steps each."""
    found = [_document(name, _ADD) for name in NAMES]
    found.append(_document(TALK, _SAY))
    found.append(_document(WAIT, _ADD, {"uses": "signal", "with": {"name": "arrived"}}))
    found.append(_document(NAP, _ADD, {"uses": "sleep", "with": {"for": "365d"}}))
    return found


def publish_all(database: Database, owner_id: str) -> dict[str, str]:
    """Publish these workflows as the owner's and return their ids by name."""
    found = [publish(database, owner_id, parse(document)) for document in documents()]
    return {published.name: published.workflow_id for published in found}


def _document(name: str, function: str, turn: Document | None = None) -> Document:
    steps: dict[str, Any] = {}
    for index in range(_STEPS):
        before = f"${{{{ steps.s{index - 1}.output }}}}" if index not in (0, _TURN + 1) else index
        steps[f"s{index}"] = {
            "uses": "python",
            "with": {"function": function, "x": before},
            **({"needs": [f"s{index - 1}"]} if index == _TURN + 1 else {}),
        }
    again = {"retry": {"attempts": 3, "backoff": "1s"}}
    steps[f"s{_TURN}"] = {**steps[f"s{_TURN}"], **again} if turn is None else turn | _after()
    return {"name": name, "steps": steps, "output": f"${{{{ steps.s{_STEPS - 1}.output }}}}"}


def _after() -> Document:
    return {"needs": [f"s{_TURN - 1}"]}


def samples() -> dict[str, list[Sample]]:
    """Return an execution of each kind; of ``retried`` the one that failed, then its retry."""
    with Harness() as harness:
        by_name = {document["name"]: document for document in documents()}
        plain = by_name[NAMES[0]]
        made: dict[str, list[Sample]] = {}
        with _reading(harness) as read:
            made["completed"] = [read(harness.run(plain))]
            harness.fail(f"s{_TURN}", times=2)
            made["flaky"] = [read(harness.run(plain))]
            harness.fail(f"s{_TURN}", times=3)
            failed = harness.run(plain)
            made["failed"] = [read(failed)]
            made["retried"] = [read(failed), read(_again(harness, failed), failed.id)]
            made["talk"] = [read(harness.run(by_name[TALK]), workflows=(TALK,))]
            made["waiting"] = [read(harness.run(by_name[WAIT]), workflows=(WAIT,))]
            made["cancelled"] = [read(_cancelled(harness, by_name[WAIT]), workflows=(WAIT,))]
            made["sleeping"] = [read(harness.start(by_name[NAP]), workflows=(NAP,))]
            made["paused"] = [read(_paused(harness, by_name[WAIT]), workflows=(WAIT,))]
    return made


def _again(harness: Harness, failed: Run) -> Run:
    bench = harness.bench
    admitted = start_again(
        bench.database,
        bench.versions,
        owner_id=bench.owner_id,
        execution_id=failed.id,
        message_id="harness",
    )
    harness.carry_out(Sends(dispatches=[admitted.execution_id]))
    return Run(harness, admitted.execution_id).finish()


def _cancelled(harness: Harness, document: Document) -> Run:
    run = harness.run(document)
    run.cancel("not needed any more")
    return run.finish()


def _paused(harness: Harness, document: Document) -> Run:
    run = harness.run(document)
    run.pause()
    return run


@contextmanager
def _reading(harness: Harness) -> Iterator[Any]:
    def read(run: Run, origin: str | None = None, workflows: tuple[str, ...] = NAMES) -> Sample:
        rows = harness.bench.database.read(lambda connection: _rows(connection, run.id))
        head = rows["executions"][0]
        return Sample(run.id, workflows, head["status"], head["created_at"], rows, origin)

    yield read


def _rows(connection: Connection, execution_id: str) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for table, key in KEYS.items():
        sql = text(f"SELECT * FROM {table} WHERE {key} = :id")  # names of ours
        rows = connection.execute(sql, {"id": execution_id}).mappings()
        found[table] = [dict(row) for row in rows]
    return found
