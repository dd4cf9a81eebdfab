"""Clocks that are wrong or change, schedulers that race, and hours in which nothing ran."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Integer, update

from engine.commands.schedule import create
from engine.commands.scheduler import tick
from engine.flow.definition_cache import Versions
from engine.store.db.database import Connection, Database
from engine.store.tables import Base
from tests.scorecard import inside, workload
from tests.scorecard.drill import Drill, Wanted
from tests.scorecard.registry import SQLITE, row
from tests.scorecard.rows.worker import MOVES_ON

HOUR = 3600_000_000  # µs
MINUTE = 60_000_000
DOWNTIME = 3 * HOUR


@row(
    "time",
    "clock ±120 s on one worker",
    recovery=MOVES_ON,
    absent={SQLITE: "all processes share the one clock of their machine"},
)
def wrong_clock(drill: Drill) -> None:
    """One worker's clock is two minutes ahead, one's behind; then the right one is killed."""
    drill.workers(1, {inside.CLOCK: "120"})
    drill.workers(1, {inside.CLOCK: "-120"})
    [right] = drill.workers(1)
    with drill.traffic():
        drill.mixture()
        drill.mixture()
        drill.last(2)
        strike = drill.kill(right)
    drill.settle()
    drill.moved_on(strike)


# --- schedules ------------------------------------------------------------------------------------


class Ticker:
    """A scheduler process's tick, at whatever time the drill says it is."""

    def __init__(self, drill: Drill, url: str) -> None:
        self.database = Database.open(url)
        self._versions = Versions(self.database)
        self._drill = drill

    def tick(self, now: int) -> list[str]:
        """Tick once at ``now`` µs; send what it started, and log it as accepted."""
        real = self.database.now
        self.database.now = lambda: now  # type: ignore[method-assign]
        try:
            started = tick(self.database, self._versions, lambda: str(uuid.uuid4()))
        finally:
            self.database.now = real  # type: ignore[method-assign]
        for execution_id in started:
            self._drill.accepted[execution_id] = Wanted(output=2)
        self._drill.fleet.send(dispatches=started)
        return started


def scheduled(drill: Drill, name: str, cron: str, since: int, **more: Any) -> str:
    """Return the id of a schedule that is next due at its first slot after ``since``."""
    fleet = drill.fleet
    workflow_id = drill.publish(workload.chain(2))
    schedule_id = create(
        fleet.database,
        owner_id=fleet.owner_id,
        workflow=workflow_id,
        name=name,
        cron=cron,
        **more,
    )
    fleet.write("UPDATE schedules SET next_at = :at WHERE id = :id", at=since, id=schedule_id)
    return schedule_id


def fired(drill: Drill, schedule_id: str) -> list[int]:
    """Return the slots that a schedule started, in order."""
    sql = "SELECT slot FROM executions WHERE schedule_id = :id ORDER BY slot"
    return [row[0] for row in drill.fleet.query(sql, id=schedule_id)]


@row("time", "DST both ways")
def dst(drill: Drill) -> None:
    """Tick through both clock changes of Berlin, hour by hour: one slot a day, whatever it is."""
    drill.workers(2)
    ticker = Ticker(drill, drill.fleet.variables["DATABASE_URL"])
    drill.strike()
    for name, day in (("spring", datetime(2026, 3, 28)), ("autumn", datetime(2026, 10, 24))):
        start = int(day.replace(tzinfo=UTC).timestamp() * 1e6)
        minute = drill.chance.randint(0, 59)
        schedule_id = scheduled(drill, name, f"{minute} 2 * * *", start, zone="Europe/Berlin")
        for hour in range(72):
            ticker.tick(start + hour * HOUR + 59 * MINUTE + 59_000_000)
        days = [
            (datetime.fromtimestamp(slot / 1e6, UTC) + timedelta(hours=2)).date()
            for slot in fired(drill, schedule_id)
        ]
        drill.expect(name, days, [(day + timedelta(days=n)).date() for n in range(3)])
    ticker.database.close()
    drill.heal()
    drill.settle()


@row("time", "two schedulers", least=30)
def two_schedulers(drill: Drill) -> None:
    """Two tick at the same moments: each slot is started once."""
    drill.workers(2)
    drill.strike()
    url = drill.fleet.variables["DATABASE_URL"]
    now = drill.fleet.database.now() // MINUTE * MINUTE
    ids = [scheduled(drill, f"s{n}", "* * * * *", now - 9 * MINUTE, missed="all") for n in range(4)]
    gate = threading.Barrier(2)
    moments = [now - 9 * MINUTE + n * MINUTE + 1 for n in range(10)]

    def race() -> None:
        ticker = Ticker(drill, url)
        for moment in moments:
            gate.wait(60)
            ticker.tick(moment)
        ticker.database.close()

    racers = [threading.Thread(target=race) for _ in range(2)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(120)
    wanted = [now - (9 - n) * MINUTE for n in range(10)]
    for schedule_id in ids:
        drill.expect(schedule_id, fired(drill, schedule_id), wanted)
    drill.heal()
    drill.settle()


@row("time", "3 h downtime", recovery="start of the workers → all in flight moved on")
def downtime(drill: Drill) -> None:
    """Nothing runs for three hours; then everything that was in flight, and each missed policy."""
    first = drill.workers(2)
    drill.mixture()
    drill.mixture()
    drill.long_steps(4, 1.5 * drill.lease)
    strike = drill.strike()
    for worker in first:
        worker.kill()
    now = drill.fleet.database.now()
    due = now // (30 * MINUTE) * (30 * MINUTE)
    policies = {
        policy: scheduled(drill, policy, "*/30 * * * *", due - 5 * 30 * MINUTE, missed=policy)
        for policy in ("skip", "latest", "all")
    }
    _age(drill.fleet.database, DOWNTIME)
    # _age moved the schedules too: they are due from their own first missed slot on.
    for schedule_id in policies.values():
        sql = "UPDATE schedules SET next_at = :at WHERE id = :id"
        drill.fleet.write(sql, at=due - 5 * 30 * MINUTE, id=schedule_id)
    drill.fleet.client.redis.flushall()
    back = drill.heal()
    drill.workers(2)
    ticker = Ticker(drill, drill.fleet.variables["DATABASE_URL"])
    # Two minutes after a slot it is late by any policy.
    ticker.tick(due + 2 * MINUTE)
    ticker.database.close()
    slots = [due - n * 30 * MINUTE for n in range(5, -1, -1)]
    wanted = {"skip": [], "latest": slots[-1:], "all": slots}
    for policy, schedule_id in policies.items():
        drill.expect(policy, fired(drill, schedule_id), wanted[policy])
    drill.settle(work=2 * drill.lease)
    drill.moved_on(strike, since=back)


def _age(database: Database, micros: int) -> None:
    """Move every time in the database into the past: as if so much time had gone by."""

    def move(connection: Connection) -> None:
        for table in Base.metadata.sorted_tables:
            columns = [
                column
                for column in table.columns
                if isinstance(column.type, (BigInteger, Integer))
                and (column.name.endswith("_at") or column.name in ("at", "until"))
                and not column.primary_key
            ]
            if columns:
                connection.execute(update(table).values({c: c - micros for c in columns}))

    database.write(move)
