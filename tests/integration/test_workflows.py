"""Publishing: by content, once, whoever else does it at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from engine.commands.publish import publish
from engine.definition import parse
from engine.errors import NotFound
from engine.store import reads
from engine.store.db.database import Database
from engine.store.writes import workflows
from tests.support import rows


@pytest.fixture
def owner(database: Database) -> str:
    return rows.user(database, "ada")


def changed(title: str) -> Any:
    return parse({**rows.PIPELINE, "title": title})


def test_an_equal_document_adds_no_version(database: Database, owner: str) -> None:
    first = publish(database, owner, changed("one"))
    again = publish(database, owner, changed("one"))
    second = publish(database, owner, changed("two"))
    back = publish(database, owner, changed("one"))
    assert (first.version, first.created) == (1, True)
    assert (again.version, again.created) == (1, False)
    assert [second.version, back.version] == [2, 3]
    listed = database.read(lambda c: reads.versions(c, owner, "pipeline")).rows
    assert [row.number for row in listed] == [3, 2, 1]


def test_many_that_publish_at_once_agree_on_one_version(database: Database, owner: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: publish(database, owner, changed("same")), range(16)))
    assert {(one.workflow_id, one.version) for one in made} == {(made[0].workflow_id, 1)}
    assert sum(one.created for one in made) == 1


def test_many_that_publish_different_documents_get_a_number_each(
    database: Database, owner: str
) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: publish(database, owner, changed(str(n))), range(8)))
    assert sorted(one.version for one in made) == list(range(1, 9))


def test_a_version_goes_only_to_the_owners_workflow_of_its_name(
    database: Database, owner: str
) -> None:
    eve = rows.user(database, "eve")
    mine = publish(database, owner, changed("one"), shared=True).workflow_id
    with pytest.raises(NotFound):
        publish(database, eve, changed("two"), workflow_id=mine)
    other = parse({**rows.PIPELINE, "name": "other"})
    with pytest.raises(NotFound):
        publish(database, owner, other, workflow_id=mine)
    assert publish(database, owner, changed("two"), workflow_id=mine).version == 2


def test_a_shared_workflow_is_found_by_all_and_ones_own_name_wins(
    database: Database, owner: str
) -> None:
    eve = rows.user(database, "eve")
    shared = publish(database, owner, changed("one"), shared=True).workflow_id
    assert database.read(lambda c: workflows.readable(c, eve, "pipeline")).id == shared
    assert database.read(lambda c: workflows.readable(c, eve, shared)).id == shared
    own = publish(database, eve, changed("hers")).workflow_id
    assert database.read(lambda c: workflows.readable(c, eve, "pipeline")).id == own
    with pytest.raises(NotFound):
        database.read(lambda c: workflows.readable(c, owner, own))
