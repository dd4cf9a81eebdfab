"""What people read: words, paging, owners, outputs that are gathered."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, insert

from engine.codec import encode
from engine.errors import InvalidQuery, NotFound
from engine.store import reads
from engine.store.db.database import Database
from engine.store.reads import downloads
from engine.store.tables import Artifact, DeadLetter, EventRow, LogLine, Worker
from tests.support import rows
from tests.support.rows import NOW, SECOND


@pytest.fixture
def owner(database: Database) -> str:
    return rows.user(database, "ada")


@pytest.fixture
def stranger(database: Database) -> str:
    return rows.user(database, "eve")


@pytest.fixture
def workflow(database: Database, owner: str) -> str:
    return rows.workflow(database, owner)


def listed(database: Database, owner: str, **wanted: Any) -> list[reads.ExecutionRow]:
    page = database.read(lambda c: reads.executions(c, owner, reads.Filter(**wanted), now=NOW))
    return list(page.rows)


def detail_of(database: Database, owner: str) -> str:
    return listed(database, owner)[0].detail


def test_pages_by_cursor_hold_while_new_executions_come(
    database: Database, owner: str, workflow: str
) -> None:
    ids = [rows.execution(database, owner, workflow, id=f"00000000000a{n}") for n in range(5)]
    first = database.read(lambda c: reads.executions(c, owner, now=NOW, limit=2))
    rows.execution(database, owner, workflow, id="00000000000a9")
    second = database.read(
        lambda c: reads.executions(c, owner, now=NOW, limit=2, cursor=first.next_cursor)
    )
    third = database.read(
        lambda c: reads.executions(c, owner, now=NOW, limit=2, cursor=second.next_cursor)
    )
    seen = [row.id for page in (first, second, third) for row in page.rows]
    assert seen == sorted(ids, reverse=True)
    assert third.next_cursor is None


def test_filters_narrow_the_list(database: Database, owner: str, workflow: str) -> None:
    other = rows.workflow(database, owner, {**rows.PIPELINE, "name": "other"})
    failed = rows.execution(
        database, owner, other, status="failed", error=encode({"message": "100% wrong"})
    )
    rows.execution(database, owner, workflow, created_at=NOW + 60 * SECOND)
    assert [row.id for row in listed(database, owner, status=["failed"])] == [failed]
    assert [row.id for row in listed(database, owner, workflow="other")] == [failed]
    assert [row.id for row in listed(database, owner, workflow=other)] == [failed]
    assert [row.id for row in listed(database, owner, until=NOW + 1)] == [failed]
    assert [row.id for row in listed(database, owner, text="100% WRONG")] == [failed]
    assert listed(database, owner, text="100_") == []


@pytest.mark.parametrize(
    "asked",
    [
        {"wanted": reads.Filter(status=["gone"])},
        {"wanted": reads.Filter(trigger=["magic"])},
        {"cursor": "x"},
        {"limit": 0},
    ],
)
def test_a_filter_that_means_nothing_is_refused(
    database: Database, owner: str, asked: dict[str, Any]
) -> None:
    with pytest.raises(InvalidQuery):
        database.read(lambda c: reads.executions(c, owner, now=NOW, **asked))


def test_a_retrying_step_tells_attempt_wait_and_last_error(
    database: Database, owner: str, workflow: str
) -> None:
    execution = rows.execution(database, owner, workflow, status="waiting")
    error = encode({"message": "503", "type": "StepError"})
    rows.run(
        database,
        execution,
        2,
        "retrying",
        attempts=2,
        due_at=NOW + 6 * SECOND,
        error=error,
    )
    assert detail_of(database, owner) == "total · attempt 3 of 5 in 6 s · last: 503"


def test_a_fan_out_tells_its_item_and_others_are_counted(
    database: Database, owner: str, workflow: str
) -> None:
    execution = rows.execution(database, owner, workflow)
    rows.run(database, execution, 1, "running", items=8, items_left=6)
    rows.run(database, execution, 2, "queued")
    assert detail_of(database, owner) == "clean · item 3 of 8 · and 1 more"


def test_a_failure_names_step_error_and_attempt(
    database: Database, owner: str, workflow: str
) -> None:
    cause = {
        "message": "amount must be ≥ 0",
        "type": "ValueError",
        "step": "total",
        "item": None,
        "attempt": 5,
    }
    rows.execution(
        database, owner, workflow, status="failed", reason="step_failed", error=encode(cause)
    )
    expected = "total · ValueError: amount must be ≥ 0 · attempt 5 of 5"
    assert detail_of(database, owner) == expected


def test_a_list_takes_as_many_queries_for_forty_rows_as_for_one(
    database: Database, owner: str, workflow: str
) -> None:
    def queries() -> int:
        seen: list[str] = []

        def work(connection: Any) -> None:
            event.listen(connection, "before_cursor_execute", lambda *args: seen.append(args[2]))
            reads.executions(connection, owner, now=NOW)

        database.read(work)
        return len(seen)

    for status in ("queued", "retrying"):
        rows.run(database, rows.execution(database, owner, workflow), 0, status)
    queries()  # parses the version, once a process
    few = queries()
    for _ in range(40):
        rows.run(database, rows.execution(database, owner, workflow), 0, "queued")
    assert queries() == few <= 3


def test_counts_name_every_status(database: Database, owner: str, workflow: str) -> None:
    rows.execution(database, owner, workflow)
    rows.execution(database, owner, workflow, status="failed")
    counts = database.read(lambda c: reads.counts(c, owner))
    assert counts["running"] == counts["failed"] == 1
    assert counts["completed"] == 0


def test_an_execution_shows_steps_before_it_is_planned(
    database: Database, owner: str, workflow: str
) -> None:
    execution = rows.execution(database, owner, workflow, status="pending")
    found = database.read(lambda c: reads.execution(c, owner, execution, now=NOW))
    assert [(step.name, step.status) for step in found.steps] == [
        ("fetch", "pending"),
        ("clean", "pending"),
        ("total", "pending"),
    ]
    assert found.steps[1].needs == ("fetch",)
    assert found.input == {"n": 1}


def test_a_fan_outs_output_is_gathered_from_its_items_in_order(
    database: Database, owner: str, workflow: str
) -> None:
    execution = rows.execution(database, owner, workflow)
    rows.run(database, execution, 1, "running", items=3, items_left=0)
    rows.run(database, execution, 1, "completed", item=2, output="30")
    rows.run(database, execution, 1, "completed", item=0, output="10")
    rows.run(database, execution, 1, "failed", item=1)
    found = database.read(lambda c: reads.step(c, owner, execution, "clean"))
    assert found.output == [10, None, 30]
    assert isinstance(found.row, reads.StepRow)
    assert found.row.items_failed == 1
    one = database.read(lambda c: reads.step(c, owner, execution, "clean", 2))
    assert one.output == 30
    page = database.read(lambda c: reads.items(c, owner, execution, 1, limit=2))
    assert [row.item for row in page.rows] == [0, 1]
    assert page.next_cursor == "1"


def test_an_output_nobody_stored_is_told_by_the_last_step(
    database: Database, owner: str, workflow: str
) -> None:
    execution = rows.execution(database, owner, workflow, status="completed")
    rows.run(database, execution, 2, "completed", output="[7]")
    found = database.read(lambda c: reads.execution(c, owner, execution, now=NOW))
    assert found.output == [7]


def test_failed_attempts_stand_oldest_first(database: Database, owner: str, workflow: str) -> None:
    execution = rows.execution(database, owner, workflow)
    for epoch in (1, 2):
        rows.attempt(database, execution, 2, epoch, finished_at=NOW + epoch)
    found = database.read(lambda c: reads.execution(c, owner, execution, now=NOW))
    assert [(tried.step, tried.attempt) for tried in found.attempts] == [("total", 1), ("total", 2)]


def test_events_and_lines_come_after_a_number_with_names(
    database: Database, owner: str, workflow: str
) -> None:
    execution = rows.execution(database, owner, workflow, status="failed", last_seq=2)
    events = [
        {"execution_id": execution, "seq": 1, "type": "started", "at": NOW},
        {
            "execution_id": execution,
            "seq": 2,
            "type": "step_failed",
            "step": 2,
            "item": -1,
            "at": 1,
        },
    ]
    line = {"execution_id": execution, "step": 1, "item": 0, "attempt": 1, "at": NOW}
    lines = [
        {**line, "seq": n, "level": "info" if n < 3 else "error", "message": f"line {n}"}
        for n in (1, 2, 3)
    ]
    database.write(lambda c: [c.execute(insert(EventRow), one) for one in events])
    database.write(lambda c: c.execute(insert(LogLine), lines))
    found = database.read(lambda c: reads.events(c, owner, execution, 1))
    assert [(event.seq, event.step, event.item) for event in found] == [(2, "total", None)]
    news = database.read(lambda c: reads.news(c, owner, execution, 2, 10))
    assert news == ([], "failed", 2)
    newest = database.read(lambda c: reads.logs(c, owner, execution, 0, 2, newest=True))
    assert [line.seq for line in newest] == [2, 3]
    errors = database.read(lambda c: reads.logs(c, owner, execution, level="ERROR"))
    assert [(line.step, line.item, line.message) for line in errors] == [("clean", 0, "line 3")]


def test_workflows_show_the_viewers_own_last_execution_only(
    database: Database, owner: str, stranger: str
) -> None:
    shared = rows.workflow(database, owner, shared=True)
    execution = rows.execution(database, owner, shared, status="completed")
    mine = database.read(lambda c: reads.workflows(c, owner)).rows[0]
    theirs = database.read(lambda c: reads.workflows(c, stranger)).rows[0]
    assert (mine.last_execution_id, mine.mine, mine.steps) == (execution, True, 3)
    assert (theirs.last_execution_id, theirs.mine) == (None, False)


def test_workers_are_dead_when_their_beat_is_older_than_the_lease(database: Database) -> None:
    worker = {
        "host": "here",
        "pid": 1,
        "queues": '["steps"]',
        "threads": 8,
        "functions": "[]",
        "started_at": NOW,
    }
    late = [
        {**worker, "id": "a", "beat_at": NOW - SECOND},
        {**worker, "id": "b", "beat_at": NOW - 11 * SECOND},
    ]
    database.write(lambda c: c.execute(insert(Worker), late))
    found = database.read(lambda c: reads.workers(c, now=NOW, lease_seconds=10)).rows
    assert [(row.id, row.alive) for row in found] == [("b", False), ("a", True)]


READS = {
    "execution": lambda c, me, x: reads.execution(c, me, x, now=NOW),
    "execution_row": lambda c, me, x: reads.execution_row(c, me, x, now=NOW),
    "step": lambda c, me, x: reads.step(c, me, x, 0),
    "items": lambda c, me, x: reads.items(c, me, x, 0),
    "events": reads.events,
    "news": lambda c, me, x: reads.news(c, me, x, 0, 10),
    "logs": reads.logs,
    "artifacts": reads.artifacts,
    "artifact_bodies": lambda c, me, x: reads.artifact_bodies(c, me, x, ["0000000000000"]),
    "pinned": reads.pinned,
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_strangers_execution_is_as_one_that_never_was(
    database: Database, owner: str, stranger: str, workflow: str, read: Any
) -> None:
    execution = rows.execution(database, owner, workflow)
    with pytest.raises(NotFound):
        database.read(lambda c: read(c, stranger, execution))
    with pytest.raises(NotFound):
        database.read(lambda c: read(c, owner, "0000000000000"))


def test_lists_hold_nothing_of_others(
    database: Database, owner: str, stranger: str, workflow: str
) -> None:
    execution = rows.execution(database, owner, workflow)
    letter = {
        "id": "00000000000d1",
        "owner_id": owner,
        "execution_id": execution,
        "queue": "dispatch",
        "actor": "dispatch",
        "message": "{}",
        "reason": "dispatch_failed",
        "error": "plain words",
        "created_at": NOW,
    }
    database.write(lambda c: c.execute(insert(DeadLetter), letter))
    assert listed(database, stranger) == []
    assert database.read(lambda c: reads.workflows(c, stranger)).rows == []
    assert database.read(lambda c: reads.dead_letters(c, stranger)).rows == []
    mine = database.read(lambda c: reads.dead_letters(c, owner)).rows
    assert mine[0].error == {"message": "plain words"}
    with pytest.raises(NotFound):
        database.read(lambda c: reads.workflow(c, stranger, workflow))
    with pytest.raises(NotFound):
        database.read(lambda c: reads.workflow(c, stranger, "pipeline"))


def test_an_artifact_comes_back_as_it_was_made(
    database: Database, owner: str, stranger: str, workflow: str
) -> None:
    execution = rows.execution(database, owner, workflow)
    made = {
        "id": "00000000000a1",
        "execution_id": execution,
        "step": 0,
        "item": -1,
        "attempt": 1,
        "name": "chart.svg",
        "media_type": "image/svg+xml",
        "size": 6,
        "body": "PHN2Zy8+",
        "created_at": NOW,
    }
    database.write(lambda c: c.execute(insert(Artifact), made))
    listed = database.read(lambda c: reads.artifacts(c, owner, execution))
    assert [(row.name, row.step, row.item) for row in listed] == [("chart.svg", "fetch", None)]
    assert listed[0].kind == "image"
    body = downloads.artifact(database, owner, execution, "00000000000a1")
    assert body.body == b"<svg/>"
    with pytest.raises(NotFound):
        downloads.artifact(database, stranger, execution, "00000000000a1")
    with pytest.raises(NotFound):
        downloads.artifact(database, owner, execution, "00000000000a2")
