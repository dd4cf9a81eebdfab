"""What people read of waits, of executions around an execution, and of decisions to take."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from engine.commands.signals import Decision, decide
from engine.errors import Conflict, Forbidden, InvalidQuery, NotFound
from engine.store import reads
from engine.store.db.database import Database
from engine.store.writes import users
from tests.support.house import House
from tests.support.rows import SECOND

CHILD: dict[str, Any] = {"uses": "workflow", "with": {"workflow": "inner"}}


def ask(*approvers: str, title: str = "Pay?", **more: Any) -> dict[str, Any]:
    named = {"approvers": list(approvers)} if approvers else {}
    return {"uses": "approval", "with": {"title": title, **named}, **more}


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


def person(house: House, name: str) -> str:
    now = house.database.now()
    return house.database.write(lambda connection: users.add(connection, name, now))


def shown(house: House, execution_id: str) -> reads.ExecutionDetail:
    now = house.database.now()
    return house.database.read(
        lambda connection: reads.execution(connection, house.owner_id, execution_id, now=now)
    )


def waits(house: House, execution_id: str) -> dict[str, reads.WaitRow | None]:
    return {step.name: step.waits_for for step in shown(house, execution_id).steps}


def to_decide(house: House, user_id: str, name: str, **more: Any) -> reads.Page[reads.ApprovalRow]:
    return house.database.read(
        lambda connection: reads.approvals(connection, user_id, name, **more)
    )


def test_no_step_is_queued_after_it_started_or_in_time_to_come(house: House) -> None:
    steps = {
        "sleep": {"uses": "sleep", "with": {"for": "1h"}},
        "signal": {"uses": "signal", "with": {"name": "paid", "deadline": "2h"}},
        "ask": {"uses": "approval", "with": {"title": "Pay?", "deadline": "3h"}},
    }
    execution = house.run(house.publish("parked", steps))
    decide(
        house.database,
        house.versions,
        user_id=house.owner_id,
        execution_id=execution,
        step="ask",
        decision=Decision(True, "owner"),
        grace_seconds=0,
    )
    for step in shown(house, execution).steps:
        assert step.started_at is not None
        assert step.queued_at is None or step.queued_at <= step.started_at, step.name


def test_each_kind_of_wait_says_for_what_and_until_when(house: House) -> None:
    house.publish("inner", {"a": {"uses": "sleep", "with": {"for": "1d"}}})
    signal = {"name": "paid", "correlation": "a:b", "deadline": "2h"}
    steps = {
        "sleep": {"uses": "sleep", "with": {"for": "1h"}},
        "signal": {"uses": "signal", "with": signal},
        "ask": ask("bob", title="Sure?"),
        "child": CHILD,
        "done": {"uses": "transform", "with": {"value": 1}},
    }
    execution = house.run(house.publish("outer", steps))
    found = waits(house, execution)
    assert found["done"] is None
    sleep, paid, asked, child = (found[name] for name in ("sleep", "signal", "ask", "child"))
    assert sleep is not None
    assert paid is not None
    assert asked is not None
    assert child is not None
    assert (sleep.kind, sleep.signal, sleep.child_id) == ("time", None, None)
    assert paid.until_at is not None
    assert sleep.until_at is not None
    assert abs(paid.until_at - sleep.until_at - 3600 * SECOND) < 60 * SECOND
    assert (paid.kind, paid.signal, paid.correlation) == ("signal", "paid", "a:b")
    assert (asked.title, asked.approvers, asked.until_at) == ("Sure?", ["bob"], None)
    (link,) = shown(house, execution).children
    assert (child.child_id, child.workflow) == (link.id, "inner")


def test_items_of_a_fan_out_say_each_for_itself(house: House) -> None:
    steps = {
        "ask": ask(title="Pay ${{ item }}?", for_each="${{ [7, 8] }}"),
        "call": {**CHILD, "for_each": "${{ [1, 2] }}"},
    }
    house.publish("inner", {"a": {"uses": "sleep", "with": {"for": "1d"}}})
    execution = house.run(house.publish("outer", steps))

    def items(step: str) -> list[reads.WaitRow | None]:
        page = house.database.read(lambda c: reads.items(c, house.owner_id, execution, step))
        return [row.waits_for for row in page.rows]

    assert [wait and wait.title for wait in items("ask")] == ["Pay 7?", "Pay 8?"]
    children = {link.item: link.id for link in shown(house, execution).children}
    assert [wait and wait.child_id for wait in items("call")] == [children[0], children[1]]
    one = house.database.read(lambda c: reads.step(c, house.owner_id, execution, "ask", 1))
    assert one.row.waits_for is not None
    assert one.row.waits_for.title == "Pay 8?"
    assert [row.item for row in to_decide(house, house.owner_id, "owner").rows] == [0, 1]


def test_failures_of_a_fan_out_are_told_with_their_items(house: House) -> None:
    steps = {
        "divide": {
            "uses": "transform",
            "for_each": "${{ [1, 0, 2, 0] }}",
            "allow_failures": 2,
            "with": {"value": "${{ 4 / item }}"},
        }
    }
    execution = house.run(house.publish("some", steps))
    found = house.database.read(lambda c: reads.step(c, house.owner_id, execution, "divide"))
    assert [failure.item for failure in found.failures] == [1, 3]
    assert all(failure.error and failure.error["message"] for failure in found.failures)


def test_an_execution_names_those_around_it(house: House) -> None:
    house.publish("inner", {"a": {"uses": "fail", "with": {"message": "no"}}})
    workflow = house.publish("outer", {"child": CHILD})
    execution = house.run(workflow)
    again = house.retry(execution, from_step="child")
    origin, made = shown(house, execution), shown(house, again)
    assert [(link.id, link.step) for link in origin.again] == [(again, "child")]
    assert made.origin is not None
    assert (made.origin.id, made.origin.status, made.origin.step) == (execution, "failed", "child")
    assert (made.children, made.children_total, made.parent) == ([], 0, None)
    (child,) = origin.children
    assert (child.status, child.step, child.item) == ("failed", "child", None)
    inner = shown(house, child.id)
    assert inner.parent is not None
    assert (inner.parent.id, inner.parent.workflow, inner.parent.step) == (
        execution,
        "outer",
        "child",
    )


def test_pages_of_approvals_hold_while_others_are_decided(house: House) -> None:
    bob = person(house, "bob")
    many = ask("bob", title="${{ item }} of bob", for_each="${{ [0, 1, 2] }}")
    first = house.run(house.publish("two", {"a": many, "b": ask("eve", title="not bob")}))
    second = house.run(house.publish("one", {"a": ask("eve", "bob")}))
    seen: list[tuple[str, str, int | None]] = []
    cursor = None
    while True:
        page = to_decide(house, bob, "bob", cursor=cursor, limit=1)
        seen += [(row.execution_id, row.step, row.item) for row in page.rows]
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert seen == [(second, "a", None), *((first, "a", item) for item in range(3))]
    assert to_decide(house, house.owner_id, "owner").rows == []
    for wrong in ("x", f"{first}.a.0", f"{first}.0"):
        with pytest.raises(InvalidQuery):
            to_decide(house, bob, "bob", cursor=wrong)


@pytest.mark.parametrize("name", ["bo", "b%b", "ob", "BOB"])
def test_a_name_that_only_looks_like_an_approvers_sees_nothing(house: House, name: str) -> None:
    house.run(house.publish("one", {"a": ask("bob", title='"bo" asks, "ob" and "b%b" too')}))
    stranger = house.owner_id[::-1]
    assert to_decide(house, stranger, name).rows == []


def test_who_is_named_decides_for_another_and_strangers_find_nothing(house: House) -> None:
    bob = person(house, "bob")
    execution = house.run(house.publish("one", {"a": ask("bob"), "b": ask()}))

    def say(user_id: str, by: str, step: str, execution_id: str = execution) -> None:
        _, sends = decide(
            house.database,
            house.versions,
            user_id=user_id,
            execution_id=execution_id,
            step=step,
            decision=Decision(True, by),
            grace_seconds=0,
        )
        house.dispatches += sends.dispatches
        house.drain()

    for user_id, by, step in ((bob, "bob", "b"), (bob, "eve", "a"), (bob, "bob", "c")):
        with pytest.raises(NotFound, match=f"there is no execution {execution}"):
            say(user_id, by, step)
    with pytest.raises(NotFound):
        say(bob, "bob", "a", "0000000000000")
    with pytest.raises(Forbidden):
        say(house.owner_id, "owner", "a")
    say(bob, "bob", "a")
    with pytest.raises(Conflict):
        say(bob, "bob", "a")
    say(house.owner_id, "owner", "b")
    assert house.status(execution) == "completed"
    with pytest.raises(Conflict):
        say(bob, "bob", "a")


def test_the_question_for_decisions_reads_what_waits_and_not_all_that_ran(sqlite_url: str) -> None:
    house = House(Database.open(sqlite_url))
    asked: list[Any] = []

    def work(connection: Any) -> list[str]:
        event.listen(connection, "before_cursor_execute", lambda *args: asked.append(args[2:4]))
        reads.approvals(connection, house.owner_id, "owner")
        statement, values = asked[0]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        return [str(row[-1]) for row in plan]

    (first, *_others) = house.database.read(work)
    assert "step_runs USING INDEX ix_step_runs_awaiting (wait_for=?)" in first
    house.database.close()
