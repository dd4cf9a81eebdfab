"""Redis only wakes: what it refuses costs time and nothing else.

What it forgets, doubles or reorders is in the scorecard's rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import invariants
from tests.support.fleet import Fleet, chain, fan_out, fleet_on, python
from tests.support.processes import eventually

# Every hop goes through Redis: what is lost there shows.
BY_MESSAGE = {"ENGINE_CONTINUATION_MS": "0"}


@pytest.fixture
def fleet(request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Two workers with the default settings; the database makes no difference here."""
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


def test_links_that_redis_refuses_to_take_are_sent_later(fleet: Fleet) -> None:
    wanted = start_work(fleet)
    fleet.await_effect("start", count=6)
    # Out of memory, it refuses each script that writes: no link can be sent, none acknowledged.
    fleet.client.redis.config_set("maxmemory", 1)
    fleet.await_effect("end", count=6)
    eventually(
        lambda: any(worker.says("'maxmemory'") for worker in fleet.workers),
        seconds=20,
        what="a message is refused",
    )
    fleet.client.redis.config_set("maxmemory", 0)
    fleet.await_end(seconds=60)
    assert outputs(fleet, wanted) == wanted
