"""What people are shown, as plain values. Times are microseconds since 1970 in UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ExecutionRow:
    """An execution in a list. ``detail`` says in words what it does, waits for or died of."""

    id: str
    workflow_id: str
    workflow: str
    version: int
    status: str
    reason: str | None
    detail: str
    trigger: str
    trigger_detail: str | None
    created_at: int
    started_at: int | None
    finished_at: int | None
    runs_done: int
    runs_total: int
    last_seq: int
    cancel_requested_at: int | None
    origin_id: str | None
    rerun_from: str | None = None  # the step it was run again from; None: from what had failed
    parent_id: str | None = None
    ending: str | None = None  # what it will end as: failed | cancelled
    phase: str = "steps"  # closing: its compensations and finally steps; abandoned: not even these
    deadline_at: int | None = None  # when it fails if it has not ended by then
    schedule_id: str | None = None  # of the schedule whose slot it is


@dataclass(frozen=True, slots=True)
class LinkRow:
    """Another execution that this one has to do with.

    ``step`` is the parent's step that started it, or the step it was run again from.
    """

    id: str
    workflow: str
    version: int
    status: str
    step: str | None
    item: int | None
    created_at: int
    finished_at: int | None


@dataclass(frozen=True, slots=True)
class WaitRow:
    """What a waiting step run waits for. ``kind`` says which of the fields mean something."""

    kind: str  # time | signal | approval | workflow
    until_at: int | None  # when a sleep is over, or nobody waits any longer; None: never
    signal: str | None = None
    correlation: str | None = None
    title: str | None = None
    description: str | None = None
    form: Mapping[str, Any] | None = None
    approvers: Sequence[str] | None = None  # by name; none named: the owner
    left_out: int | None = None  # bytes of an approval whose description and form are not here
    child_id: str | None = None
    workflow: str | None = None  # the child's


@dataclass(frozen=True, slots=True)
class StepRow:
    """A node of an execution, without its input and output.

    ``progress`` is what the newest attempt said of itself: ``done``, ``total``, ``note``.
    """

    index: int
    name: str
    uses: str
    status: str
    reason: str | None
    attempts: int
    crashes: int
    max_attempts: int
    queued_at: int | None
    started_at: int | None
    finished_at: int | None
    due_at: int | None
    worker_id: str | None
    items: int | None  # of a fan-out: how many
    items_left: int | None  # how many have not ended
    items_failed: int
    error: Mapping[str, Any] | None
    needs: tuple[str, ...]
    reused_from: str | None
    progress: Mapping[str, Any] | None
    waits_for: WaitRow | None = None


@dataclass(frozen=True, slots=True)
class ItemRow:
    """One item of a fan-out, without its payloads."""

    item: int
    status: str
    reason: str | None
    attempts: int
    crashes: int
    queued_at: int | None
    started_at: int | None
    finished_at: int | None
    due_at: int | None
    worker_id: str | None
    error: Mapping[str, Any] | None
    progress: Mapping[str, Any] | None
    waits_for: WaitRow | None = None


@dataclass(frozen=True, slots=True)
class FailureRow:
    """An item of a fan-out that failed for good."""

    item: int
    error: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """A try that did not complete."""

    step: str
    item: int | None
    attempt: int
    outcome: str  # failed | crashed | released | cancelled
    reason: str
    worker_id: str | None
    started_at: int | None
    finished_at: int
    error: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Large:
    """What is told of a value that is too large to be shown: a download gives it whole."""

    size: int | None  # bytes as JSON; None: a list that is put together from its items
    preview: str  # how its JSON begins


@dataclass(frozen=True, slots=True)
class ExecutionDetail:
    """An execution with all its nodes. An output that is None may stand in ``large``."""

    row: ExecutionRow
    input: Any
    output: Any
    error: Mapping[str, Any] | None
    cancel_note: str | None
    steps: Sequence[StepRow]
    attempts: Sequence[AttemptRow]
    large: Mapping[str, Large]
    parent: LinkRow | None = None
    origin: LinkRow | None = None  # None too when it was pruned
    children: Sequence[LinkRow] = ()  # the newest
    children_total: int = 0
    again: Sequence[LinkRow] = ()  # what it was run again as, newest first


@dataclass(frozen=True, slots=True)
class StepDetail:
    """A node, or one item of it, with the values that flowed and every failed try.

    A value that is None may stand in ``large``, under its name.
    """

    row: StepRow | ItemRow
    name: str
    item: int | None
    input: Any
    output: Any
    value: Any  # an item's own value
    attempts: Sequence[AttemptRow]
    large: Mapping[str, Large]
    failures: Sequence[FailureRow] = ()  # of a fan-out: the first items that failed


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """A step run that waits for a person, as its approvers see it: nothing else of the owner's.

    Where ``left_out`` has a size (bytes), description and form are too large for a list: the one
    approval has them.
    """

    execution_id: str
    step: str
    item: int | None
    workflow: str
    version: int
    owner: str  # by name
    mine: bool
    title: str
    description: str
    form: Mapping[str, Any]
    approvers: Sequence[str]
    since_at: int
    until_at: int | None
    left_out: int | None = None


@dataclass(frozen=True, slots=True)
class EventView:
    """A fact of an execution."""

    seq: int
    type: str
    step: str | None
    item: int | None
    attempt: int | None
    at: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LogView:
    """A line that user code wrote."""

    seq: int
    step: str
    item: int | None
    attempt: int
    at: int
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    """A thing that a step made for people, without its body."""

    id: str
    step: str
    item: int | None
    attempt: int
    name: str
    kind: str  # markdown | table | image | link | file
    media_type: str
    size: int
    created_at: int


@dataclass(frozen=True, slots=True)
class ArtifactBody:
    """An artifact's bytes."""

    name: str
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """A workflow in a list, with the viewer's own newest execution of it."""

    id: str
    name: str
    title: str
    description: str
    shared: bool
    mine: bool
    latest_version: int
    steps: int
    created_at: int
    last_execution_id: str | None
    last_status: str | None
    last_created_at: int | None


@dataclass(frozen=True, slots=True)
class WorkflowDetail:
    """A workflow with one version's document."""

    row: WorkflowRow
    version: int
    document: Mapping[str, Any]
    input_schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version in a list."""

    number: int
    hash: str
    created_by: str
    created_at: int


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """Slots that did not fire, by the schedule's policy for missed ones; found at ``at``."""

    count: int  # 10,000 at most
    first_at: int
    last_at: int
    at: int


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """When a workflow starts by itself."""

    id: str
    name: str
    workflow_id: str
    workflow: str
    version: int | None
    cron: str
    zone: str
    input: Any
    missed: str
    missed_cap: int
    next_at: int | None
    last_slot: int | None
    paused_at: int | None
    created_at: int
    problem: str | None  # why it does not start although it is due
    problem_at: int | None
    skipped: SkippedRow | None  # what it passed over last


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker process; ``alive`` while its last beat is younger than the lease."""

    id: str
    host: str
    pid: int
    queues: Sequence[str]
    threads: int
    functions: Sequence[str]
    started_at: int
    beat_at: int
    stopped_at: int | None
    end_reason: str | None  # why it ended, unless it was asked to
    alive: bool
    running: int  # step runs it has claimed, whoever they belong to


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """A message that could not be carried out."""

    id: str
    execution_id: str | None
    queue: str
    actor: str
    reason: str
    error: Mapping[str, Any] | None
    created_at: int
    replayed_at: int | None
