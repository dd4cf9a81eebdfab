"""How far a list looks for what no index tells, and how it goes on."""

from __future__ import annotations

from typing import Any

import pytest

from engine.codec import encode
from engine.ids import first_id, made_at
from engine.store import reads
from engine.store.db.database import Database
from engine.store.reads import Filter, walks
from tests.support import rows
from tests.support.rows import NOW, SECOND


class Past:
    """An owner's executions, one a second, of two workflows."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.owner = rows.user(database, "ada")
        self.pipeline = rows.workflow(database, self.owner)
        self.other = rows.workflow(database, self.owner, {**rows.PIPELINE, "name": "other"})
        self._made = 0

    def add(self, workflow: str = "", **values: Any) -> str:
        """Insert the next one and return its id."""
        self._made += 1
        at = NOW + self._made * SECOND
        return rows.execution(
            self.database,
            self.owner,
            workflow or self.pipeline,
            **{"id": first_id(at), "created_at": at, "status": "completed", **values},
        )

    def page(self, wanted: Filter, **asked: Any) -> tuple[list[str], str | None]:
        """Return the ids on a page, and its next cursor."""
        found = self.database.read(
            lambda c: reads.executions(c, self.owner, wanted, now=NOW, **asked)
        )
        return [row.id for row in found.rows], found.next_cursor

    def pages(self, wanted: Filter, **asked: Any) -> list[list[str]]:
        """Return the ids on all pages."""
        found, cursor = [], None
        while True:
            ids, cursor = self.page(wanted, cursor=cursor, **asked)
            found.append(ids)
            if cursor is None:
                return found


@pytest.fixture
def past(database: Database) -> Past:
    return Past(database)


def test_a_text_is_looked_for_among_so_many_and_further_on_the_next_page(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walks, "REACH", 4)
    oldest = past.add(error=encode({"message": "no stock"}), status="failed")
    for _ in range(9):
        past.add()
    newest = past.add(error=encode({"message": "no stock"}), status="failed")
    ids, cursor = past.page(Filter(text="STOCK"))
    assert ids == [newest]
    assert cursor is not None
    assert made_at(cursor) == NOW + 8 * SECOND
    assert past.pages(Filter(text="STOCK")) == [[newest], [], [oldest]]
    # An index answers the status: the text is looked for among these.
    assert past.page(Filter(text="stock", status=["failed"])) == ([newest, oldest], None)


def test_several_statuses_are_one_list(past: Past) -> None:
    made = [past.add(status=status) for status in ("failed", "completed", "cancelled") * 3]
    wanted = sorted((made[n] for n in range(9) if n % 3 != 1), reverse=True)
    assert past.pages(Filter(status=["failed", "cancelled"]), limit=2) == [
        wanted[0:2],
        wanted[2:4],
        wanted[4:6],
    ]


def test_a_status_within_a_workflow_is_found_past_the_others(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walks, "REACH", 4)
    failed = past.add(status="failed")
    for _ in range(6):
        past.add()
        past.add(past.other, status="failed")
    assert past.pages(Filter(workflow="pipeline", status=["failed"])) == [[], [failed]]
    done = past.pages(Filter(workflow=past.pipeline, status=["completed"]), limit=4)
    assert sum(map(len, done)) == 6


def test_triggers_filter_the_list(past: Past) -> None:
    by_hand, planned = past.add(trigger="manual"), past.add(trigger="schedule")
    past.add(trigger="api")
    assert past.page(Filter(trigger=["schedule"])) == ([planned], None)
    assert past.page(Filter(trigger=["schedule", "manual"])) == ([planned, by_hand], None)


def test_times_filter_the_list_also_where_clocks_were_apart(past: Past) -> None:
    made = [past.add() for _ in range(5)]
    late = past.add(created_at=NOW + 2 * SECOND)  # its id is four seconds ahead of its row
    since, until = NOW + 2 * SECOND, NOW + 4 * SECOND
    assert past.page(Filter(since=since, until=until)) == ([late, made[2], made[1]], None)
    assert past.page(Filter(since=NOW + 5 * SECOND)) == ([made[4]], None)


@pytest.mark.parametrize("micros", [-(10**16), 10**17])
def test_a_time_that_no_id_has_is_no_error(past: Past, micros: int) -> None:
    one = past.add()
    assert past.page(Filter(since=micros))[0] == ([one] if micros < 0 else [])
    assert past.page(Filter(until=micros))[0] == ([] if micros < 0 else [one])


def test_an_id_finds_its_execution_however_old(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walks, "REACH", 2)
    oldest = past.add()
    for _ in range(5):
        past.add()
    assert past.page(Filter(text=oldest)) == ([oldest], None)
    assert past.page(Filter(text=oldest, status=["failed"])) == ([], None)


def test_a_workflows_name_that_nobody_has_finds_nothing(past: Past) -> None:
    past.add()
    assert past.page(Filter(workflow="gone")) == ([], None)
    assert past.page(Filter(workflow="gone", status=["completed"])) == ([], None)
    assert past.database.read(lambda c: reads.matching(c, past.owner, Filter(workflow="gone"))) == 0


def test_what_matches_is_counted_as_the_list_finds_it(past: Past) -> None:
    made = [past.add(status="failed", trigger="api") for _ in range(3)]
    past.add(past.other, status="failed", trigger="manual")

    def matching(wanted: Filter) -> int:
        return past.database.read(lambda c: reads.matching(c, past.owner, wanted))

    assert matching(Filter(status=["failed", "cancelled"])) == 4
    assert matching(Filter(status=["failed"], workflow="pipeline")) == 3
    assert matching(Filter(ids=[made[0], first_id(0)])) == 1
    assert matching(Filter(text="other")) == 1


def test_what_a_schedule_has_started_is_found_by_its_id(past: Past) -> None:
    slots = [past.add(schedule_id="nightly", slot=n) for n in range(3)]
    past.add(schedule_id="hourly", slot=0)
    past.add()
    failed = past.add(past.other, schedule_id="nightly", slot=9, status="failed")
    wanted = Filter(schedule="nightly")
    assert past.page(wanted) == ([failed, *reversed(slots)], None)
    assert past.pages(wanted, limit=2) == [[failed, slots[2]], [slots[1], slots[0]]]
    assert past.page(Filter(schedule="nightly", status=["failed"])) == ([failed], None)
    assert past.page(Filter(schedule="nightly", workflow="other")) == ([failed], None)
    assert past.page(Filter(schedule="nightly", ids=[slots[1]])) == ([slots[1]], None)
    assert past.page(Filter(schedule="nightly", since=NOW + 4 * SECOND)) == ([failed], None)
    assert past.page(Filter(schedule="weekly")) == ([], None)
    count = past.database.read(lambda c: reads.matching(c, past.owner, wanted))
    assert count == 4
    found = past.database.read(lambda c: reads.executions(c, past.owner, wanted, now=NOW))
    assert {row.schedule_id for row in found.rows} == {"nightly"}


def test_a_schedule_of_somebody_else_shows_nothing(past: Past) -> None:
    past.add(schedule_id="nightly", slot=0)
    eve = rows.user(past.database, "eve")
    wanted = Filter(schedule="nightly")
    found = past.database.read(lambda c: reads.executions(c, eve, wanted, now=NOW))
    assert (found.rows, found.next_cursor) == ([], None)
