"""A worker that is killed on the way: ``python -m tests.support.dying URL WORKER POINT TICKET…``.

It runs the one ticket (execution, step, item, epoch, queue), and POINT names the failpoint at which
it gets SIGKILL: nothing of it is cleared up.
"""

from __future__ import annotations

import signal
import subprocess
import sys

from engine import failpoints
from engine.flow.definition_cache import Versions
from engine.settings import Settings
from engine.store.db.database import Database
from engine.store.writes.step_runs import Ticket
from engine.worker.claim_registry import Claims
from engine.worker.run import Executor


def die(url: str, worker_id: str, point: str, ticket: Ticket) -> None:
    """Let a process run the ticket in the name of a worker, and be killed at the failpoint."""
    words = (ticket.execution_id, ticket.step, ticket.item, ticket.epoch, ticket.queue)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.dying", url, worker_id, point, *map(str, words)],
        check=False,
        timeout=30,
    )
    assert done.returncode == -signal.SIGKILL, done


def main(url: str, worker_id: str, point: str, *words: str) -> None:
    execution_id, step, item, epoch, queue = words
    failpoints.arm(f"{point}=kill@1")
    database = Database.open(url)
    Executor(
        settings=Settings(),
        database=database,
        versions=Versions(database),
        worker_id=worker_id,
        claims=Claims(),
        look=lambda _look: None,
    ).run(Ticket(execution_id, int(step), int(item), int(epoch), queue))


if __name__ == "__main__":
    main(*sys.argv[1:])
