"""A version that this release cannot read costs its own executions, and nobody else's anything."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from actors.broker import EngineBroker
from engine.core.finding import Rule
from engine.errors import UnreadableVersion
from engine.recovery import Rescue
from engine.recovery.doctor import Examination
from engine.settings import Settings
from engine.store import reads
from engine.store.db.database import Database
from engine.store.recovery import liveness
from engine.store.writes import workflows
from tests.support.house import House, python
from tests.support.saying import signal
from tests.support.transitions import chain, claimed, inc

FUTURE = 3_600_000_000  # µs


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


def spoil(house: House, execution_id: str, document: str = '{"steps": {"a": {}}}') -> None:
    """Make the version of the execution one that this release cannot read."""
    house.write(
        "INSERT INTO workflow_versions"
        " (workflow_id, number, hash, document, created_by, created_at)"
        " SELECT id, 77, 'x', :document, owner_id, 1 FROM workflows WHERE id ="
        " (SELECT workflow_id FROM executions WHERE id = :id)"
        " AND NOT EXISTS (SELECT 1 FROM workflow_versions v WHERE v.number = 77"
        " AND v.workflow_id = workflows.id)",
        id=execution_id,
        document=document,
    )
    house.write("UPDATE executions SET version = 77 WHERE id = :id", id=execution_id)


def newest_is_spoilt(house: House, workflow_id: str) -> None:
    house.write("UPDATE workflows SET latest_version = 77 WHERE id = :id", id=workflow_id)


def faulty(house: House) -> liveness.Faulty:
    return house.database.read(liveness.faulty)


NAP: dict[str, Any] = {"uses": "sleep", "with": {"for": "1h"}}
ASK: dict[str, Any] = {"uses": "approval", "with": {"title": "May it?"}}
WAIT: dict[str, Any] = {"uses": "signal", "with": {"name": "go"}}
FAN: dict[str, Any] = {**python(inc, x="${{ item }}"), "for_each": "${{ [1, 2, 3] }}"}


def started(house: House, name: str, step: dict[str, Any]) -> str:
    """Return an execution that has come to where its one step waits."""
    return house.run(house.publish(name, {"a": step}))


# What makes a sweep look at an execution, by the stage that does; the good one comes after the bad.
STAGES: dict[str, str] = {
    "lost claims": "UPDATE step_runs SET status = 'running', worker_id = 'gone',"
    " crashes = 2, due_at = NULL, started_at = 1 WHERE execution_id = :id",
    "overdue claims": "UPDATE step_runs SET status = 'running', worker_id = 'w1', due_at = 1,"
    " attempts = 9,"
    " started_at = 1 WHERE execution_id = :id",
    "waits that ran out": "UPDATE step_runs SET due_at = 1 WHERE execution_id = :id",
    "queued for too long": "UPDATE step_runs SET status = 'queued', queued_at = 1, expires_in = 1"
    " WHERE execution_id = :id",
    "deadlines": "UPDATE executions SET deadline_at = 1 WHERE id = :id",
    "ends": "UPDATE executions SET ending = 'cancelled', due_at = 1, interrupting = true"
    " WHERE id = :id",
}


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_of_a_sweep_passes_by_what_it_cannot_read(house: House, stage: str) -> None:
    bad, good = (started(house, name, ASK) for name in ("bad", "good"))
    for execution_id in (bad, good):
        house.write(STAGES[stage], id=execution_id)
        house.write("UPDATE executions SET active = 0 WHERE id = :id", id=execution_id)
    spoil(house, bad)
    before = house.status(bad)
    rescue = house.rescue
    house.beat("w1")
    rescue.sweep("w1", steady=True)
    assert house.status(good) in ("failed", "cancelled")
    assert house.status(bad) == before
    assert list(faulty(house).why) == [bad]
    assert "cannot be read" in faulty(house).why[bad]


def test_what_the_other_stages_owe_is_sent(house: House) -> None:
    bad, asleep = started(house, "bad", ASK), started(house, "nap", NAP)
    house.write("UPDATE step_runs SET due_at = 1")
    spoil(house, bad)
    sends = house.sweep_as("w1")
    assert [ticket.execution_id for ticket in sends.now] == [asleep]


def test_more_bad_ones_than_a_sweep_looks_at_hide_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.recovery.due_steps.BATCH", 2)
    bad = [started(house, "bad", ASK) for _ in range(3)]
    asleep = started(house, "nap", NAP)
    house.write("UPDATE step_runs SET due_at = 1")
    house.write("UPDATE step_runs SET due_at = 2 WHERE execution_id = :id", id=asleep)
    for execution_id in bad:
        spoil(house, execution_id)
    rescue = house.rescue
    sent = [rescue.sweep("w1", steady=True).now for _ in range(3)]
    assert [ticket.execution_id for tickets in sent for ticket in tickets] == [asleep]
    assert faulty(house).count == 3


def test_a_bad_one_that_waits_for_code_keeps_no_other_waiting(house: House) -> None:
    ids = sorted(house.start(chain(house)) for _ in range(2))
    for execution_id in ids:
        house.plan(execution_id)
    house.write("UPDATE step_runs SET reason = 'unknown_step', due_at = 1 WHERE status = 'queued'")
    spoil(house, ids[0])
    house.worker("w2", functions=["tests.inc"])
    house.beat("w2")
    sends = house.sweep_as("w1")
    assert [ticket.execution_id for ticket in sends.now] == [ids[1]]
    assert list(faulty(house).why) == [ids[0]]


def test_a_fault_of_ours_in_one_turn_stops_no_other(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = sorted(claimed(house, "gone")[0] for _ in range(2))
    real = liveness.stall_of

    def stall_of(connection: Any, worker_id: str | None) -> Any:
        if house.step(ids[0], 0, "crashes") == (0,) and not called:
            called.append(ids[0])
            raise KeyError("surprise")
        return real(connection, worker_id)

    called: list[str] = []
    monkeypatch.setattr(liveness, "stall_of", stall_of)
    sends = house.sweep_as("w1")
    assert [ticket.execution_id for ticket in sends.now] == [ids[1]]
    assert "KeyError" in faulty(house).why[ids[0]]


def test_a_stage_that_fails_whole_stops_no_other(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep = started(house, "nap", NAP)
    house.write("UPDATE step_runs SET due_at = 1")
    monkeypatch.setattr("engine.recovery.lost_claims.LostClaims.take_back", broken)
    monkeypatch.setattr("engine.recovery.redelivery.Redelivery.send_lost", broken)
    sends = house.sweep_as("w1")
    assert [ticket.execution_id for ticket in sends.now] == [asleep]


def test_a_broker_that_does_not_tell_is_one_line_and_stops_nothing_else(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    nobody = EngineBroker(Settings(REDIS_URL="redis://127.0.0.1:1/0"), middleware=[])
    asleep = started(house, "nap", NAP)
    house.write("UPDATE step_runs SET due_at = 1")
    house.beat("w1")
    rescue = Rescue(house.settings, house.database, house.versions, nobody, lambda _look: None)
    with caplog.at_level(logging.WARNING, logger="engine.recovery.rescue"):
        sent = [rescue.sweep("w1", steady=True).now for _ in range(3)]
    assert [ticket.execution_id for tickets in sent for ticket in tickets] == [asleep]
    told = [one for one in caplog.records if one.name == "engine.recovery.rescue"]
    assert [one.getMessage().partition(",")[0] for one in told] == [
        "rescue of lost messages failed"
    ]
    assert told[0].exc_info is None
    assert not rescue.interrupted


def broken(*_arguments: Any) -> None:
    raise RuntimeError("the broker is gone")


def test_what_is_right_again_is_looked_after_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.recovery.sweeper.FAULTY_AGAIN", 0.0)
    bad = started(house, "nap", ASK)
    house.write("UPDATE step_runs SET due_at = 1")
    spoil(house, bad)
    rescue = house.rescue
    rescue.sweep("w1", steady=True)
    house.write("UPDATE executions SET version = 1")
    rescue.sweep("w1", steady=True)
    assert house.status(bad) == "failed"
    assert faulty(house).count == 0


# --- what people read ---------------------------------------------------------------------------


def test_lists_show_it_and_all_others(house: House) -> None:
    bad, good = started(house, "bad", WAIT), started(house, "good", WAIT)
    spoil(house, bad)
    now = house.database.now()
    page = house.database.read(
        lambda connection: reads.executions(connection, house.owner_id, now=now)
    )
    told = {row.id: row.detail for row in page.rows}
    assert told[good].startswith("a · waits for signal go")
    assert told[bad] == "its version cannot be read by this release"


def test_approvals_show_it_and_all_others(house: House) -> None:
    bad, good = started(house, "bad", ASK), started(house, "good", ASK)
    spoil(house, bad)
    rows = house.database.read(
        lambda connection: reads.approvals(connection, house.owner_id, "owner")
    ).rows
    assert {row.execution_id: row.step for row in rows} == {good: "a", bad: "step 0"}


def test_the_list_of_workflows_shows_it_and_all_others(house: House) -> None:
    bad = started(house, "bad", WAIT)
    started(house, "good", WAIT)
    spoil(house, bad)
    [(workflow_id,)] = house.query("SELECT id FROM workflows WHERE name = 'bad'")
    newest_is_spoilt(house, workflow_id)
    rows = house.database.read(lambda connection: reads.workflows(connection, house.owner_id))
    told = {row.name: row.description for row in rows.rows}
    assert told == {"good": "", "bad": "version 77 cannot be read by this release"}


def test_an_execution_of_it_says_what_is_wrong(house: House) -> None:
    bad = started(house, "bad", WAIT)
    spoil(house, bad)
    now = house.database.now()
    with pytest.raises(UnreadableVersion, match=r"version 77 of .* cannot be read"):
        house.database.read(
            lambda connection: reads.execution(connection, house.owner_id, bad, now=now)
        )


def test_a_document_that_is_no_json_is_unreadable_too(house: House) -> None:
    bad = started(house, "bad", WAIT)
    spoil(house, bad, document="{")
    [(workflow_id,)] = house.query("SELECT id FROM workflows")
    assert house.database.read(lambda c: workflows.definitions(c, [(workflow_id, 77)])) == {}


def test_the_doctor_names_it_once_and_what_rescue_leaves_alone(house: House) -> None:
    bad, other = started(house, "bad", ASK), started(house, "other", ASK)
    house.write("UPDATE step_runs SET due_at = 1 WHERE execution_id = :id", id=bad)
    spoil(house, bad)
    rescue = house.rescue
    rescue._sweeper.quarantine(other, RuntimeError("surprise"))
    rescue.sweep("w1", steady=True)
    report = Examination(house.database, Settings(), lambda _seconds: None).run(hours=None)
    found = {(one.rule, one.execution_id) for one in report.findings}
    assert (Rule.UNREADABLE, bad) in found
    assert (Rule.LEFT_ALONE, bad) not in found
    assert (Rule.LEFT_ALONE, other) in found


def test_a_signal_to_others_is_delivered_beside_it(house: House) -> None:
    bad, good = started(house, "bad", WAIT), started(house, "good", WAIT)
    spoil(house, bad)
    signal(house, "go", execution_id=good)
    house.drain()
    assert house.status(good) == "completed"
