"""What waits for the viewer's decision: live, with the form of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import reflex as rx

from engine.store import views
from engine_app.auth.viewer import Viewer
from engine_app.live import owner_topic
from engine_app.reading import database
from engine_app.states.answering import Answering
from engine_app.states.base import Follow, Following
from engine_app.states.shapes_waits import Ask, approvals

SHOWN = 50  # the newest; decided ones make room


class ApprovalsState(Answering, Following, rx.State):
    """The asks, each with its form."""

    @rx.event(background=True)
    async def watch(self) -> Any:
        """Show what waits, and again whenever something changes."""
        follow = Follow(
            self,
            topics=lambda viewer: (owner_topic(viewer.id),),
            aim=self._aim,
            show=self._show_asks,
        )
        await follow.run()

    def _aim(self) -> Callable[[Viewer], list[Ask]]:
        return _read


def _read(viewer: Viewer) -> list[Ask]:
    page = database().read(
        lambda connection: views.approvals(connection, viewer.id, viewer.name, limit=SHOWN)
    )
    return approvals(page.rows)
