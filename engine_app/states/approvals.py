"""What waits for the viewer's decision: live, with the form of each."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import reflex as rx

from engine.store import reads
from engine_app.auth.viewer import Viewer
from engine_app.db_access import database
from engine_app.pubsub import EVERYTHING
from engine_app.scenes import Picture
from engine_app.states.answering import Answering
from engine_app.states.base import Follow, Following, query_of
from engine_app.states.shapes_asks import approvals

SHOWN = 50  # at once


class ApprovalsState(Answering, Following, rx.State):
    """The asks, each with its form."""

    newest: str = ""
    older: str = ""
    _cursor: str = ""

    @rx.event(background=True)
    async def watch(self) -> Any:
        """Show what waits, and again whenever something changes."""
        async with self:
            self._clear_asks()
            cursor = self._open()
        follow = Follow(
            self,
            about=cursor,
            topics=lambda viewer: (EVERYTHING,),  # what waits for them may be another's
            read=lambda: lambda viewer, _: _read(viewer, cursor),
            own=self._show_asks,
        )
        await follow.run()

    def _open(self) -> str:
        """Read the address; cards of another page must not stay."""
        cursor = query_of(self, "before")
        if cursor != self._cursor:
            self.loaded, self.asks, self._asked = False, [], []
        self._cursor = cursor
        self.newest = "/approvals" if cursor else ""
        return cursor


def _read(viewer: Viewer, cursor: str) -> Picture:
    page = database().read(
        lambda connection: reads.approvals(
            connection, viewer.id, viewer.name, cursor=cursor or None, limit=SHOWN
        )
    )
    older = f"/approvals?before={quote(page.next_cursor)}" if page.next_cursor else ""
    return Picture({"older": older}, own=approvals(page.rows), still=True)
