"""What the doctor finds on a database, and what its repairs do, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.core.finding import Finding, Rule
from engine.recovery.doctor import Examination, Repairer
from engine.recovery.doctor.repair import Repaired
from engine.store.db.database import Database
from tests.support.house import House, python
from tests.support.transitions import chain, claimed, fan, inc

Break = Callable[[House], str]


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database, whose rescue has swept."""
    house = House(database)
    house.sweep()
    return house


def examination(house: House, sleep: Callable[[float], Any] = lambda _seconds: None) -> Examination:
    return Examination(house.database, house.settings, sleep)


def findings(house: House) -> list[Finding]:
    return examination(house).run(hours=None).findings


def repair(house: House, found: list[Finding]) -> list[Repaired]:
    repairer = Repairer(examination(house), house.versions, house.rescue)
    done = [repairer.repair(finding) for finding in found]
    house._post(repairer.sends)
    return done


def test_nothing_is_found_on_a_sound_engine(house: House) -> None:
    house.run(chain(house))
    house.run(fan(house), {"xs": [1, 2, 3]})
    house.run(house.publish("naps", {"nap": {"uses": "sleep", "with": {"for": "1h"}}}))
    claimed(house)
    report = examination(house).run(hours=24)
    assert (report.executions, report.findings) == (4, [])


def test_only_what_is_open_or_ended_lately_is_looked_at_by_default(house: House) -> None:
    execution_id = house.run(chain(house))
    house.write("UPDATE executions SET finished_at = 1")
    house.write("DELETE FROM events WHERE execution_id = :id AND seq = 2", id=execution_id)
    assert examination(house).run(hours=24).executions == 0
    assert [one.rule for one in findings(house)] == [Rule.EVENTS_MISSING]


def _half_done(house: House) -> str:
    """Return an execution whose second step is queued, its message not delivered."""
    execution_id = house.start(chain(house))
    [first] = house.plan(execution_id)
    house.inbox.clear()
    house.deliver(first)
    house.inbox.clear()
    return execution_id


def _miscounted(house: House) -> str:
    execution_id = _half_done(house)
    house.write("UPDATE executions SET active = 7, steps_left = 3")
    house.write("UPDATE step_runs SET status = 'pending', needs_left = 1 WHERE step = 1")
    return execution_id


def _miscounted_items(house: House) -> str:
    execution_id = house.start(fan(house), {"xs": [1, 2, 3]})
    house.inbox.clear()
    [ticket] = house.plan(execution_id)
    house.inbox.clear()
    house.deliver(ticket)
    house.write("UPDATE step_runs SET items_left = 2 WHERE items = 3")
    return execution_id


def _numbered_behind(house: House) -> str:
    execution_id = _half_done(house)
    house.write("UPDATE executions SET last_seq = last_seq - 1")
    house.inbox.append(house.ticket(execution_id, 1))
    return execution_id


def _undispatched(house: House) -> str:
    execution_id = house.start(chain(house))
    house.write("UPDATE executions SET due_at = NULL")
    return execution_id


def _unsent(house: House) -> str:
    execution_id = _half_done(house)
    house.write("UPDATE step_runs SET due_at = NULL")
    return execution_id


def _abandoned(house: House) -> str:
    house.worker("w2")
    execution_id, _key = claimed(house, "w2")
    house.write("UPDATE workers SET stopped_at = 1 WHERE id = 'w2'")
    return execution_id


def _outlived(house: House) -> str:
    execution_id, _key = claimed(house)
    house.write("UPDATE step_runs SET due_at = 1 WHERE status = 'running'")
    return execution_id


def _asleep(house: House) -> str:
    steps = {"nap": {"uses": "sleep", "with": {"for": "1h"}}}
    execution_id = house.run(house.publish("naps", steps))
    house.write("UPDATE step_runs SET due_at = NULL")
    return execution_id


def _unfinished(house: House) -> str:
    execution_id = house.run(chain(house))
    house.write("DELETE FROM events WHERE type = 'completed'")
    house.write("UPDATE executions SET last_seq = last_seq - 1, status = 'running'")
    return execution_id


def _family(house: House, *, wait: bool = True) -> tuple[str, str]:
    """Return a parent that waits for its child, and the child, neither delivered further."""
    house.publish("child", {"nap": {"uses": "sleep", "with": {"for": "1h"}}})
    call = {"uses": "workflow", "with": {"workflow": "child", "input": {}, "wait": wait}}
    parent = house.run(house.publish("parent", {"call": call, "b": python(inc, x=1)}))
    [(child,)] = house.query("SELECT id FROM executions WHERE parent_id = :id", id=parent)
    house.drain()
    return parent, child


def _unanswered(house: House) -> str:
    parent, child = _family(house)
    house.write("UPDATE step_runs SET due_at = 1 WHERE execution_id = :id", id=child)
    house.sweep()
    house.dispatches.clear()
    while house.inbox:
        house.deliver(house.inbox.pop(0))
    assert house.status(child) == "completed"
    house.dispatches.clear()
    house.write("DELETE FROM notices")
    return parent


def _notice_left(house: House) -> str:
    parent, child = _family(house)
    house.write("UPDATE step_runs SET due_at = 1 WHERE execution_id = :id", id=child)
    house.sweep()
    while house.inbox:
        house.deliver(house.inbox.pop(0))
    house.dispatches.clear()
    house.write("UPDATE notices SET created_at = 1")
    return parent


BROKEN = [
    (_miscounted, Rule.COUNTERS),
    (_miscounted_items, Rule.COUNTERS),
    (_numbered_behind, Rule.NUMBER_BEHIND),
    (_undispatched, Rule.DISPATCH_OWED),
    (_unsent, Rule.MESSAGE_OWED),
    (_abandoned, Rule.LOST_CLAIM),
    (_outlived, Rule.OVERDUE_CLAIM),
    (_asleep, Rule.OVERDUE_WAIT),
    (_unfinished, Rule.UNFINISHED),
    (_unanswered, Rule.UNANSWERED),
    (_notice_left, Rule.NOTICE_LEFT),
]


@pytest.mark.parametrize(("broken", "rule"), BROKEN)
def test_a_repaired_execution_completes(house: House, broken: Break, rule: Rule) -> None:
    execution_id = broken(house)
    found = [one for one in findings(house) if one.execution_id == execution_id]
    assert rule in {one.rule for one in found}
    done = repair(house, found)
    assert all(one.done or one.why == "it has moved on meanwhile" for one in done), done
    assert [one.rule for one in findings(house)] == []
    house.drain()
    # A sleep that was woken early goes back to sleep; it has its due time again.
    house.write("UPDATE step_runs SET due_at = 1 WHERE status = 'waiting' AND wait_for IS NULL")
    house.sweep()
    house.drain()
    assert house.status(execution_id) == "completed"
    assert findings(house) == []


def test_counters_are_set_right_with_an_event_that_says_so(house: House) -> None:
    execution_id = _miscounted(house)
    repair(house, findings(house))
    assert house.execution(execution_id, "active", "steps_left") == (1, 1)
    assert house.events(execution_id)[-1] == "repaired"
    [(data,)] = house.query("SELECT data FROM events WHERE type = 'repaired'")
    assert '"active":[7,' in data.replace(" ", "")
    assert "s1.needs_left" in data


def test_what_was_told_to_end_is_ended(house: House) -> None:
    execution_id, _key = claimed(house)
    house.cancel(execution_id)
    house.write("UPDATE executions SET due_at = 1")
    found = findings(house)
    assert [one.rule for one in found] == [Rule.UNENDED]
    repair(house, found)
    assert house.status(execution_id) == "cancelled"
    assert findings(house) == []


def test_steps_left_open_by_an_ended_execution_are_closed(house: House) -> None:
    execution_id = house.run(chain(house))
    house.write("UPDATE step_runs SET status = 'queued', due_at = 1 WHERE step = 1")
    found = [one for one in findings(house) if one.rule is Rule.OPEN_AFTER_END]
    assert [one.execution_id for one in found] == [execution_id]
    repair(house, found)
    assert house.step(execution_id, 1, "status") == ("cancelled",)
    assert Rule.OPEN_AFTER_END not in {one.rule for one in findings(house)}


@pytest.mark.parametrize("gone", [False, True])
def test_a_child_whose_parent_has_ended_is_cancelled(house: House, gone: bool) -> None:
    parent, child = _family(house)
    house.cancel(parent)
    house.dispatches.clear()
    house.write("DELETE FROM notices")
    if gone:
        house.write("DELETE FROM executions WHERE id = :id", id=parent)
    found = findings(house)
    assert [(one.rule, one.execution_id) for one in found] == [(Rule.ORPHANED_CHILD, child)]
    repair(house, found)
    house.drain()
    assert house.status(child) == "cancelled"
    assert findings(house) == []


def test_a_notice_for_an_execution_that_is_no_more_is_dropped(house: House) -> None:
    _notice_left(house)
    house.write("DELETE FROM executions")
    found = findings(house)
    assert [one.rule for one in found] == [Rule.ORPHAN_NOTICE]
    repair(house, found)
    assert house.query("SELECT id FROM notices") == []


def test_what_moves_between_two_looks_is_no_fault(house: House) -> None:
    execution_id = _abandoned(house)
    looks: list[float] = []

    def meanwhile(seconds: float) -> None:
        looks.append(seconds)
        house.sweep()

    report = examination(house, meanwhile).run(hours=24)
    assert report.findings == []
    assert looks == [house.settings.lease_seconds + 5 * house.settings.sweep_seconds]
    assert house.events(execution_id)[-1] == "step_crashed"


def test_what_has_moved_on_is_not_repaired(house: House) -> None:
    execution_id = _abandoned(house)
    found = findings(house)
    house.sweep()
    [came] = repair(house, found)
    assert (came.done, came.why) == (False, "it has moved on meanwhile")
    assert house.step(execution_id, 0, "crashes") == (1,)


def test_an_engine_without_workers_says_so(house: House) -> None:
    house.start(chain(house))
    house.write("UPDATE workers SET stopped_at = 1")
    house.write("UPDATE leases SET until = 1")
    assert {one.rule for one in findings(house)} == {Rule.NO_WORKER, Rule.NOBODY_SWEEPS}


def test_a_version_that_is_gone_is_found_and_harms_no_other(house: House) -> None:
    workflow_id = house.publish("lost", {"a": python(inc, x=1)})
    house.run(workflow_id)
    execution_id = house.start(workflow_id)
    house.write("UPDATE executions SET version = 9")
    house.run(chain(house))
    [found] = findings(house)
    assert (found.rule, found.execution_id) == (Rule.UNREADABLE, execution_id)
    [came] = repair(house, [found])
    assert not came.done
