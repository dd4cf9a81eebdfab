"""The claims this process holds: what its heartbeat vouches for, and how it is told to stop."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import StrEnum

from engine.core.transitions import RunKey
from engine.steps.attempt_log import AttemptLog


class Stop(StrEnum):
    """Why user code is to be interrupted."""

    LOST = "lost"  # the claim was taken away: whatever comes of it is stale
    CANCEL = "cancel"  # the execution ends, and the grace it left to running steps is over
    DRAIN = "drain"  # the worker stops: the claim goes back


@dataclass(slots=True)
class Claim:
    """One claimed step run and the thread that works on it."""

    key: RunKey
    epoch: int
    attempt: int
    log: AttemptLog
    cancelled: bool = False  # asked to stop by itself: the execution is about to end
    stop: Stop | None = None
    # Lines are drained and written under it, by its own thread and by the flusher: in order.
    writing: threading.Lock = field(default_factory=threading.Lock)


class Claims:
    """All claims of this process, by step run and epoch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[tuple[RunKey, int], Claim] = {}
        self.draining = False
        self._watermarks: dict[str, int] = {}

    def hold(self, claim: Claim, *, queue: str, sent_at: int | None) -> None:
        """Take note of a claim; ``sent_at`` says when the message that brought it was sent."""
        with self._lock:
            self._held[(claim.key, claim.epoch)] = claim
        if sent_at is not None:
            self.came_through(queue, sent_at)

    def came_through(self, queue: str, sent_at: int) -> None:
        """Take note that a message sent at ``sent_at`` has come through ``queue``."""
        with self._lock:
            self._watermarks[queue] = max(self._watermarks.get(queue, 0), sent_at)

    def drop(self, claim: Claim) -> None:
        """Forget a claim that is settled or lost."""
        with self._lock:
            self._held.pop((claim.key, claim.epoch), None)

    def all(self) -> list[Claim]:
        """Return the claims held now."""
        with self._lock:
            return list(self._held.values())

    def has(self, key: RunKey, epoch: int) -> bool:
        """Return whether this very claim is held."""
        with self._lock:
            return (key, epoch) in self._held

    def watermarks(self) -> dict[str, int]:
        """Return, per queue, how new the newest row is whose message has come through."""
        with self._lock:
            return dict(self._watermarks)

    def drain(self) -> None:
        """Begin no other step after the present ones."""
        self.draining = True

    def interrupt_all(self) -> None:
        """Give every claim back: its user code is interrupted."""
        for claim in self.all():
            claim.stop = claim.stop or Stop.DRAIN
