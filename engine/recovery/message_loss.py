"""What tells that a message was lost: never that it has been silent for long."""

from __future__ import annotations

from typing import Protocol

from engine.store.db.database import Database
from engine.store.recovery import liveness
from engine.store.recovery.liveness import Alive

HELD = 10_000_000  # µs that a worker may hold a message it has not begun
QUIET = 2_000_000  # µs that a message may be on its way before evidence counts against it


class Evidence(Protocol):
    """What the broker can tell about its messages. Each may raise ``NoEvidence``."""

    def generation(self) -> str:
        """Return a word that changes whenever the broker has lost its memory."""
        ...

    def is_empty(self, queue: str) -> bool:
        """Return whether no message waits in ``queue`` to be fetched."""
        ...

    def is_idle(self, queue: str) -> bool:
        """Return whether ``queue`` has no message at all, not even one that a worker holds."""
        ...


def forgot(evidence: Evidence, database: Database, lease: str) -> bool:
    """Return whether the broker lost its memory since the last sweep of the lease's holder."""
    generation = evidence.generation()
    known = database.read(lambda connection: liveness.lease_note(connection, lease))
    if known == generation:
        return False
    database.write(lambda connection: liveness.write_lease_note(connection, lease, generation))
    return known is not None


def lost_before(evidence: Evidence, queue: str, alive: Alive, now: int, *, forgotten: bool) -> int:
    """Return the time (µs) before which an unclaimed row's message is known to be lost.

    Args:
        evidence: the broker's.
        queue: the one that the message was sent through.
        alive: what the workers say that has come through it.
        now: µs.
        forgotten: whether the broker has lost its memory since the last look.
    """
    if forgotten:
        return now
    if evidence.is_idle(queue):
        return now - QUIET
    mark = min(alive.watermarks.get(queue, 0), now - QUIET)
    # Nothing waits in the broker, but workers hold messages that they have not begun: these
    # are not lost, so it takes longer to believe that one is.
    return max(mark, now - HELD) if evidence.is_empty(queue) else mark
