"""The list of the viewer's executions: live, filtered by the page's address."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import reflex as rx

from engine.core.status import ExecutionStatus
from engine.errors import EngineError, NotFound
from engine.ids import made_at
from engine.store import reads
from engine.store.db.database import Connection, Database
from engine.store.reads import pending_actions
from engine_app.db_access import client, database, in_thread
from engine_app.pubsub import owner_topic
from engine_app.scenes import Picture
from engine_app.states.base import (
    Follow,
    Following,
    askable,
    query_of,
    session_of,
    to_login,
    viewer_of,
)
from engine_app.states.shapes_notices import Lack, Letter, lack, letter
from engine_app.states.view_models import Line, line

SLOTS = 50
LETTERS_SHOWN = 20  # at once
LACKS_SHOWN = pending_actions.LACKS_SHOWN
NAMES_SHOWN = 200  # to choose from: longer lists are not read, and finding by name has them all
STATUSES = tuple(status.value for status in ExecutionStatus)


@dataclass(frozen=True)
class Filters:
    """What the address asks for."""

    status: str = ""
    workflow: str = ""
    text: str = ""
    cursor: str = ""
    letters: str = ""  # the cursor of dead letters
    lacks: str = ""  # "code": only those that wait for code which no worker has
    schedule: str = ""  # id

    def wanted(self) -> reads.Filter:
        """Return it as the store is asked."""
        return reads.Filter(
            workflow=self.workflow or None,
            status=[self.status] if self.status else None,
            text=self.text or None,
            lacks_code=self.lacks == "code",
            schedule=self.schedule or None,
        )

    def path(self) -> str:
        """Return the address that asks for it."""
        named = {"status": self.status, "workflow": self.workflow, "q": self.text}
        named |= {"before": self.cursor, "lacks": self.lacks, "letters": self.letters}
        named |= {"schedule": self.schedule}
        query = urlencode({name: value for name, value in named.items() if value})
        return "/monitoring" + (f"?{query}" if query else "")


@dataclass(frozen=True)
class _Look:
    """One reading of the page."""

    lines: list[Line]
    next_cursor: str
    reached: int
    summary: str
    workflows: list[str]
    lacks: list[Lack]
    letters: reads.Page[Letter]
    schedule: str  # by its name; by its id when it is gone


class MonitoringState(Following, rx.State):
    """One variable per row: a row that changes is sent alone."""

    summary: str = ""
    shown: int = 0
    filtered: bool = False
    status: str = ""
    workflow: str = ""
    text: str = ""
    older: str = ""
    reached: int = 0
    first: str = ""
    workflows: list[str] = []
    lacks: list[Lack] = []
    more_lacks: bool = False
    lacking: bool = False  # the filter
    scheduled: bool = False  # the filter
    schedule: str = ""  # its name
    letters: list[Letter] = []
    newest_letters: str = ""
    older_letters: str = ""
    more_workflows: bool = False
    refusal: str = ""
    _filters: Filters = Filters()

    @rx.event(background=True)
    async def watch(self) -> Any:
        """Show the rows the address asks for, and again whenever one changes."""
        async with self:
            self._open()
        filters = self._filters
        follow = Follow(
            self,
            about=filters,
            topics=lambda viewer: (owner_topic(viewer.id),),
            read=lambda: lambda viewer, _: picture(read(database(), viewer.id, filters), filters),
        )
        await follow.run()

    def _open(self) -> None:
        """Read the address; rows of other filters must not stay while the new ones are read."""
        filters = Filters(
            status=query_of(self, "status"),
            workflow=query_of(self, "workflow"),
            text=query_of(self, "q"),
            cursor=query_of(self, "before"),
            letters=query_of(self, "letters"),
            lacks=query_of(self, "lacks"),
            schedule=query_of(self, "schedule"),
        )
        if filters != self._filters:
            self.loaded = False
        self._filters = filters
        self.status, self.workflow, self.text = filters.status, filters.workflow, filters.text
        self.lacking, self.scheduled = filters.lacks == "code", filters.schedule != ""
        self.filtered = bool(
            filters.status or filters.workflow or filters.text or self.lacking or self.scheduled
        )
        first = replace(filters, cursor="")
        self.first = first.path() if filters.cursor else ""
        newest = replace(filters, letters="")
        self.newest_letters = newest.path() if filters.letters else ""

    @rx.event
    def search(self, form: dict[str, str]) -> Any:
        """Filter by text."""
        return self._go(text=askable(form.get("q")))

    @rx.event
    def pick_status(self, status: str) -> Any:
        """Filter by status."""
        return self._go(status=status)

    @rx.event
    def pick_workflow(self, workflow: str) -> Any:
        """Filter by workflow."""
        return self._go(workflow=workflow)

    def _go(self, **changed: str) -> Any:
        """Return the way to the same list with a filter changed: the address keeps it."""
        asked = {"status": self.status, "workflow": self.workflow, "text": self.text} | changed
        kept = Filters(lacks=self._filters.lacks, schedule=self._filters.schedule, **asked)
        return rx.redirect(kept.path())

    @rx.event
    async def replay(self, letter_id: str) -> Any:
        """Send a dead letter again, and go to the execution that it is about now."""
        session = session_of(self)
        self.turn += 1

        def act() -> str | None:
            viewer = viewer_of(session)
            if viewer is None:
                return None
            return client().replay(owner_id=viewer.id, dead_letter_id=letter_id[:64])

        try:
            execution_id = await in_thread(act)
        except EngineError as error:
            self.refusal = str(error)
            return None
        self.refusal = ""
        if execution_id is None:
            return to_login(self)
        return rx.redirect(f"/executions/{execution_id}")


for _number in range(SLOTS):
    MonitoringState.add_var(f"row{_number}", Line, Line())


def read(db: Database, owner_id: str, filters: Filters) -> _Look:
    """Return what the page shows its owner now."""
    now = db.now()

    def look(connection: Connection) -> _Look:
        page = reads.executions(
            connection,
            owner_id,
            filters.wanted(),
            now=now,
            cursor=filters.cursor or None,
            limit=SLOTS,
        )
        names = reads.workflow_names(connection, owner_id, NAMES_SHOWN + 1)
        chosen = {filters.workflow} - {"", *names}
        dead = reads.dead_letters(
            connection, owner_id, cursor=filters.letters or None, limit=LETTERS_SHOWN
        )
        return _Look(
            [line(row) for row in page.rows],
            page.next_cursor or "",
            _reached(page),
            _summary(reads.counts(connection, owner_id)),
            [*chosen, *names],
            [lack(row) for row in pending_actions.lacking(connection, owner_id, LACKS_SHOWN + 1)],
            dead.map(letter),
            _schedule(connection, owner_id, filters.schedule),
        )

    return db.read(look)


def _schedule(connection: Connection, owner_id: str, schedule_id: str) -> str:
    if not schedule_id:
        return ""
    try:
        return reads.schedule(connection, owner_id, schedule_id).name
    except NotFound:
        return schedule_id  # deleted: what it started is still there


def picture(look: _Look, filters: Filters) -> Picture:
    """Return a reading as the page's variables: a row has one of its own."""
    older = replace(filters, cursor=look.next_cursor)
    earlier = look.letters.next_cursor
    rows = [*look.lines, *[Line()] * (SLOTS - len(look.lines))]
    shared: dict[str, Any] = {f"row{number}": row for number, row in enumerate(rows)}
    shared |= {
        "shown": len(look.lines),
        "older": older.path() if look.next_cursor else "",
        "reached": look.reached,
        "summary": look.summary,
        "workflows": look.workflows[:NAMES_SHOWN],
        "more_workflows": len(look.workflows) > NAMES_SHOWN,
        "lacks": look.lacks[:LACKS_SHOWN],
        "more_lacks": len(look.lacks) > LACKS_SHOWN,
        "letters": list(look.letters.rows),
        "schedule": look.schedule,
        "older_letters": replace(filters, letters=earlier).path() if earlier else "",
    }
    return Picture(shared, still=all(row.finished for row in look.lines))


def _reached(page: reads.Page[reads.ExecutionRow]) -> int:
    """Return how far back (µs) was looked, when there is more to look through; else 0."""
    if page.next_cursor is None or len(page.rows) == SLOTS:
        return 0
    return made_at(page.next_cursor)


def _summary(counts: dict[str, int]) -> str:
    """Return where the viewer's executions stand, in words, before any table."""
    words = [
        f"{number}{'+' if number >= reads.COUNT_CAP else ''} {status}"
        for status in (
            "running",
            "waiting",
            "pending",
            "paused",
            "failed",
            "completed",
            "cancelled",
        )
        if (number := counts.get(status, 0))
    ]
    return " · ".join(words) if words else "nothing has run yet"
