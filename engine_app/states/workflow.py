"""One workflow: its graph, a form that runs it, its newest executions, versions, schedules."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

import reflex as rx

from engine.definition import Definition
from engine.store import reads
from engine_app.auth.viewer import Viewer
from engine_app.components.graph_layout import Node, layout
from engine_app.db_access import database
from engine_app.pubsub import workflow_topic
from engine_app.scenes import Picture
from engine_app.schedule_notes import note
from engine_app.states.base import (
    Follow,
    Following,
    param_of,
    query_of,
)
from engine_app.states.running import RunForm
from engine_app.states.view_models import Line, line

SLOTS = 10  # newest executions on screen
LISTED = 10  # versions and schedules at once


@dataclass(frozen=True)
class Asked:
    """What the address asks for: a workflow, and where its long lists go on."""

    id: str = ""
    versions: str = ""
    schedules: str = ""

    def path(self, **changed: str) -> str:
        """Return the address, with something changed."""
        wanted = replace(self, **changed)
        cursors = {"versions": wanted.versions, "schedules": wanted.schedules}
        query = urlencode({name: cursor for name, cursor in cursors.items() if cursor})
        return f"/workflows/{quote(self.id)}" + (f"?{query}" if query else "")


@dataclass(frozen=True)
class Version:
    """A version in the list."""

    number: int = 0
    hash: str = ""
    at: int = 0


@dataclass(frozen=True)
class Due:
    """A schedule in the list."""

    name: str = ""
    cron: str = ""
    zone: str = ""
    next: int = 0
    paused: bool = False
    missed: str = ""
    problem: str = ""  # why it does not start although it is due
    note: str = ""
    id: str = ""


@dataclass(frozen=True)
class _Pinned:
    """The version that the page is about."""

    id: str
    version: int
    shared: bool
    definition: Definition = field(compare=False)  # the same for the same version


@dataclass(frozen=True)
class _Look:
    """One reading of the page."""

    pinned: _Pinned
    lines: list[Line]
    versions: reads.Page[Version]
    dues: reads.Page[Due]


class WorkflowState(RunForm, Following, rx.State):
    """The definition is sent when its version changes, the executions row by row."""

    id: str = ""
    name: str = ""
    about: str = ""
    version: int = 0
    shared: bool = False
    nodes: list[Node] = []
    edges: list[str] = []
    width: int = 0
    height: int = 0
    document: str = ""
    lines: int = 0
    versions: list[Version] = []
    newest_versions: str = ""
    older_versions: str = ""
    dues: list[Due] = []
    newest_dues: str = ""
    older_dues: str = ""
    _asked: Asked = Asked()

    @rx.event(background=True)
    async def watch(self) -> Any:
        """Show the workflow of the address, and its executions as they change."""
        async with self:
            asked = self._open()
        follow = Follow(
            self,
            about=asked,
            topics=lambda viewer: (workflow_topic(viewer.id, _id_of(viewer, asked.id)),),
            read=lambda: lambda viewer, _: _picture(_read(viewer.id, asked), asked),
            own=self._show_definition,
        )
        await follow.run()

    def _open(self) -> Asked:
        asked = Asked(param_of(self, "id"), query_of(self, "versions"), query_of(self, "schedules"))
        if asked.id != self._asked.id:
            self.reset()
        self._asked = asked
        self.newest_versions = asked.path(versions="") if asked.versions else ""
        self.newest_dues = asked.path(schedules="") if asked.schedules else ""
        return asked

    def _show_definition(self, pinned: _Pinned) -> None:
        """Show the version, unless the page shows it already."""
        if (pinned.id, pinned.version) == (self.id, self.version):
            return
        definition = pinned.definition
        names = [step.name for step in definition.steps]
        graph = layout(
            [
                (step.name, step.uses, [names[need] for need in step.needs])
                for step in definition.steps
            ]
        )
        self.id, self.version, self.shared = pinned.id, pinned.version, pinned.shared
        self.name, self.about = definition.name, definition.description or definition.title
        self.nodes, self.edges = graph.nodes, graph.edges
        self.width, self.height = graph.width, graph.height
        self.document = json.dumps(definition.document, ensure_ascii=False, indent=2)
        self._show_form(pinned.id, pinned.version, definition.input_schema)


for _number in range(SLOTS):
    WorkflowState.add_var(f"run{_number}", Line, Line())


def _id_of(viewer: Viewer, asked: str) -> str:
    return database().read(lambda connection: reads.workflow(connection, viewer.id, asked).row.id)


def _picture(look: _Look, asked: Asked) -> Picture:
    """Return a reading as the page's variables: a row has one of its own."""
    older, earlier = look.versions.next_cursor, look.dues.next_cursor
    rows = [*look.lines, *[Line()] * (SLOTS - len(look.lines))]
    shared: dict[str, Any] = {f"run{number}": row for number, row in enumerate(rows)}
    shared |= {
        "lines": len(look.lines),
        "versions": list(look.versions.rows),
        "older_versions": asked.path(versions=older) if older else "",
        "dues": list(look.dues.rows),
        "older_dues": asked.path(schedules=earlier) if earlier else "",
    }
    still = all(row.finished for row in look.lines)
    return Picture(shared, own=look.pinned, still=still)


def _read(owner_id: str, asked: Asked) -> _Look:
    db = database()
    now = db.now()

    def read(connection: Any) -> _Look:
        detail = reads.workflow(connection, owner_id, asked.id)
        workflow_id = detail.row.id
        ours = reads.Filter(workflow=workflow_id)
        page = reads.executions(connection, owner_id, ours, now=now, limit=SLOTS)
        return _Look(
            _Pinned(
                workflow_id,
                detail.version,
                detail.row.shared,
                reads.definition(connection, owner_id, workflow_id, version=detail.version),
            ),
            [line(row) for row in page.rows],
            reads.versions(
                connection, owner_id, workflow_id, cursor=asked.versions or None, limit=LISTED
            ).map(lambda row: Version(row.number, row.hash[:12], row.created_at)),
            reads.schedules(
                connection,
                owner_id,
                workflow_id=workflow_id,
                cursor=asked.schedules or None,
                limit=LISTED,
            ).map(_due),
        )

    return db.read(read)


def _due(row: reads.ScheduleRow) -> Due:
    return Due(
        row.name,
        row.cron,
        row.zone,
        row.next_at or 0,
        row.paused_at is not None,
        row.missed,
        row.problem or "",
        note(row),
        row.id,
    )
