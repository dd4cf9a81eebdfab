"""One execution as the database tells it: what the judges read. Payloads are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.definition import Definition

Key = tuple[int, int]  # step, item; the node itself is item -1


@dataclass(frozen=True, slots=True)
class HeadRecord:
    """An execution's row. Times in µs."""

    id: str
    owner_id: str
    workflow_id: str
    version: int
    status: str
    reason: str | None
    ending: str | None
    phase: str
    finished_at: int | None
    due_at: int | None
    deadline_at: int | None
    last_seq: int
    last_log: int
    active: int
    steps_left: int
    runs_total: int
    runs_done: int
    parent_id: str | None
    leaves_parent: bool


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A step run's row. Times in µs."""

    step: int
    item: int
    status: str
    reason: str | None
    epoch: int
    attempts: int
    crashes: int
    needs_left: int
    queue: str
    due_at: int | None
    queued_at: int | None
    wait_for: str | None
    worker_id: str | None
    items: int | None
    items_left: int | None
    reused_from: str | None

    @property
    def key(self) -> Key:
        """Step and item."""
        return self.step, self.item


@dataclass(frozen=True, slots=True)
class EventRecord:
    """A fact; those of the execution itself have no ``step``.

    ``ends`` tells that it is the failure that ended the execution.
    """

    seq: int
    type: str
    step: int | None
    item: int | None
    ends: bool = False

    @property
    def key(self) -> Key:
        """Step and item of a step run's fact."""
        assert self.step is not None
        return self.step, -1 if self.item is None else self.item


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """A try that did not complete; ``finished_at`` in µs."""

    step: int
    item: int
    epoch: int
    outcome: str
    finished_at: int


@dataclass(frozen=True, slots=True)
class NoticeRecord:
    """What another has to tell the execution; ``created_at`` in µs."""

    id: str
    kind: str
    step: int | None
    item: int | None
    created_at: int


@dataclass(frozen=True, slots=True)
class ChildRecord:
    """An ended child whose end a step run may wait for."""

    id: str
    step: int
    item: int
    epoch: int
    status: str


@dataclass(slots=True)
class History:
    """All that judges read of one execution, as of one instant.

    ``definition`` is None when its version is gone or cannot be read; ``unreadable`` says why.
    ``parent_status`` is None without a parent, and "gone" when there is none any more.
    """

    head: HeadRecord
    definition: Definition | None
    unreadable: str = ""
    runs: dict[Key, RunRecord] = field(default_factory=dict)
    events: list[EventRecord] = field(default_factory=list)
    attempts: dict[Key, list[AttemptRecord]] = field(default_factory=dict)
    lines: int = 0  # how many log lines there are
    last_line: int = 0  # the number of the last one
    notices: Sequence[NoticeRecord] = ()
    children: Sequence[ChildRecord] = ()
    parent_status: str | None = None


@dataclass(frozen=True, slots=True)
class World:
    """What the liveness checks must know beside an execution. Times in µs.

    ``watermarks`` say per queue how new the newest message is that came through it;
    ``backlog`` says whether executions wait long for their dispatch.
    """

    now: int
    patience: int
    alive: frozenset[str] = frozenset()
    watermarks: Mapping[str, int] = field(default_factory=dict)
    backlog: bool = False
