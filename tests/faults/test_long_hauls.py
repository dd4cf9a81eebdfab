"""A minute of backlog and half a minute without a database: nobody panics.

Both take their time, so they run side by side, on each database: four fleets, mostly asleep.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
import redis
from sqlalchemy import make_url

from tests.support import invariants
from tests.support.fleet import Fleet, fan_out, fleet_on, python, ref

KINDS = ("sqlite", "postgresql")
STEPS = 2400  # of 0.4 s on two times eight threads, the default: a minute of backlog
STALL_SECONDS = 30
_MESSAGE = re.compile(r'actor_name\\*":\\*"run_step\\*",\\*"args\\*":\[([^\]]*)\]')


@dataclass
class Traffic:
    """Counts the messages that are enqueued, by what they ask for."""

    client: Any  # redis.Redis; MONITOR is not typed
    seen: Counter[str] = field(default_factory=Counter)

    def watch(self) -> None:
        """Read what Redis is told until it goes away."""
        with self.client.monitor() as monitor:
            try:
                for told in monitor.listen():
                    command = str(told["command"])
                    if "enqueue" in command[:120] and told["client_type"] != "lua":
                        self.seen.update(_MESSAGE.findall(command))
            except (redis.RedisError, ValueError):
                return


@dataclass
class Backlog:
    """A fleet that was given a minute of work at once."""

    fleet: Fleet
    traffic: Traffic


@dataclass
class Hauls:
    """What the four fleets went through."""

    backlogs: list[Backlog]
    stalled: list[Fleet]


@pytest.fixture(scope="module")
def hauls(request: pytest.FixtureRequest) -> Iterator[Hauls]:
    """Run all four to their ends."""
    with ExitStack() as stack:
        stalled = [stack.enter_context(fleet_on(request, kind, workers=2)) for kind in KINDS]
        backlogs = [stack.enter_context(_backlog(request, kind)) for kind in KINDS]
        for fleet in stalled:
            _start_long_steps(fleet)
        with ExitStack() as stalls:
            for fleet in stalled:
                stalls.enter_context(_no_writes(fleet))
            # Not waiting for anything: this is how long the fault lasts.
            threading.Event().wait(STALL_SECONDS)
        for fleet in [*stalled, *(backlog.fleet for backlog in backlogs)]:
            fleet.await_end(seconds=120)
        yield Hauls(backlogs, stalled)


@contextmanager
def _backlog(request: pytest.FixtureRequest, kind: str) -> Iterator[Backlog]:
    with fleet_on(request, kind) as fleet:
        for _ in range(2):
            fleet.start(threads=8)
        fleet.await_ready()
        traffic = Traffic(fleet.client.redis)
        threading.Thread(target=traffic.watch, daemon=True).start()
        single = fleet.publish("single", {"a": python("nap", seconds=0.4)})
        for _ in range(STEPS // 2):
            fleet.begin(single)
        items = fan_out(STEPS // 2, "nap", seconds=0.4, x="${{ item }}")
        fleet.begin(fleet.publish("wide", items))
        yield Backlog(fleet, traffic)


def _start_long_steps(fleet: Fleet) -> None:
    """Start steps that end before, in and after the stall."""
    for seconds in (3, 12, 20, 28, 40):
        steps = {"a": python("nap", seconds=seconds), "b": python("inc", x=ref("a"))}
        fleet.begin(fleet.publish(f"long{seconds}", steps))
    fleet.await_effect("start", step="a", count=5, seconds=30)


@contextmanager
def _no_writes(fleet: Fleet) -> Iterator[None]:
    """Keep everybody from writing; on PostgreSQL from reading too."""
    url = make_url(fleet.variables["DATABASE_URL"])
    if url.get_backend_name() == "sqlite":
        blocker = sqlite3.connect(str(url.database), isolation_level=None, timeout=20)
        blocker.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            blocker.execute("ROLLBACK")
            blocker.close()
        return
    with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
        connection.execute(
            "LOCK TABLE executions, step_runs, workers, leases, events IN ACCESS EXCLUSIVE MODE"
        )
        yield
        connection.rollback()


def test_under_a_minute_of_backlog_hardly_a_message_is_sent_twice(hauls: Hauls) -> None:
    for backlog in hauls.backlogs:
        fleet, seen = backlog.fleet, backlog.traffic.seen
        assert len(seen) >= STEPS, "the traffic was not seen"
        again = sum(seen.values()) - len(seen)
        assert again <= 0.01 * STEPS, f"{again} of {len(seen)} messages were sent again"
        starts = Counter(effect.key for effect in fleet.effects("start"))
        assert len(starts) == STEPS
        assert set(starts.values()) == {1}
        assert fleet.query("SELECT DISTINCT status FROM executions") == [("completed",)]
        invariants.check(fleet.database, effects=fleet.effects())


def test_half_a_minute_without_a_database_kills_nobody(hauls: Hauls) -> None:
    for fleet in hauls.stalled:
        assert fleet.query("SELECT DISTINCT status FROM executions") == [("completed",)]
        assert fleet.query("SELECT max(crashes), max(attempts) FROM step_runs") == [(0, 1)]
        starts = Counter(effect.key for effect in fleet.effects("start"))
        assert set(starts.values()) == {1}
        assert not any(worker.ended for worker in fleet.workers)
        assert any(worker.says("did not answer") for worker in fleet.workers)
        invariants.check(fleet.database, effects=fleet.effects())
