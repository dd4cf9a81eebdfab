"""How many messages a worker fetches ahead: the engine decides, whatever the environment says."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

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
def test_a_worker_fetches_two_a_thread_and_one_of_what_is_long(
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
    assert found["dispatch"] == found["steps"] == 2 * THREADS
    assert found["steps.long"] == THREADS
    assert found["dispatch.DQ"] == found["steps.DQ"] == found["steps.long.DQ"] == 1000 * THREADS
