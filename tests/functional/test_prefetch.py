"""How many messages a worker fetches: as many as it has threads, whatever the environment says."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.fleet import fleet_on, python

THREADS = 3
# Dramatiq reads its variables when it is imported: only a process of its own shows what they do.
LOOK = """
import json, time
import actors, dramatiq
worker = dramatiq.Worker(actors.broker, worker_threads=THREADS)
worker.start()
until = time.monotonic() + 30
while any(one.consumer is None for one in worker.consumers.values()):
    assert time.monotonic() < until, "no consumer was made"
    time.sleep(0.01)
print(json.dumps({name: one.consumer.prefetch for name, one in worker.consumers.items()}))
worker.stop()
"""


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"dramatiq_queue_prefetch": "200", "dramatiq_delay_queue_prefetch": "1"},
        {"dramatiq_queue_prefetch": "1", "dramatiq_worker_timeout": "50"},
    ],
)
def test_a_worker_fetches_one_message_a_thread_and_delayed_ones_by_the_thousand(
    sqlite_url: str, redis_url: str, variables: dict[str, str]
) -> None:
    own = {**os.environ, "DATABASE_URL": sqlite_url, "REDIS_URL": redis_url, **variables}
    done = subprocess.run(
        [sys.executable, "-c", LOOK.replace("THREADS", str(THREADS))],
        env=own,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["dispatch"] == found["steps"] == found["steps.long"] == THREADS
    assert found["dispatch.DQ"] == found["steps.DQ"] == found["steps.long.DQ"] == 1000 * THREADS


def test_no_message_waits_for_a_busy_worker_while_another_rests(
    request: pytest.FixtureRequest,
) -> None:
    with fleet_on(request, "sqlite", workers=2) as fleet:
        workflow_id = fleet.publish("hold", {"long": python("nap_first", seconds=8)})
        # As many as the threads of both together.
        for _ in range(8):
            fleet.begin(workflow_id)
        # Before the first of them is over. A message that is held would take longer.
        fleet.await_effect("start", step="long", count=8, seconds=6)
        fleet.await_end(seconds=30)
