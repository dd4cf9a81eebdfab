"""Lists end nowhere in silence: every row of each is on one of its pages, once."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from engine.errors import InvalidQuery
from engine.store import reads
from engine.store.db.database import Database
from engine.store.tables import DeadLetter, Schedule, Token, Worker, Workflow, WorkflowVersion
from engine.store.writes import users
from tests.support import rows
from tests.support.rows import NOW

MANY = 522
_DOCUMENT = '{"name": "w", "steps": {"a": {"uses": "transform", "with": {"value": 1}}}}'


def _id(number: int) -> str:
    return f"{number:013d}"


@pytest.fixture
def owner(database: Database) -> str:
    """Somebody with 522 of everything, workflows of doubled and of awkward names among them."""
    owner_id = rows.user(database, "ada")
    names = [f"w{number:04d}" for number in range(MANY - 2)] + ["twice", "twice"]
    # Of two that bear one name the other is somebody else's, and shared.
    other = rows.user(database, "eve")
    workflows = [
        {
            "id": _id(number),
            "owner_id": other if number == MANY - 1 else owner_id,
            "name": name,
            "shared": number == MANY - 1,
            "latest_version": 1,
            "created_at": NOW,
        }
        for number, name in enumerate(names)
    ]

    def write(connection: Connection) -> None:
        connection.execute(insert(Workflow), workflows)
        connection.execute(insert(WorkflowVersion), [_version(_id(n), 1) for n in range(MANY)])
        later = [_version(_id(0), number) for number in range(2, MANY + 1)]
        connection.execute(insert(WorkflowVersion), later)
        connection.execute(insert(Schedule), [_schedule(owner_id, n) for n in range(MANY)])
        connection.execute(insert(Token), [_token(owner_id, n) for n in range(MANY)])
        connection.execute(insert(DeadLetter), [_letter(owner_id, n) for n in range(MANY)])
        connection.execute(insert(Worker), [_worker(n) for n in range(MANY)])

    database.write(write)
    return owner_id


def _version(workflow_id: str, number: int) -> dict[str, Any]:
    return {
        "workflow_id": workflow_id,
        "number": number,
        "document": _DOCUMENT,
        "created_by": "0000000000000",
        "hash": f"{number:064d}",
        "created_at": NOW,
    }


def _schedule(owner_id: str, number: int) -> dict[str, Any]:
    return {
        "id": _id(number),
        "owner_id": owner_id,
        "workflow_id": _id(0),
        "name": f"s{number}",
        "cron": "@daily",
        "zone": "UTC",
        "input": "{}",
        "missed": "latest",
        "missed_cap": 10,
        "next_at": NOW,
        "created_at": NOW,
    }


def _token(owner_id: str, number: int) -> dict[str, Any]:
    return {
        "id": _id(number),
        "user_id": owner_id,
        "name": "t",
        "secret_hash": f"{number:064d}",
        "hint": "en_",
        "created_at": NOW,
    }


def _letter(owner_id: str, number: int) -> dict[str, Any]:
    return {
        "id": _id(number),
        "owner_id": owner_id,
        "queue": "steps",
        "actor": "dispatch",
        "message": "{}",
        "reason": "unreadable",
        "created_at": NOW,
    }


def _worker(number: int) -> dict[str, Any]:
    return {
        "id": _id(number),
        "host": "here",
        "pid": number,
        "queues": "[]",
        "threads": 8,
        "functions": "[]",
        "started_at": NOW,
        "beat_at": NOW,
    }


Pages = Callable[..., reads.Page[Any]]
LISTS: dict[str, Pages] = {
    "workflows": reads.workflows,
    "versions": lambda c, me, **more: reads.versions(c, me, _id(0), **more),
    "schedules": reads.schedules,
    "tokens": users.tokens,
    "dead letters": reads.dead_letters,
    "workers": lambda c, _, **more: reads.workers(c, now=NOW, lease_seconds=10, **more),
}


def _key(row: Any) -> Any:
    return row.number if isinstance(row, reads.VersionRow) else row.id


def test_every_row_is_on_one_page(database: Database, owner: str) -> None:
    def seen(connection: Connection, pages: Pages, limit: int) -> list[Any]:
        found = reads.every(lambda cursor: pages(connection, owner, cursor=cursor, limit=limit))
        return [_key(row) for row in found]

    for name, pages in LISTS.items():
        for limit in (50, 174, 200):
            keys = database.read(partial(seen, pages=pages, limit=limit))
            assert len(keys) == len(set(keys)) == MANY, name


def test_a_cursor_that_no_page_gave_and_a_limit_that_none_has_are_refused(
    database: Database, owner: str
) -> None:
    def coded(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    numbers = [coded(f"[{2**63}]"), coded("[true]"), coded("[1.5]"), coded("[{}]")]
    texts = [coded('["a\\u0000"]'), coded('["a", "b", "c"]'), coded("7"), coded("[]")]
    asked: list[dict[str, Any]] = [{"limit": limit} for limit in (0, -1, 201)]
    asked += [{"cursor": cursor} for cursor in ("", "x", "~~~~", "é", "a" * 400, *numbers, *texts)]

    def refused(connection: Connection) -> None:
        for pages in LISTS.values():
            for more in asked:
                with pytest.raises(InvalidQuery, match=r"limit must be 1 to 200|that a page gave"):
                    pages(connection, owner, **more)

    database.read(refused)


def test_workflows_are_found_by_a_part_of_their_name(database: Database, owner: str) -> None:
    def found(text: str) -> list[str]:
        page = database.read(lambda c: reads.workflows(c, owner, text=text))
        return [row.name for row in page.rows]

    assert found("W0007") == ["w0007"]
    assert found("wic") == ["twice", "twice"]
    assert found("%") == found("_") == []


def test_names_to_choose_from_come_once_and_not_without_end(database: Database, owner: str) -> None:
    names = database.read(lambda c: reads.workflow_names(c, owner, MANY))
    assert (len(names), names[0]) == (MANY - 1, "twice")
    assert len(database.read(lambda c: reads.workflow_names(c, owner, 20))) == 20
