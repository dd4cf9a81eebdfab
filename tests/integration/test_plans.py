"""No question reads a history from end to end, whatever is in it: asked of the databases."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.history import DAY_US, DAYS, fill
from engine.commands import prune
from engine.core.status import StepStatus
from engine.flow.definition_cache import Versions
from engine.ids import first_id, new_id
from engine.recovery import Rescue
from engine.settings import Settings
from engine.store import reads
from engine.store.db.database import Connection, Database
from engine.store.reads import Filter, pending_actions, walks
from engine.store.recovery import (
    due_executions,
    liveness,
    lost_steps,
    missing_code,
    precheck,
    snapshots,
)
from engine.store.writes import dead_letters, outbox, payload_refs, signals, users
from engine.store.writes import prune as store
from engine.testing.in_memory_engine import QuietBroker
from tests.support.plans import faults, recorded, steps_of
from tests.support.postgres import create_database, drop_database

LARGE, SMALL = 10_000, 1_000  # a few seconds to make, most of them on PostgreSQL
OPEN = ["pending", "running", "waiting", "paused"]
TEXT = Filter(text="nobody wrote that")


@dataclass(slots=True)
class Place:
    """A database with a history, and somewhere in it."""

    database: Database
    owner: str
    middle: str  # the id of an execution
    schedule: str  # the id of one of its schedules

    @property
    def now(self) -> int:
        """By the database's clock, in µs."""
        return self.database.now()


def _place(url: str) -> Place:
    database = Database.open(url)
    first = database.read(users.first)
    assert first is not None
    half = first_id(database.now() - DAYS * DAY_US // 2)
    page = database.read(
        lambda c: reads.executions(c, first.id, now=database.now(), cursor=half, limit=1)
    )
    scheduled = Filter(trigger=["schedule"])
    slots = database.read(lambda c: reads.executions(c, first.id, scheduled, now=0, limit=1))
    return Place(database, first.id, page.rows[0].id, slots.rows[0].schedule_id or "")


@pytest.fixture(scope="module")
def history(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Place]:
    """A history on the kind of database that the test names."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("history") / "engine.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        fill(f"sqlite:///{path}", LARGE)
        found = _place(f"sqlite:///{path}")
        yield found
        found.database.close()
        return
    server, name = request.getfixturevalue("postgres_url"), f"history_{uuid.uuid4().hex[:12]}"
    url = create_database(server, name, template=request.getfixturevalue("postgres_template"))
    fill(url, LARGE)
    found = _place(url)
    yield found
    found.database.close()
    drop_database(server, name)


@pytest.fixture(scope="module")
def short(sqlite_template: Path, tmp_path_factory: Any) -> Iterator[Place]:
    """A history of a tenth, on SQLite."""
    path = tmp_path_factory.mktemp("short") / "engine.db"
    shutil.copyfile(sqlite_template, path)
    fill(f"sqlite:///{path}", SMALL)
    found = _place(f"sqlite:///{path}")
    yield found
    found.database.close()


Work = Callable[[Connection, Place], object]


def _lists(**wanted: Any) -> Work:
    cursor, scheduled = wanted.pop("cursor", False), wanted.pop("scheduled", False)

    def ask(connection: Connection, at: Place) -> object:
        place = at.middle if cursor else None
        which = {**wanted, "schedule": at.schedule} if scheduled else wanted
        # Few enough that there are as many in a tenth of the history.
        return reads.executions(
            connection, at.owner, Filter(**which), now=at.now, cursor=place, limit=5
        )

    return ask


GROWS = ("open", "a rare workflow", "stranded", "open versions", "taken over")
LISTS: dict[str, Work] = {
    "newest": _lists(),
    "deep": _lists(cursor=True),
    "a status": _lists(status=["failed"], cursor=True),
    "several statuses": _lists(status=["failed", "cancelled"]),
    "open": _lists(status=OPEN),
    "a workflow": _lists(workflow="orders", cursor=True),
    "a rare workflow": _lists(workflow="reminders"),
    "a status within a workflow": _lists(workflow="orders", status=["paused"]),
    "completed within a workflow": _lists(workflow="orders", status=["completed", "failed"]),
    "a trigger": _lists(trigger=["rerun"]),
    "a schedule": _lists(scheduled=True, cursor=True),
    "a status of a schedule": _lists(scheduled=True, status=["completed", "failed"]),
    "a workflow of a schedule": _lists(scheduled=True, workflow="orders"),
    "a text of a schedule": _lists(scheduled=True, text="nobody wrote that"),
    "a text": _lists(text="nobody wrote that"),
    "a text among the failed": _lists(text="nobody wrote that", status=["failed"]),
    "lacks code": _lists(lacks_code=True),
    "a day": lambda c, at: reads.executions(
        c,
        at.owner,
        Filter(since=at.now - 41 * DAY_US, until=at.now - 40 * DAY_US),
        now=at.now,
        limit=5,
    ),
    "matching": lambda c, at: reads.matching(c, at.owner, Filter(status=["failed"])),
    "matching text": lambda c, at: reads.matching(c, at.owner, TEXT),
    "counts": lambda c, at: reads.counts(c, at.owner),
    "workflows": lambda c, at: reads.workflows(c, at.owner),
    "workers": lambda c, at: reads.workers(c, now=at.now, lease_seconds=10),
    "dead letters": lambda c, at: reads.dead_letters(c, at.owner, replayed=True),
    "approvals": lambda c, at: reads.approvals(c, at.owner, "owner"),
    "lacking": lambda c, at: pending_actions.lacking(c, at.owner),
}

ONES: dict[str, Work] = {
    "an execution": lambda c, at: reads.execution(c, at.owner, at.middle, now=at.now),
    "a step": lambda c, at: reads.step(c, at.owner, at.middle, "s4"),
    "its items": lambda c, at: reads.items(c, at.owner, at.middle, "s4"),
    "its events": lambda c, at: reads.news(c, at.owner, at.middle, 0, 100),
    "its logs": lambda c, at: reads.logs(c, at.owner, at.middle, newest=True),
    "its artifacts": lambda c, at: reads.artifacts(c, at.owner, at.middle),
    "its asks": lambda c, at: pending_actions.asks(c, at.owner, at.middle),
    "its decisions": lambda c, at: pending_actions.decisions(c, at.owner, at.middle),
}

OWED: dict[str, Work] = {
    "abandoned": lambda c, at: lost_steps.abandoned(c, dead_before=at.now, limit=500),
    "stopped": lambda c, at: lost_steps.abandoned(c, dead_before=None, limit=500),
    "due": lambda c, at: lost_steps.due(c, [StepStatus.WAITING], at.now, 500),
    "overrun": lambda c, at: lost_steps.overrun(c, at.now, 500),
    "expired": lambda c, at: lost_steps.expired(c, at.now, 500),
    "last chance": lambda c, at: lost_steps.last_chance(
        c, 2, ["steps"], since=at.now, sent_before=at.now
    ),
    "unclaimed": lambda c, at: lost_steps.unclaimed(c, "steps", at.now, at.now, 500, patient=True),
    "unknown": lambda c, at: lost_steps.unknown(c, at.now, 500),
    "told to end": lambda c, _at: liveness.told_to_end(c, "w"),
    "undispatched": lambda c, at: due_executions.undispatched(c, at.now, 500),
    "overdue": lambda c, at: due_executions.overdue(c, at.now, 500),
    "late": lambda c, at: due_executions.late(c, at.now, 500),
    "notices": lambda c, at: outbox.overdue(c, at.now, 500),
    "signal": lambda c, at: signals.waiter(c, signals.NewSignal(at.owner, "gone", "", "{}")),
    "open versions": lambda c, at: missing_code.open_versions(c, at.owner),
    "stranded": lambda c, at: _stranded(c, at),  # noqa: PLW0108  # defined below
    "any open": lambda c, _at: snapshots.any_open(c),
    "taken over": lambda c, _at: payload_refs.taken_over(c),
}


def _stranded(connection: Connection, at: Place) -> None:
    for version in missing_code.open_versions(connection, None)[:1]:
        for owner in (at.owner, None):
            missing_code.count(connection, version, owner, [5], at_end=False)
        missing_code.candidates(connection, version, at.owner, [5], at_end=True, limit=100)


both = pytest.mark.parametrize("history", ["sqlite", "postgresql"], indirect=True)


@both
@pytest.mark.parametrize("name", [*LISTS, *ONES, *OWED])
def test_no_question_reads_a_history(
    history: Place, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walks, "REACH", 200)
    monkeypatch.setattr(walks, "FAR", 400)
    ask = {**LISTS, **ONES, **OWED}[name]
    with recorded() as asked:
        history.database.read(lambda connection: ask(connection, history))
    assert asked.statements
    # What is counted to a thousand is read that far.
    assert faults(history.database, asked, rows=LARGE // 8) == []


@both
@pytest.mark.parametrize("glances", [True, False])
def test_a_sweep_that_finds_nothing_reads_no_history(
    history: Place, monkeypatch: pytest.MonkeyPatch, *, glances: bool
) -> None:
    if not glances:  # it goes through all its questions
        monkeypatch.setattr(precheck, "anything_due", lambda *_asked: True)
    database, settings = history.database, Settings()
    row = liveness.WorkerRow(new_id(), "here", 1, ["steps"], 8, [])
    database.write(lambda connection: liveness.register(connection, row, database.now()))
    rescue = Rescue(settings, database, Versions(database), QuietBroker(), lambda _look: None)
    with recorded() as asked:
        database.write(lambda c: liveness.beat(c, row.id, {"steps": history.now}, history.now))
        rescue.sweep(row.id, steady=True)
    database.write(lambda c: liveness.stopped(c, history.now, worker_id=row.id))
    assert len(asked.statements) > (5 if glances else 15)
    assert faults(database, asked, rows=100) == []


@both
def test_pruning_a_little_reads_a_little(history: Place) -> None:
    before = history.now - (DAYS - 1) * DAY_US
    with recorded() as asked:
        store_work = {"after": "", "rows": 200}
        history.database.write(lambda c: store.executions(c, before, **store_work))  # type: ignore[arg-type]
        history.database.write(lambda c: store.signals(c, before, 100))
        history.database.write(lambda c: store.letters(c, before, 100))
        prune.preview(history.database, before=before)
    assert faults(history.database, asked, rows=LARGE // 5) == []


@both
def test_a_dead_letter_of_an_execution_is_found_by_index(history: Place) -> None:
    letter = dead_letters.Letter("steps", "run_step", "{}", "gone", history.middle)
    with recorded() as asked:
        history.database.write(lambda c: dead_letters.keep(c, letter, history.now))
    assert faults(history.database, asked, rows=10) == []


@pytest.mark.parametrize("history", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", [*LISTS, *ONES, *OWED])
def test_ten_times_the_history_costs_no_more(
    history: Place, short: Place, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walks, "REACH", 40)
    monkeypatch.setattr(walks, "FAR", 40)
    monkeypatch.setattr("engine.store.reads.execution_lists.COUNT_CAP", 20)
    ask = {**LISTS, **ONES, **OWED}[name]
    costs = []
    for place in (short, history):

        def work(connection: Connection, place: Place = place) -> object:
            return ask(connection, place)

        place.database.read(work)  # what is kept from the first time is not counted
        costs.append(steps_of(place.database, work))
    # Of what is open, or was taken over, there is ten times as much here too.
    slack = 30 if name in GROWS else 1.5
    assert costs[1] <= costs[0] * slack + 20, costs
