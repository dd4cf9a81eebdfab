"""What a decision writes, as a value: the core makes a plan, the store carries it out.

A plan is a list of orders about one execution. The store carries them out one after the other in
the transaction in which they were decided; a table in memory does the same in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.core.event import Event, EventType
from engine.core.execution_state import ExecutionState
from engine.core.planning import PlannedRun
from engine.core.status import Reason, StepStatus
from engine.core.transitions import RunKey, Transition


@dataclass(frozen=True, slots=True)
class Apply:
    """Carry out a transition of one step run, if it still has that epoch and status."""

    key: RunKey
    epoch: int
    transition: Transition


@dataclass(frozen=True, slots=True)
class ClaimStep:
    """Claim the dependant that is surely ready, for the worker whose step just ended."""

    key: RunKey
    transition: Transition


@dataclass(frozen=True, slots=True)
class ClaimItem:
    """Claim this pending item for the worker whose item just ended.

    It is queued for anyone instead when its row does not hold its parameters.
    """

    key: RunKey
    transition: Transition


@dataclass(frozen=True, slots=True)
class CountNeeds:
    """Count one need less for these steps; those with none left are queued."""

    steps: Sequence[int]
    ran: bool  # whether the need counts as run


@dataclass(frozen=True, slots=True)
class QueueItem:
    """Queue the fan-out's next pending item, this one or a later one."""

    key: RunKey


@dataclass(frozen=True, slots=True)
class FailFanOut:
    """End the fan-out of which one item's failure ends the execution."""

    step: int
    error: str  # JSON


@dataclass(frozen=True, slots=True)
class InsertRuns:
    """Insert the rows of a phase; those that are queued are ready."""

    rows: Sequence[PlannedRun]


@dataclass(frozen=True, slots=True)
class DropOpen:
    """End every step run that is not claimed."""

    target: StepStatus
    reason: Reason


@dataclass(frozen=True, slots=True)
class Requeue:
    """Send the messages of all that is queued; if nothing is, look at the execution itself."""


@dataclass(frozen=True, slots=True)
class SetColumns:
    """Write columns of the execution."""

    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Emit:
    """Append an event about the execution."""

    event: Event


@dataclass(frozen=True, slots=True)
class MarkEnding:
    """Note in the event of this step run's failure that it ends the execution."""

    key: RunKey


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Have the execution looked at once this has committed, or ``wanted`` no more."""

    wanted: bool = True


@dataclass(frozen=True, slots=True)
class CancelChildren:
    """Tell the executions that this one started to end."""


@dataclass(frozen=True, slots=True)
class AnswerParent:
    """Tell the step run that waits for this execution how it ended."""


Order = (
    Apply
    | ClaimStep
    | ClaimItem
    | CountNeeds
    | QueueItem
    | FailFanOut
    | InsertRuns
    | DropOpen
    | Requeue
    | SetColumns
    | Emit
    | MarkEnding
    | Dispatch
    | CancelChildren
    | AnswerParent
)


@dataclass(frozen=True, slots=True)
class FanOut:
    """A fan-out's counters after one of its items ended."""

    items: int
    left: int
    refill: int  # the item that may be queued now, if there is one
    failed: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Chain:
    """What a worker would claim in the transaction that completes its step run."""

    step: ClaimStep | None = None
    item: Transition | None = None  # the claim of the next item, whichever that is


@dataclass(frozen=True, slots=True)
class Chained:
    """What a worker did claim in that transaction; ``input`` are an item's parameters as JSON."""

    item: int
    attempts: int
    input: str | None


@dataclass(slots=True)
class Plan:
    """Orders, and the execution's state as they leave it.

    ``state`` does not count step runs that become ready by ``CountNeeds``, nor those that
    ``DropOpen`` ends: how many they are only the rows tell. Where a decision needs to know,
    ``asks_again`` has it made once the orders are carried out (``termination.end_if_idle``).
    """

    state: ExecutionState
    now: int
    orders: list[Order] = field(default_factory=list)
    asks_again: bool = False

    @classmethod
    def on(cls, state: ExecutionState, now: int) -> Plan:
        """Return an empty plan; ``state`` itself stays as it is."""
        return cls(replace(state), now)

    def order(self, *orders: Order) -> None:
        """Add orders that change nothing of what decisions read."""
        self.orders += orders

    def apply(self, key: RunKey, epoch: int, transition: Transition) -> None:
        """Have a step run make a transition."""
        self.state.count(key, transition)
        self.orders.append(Apply(key, epoch, transition))

    def claim_step(self, claim: ClaimStep) -> None:
        """Have a dependant claimed."""
        self.state.count(claim.key, claim.transition)
        self.orders.append(claim)

    def insert(self, rows: Sequence[PlannedRun]) -> None:
        """Have the rows of a phase inserted."""
        self.state.count_inserted(rows)
        self.orders.append(InsertRuns(rows))

    def set(self, **values: Any) -> None:
        """Have columns of the execution written."""
        for name, value in values.items():
            if hasattr(self.state, name):
                setattr(self.state, name, value)
        self.orders.append(SetColumns(values))

    def emit(self, event_type: EventType, **data: Any) -> None:
        """Have an event about the execution appended."""
        self.orders.append(Emit(Event(event_type, data=data)))
