"""Reads for people: what pages, the API and the command line show. One address for all of them.

Every function that takes an ``owner_id`` sees only what that owner may see: their executions,
schedules and dead letters, and the workflows that are theirs or shared. Another's id raises
``NotFound``, as one that never was. Lists carry no payloads.
"""

from engine.store.views_catalog import (
    dead_letters,
    definition,
    schedule,
    schedules,
    versions,
    workers,
    workflow,
    workflows,
)
from engine.store.views_detail import execution, execution_row, items, pinned, step
from engine.store.views_executions import COUNT_CAP, MAX_LIMIT, counts, executions
from engine.store.views_rows import (
    ArtifactBody,
    ArtifactRow,
    AttemptRow,
    DeadLetterRow,
    EventView,
    ExecutionDetail,
    ExecutionRow,
    ItemRow,
    Large,
    LogView,
    Page,
    ScheduleRow,
    StepDetail,
    StepRow,
    VersionRow,
    WorkerRow,
    WorkflowDetail,
    WorkflowRow,
)
from engine.store.views_stream import artifact_bodies, artifacts, events, logs, news

__all__ = [
    "COUNT_CAP",
    "MAX_LIMIT",
    "ArtifactBody",
    "ArtifactRow",
    "AttemptRow",
    "DeadLetterRow",
    "EventView",
    "ExecutionDetail",
    "ExecutionRow",
    "ItemRow",
    "Large",
    "LogView",
    "Page",
    "ScheduleRow",
    "StepDetail",
    "StepRow",
    "VersionRow",
    "WorkerRow",
    "WorkflowDetail",
    "WorkflowRow",
    "artifact_bodies",
    "artifacts",
    "counts",
    "dead_letters",
    "definition",
    "events",
    "execution",
    "execution_row",
    "executions",
    "items",
    "logs",
    "news",
    "pinned",
    "schedule",
    "schedules",
    "step",
    "versions",
    "workers",
    "workflow",
    "workflows",
]
