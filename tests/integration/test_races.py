"""Two at once, and what happens between a look and the commit that relies on it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors.broker import EngineBroker
from actors.client import Client
from engine.commands import missing_code
from engine.commands.scheduler import tick
from engine.core.transitions import RunKey
from engine.errors import Conflict, Unavailable
from engine.settings import Settings
from engine.steps.attempt_log import AttemptLog, Progress
from engine.store.db.database import Database
from engine.store.writes import dead_letters, schedules
from engine.worker import commit_retry
from engine.worker.claim import known_code
from engine.worker.claim_registry import Claim, Stop
from tests.support.house import House, python
from tests.support.saying import together
from tests.support.transitions import chain, claim, claimed, inc


@pytest.fixture
def house(database: Database) -> House:
    """An engine on each database."""
    return House(database)


@pytest.fixture
def client(house: House, redis_url: str) -> Iterator[Client]:
    settings = Settings(REDIS_URL=redis_url)
    broker = EngineBroker(settings, middleware=[])
    broker.declare_queue("dispatch")
    yield Client(settings, house.database, broker)
    broker.close()


# --- moving what is stranded ------------------------------------------------------------------


def strand(house: House) -> str:
    """Return an execution that waits for code; the newest version of its workflow does not."""
    python(inc)
    gone = {"uses": "python", "with": {"function": "gone.work", "x": 1}}
    execution_id = house.start(house.publish("shop", {"b": gone}))
    house.plan(execution_id)
    house.publish("shop", {"b": python(inc, x=1)})
    return execution_id


def move(house: House) -> missing_code.Bulk:
    return missing_code.settle(
        house.database,
        house.versions,
        owner_id=house.owner_id,
        workflow="shop",
        known=known_code(),
        grace_seconds=0,
        move=True,
    )


def executions_of(house: House) -> list[tuple[Any, ...]]:
    return house.query("SELECT id, status FROM executions ORDER BY created_at")


def test_one_whose_step_is_claimed_meanwhile_is_left_as_it_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = strand(house)
    real = missing_code._why_left

    def claimed_after_the_look(*arguments: Any) -> str | None:
        why = real(*arguments)
        claim(house, RunKey(execution_id, 0), "w9")
        return why

    monkeypatch.setattr(missing_code, "_why_left", claimed_after_the_look)
    bulk = move(house)
    assert [(one.execution_id, one.why) for one in bulk.left] == [(execution_id, missing_code.RUNS)]
    assert executions_of(house) == [(execution_id, "running")]


def test_one_that_cannot_be_admitted_again_is_not_cancelled_either(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = strand(house)

    def refuse(*_arguments: Any) -> None:
        raise Conflict("no")

    monkeypatch.setattr("engine.store.writes.executions.admit", refuse)
    assert [one.why for one in move(house).left] == ["no"]
    assert executions_of(house) == [(execution_id, "running")]


def test_two_who_move_at_once_move_it_once(house: House) -> None:
    execution_id = strand(house)
    together(lambda: move(house), lambda: move(house))
    [(first, status), (second, _)] = executions_of(house)
    assert (first, status) == (execution_id, "cancelled")
    assert house.execution(second, "origin_id") == (execution_id,)


# --- dead letters -----------------------------------------------------------------------------


def poisoned(house: House) -> str:
    """Return the dead letter of an execution that failed by a step under which workers died."""
    claimed(house, "gone")
    house.write("UPDATE step_runs SET crashes = 2 WHERE status = 'running'")
    house.sweep()
    [(letter,)] = house.query("SELECT id FROM dead_letters")
    return str(letter)


def undispatched(house: House) -> str:
    """Return the dead letter of an execution that could not be planned."""
    execution_id = house.start(house.publish("plain", {"a": python(inc, x=1)}))
    kept = dead_letters.Letter("dispatch", "dispatch", "{}", "no", execution_id)
    now = house.database.now()
    house.database.write(lambda connection: dead_letters.keep(connection, kept, now))
    [(letter,)] = house.query("SELECT id FROM dead_letters")
    return str(letter)


@pytest.fixture
def both_look_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each of two replays look at the letter before either goes on."""
    real, looked = dead_letters.find, threading.Barrier(2)

    def find(*arguments: Any) -> dead_letters.Replay:
        found = real(*arguments)
        looked.wait(10)
        return found

    monkeypatch.setattr(dead_letters, "find", find)


def replays(client: Client, house: House, letter: str) -> list[str]:
    """Replay the letter twice at once; return what each was told."""
    told: list[str] = []

    def replay() -> None:
        try:
            told.append(client.replay(owner_id=house.owner_id, dead_letter_id=letter))
        except Conflict as error:
            told.append(error.code)

    together(replay, replay)
    return told


def test_two_replays_at_once_of_poison_make_one_execution(
    house: House, client: Client, both_look_first: None
) -> None:
    letter = poisoned(house)
    assert len(set(replays(client, house, letter))) == 1
    assert len(executions_of(house)) == 2


def test_of_two_replays_at_once_of_a_dispatch_one_is_refused(
    house: House, client: Client, both_look_first: None
) -> None:
    letter = undispatched(house)
    assert sorted(replays(client, house, letter))[1:] == ["conflict"]


def test_a_replay_whose_process_dies_before_it_is_noted_is_the_same_when_done_again(
    house: House, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = poisoned(house)
    with monkeypatch.context() as dying:
        dying.setattr(dead_letters, "replayed", _dies)
        with pytest.raises(RuntimeError):
            client.replay(owner_id=house.owner_id, dead_letter_id=letter)
    replayed = client.replay(owner_id=house.owner_id, dead_letter_id=letter)
    assert [row[0] for row in executions_of(house)][1:] == [replayed]
    with pytest.raises(Conflict, match="replayed already"):
        client.replay(owner_id=house.owner_id, dead_letter_id=letter)


def _dies(*_arguments: Any) -> bool:
    raise RuntimeError("killed")


# --- claims -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["claimed", "cancelled"])
def test_a_step_that_moves_on_while_it_is_held_is_let_go(
    house: House, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    gone = {"uses": "python", "with": {"function": "gone.work"}}
    execution_id = house.start(house.publish("shop", {"b": gone}))
    [ticket] = house.plan(execution_id)

    def knows(_step: Any) -> bool:
        if how == "claimed":
            claim(house, ticket.key, "w9")
        else:
            house.cancel(execution_id)
        return False

    monkeypatch.setattr("engine.worker.run.knows", knows)
    sends = house.executor.run(ticket)
    assert (sends.now, sends.later) == ([], [])
    assert house.step(execution_id, 0, "status") in (("running",), ("cancelled",))


class Hiccup:
    """A database that fails to answer one write, and answers all others."""

    def __init__(self, database: Database) -> None:
        self._database, self.failed = database, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def write(self, work: Callable[[Any], Any]) -> Any:
        if not self.failed:
            self.failed = True
            raise Unavailable("the database did not answer")
        return self._database.write(work)


def talking(house: House) -> Claim:
    """Return a claim whose step has said something."""
    execution_id, key = claimed(house)
    one = Claim(key, 1, 1, AttemptLog(clock=house.database.now))
    one.log.add("info", f"hello from {execution_id}")
    one.log.report(Progress(1, 2, "half"))
    return one


def said(house: House) -> list[str]:
    return [row[0] for row in house.query("SELECT message FROM logs ORDER BY message")]


def test_one_moment_without_the_database_costs_one_claim_some_time_and_no_line(
    house: House,
) -> None:
    claims = [talking(house) for _ in range(3)]
    database: Any = Hiccup(house.database)
    assert len(commit_retry.flush_all(database, claims)) == 2
    assert len(said(house)) == 2
    assert len(commit_retry.flush_all(database, claims)) == 1
    assert said(house) == sorted(f"hello from {one.key.execution_id}" for one in claims)
    assert house.query("SELECT count(*) FROM step_runs WHERE progress IS NULL AND step = 0") == [
        (0,)
    ]


def test_a_claim_whose_execution_is_gone_is_told_so_and_the_others_write_on(house: House) -> None:
    gone, other = talking(house), talking(house)
    house.write("DELETE FROM executions WHERE id = :id", id=gone.key.execution_id)
    commit_retry.flush_all(house.database, [gone, other])
    assert gone.stop is Stop.LOST
    assert len(said(house)) == 1


def test_one_moment_without_the_database_costs_one_schedule_a_minute_and_no_other(
    house: House,
) -> None:
    ids = [schedule(house, name) for name in ("first", "second")]
    database: Any = Hiccup(house.database)
    assert len(tick(database, house.versions, lambda: "m")) == 1
    assert len(tick(database, house.versions, lambda: "m")) == 1
    fired = house.query("SELECT schedule_id FROM executions ORDER BY schedule_id")
    assert fired == [(one,) for one in sorted(ids)]


def schedule(house: House, name: str) -> str:
    """Return a schedule that is due."""
    chain(house)
    new = schedules.NewSchedule(
        owner_id=house.owner_id, workflow="chain", name=name, cron="* * * * *"
    )
    minute_ago = house.database.now() - 60_000_000
    return house.database.write(lambda connection: schedules.create(connection, new, minute_ago))
