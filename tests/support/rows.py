"""Rows for tests of what people read: written through the models, as the engine would."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert

from engine.codec import encode
from engine.commands.publish import publish
from engine.definition import parse
from engine.ids import new_id
from engine.store.db.database import Database
from engine.store.tables import Attempt, Execution, StepRun
from engine.store.writes import users

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND

PIPELINE: dict[str, Any] = {
    "name": "pipeline",
    "title": "A pipeline",
    "input": {"type": "object", "properties": {"n": {"type": "integer"}}},
    "steps": {
        "fetch": {"uses": "transform", "with": {"value": "${{ input.n }}"}},
        "clean": {
            "uses": "transform",
            "needs": ["fetch"],
            "with": {"value": "${{ item }}"},
            "for_each": "${{ [1, 2, 3] }}",
        },
        "total": {
            "uses": "transform",
            "needs": ["clean"],
            "with": {"value": 1},
            "retry": {"attempts": 5},
        },
    },
}


def user(database: Database, name: str) -> str:
    """Add a user and return the id."""
    return database.write(lambda connection: users.add(connection, name, NOW))


def workflow(
    database: Database, owner_id: str, document: dict[str, Any] = PIPELINE, *, shared: bool = False
) -> str:
    """Publish a document and return the workflow's id."""
    return publish(database, owner_id, parse(document), shared=shared).workflow_id


def execution(
    database: Database, owner_id: str, workflow_id: str, *, id: str | None = None, **values: Any
) -> str:
    """Insert an execution and return its id."""
    execution_id = id or new_id()
    row = {
        "id": execution_id,
        "owner_id": owner_id,
        "workflow_id": workflow_id,
        "version": 1,
        "status": "running",
        "trigger": "api",
        "input": encode({"n": 1}),
        "created_at": NOW,
        **values,
    }
    _insert(database, Execution, row)
    return execution_id


def run(
    database: Database, execution_id: str, step: int, status: str, *, item: int = -1, **values: Any
) -> None:
    """Insert a step run."""
    key = {"execution_id": execution_id, "step": step, "item": item}
    _insert(database, StepRun, {**key, "status": status, "queue": "steps", **values})


def attempt(database: Database, execution_id: str, step: int, epoch: int, **values: Any) -> None:
    """Insert a failed attempt."""
    row = {
        "execution_id": execution_id,
        "step": step,
        "item": -1,
        "epoch": epoch,
        "attempt": epoch,
        "outcome": "failed",
        "reason": "error",
        "finished_at": NOW,
        **values,
    }
    _insert(database, Attempt, row)


def _insert(database: Database, model: Any, row: dict[str, Any]) -> None:
    def work(connection: Connection) -> None:
        connection.execute(insert(model), row)

    database.write(work)
