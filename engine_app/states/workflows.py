"""The list of workflows that the viewer may run: in pages, filtered by the page's address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import reflex as rx

from engine.store import reads
from engine_app.auth.viewer import Viewer
from engine_app.db_access import database
from engine_app.pubsub import owner_topic
from engine_app.scenes import Picture
from engine_app.states.base import Follow, Following, askable, query_of


@dataclass(frozen=True)
class Card:
    """A workflow in the list."""

    id: str = ""
    path: str = ""
    name: str = ""
    about: str = ""
    shared: bool = False
    version: int = 0
    steps: int = 0
    last_id: str = ""
    last_status: str = ""
    last_at: int = 0


class WorkflowsState(Following, rx.State):
    """Small and seldom changed: one list."""

    cards: list[Card] = []
    text: str = ""
    first: str = ""
    further: str = ""
    _asked: tuple[str, str] = ("", "")  # the text to find, the cursor

    @rx.event(background=True)
    async def watch(self) -> Any:
        """Show the workflows with the newest execution of each, and again when one changes."""
        async with self:
            self._open()
        asked = self._asked
        follow = Follow(
            self,
            about=asked,
            topics=lambda viewer: (owner_topic(viewer.id),),
            read=lambda: lambda viewer, _: _read(viewer, *asked),
        )
        await follow.run()

    def _open(self) -> None:
        """Read the address; rows of another page must not stay while the new ones are read."""
        asked = query_of(self, "q"), query_of(self, "after")
        if asked != self._asked:
            self.loaded = False
        self._asked = asked
        self.text = asked[0]
        self.first = _path(self.text) if asked[1] else ""

    @rx.event
    def search(self, form: dict[str, str]) -> Any:
        """Show those whose name has the text."""
        return rx.redirect(_path(askable(form.get("q"))))


def _path(text: str, cursor: str = "") -> str:
    query = urlencode({name: value for name, value in (("q", text), ("after", cursor)) if value})
    return "/workflows" + (f"?{query}" if query else "")


def _read(viewer: Viewer, text: str, cursor: str) -> Picture:
    page = database().read(
        lambda connection: reads.workflows(
            connection, viewer.id, text=text or None, cursor=cursor or None
        )
    )
    further = _path(text, page.next_cursor) if page.next_cursor else ""
    return Picture({"cards": [_card(row) for row in page.rows], "further": further}, still=True)


def _card(row: reads.WorkflowRow) -> Card:
    return Card(
        id=row.id,
        # One's own workflow may bear the name of a shared one, which only its id tells then.
        path=f"/workflows/{row.name if row.mine else row.id}",
        name=row.name,
        about=row.description or row.title,
        shared=row.shared,
        version=row.latest_version,
        steps=row.steps,
        last_id=row.last_execution_id or "",
        last_status=row.last_status or "",
        last_at=row.last_created_at or 0,
    )
