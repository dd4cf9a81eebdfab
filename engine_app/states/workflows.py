"""The list of workflows that the viewer may run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import reflex as rx

from engine.store import views
from engine_app.auth.viewer import Viewer
from engine_app.live import owner_topic
from engine_app.reading import database
from engine_app.states.base import Follow, Following


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

    @rx.event(background=True)
    async def watch(self) -> Any:
        """Show the workflows with the newest execution of each, and again when one changes."""
        follow = Follow(
            self,
            topics=lambda viewer: (owner_topic(viewer.id),),
            aim=lambda: _read,
            show=self._show,
        )
        await follow.run()

    def _show(self, cards: list[Card]) -> None:
        self._set(cards=cards)
        self._still = True


def _read(viewer: Viewer) -> list[Card]:
    rows = database().read(lambda connection: views.workflows(connection, viewer.id))
    times = Counter(row.name for row in rows)
    return [
        Card(
            id=row.id,
            # One's own workflow may bear the name of a shared one: then only the id tells.
            path=f"/workflows/{row.name if times[row.name] == 1 else row.id}",
            name=row.name,
            about=row.description or row.title,
            shared=row.shared,
            version=row.latest_version,
            steps=row.steps,
            last_id=row.last_execution_id or "",
            last_status=row.last_status or "",
            last_at=row.last_created_at or 0,
        )
        for row in rows
    ]
