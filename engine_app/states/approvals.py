"""What waits for the viewer's decision: live, with the form of each."""

from __future__ import annotations

from typing import Any

import reflex as rx

from engine.store import views
from engine_app.auth.viewer import Viewer
from engine_app.live import EVERYTHING
from engine_app.reading import database
from engine_app.scenes import Picture
from engine_app.states.answering import Answering
from engine_app.states.base import Follow, Following
from engine_app.states.shapes_asks import approvals

SHOWN = 50  # the newest; decided ones make room


class ApprovalsState(Answering, Following, rx.State):
    """The asks, each with its form."""

    @rx.event(background=True)
    async def watch(self) -> Any:
        """Show what waits, and again whenever something changes."""
        async with self:
            self._clear_asks()
        follow = Follow(
            self,
            about="approvals",
            topics=lambda viewer: (EVERYTHING,),  # what waits for them may be another's
            read=lambda: _read,
            own=self._show_asks,
        )
        await follow.run()


def _read(viewer: Viewer, _choices: object) -> Picture:
    page = database().read(
        lambda connection: views.approvals(connection, viewer.id, viewer.name, limit=SHOWN)
    )
    return Picture({}, own=approvals(page.rows), still=True)
