"""Many workers on one execution: joins fire once, counters hold, whatever the order."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from engine.commands import lifecycle, signals
from engine.commands.dispatch import dispatch
from engine.flow.outgoing import Sends
from engine.settings import Settings
from engine.store.db.database import Database
from engine.store.writes.step_runs import Ticket
from engine.worker.prepare import prepare
from tests.support.house import House, python
from tests.support.invariants import check
from tests.support.saying import child, transform, waits

THREADS = 8


def same(x: Any) -> Any:
    return x


def add(xs: list[int]) -> int:
    return sum(xs)


@pytest.mark.parametrize("continuation_ms", [0, 50])
def test_eight_workers_with_doubled_and_shuffled_messages_join_once(
    database: Database, continuation_ms: int
) -> None:
    house = House(database, Settings(continuation_ms=continuation_ms))
    steps: dict[str, Any] = {
        "many": {**python(same, x="${{ item }}"), "for_each": "${{ input.xs }}"},
        "sum": python(add, xs="${{ steps.many.output }}"),
    }
    for index in range(12):
        steps[f"side{index}"] = python(same, x=index)
    ends = "[" + ", ".join(f"steps.side{index}.output" for index in range(12)) + "]"
    steps["join"] = python(add, xs=f"${{{{ {ends} }}}}")
    workflow_id = house.publish("stress", steps)
    executions = [house.start(workflow_id, {"xs": list(range(40))}) for _ in range(3)]
    for execution_id in executions:
        house.plan(execution_id)

    deliver(house, house.inbox)

    for execution_id in executions:
        assert house.status(execution_id) == "completed"
        assert house.output(execution_id) == {"sum": sum(range(40)), "join": sum(range(12))}
        names = house.events(execution_id)
        assert names.count("step_started") == 40 + 1 + 12 + 1
        assert names.count("completed") == 1
        assert house.execution(execution_id, "active", "steps_left") == (0, 0)


def test_parents_children_signals_and_cancels_meet_without_a_deadlock(database: Database) -> None:
    house = House(database)
    house.publish(
        "kid", {"a": transform("${{ input.n }}"), "b": transform("${{ steps.a.output }}")}
    )
    each = {**child("kid", input={"n": "${{ item }}"}), "for_each": list(range(6))}
    steps = {
        "kids": each,
        "paid": waits(correlation="${{ input.order }}", look_back="1h"),
        "sum": python(add, xs="${{ steps.kids.output }}"),
        "both": transform("${{ [steps.sum.output, steps.paid.output] }}"),
    }
    workflow_id = house.publish("parent", steps)
    wanted = [house.start(workflow_id, {"order": str(number)}) for number in range(8)]
    cancelled = wanted[::4]

    def meddle(post: Callable[[Sends], None]) -> None:
        for number, execution_id in enumerate(wanted):
            received = signals.signal(
                database,
                owner_id=house.owner_id,
                name="paid",
                body=number,
                correlation=str(number),
            )
            post(Sends(dispatches=[received.execution_id] if received.execution_id else []))
            if execution_id in cancelled:
                _look, sends = lifecycle.cancel(
                    database,
                    house.versions,
                    owner_id=house.owner_id,
                    execution_id=execution_id,
                    grace_seconds=60,
                )
                post(sends)

    deliver(house, [], dispatches=wanted, meddle=meddle)

    for number, execution_id in enumerate(wanted):
        if execution_id in cancelled:
            assert house.status(execution_id) == "cancelled"
        else:
            assert house.output(execution_id) == [15, number]
    open_ones = "SELECT id FROM executions WHERE status NOT IN ('completed', 'cancelled')"
    assert house.query(open_ones) == []
    assert house.query("SELECT count(*) FROM notices") == [(0,)]
    check(database)


def deliver(
    house: House,
    first: list[Ticket],
    *,
    dispatches: Sequence[str] = (),
    meddle: Callable[[Callable[[Sends], None]], None] = lambda _post: None,
) -> None:
    """Deliver every message twice, in shuffled order, from eight workers at once.

    ``meddle`` does something of its own meanwhile, and posts what it leaves to send.
    """
    rng = random.Random(7)
    inbox: queue.Queue[Ticket | str] = queue.Queue()
    failures: list[BaseException] = []

    def put(messages: Sequence[Ticket | str]) -> None:
        doubled = [*messages, *messages]
        rng.shuffle(doubled)
        for message in doubled:
            inbox.put(message)

    def post(sends: Sends) -> None:
        put([*sends.now, *sends.dispatches])

    def work(number: int) -> None:
        executor = house.worker(f"t{number}")
        while True:
            try:
                message = inbox.get(timeout=2)
            except queue.Empty:
                return
            try:
                if isinstance(message, str):
                    post(dispatch(house.database, house.versions, house.settings, message).sends)
                else:
                    post(executor.run(message))
            except BaseException as error:
                failures.append(error)
                raise

    put([*first, *dispatches])
    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    meddle(post)
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_fan_out_cancelled_while_it_is_expanded_leaves_no_item_open(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(database)
    fan = {**python(same, x="${{ item }}"), "for_each": [1, 2, 3]}
    execution_id = house.start(house.publish("fan", {"many": fan}))
    [ticket] = house.plan(execution_id)

    def prepare_and_cancel(*arguments: Any) -> Any:
        prepared = prepare(*arguments)
        house.cancel(execution_id)
        return prepared

    monkeypatch.setattr("engine.worker.run.prepare", prepare_and_cancel)
    house.deliver(ticket)

    assert house.status(execution_id) == "cancelled"
    assert house.query("SELECT item, status FROM step_runs") == [(-1, "cancelled")]


def test_a_fan_out_that_expires_while_it_is_expanded_leaves_no_item_open(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(database)
    fan = {**python(same, x="${{ item }}"), "for_each": [1, 2], "expires": "1s"}
    steps = {"many": {**fan, "on_failure": "continue"}}
    execution_id = house.start(house.publish("fan", steps))
    [ticket] = house.plan(execution_id)

    def prepare_and_expire(*arguments: Any) -> Any:
        prepared = prepare(*arguments)
        house.write("UPDATE step_runs SET queued_at = 0")
        house.sweep()
        return prepared

    monkeypatch.setattr("engine.worker.run.prepare", prepare_and_expire)
    house.deliver(ticket)

    assert house.query("SELECT item, status FROM step_runs") == [(-1, "failed")]


def test_a_fan_out_at_the_end_of_a_failed_execution_runs(database: Database) -> None:
    house = House(database)
    steps: dict[str, Any] = {
        "bad": {"uses": "fail", "with": {"message": "no"}},
        "tidy": {**python(same, x="${{ item }}"), "for_each": [1, 2]},
    }
    execution_id = house.run(house.publish("fan", steps, **{"finally": ["tidy"]}))
    assert house.status(execution_id) == "failed"
    assert house.step(execution_id, 1, "status", "items_left") == ("completed", 0)
