"""What a verb leaves for its caller to do after the commit: messages to send, pages to tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.core.execution_state import ExecutionState
from engine.store.writes.step_runs import Ticket


@dataclass(frozen=True, slots=True)
class ActorCall:
    """A step run for an actor of the user's, with what the actor is called with."""

    actor: str
    arguments: Mapping[str, Any]
    ticket: Ticket


@dataclass(slots=True)
class Sends:
    """Messages to send. One that is never sent costs time only: its row says what is due."""

    now: list[Ticket] = field(default_factory=list)
    later: list[tuple[Ticket, int]] = field(default_factory=list)  # with µs of delay
    dispatches: list[str] = field(default_factory=list)  # execution ids
    calls: list[ActorCall] = field(default_factory=list)

    def drop_dispatch(self, execution_id: str) -> None:
        """Send no dispatch for an execution: what it was for has been done."""
        self.dispatches = [one for one in self.dispatches if one != execution_id]


@dataclass(frozen=True, slots=True)
class Look:
    """Says whose page has news, never what they are."""

    execution: str
    owner: str
    workflow: str

    @classmethod
    def of(cls, head: ExecutionState) -> Look:
        """Return the look for an execution that was written."""
        return cls(head.id, head.owner_id, head.workflow_id)
