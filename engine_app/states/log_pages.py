"""The whole log of an execution in pages: found by text, level or number, wherever it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import reflex as rx

from engine.errors import EngineError
from engine.store import reads
from engine.store.db.database import Connection
from engine.store.reads import LogView
from engine_app.db_access import database, in_thread
from engine_app.states.base import askable, session_of, to_login, viewer_of
from engine_app.states.execution_windows import LINES, Page
from engine_app.states.view_models import log_line

_LARGEST = 2**63 - 1  # that a database knows


@dataclass(frozen=True)
class Place:
    """Where to read: from the line ``after`` on, or up to the one ``before``; else the end."""

    after: int | None = None
    before: int | None = None


class LogPages(rx.State, mixin=True):
    """A page of the log, which is read when asked for and stands still."""

    log_lines: list[list[Any]] = []
    log_page: Page = Page()
    log_wrong: str = ""
    _id: str = ""

    @rx.event
    async def read_log(self, form: dict[str, Any]) -> Any:
        """Show what the form asks for: lines with a text, of a level, from a number on."""
        number = askable(form.get("number"), 19)
        if number and not number.isdecimal():
            self.log_wrong = "The number of a line is a whole one, such as 25000."
            return None
        wanted = Page(text=askable(form.get("text")), least=askable(form.get("least")))
        start = min(int(number), _LARGEST) if number else 0
        return await self._read_log(wanted, Place(after=start - 1) if start else Place())

    @rx.event
    async def turn_log(self, way: str) -> Any:
        """Show the first lines, those earlier or later, or follow the log again."""
        page = self.log_page
        if way == "follow":
            self.log_lines, self.log_page, self.log_wrong = [], Page(), ""
            self._note()
            return None
        places = {"earlier": Place(before=page.first), "later": Place(after=page.last)}
        return await self._read_log(page, places.get(way, Place(after=0)))

    async def _read_log(self, wanted: Page, place: Place) -> Any:
        session, execution_id = session_of(self), self._id

        def look() -> tuple[list[list[Any]], Page] | None:
            viewer = viewer_of(session)
            if viewer is None:
                return None
            return database().read(
                lambda connection: read(connection, viewer.id, execution_id, wanted, place)
            )

        try:
            found = await in_thread(look)
        except EngineError as error:
            self.log_wrong = str(error)
            return None
        if found is None:
            return to_login(self)
        self.log_wrong = ""
        self.log_lines, self.log_page = found
        self._note()
        return None

    def _note(self) -> None:
        """Tell the tab what it shows, to be remembered: of the page that this is part of."""


def read(
    connection: Connection, owner_id: str, execution_id: str, wanted: Page, place: Place
) -> tuple[list[list[Any]], Page]:
    """Return a page of the log, and where it is.

    Raises:
        NotFound: there is no such execution, or it belongs to someone else.
    """

    def lines(limit: int, **where: Any) -> list[LogView]:
        return reads.logs(
            connection,
            owner_id,
            execution_id,
            limit=limit,
            text=wanted.text or None,
            least=wanted.least or None,
            **where,
        )

    if place.after is not None:
        found = lines(LINES, after=max(place.after, 0))
    else:
        found = lines(LINES, before=place.before, newest=True)
    return [log_line(line) for line in found], _place(wanted, found, lines)


def _place(wanted: Page, found: list[LogView], lines: Callable[..., list[LogView]]) -> Page:
    if not found:
        return replace(wanted, on=True, told="no such line", earlier=False, later=False)
    first, last = found[0].seq, found[-1].seq
    number = f"{len(found):,} line" + ("s" if len(found) > 1 else "")
    return replace(
        wanted,
        on=True,
        told=f"{number}, no. {first:,} to {last:,}",
        first=first,
        last=last,
        earlier=bool(lines(1, before=first)),
        later=bool(lines(1, after=last)),
    )
