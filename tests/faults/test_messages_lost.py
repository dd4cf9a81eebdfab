"""Redis only wakes: what it forgets, refuses, doubles or reorders costs time and nothing else."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from engine.store.steps import Ticket
from tests.support import invariants
from tests.support.fleet import Fleet, chain, fan_out, fleet_on, python
from tests.support.processes import eventually

# Every hop goes through Redis: what is lost there shows.
BY_MESSAGE = {"ENGINE_CONTINUATION_MS": "0"}


@pytest.fixture(params=["sqlite", "postgresql"])
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Two workers with the default settings."""
    with fleet_on(request, request.param, workers=2, variables=BY_MESSAGE) as fleet:
        yield fleet
        invariants.check(fleet.database, effects=fleet.effects())


@pytest.fixture
def on_sqlite(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """The same where the database makes no difference."""
    with fleet_on(request, "sqlite", workers=2, variables=BY_MESSAGE) as fleet:
        yield fleet
        invariants.check(fleet.database, effects=fleet.effects())


def start_work(fleet: Fleet) -> dict[str, int]:
    """Start chains, a fan-out, retries and a sleep; return what each execution must give."""
    retry = {"attempts": 3, "backoff": "1s", "jitter": False}
    failing = {"a": python("fail_until", attempt=3, options={"retry": retry})}
    sleeper = {
        "nap": {"uses": "sleep", "with": {"for": "2s"}},
        "after": {**python("inc", x=1), "needs": ["nap"]},
    }
    chains = fleet.publish("chain", chain(5, "nap", seconds=0.3))
    wanted = {fleet.begin(chains): 5 for _ in range(8)}
    items = fan_out(40, "nap", seconds=0.1, x="${{ item }}")
    wanted[fleet.begin(fleet.publish("fan-out", items))] = sum(range(1, 41))
    wanted[fleet.begin(fleet.publish("failing", failing))] = 3
    wanted[fleet.begin(fleet.publish("sleeper", sleeper), delay_seconds=1)] = 2
    return wanted


def outputs(fleet: Fleet, wanted: dict[str, int]) -> dict[str, int]:
    return {execution_id: fleet.output(execution_id) for execution_id in wanted}


def test_a_redis_that_forgets_everything_again_and_again_loses_nothing(fleet: Fleet) -> None:
    wanted = start_work(fleet)
    for effects in (4, 30, 60):
        fleet.await_effect("start", count=effects, seconds=40)
        fleet.client.redis.flushall()
    fleet.await_end(seconds=60)
    assert outputs(fleet, wanted) == wanted
    assert not fleet.query("SELECT 1 FROM step_runs WHERE crashes > 0")


def test_a_redis_killed_and_started_empty_loses_nothing(on_sqlite: Fleet) -> None:
    wanted = start_work(on_sqlite)
    on_sqlite.await_effect("start", count=12)
    on_sqlite.restart_redis()
    on_sqlite.await_end(seconds=60)
    assert outputs(on_sqlite, wanted) == wanted
    assert not any(worker.ended for worker in on_sqlite.workers)


def test_links_that_redis_refuses_to_take_are_sent_later(on_sqlite: Fleet) -> None:
    wanted = start_work(on_sqlite)
    on_sqlite.await_effect("start", count=6)
    # Out of memory, it refuses each script that writes: no link can be sent, none acknowledged.
    on_sqlite.client.redis.config_set("maxmemory", 1)
    on_sqlite.await_effect("end", count=6)
    eventually(
        lambda: any(worker.says("'maxmemory'") for worker in on_sqlite.workers),
        seconds=20,
        what="a message is refused",
    )
    on_sqlite.client.redis.config_set("maxmemory", 0)
    on_sqlite.await_end(seconds=60)
    assert outputs(on_sqlite, wanted) == wanted


def test_doubled_stale_and_reordered_messages_change_nothing(fleet: Fleet) -> None:
    with _chaos(fleet) as sent:
        wanted = start_work(fleet)
        fleet.await_end(seconds=60)
    assert outputs(fleet, wanted) == wanted
    assert len(sent) > 100, "nothing was doubled"
    starts = [(e.key, e.attempt) for e in fleet.effects("start")]
    assert len(starts) == len(set(starts))


@contextmanager
def _chaos(fleet: Fleet) -> Iterator[list[Ticket]]:
    """Send messages for every live step run, of the epoch it has, had or may have next."""
    chance, ended, sent = random.Random(11), threading.Event(), list[Ticket]()
    live = "SELECT execution_id, step, item, epoch, queue FROM step_runs WHERE status IN"
    live += " ('queued', 'running', 'retrying', 'waiting')"

    def send() -> None:
        while not ended.wait(0.1):
            tickets = [
                Ticket(execution_id, step, item, epoch + chance.choice((-1, 0, 0, 1)), queue)
                for execution_id, step, item, epoch, queue in fleet.query(live)
            ]
            chance.shuffle(tickets)
            fleet.send(tickets, {ticket.execution_id for ticket in tickets})
            sent.extend(tickets)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        ended.set()
        thread.join()
