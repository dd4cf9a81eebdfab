"""What a verb leaves for its caller to do after the commit: messages to send, pages to tell."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.machine.head import Head
from engine.store.steps import Ticket


@dataclass(slots=True)
class Sends:
    """Messages owed. One that is never sent costs time only: its row says what is owed."""

    now: list[Ticket] = field(default_factory=list)
    later: list[tuple[Ticket, int]] = field(default_factory=list)  # with µs of delay
    dispatches: list[str] = field(default_factory=list)  # execution ids


@dataclass(frozen=True, slots=True)
class Look:
    """Says whose page has news, never what they are."""

    execution: str
    owner: str
    workflow: str

    @classmethod
    def of(cls, head: Head) -> Look:
        """Return the look for an execution that was written."""
        return cls(head.id, head.owner_id, head.workflow_id)
