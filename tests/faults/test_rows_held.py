"""A process that stands still in a transaction holds rows: no worker is dead for it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.support import invariants
from tests.support.fleet import QUICK, Fleet, fleet_on, python
from tests.support.processes import eventually

HELD = 6.0  # seconds: two leases


@pytest.fixture
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    with fleet_on(request, "postgresql", workers=1, variables=QUICK) as fleet:
        yield fleet
        invariants.check(fleet.database, effects=fleet.effects())


def test_a_worker_beats_while_it_cannot_commit_a_result(fleet: Fleet) -> None:
    execution_id = fleet.begin(fleet.publish("nap", {"a": python("nap", seconds=0.5)}))
    fleet.await_effect("start")
    oldest, until = 0.0, time.monotonic() + HELD

    def looked() -> bool:
        nonlocal oldest
        [(beat,)] = fleet.query("SELECT beat_at FROM workers")
        oldest = max(oldest, (fleet.database.now() - beat) / 1e6)
        return time.monotonic() > until

    with psycopg.connect(fleet.variables["DATABASE_URL"]) as other:
        other.execute("SELECT 1 FROM executions WHERE id = %s FOR UPDATE", [execution_id])
        eventually(looked, seconds=2 * HELD, what="the rows were held for two leases")
    fleet.await_end(execution_id)
    assert oldest < float(QUICK["ENGINE_LEASE_SECONDS"])
    assert fleet.step(execution_id, 0, "status", "attempts", "crashes") == ("completed", 1, 0)
