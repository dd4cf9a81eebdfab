"""A database of an earlier revision, with executions under way, goes on under this one."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from engine.flow.definition_cache import Versions
from engine.store.db import migrate, schema_version
from engine.store.db.database import Database
from tests.support.house import House, python
from tests.support.invariants import check
from tests.support.saying import signal, transform, waits
from tests.support.transitions import claimed, inc


def to_revision(url: str, wanted: str) -> None:
    """Take the tables back: what later revisions added is lost, as if it had never been."""
    parsed = schema_version.parsed(url)
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    with schema_version.connected(parsed) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, wanted)


def make(house: House) -> dict[str, str]:
    """Return executions of the first release's language, each in another status."""
    made = {"ended": house.run(house.publish("ended", {"a": transform(1)}))}
    made["pending"] = house.start(house.publish("pending", {"a": transform(2)}))
    naps = {"nap": {"uses": "sleep", "with": {"for": "1h"}}}
    made["parked"] = house.run(house.publish("parked", naps))
    each = {**python(inc, x="${{ item }}"), "for_each": [1, 2, 3, 4], "max_parallel": 2}
    steps = {"each": each, "all": transform("${{ steps.each.output }}")}
    made["fan-out"] = house.start(house.publish("fan", steps))
    house.plan(made["fan-out"])
    house.deliver(house.inbox.pop(0))
    house.deliver(house.inbox.pop(0))
    made["cancelled"], _key = claimed(house, worker="gone")
    house.cancel(made["cancelled"])
    made["running"], _key = claimed(house, worker="gone")
    house.inbox.clear()
    house.dispatches.clear()
    return made


def reopen(house: House, url: str) -> None:
    """Let the house go on with the database as the newest release finds it."""
    house.database = Database.open(url)
    house.versions = Versions(house.database)
    house.executor = house.worker("w2")


@pytest.mark.parametrize("earlier", ["0001", "0002"])
def test_executions_under_way_are_run_to_their_ends(database_url: str, earlier: str) -> None:
    house = House(Database.open(database_url))
    made = make(house)
    house.database.close()
    to_revision(database_url, earlier)
    assert schema_version.current(database_url) == earlier
    migrate.upgrade(database_url)
    assert schema_version.current(database_url) == schema_version.NEWEST
    reopen(house, database_url)

    house.broker.empty = True
    house.write("UPDATE step_runs SET due_at = 1, queued_at = 1 WHERE status <> 'running'")
    house.write("UPDATE executions SET due_at = 1 WHERE due_at IS NOT NULL")
    for _sweep in range(3):
        house.sweep()
        house.drain()
        house.write("UPDATE executions SET due_at = 1 WHERE due_at IS NOT NULL")

    ends = {name: house.status(execution_id) for name, execution_id in made.items()}
    assert ends.pop("cancelled") == "cancelled"
    assert set(ends.values()) == {"completed"}, ends
    assert house.output(made["fan-out"]) == [2, 3, 4, 5]
    assert house.output(made["running"]) == 2
    check(house.database)
    house.database.close()


def test_signals_kept_under_the_second_revision_are_taken_under_this_one(database_url: str) -> None:
    house = House(Database.open(database_url))
    for body in (1, 2):
        signal(house, body=body)
    house.database.close()
    to_revision(database_url, "0002")
    migrate.upgrade(database_url)
    reopen(house, database_url)

    workflow_id = house.publish("waiting", {"a": waits()})
    assert [house.output(house.run(workflow_id)) for _ in range(2)] == [1, 2]
    sent = signal(house, body=3, idempotency_key="k")
    assert signal(house, body=3, idempotency_key="k") == sent
    check(house.database)
    house.database.close()
