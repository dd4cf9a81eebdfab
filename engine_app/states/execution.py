"""One execution: replayed by number, live, with what one may do to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace
from typing import Any

import reflex as rx

from engine.errors import EngineError
from engine_app.auth.viewer import Viewer
from engine_app.db_access import client, in_thread
from engine_app.pubsub import execution_topic
from engine_app.states.answering import Answering
from engine_app.states.artifacts import Thing
from engine_app.states.base import (
    Follow,
    Following,
    askable,
    choose,
    param_of,
    session_of,
    to_login,
    viewer_of,
)
from engine_app.states.execution_picked import Picked
from engine_app.states.execution_reading import LINES, Reader, events_after, lines_after
from engine_app.states.execution_windows import (
    ITEM_STATUSES,
    ITEMS,
    SLOTS,
    Choice,
    Page,
    Steps,
    recalled,
    remembered,
)
from engine_app.states.log_pages import LogPages, Place
from engine_app.states.view_models import Bar, Cause, Head
from engine_app.states.view_models_waits import Decided, Family, Stage

REFILLS = 40  # as many rows as a tab keeps: it asks again when that was not enough


class ExecutionState(LogPages, Answering, Following, rx.State):
    """One variable per step row: a step that changes is sent alone."""

    head: Head = Head()
    cause: Cause = Cause()
    note: str = ""
    input: str = ""
    output: str = ""
    output_file: str = ""
    steps: Steps = Steps()
    events: list[list[Any]] = []
    lines: list[list[Any]] = []
    first_event: int = 1  # that a tab must have, unless it had an earlier one
    first_line: int = 1
    things: list[Thing] = []
    picked: Picked = Picked()
    stage: Stage = Stage()
    family: Family = Family()
    decided: list[Decided] = []
    left_out: list[str] = []
    item_wrong: str = ""
    chosen: str = ""  # what the tab remembers to have chosen; empty: nothing, or not yet told
    _choice: Choice = Choice()

    @rx.event(background=True)
    async def watch(self) -> Any:
        """Show the execution of the address, and again whenever it changes."""
        async with self:
            execution_id = self._open()
        follow = Follow(
            self,
            about=execution_id,
            topics=lambda viewer: (execution_topic(execution_id),),
            read=lambda: Reader(execution_id),
            own=self._show_asks,
            choice=lambda: self._choice,
        )
        await follow.run()

    def _open(self) -> str:
        """Forget any other execution."""
        execution_id = param_of(self, "id")
        if execution_id != self._id:
            self.reset()
            self._id = execution_id
        self._clear_asks()
        self.behind = False
        return execution_id

    @rx.event
    def select_step(self, name: str) -> None:
        """Show the values of a step."""
        self._choose(step=name[:64], item=-1, items_only="", items_from=0)

    @rx.event
    def select_item(self, item: int) -> None:
        """Show the values of one item of the step; -1 goes back to the step itself."""
        self._choose(item=int(item))

    @rx.event
    def find_item(self, form: dict[str, Any]) -> None:
        """Show the values of the item with the number that was typed."""
        number, total = askable(form.get("number"), 9), self.picked.window.total
        if not number.isdecimal() or int(number) >= total:
            self.item_wrong = f"There are items 0 to {total - 1:,}."
            return
        place = int(number) // ITEMS * ITEMS
        self._choose(item=int(number), items_only="", items_from=place)

    @rx.event
    def turn_items(self, start: int) -> None:
        """Show the items from a number on."""
        self._choose(item=-1, items_from=min(max(int(start), 0), self.picked.window.total))

    @rx.event
    def only_items(self, status: str) -> None:
        """Show the items of a status."""
        known = status if status in ITEM_STATUSES else ""
        self._choose(item=-1, items_only=known, items_from=0)

    @rx.event
    def find_steps(self, form: dict[str, Any]) -> None:
        """Show the steps with a text in their names."""
        self._choose(find=askable(form.get("find"), 64), page=-1)

    @rx.event
    def only_steps(self, status: str) -> None:
        """Show the steps of a status."""
        self._choose(only=status[:16], page=0)

    @rx.event
    def turn_steps(self, page: int) -> None:
        """Show another page of the steps."""
        self._choose(page=max(int(page), 0))

    def _choose(self, **chosen: Any) -> None:
        self.item_wrong = ""
        self._choice = replace(self._choice, **chosen)
        choose(self, self._choice)
        self._note()

    def _note(self) -> None:
        """Have the tab remember what it shows."""
        self.chosen = remembered(self._id, self._choice, self.log_page)

    @rx.event
    async def recall(self, chosen: str) -> Any:
        """Show what the tab remembers: what was known of it here is lost, with the server."""
        found = recalled(chosen, self._id)
        if self.chosen or found is None:
            return None
        self._choose(**asdict(found.choice))
        if not found.log.on:
            return None
        wanted = Page(text=found.log.text, least=found.log.least)
        return await self._read_log(wanted, Place(after=found.log.first - 1))

    @rx.event
    async def refill_logs(self, seq: int) -> Any:
        """Send the log again from after ``seq``: the tab noticed a gap."""
        async for rows, more in self._again(lines_after, seq):
            self.lines, self.behind = rows, more
            yield

    @rx.event
    async def refill_events(self, seq: int) -> Any:
        """Send the events again from after ``seq``: the tab noticed a gap."""
        async for rows, more in self._again(events_after, seq):
            self.events, self.behind = rows, more
            yield

    async def _again(
        self, read: Callable[[str, str, int], list[list[Any]]], seq: int
    ) -> AsyncIterator[tuple[list[list[Any]], bool]]:
        """Yield the rows after a number, and whether there are more; stops at any trouble."""
        session, execution_id, after = session_of(self), self._id, max(int(seq), 0)

        def look() -> list[list[Any]]:
            viewer = viewer_of(session)
            return [] if viewer is None else read(viewer.id, execution_id, after)

        for _ in range(REFILLS):
            try:
                rows = await in_thread(look)
            except EngineError:
                rows = []  # the page tells that it cannot be read, and asks again at the next gap
            yield rows, len(rows) == LINES
            if len(rows) < LINES:
                return
            after = int(rows[-1][0])
        self.behind = False

    @rx.event
    async def cancel(self, note: str) -> Any:
        """Ask the engine to end the execution."""
        execution_id = self._id
        return await self._do(
            lambda viewer: client().cancel(
                owner_id=viewer.id, execution_id=execution_id, note=note.strip()[:256]
            )
        )

    @rx.event
    async def pause(self, note: str) -> Any:
        """Let no further step start."""
        execution_id = self._id
        return await self._do(
            lambda viewer: client().pause(
                owner_id=viewer.id, execution_id=execution_id, note=note.strip()[:256]
            )
        )

    @rx.event
    async def resume(self) -> Any:
        """Let the execution go on."""
        execution_id = self._id
        return await self._do(
            lambda viewer: client().resume(owner_id=viewer.id, execution_id=execution_id)
        )

    @rx.event
    async def retry(self, _note: str, key: str) -> Any:
        """Start a new execution from this one, and go there; of one key, one."""
        execution_id, key = self._id, f"page-{key[:64]}"
        return await self._do(
            lambda viewer: client().start_again(
                owner_id=viewer.id, execution_id=execution_id, idempotency_key=key
            )
        )

    async def _do(self, action: Callable[[Viewer], Any]) -> Any:
        """Carry out an action as the viewer of this moment; what is refused is said on the page."""
        session = session_of(self)
        self.turn += 1

        def act() -> tuple[Viewer | None, Any]:
            viewer = viewer_of(session)
            return viewer, None if viewer is None else action(viewer)

        try:
            viewer, started = await in_thread(act)
        except EngineError as error:
            self.refusal = str(error)
            return None
        self.refusal = ""
        if viewer is None:
            return to_login(self)
        return None if started is None else rx.redirect(f"/executions/{started.execution_id}")


for _number in range(SLOTS):
    ExecutionState.add_var(f"bar{_number}", Bar, Bar())
