"""Turns in one statement leave what turns in a transaction leave, or nothing at all."""

from __future__ import annotations

import contextlib
import queue
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from engine import context
from engine.core import transitions
from engine.core.plan import Apply, Chained, ClaimItem, ClaimStep
from engine.core.status import StepStatus
from engine.core.transitions import RunKey
from engine.settings import Settings
from engine.store.db.database import Database, Work
from engine.store.writes import fast_path
from engine.store.writes.execution_tx import Line
from engine.store.writes.fast_path import FastWrite, Written
from engine.store.writes.step_runs import Ticket
from tests.support.house import House, python
from tests.support.invariants import check
from tests.support.longhand import Longhand
from tests.support.saying import statuses, transform
from tests.support.transitions import claimed, fan, inc

T = TypeVar("T")
STAYING = Settings(continuation_ms=600_000)
DUE = re.compile(r'"due_at":\d+')
NOW = 1_790_000_000_000_000


@pytest.fixture
def database(postgresql_url: str) -> Iterator[Database]:
    """PostgreSQL: SQLite is in the process, and has no trips to be saved."""
    opened = Database.open(postgresql_url)
    yield opened
    opened.close()


@pytest.fixture
def house(database: Database) -> House:
    return House(database, STAYING)


def says(x: int) -> int:
    for number in range(x):
        context.log.info("line %d", number)
    return x + 1


def fails_at_first(x: int) -> int:
    if context.attempt == 1:
        raise ValueError("not yet")
    return x


CHAIN: dict[str, Any] = {
    "a": python(says, x=3),
    "b": python(says, x="${{ steps.a.output }}"),
    "c": python(says, x="${{ steps.b.output * 10 }}"),
    "d": python(says, x="${{ steps.c.output }}"),
}
EACH: dict[str, Any] = {**python(inc, x="${{ item }}"), "for_each": "${{ input.xs }}"}
WORKFLOWS: dict[str, dict[str, Any]] = {
    "a chain": {"steps": CHAIN},
    "a fan-out": {"steps": {"each": EACH, "sum": transform("${{ steps.each.output }}")}},
    "a narrow fan-out": {"steps": {"each": {**EACH, "max_parallel": 2}}},
    "items that are tried again": {
        "steps": {
            "each": {
                **python(fails_at_first, x="${{ item }}"),
                "for_each": "${{ input.xs }}",
                "max_parallel": 3,
                "retry": {"attempts": 2, "backoff": "0s", "jitter": False},
            }
        }
    },
    "a diamond that ends with more": {
        "steps": {
            "a": python(inc, x=1),
            "left": python(inc, x="${{ steps.a.output }}"),
            "right": python(inc, x="${{ steps.a.output }}"),
            "join": transform("${{ steps.left.output + steps.right.output }}"),
            "last": transform("${{ steps.join.output }}"),
            "tidy": transform("${{ 1 }}"),
        },
        "finally": ["tidy"],
    },
    "a handler beside a dependant": {
        "steps": {
            "a": {**python(inc, x=1), "on_failure": {"run": "mend"}},
            "b": python(inc, x="${{ steps.a.output }}"),
            "mend": transform("${{ 0 }}"),
        }
    },
}


class Counted(Longhand):
    """Counts transactions, and statements that did all by themselves, unless it has no server."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.transactions = self.statements = 0
        self.has_server = True

    def write(self, work: Work[T]) -> T:
        self.transactions += 1
        return super().write(work)

    def write_at_once(self, work: Work[T]) -> T:
        found = self._database.write_at_once(work)
        self.statements += found is not None
        return found


def left_by(house: House, document: dict[str, Any]) -> list[Any]:
    """Run the workflow in one thread and return what it leaves, but for ids and times."""
    execution_id = house.run(house.publish("w", **document), {"xs": list(range(25))})
    while house.later:
        house.inbox += [ticket for ticket, _delay in house.later]
        house.later.clear()
        house.write("UPDATE step_runs SET due_at = 1 WHERE status = 'retrying'")
        house.drain()
    asked = {
        "executions": "status, output, active, steps_left, runs_done, runs_total, phase, last_seq,"
        " last_log",
        "step_runs": "step, item, status, reason, epoch, attempts, needs_left, needs_ran, queue,"
        " items, items_left, items_next, items_failed, input, output",
        "events": "seq, type, step, item, attempt, data",
        "logs": "seq, step, item, attempt, level, message",
    }
    key = {"executions": "id"}
    left = [
        house.query(
            f"SELECT {columns} FROM {table}"
            f" WHERE {key.get(table, 'execution_id')} = '{execution_id}'"
            f" ORDER BY {'1, 2' if table == 'step_runs' else '1'}"
        )
        for table, columns in asked.items()
    ]
    left[2] = [(*row, DUE.sub("", data or "")) for *row, data in left[2]]
    return left


@pytest.mark.parametrize("document", WORKFLOWS.values(), ids=WORKFLOWS)
def test_what_they_leave_is_what_transactions_leave(
    database: Database, document: dict[str, Any]
) -> None:
    counted = Counted(database)
    house = House(counted, STAYING)
    short = left_by(house, document)
    assert counted.statements > 0
    counted.has_server = False
    long = left_by(house, document)
    assert short == long
    assert short[0][0][0] == "completed"
    check(database)


def test_a_chain_takes_a_statement_a_step(database: Database) -> None:
    counted = Counted(database)
    house = House(counted, STAYING)
    steps: dict[str, Any] = {"s0": python(inc, x=0)}
    for index in range(1, 10):
        steps[f"s{index}"] = python(inc, x=f"${{{{ steps.s{index - 1}.output }}}}")
    execution_id = house.start(house.publish("chain", steps))
    house.plan(execution_id)
    counted.transactions = counted.statements = 0
    house.drain()
    assert house.output(execution_id) == 10
    # The first claim and nine that ride; then the last result, with the execution's end.
    assert counted.statements == 10
    assert counted.transactions == 1


def test_a_fan_out_takes_a_statement_an_item(database: Database) -> None:
    counted = Counted(database)
    house = House(counted, STAYING)
    house.lanes = 1
    execution_id = house.start(fan(house), {"xs": list(range(30))})
    house.plan(execution_id)
    counted.transactions = counted.statements = 0
    house.drain()
    assert house.output(execution_id) == [x + 1 for x in range(30)]
    # The first claim, 29 that ride, and the claim of what follows the join.
    assert counted.statements == 31


# --- what they refuse ------------------------------------------------------------------------


def everything(house: House) -> list[Any]:
    tables = {"executions": "1", "step_runs": "1, 2, 3", "events": "1, 2", "logs": "1, 2"}
    return [house.query(f"SELECT * FROM {table} ORDER BY {by}") for table, by in tables.items()]


def done(key: RunKey, epoch: int = 1) -> Apply:
    return Apply(key, epoch, transitions.complete(now=NOW, output="1"))


def chained(key: RunKey) -> ClaimStep | ClaimItem:
    terms: dict[str, Any] = {"worker_id": "w1", "now": NOW, "deadline": NOW + 1}
    if key.item < 0 and key.step > 0:
        return ClaimStep(key, transitions.claim_next(**terms, input="{}"))
    return ClaimItem(key, transitions.claim_next_item(**terms))


def refused(house: House, wanted: FastWrite) -> bool:
    """Return whether it was refused, and changed nothing."""
    before = everything(house)
    written = house.database.write_at_once(lambda connection: fast_path.write(connection, wanted))
    return written is None and everything(house) == before


def of_two(house: House) -> tuple[str, FastWrite]:
    """Return an execution of two steps, the first claimed, and the turn that passes it on."""
    execution_id, key = claimed(house)
    lines = [Line(0, -1, 1, NOW, "info", "said")]
    return execution_id, FastWrite(NOW, done(key), chained(RunKey(execution_id, 1)), lines)


def of_items(house: House) -> tuple[str, FastWrite]:
    """Return a fan-out of five, two of them claimed, and the turn that passes the first on."""
    execution_id = house.start(fan(house, max_parallel=2), {"xs": [1, 2, 3, 4, 5]})
    house.plan(execution_id)
    house.deliver(house.inbox.pop(0))
    claim = transitions.claim(
        StepStatus.QUEUED, worker_id="w1", now=NOW, deadline=NOW + 1, input='{"x":1}'
    )
    for ticket in house.inbox:
        assert carried_out(house, FastWrite(NOW, Apply(ticket.key, 1, claim)))
    key = RunKey(execution_id, 0, 0)
    return execution_id, FastWrite(NOW, done(key), chained(RunKey(execution_id, 0)))


def carried_out(house: House, wanted: FastWrite) -> Written:
    written = house.database.write_at_once(lambda connection: fast_path.write(connection, wanted))
    assert written is not None
    return written


@pytest.fixture
def calm(database: Database) -> House:
    """Workers that hand on after each step run."""
    return House(database)


def test_one_as_foreseen_is_carried_out(calm: House) -> None:
    execution_id, wanted = of_two(calm)
    written = carried_out(calm, wanted)
    assert statuses(calm, execution_id) == {0: "completed", 1: "running"}
    assert (written.attempts, written.then) == (1, Chained(-1, 1, "{}"))
    assert (written.state.active, written.state.steps_left, written.state.last_log) == (1, 1, 1)
    assert [fact.type for fact in written.facts] == ["step_completed", "step_started"]


OTHERWISE = {
    "the epoch is over": "UPDATE step_runs SET epoch = 2 WHERE step = 0 AND item <= 0",
    "it is not running any more": "UPDATE step_runs SET status = 'completed' WHERE step = 0"
    " AND item = 0 OR items IS NULL AND item = -1 AND step = 0",
    "the execution is paused": "UPDATE executions SET status = 'paused'",
    "the execution ends": "UPDATE executions SET ending = 'cancelled'",
    "there is no such execution": "DELETE FROM executions",
}


@pytest.mark.parametrize("statement", OTHERWISE.values(), ids=OTHERWISE)
@pytest.mark.parametrize("begun", [of_two, of_items])
def test_nothing_is_changed_when(
    calm: House, begun: Callable[[House], tuple[str, FastWrite]], statement: str
) -> None:
    _, wanted = begun(calm)
    calm.write(statement)
    assert refused(calm, wanted)


FOLLOWING = {
    "was queued by another": "UPDATE step_runs SET status = 'queued', epoch = 1 WHERE step = 1",
    "was begun before": "UPDATE step_runs SET epoch = 3 WHERE step = 1",
    "ended": "UPDATE step_runs SET status = 'skipped' WHERE step = 1",
}


@pytest.mark.parametrize("statement", FOLLOWING.values(), ids=FOLLOWING)
def test_nothing_is_changed_when_the_step_that_follows(calm: House, statement: str) -> None:
    _, wanted = of_two(calm)
    calm.write(statement)
    assert refused(calm, wanted)


ITEMS = {
    "it is the last": "UPDATE step_runs SET items_left = 1 WHERE items IS NOT NULL",
    "nobody knows the next one's parameters": "UPDATE step_runs SET input = NULL WHERE item = 2",
    "the next one is under way": "UPDATE step_runs SET status = 'queued' WHERE item = 2",
    "none is left and nothing runs, so that the execution waits": (
        "UPDATE step_runs SET items_next = 5 WHERE items IS NOT NULL;"
        "UPDATE executions SET active = 1"
    ),
}


@pytest.mark.parametrize("statements", ITEMS.values(), ids=ITEMS)
def test_of_an_item_nothing_is_changed_when(calm: House, statements: str) -> None:
    _, wanted = of_items(calm)
    for statement in statements.split(";"):
        calm.write(statement)
    assert refused(calm, wanted)


def test_an_item_with_none_left_to_take_along_is_completed_alone(calm: House) -> None:
    execution_id, wanted = of_items(calm)
    calm.write("UPDATE step_runs SET items_next = 5 WHERE items IS NOT NULL")
    written = carried_out(calm, wanted)
    assert written.then is None
    assert [fact.type for fact in written.facts] == ["step_completed"]
    assert calm.execution(execution_id, "active", "runs_done") == (1, 1)
    assert (written.state.active, written.state.status) == (1, "running")


def test_steps_that_run_at_the_end_of_a_failed_execution_are_passed_on(calm: House) -> None:
    _, wanted = of_two(calm)
    calm.write("UPDATE executions SET ending = 'failed', phase = 'closing'")
    assert carried_out(calm, wanted).state.ending == "failed"


def test_of_many_that_pass_on_one_fan_out_none_is_lost(database: Database) -> None:
    house = House(database, STAYING)
    house.lanes = 8
    workflow_id = fan(house)
    executions = [house.start(workflow_id, {"xs": list(range(60))}) for _ in range(2)]
    for execution_id in executions:
        house.plan(execution_id)
    waiting: queue.SimpleQueue[Ticket] = queue.SimpleQueue()
    for ticket in house.inbox:
        waiting.put(ticket)

    def work(number: int) -> None:
        executor = house.worker(f"t{number}")
        while any(house.status(execution_id) != "completed" for execution_id in executions):
            with contextlib.suppress(queue.Empty):
                for ticket in executor.run(waiting.get(timeout=0.05)).now:
                    waiting.put(ticket)

    with ThreadPoolExecutor(8) as pool:
        for worked in [pool.submit(work, number) for number in range(8)]:
            worked.result(timeout=60)
    for execution_id in executions:
        assert house.output(execution_id) == [x + 1 for x in range(60)]
        assert house.events(execution_id).count("step_started") == 61
    check(database)
