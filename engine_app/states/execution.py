"""One execution: replayed by number, live, with what one may do to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import reflex as rx

from engine.errors import EngineError
from engine_app.auth.viewer import Viewer
from engine_app.live import execution_topic
from engine_app.reading import client, in_thread
from engine_app.states.answering import Answering
from engine_app.states.base import Follow, Following, param_of, session_of, to_login, viewer_of
from engine_app.states.execution_reading import LINES, Aim, Look, Picked, read
from engine_app.states.shapes import Bar, Cause, Head, Naps
from engine_app.states.shapes_waits import Decided, Family, Stage
from engine_app.states.things import Thing

SLOTS = 60  # steps on screen; of a longer workflow the page says how many more there are


class ExecutionState(Answering, Following, rx.State):
    """One variable per step row: a step that changes is sent alone."""

    head: Head = Head()
    cause: Cause = Cause()
    note: str = ""
    input: str = ""
    output: str = ""
    output_file: str = ""
    steps: int = 0
    events: list[list[Any]] = []
    lines: list[list[Any]] = []
    things: list[Thing] = []
    picked: Picked = Picked()
    item: int = -1
    stage: Stage = Stage()
    family: Family = Family()
    decided: list[Decided] = []
    _id: str = ""
    _step: str = ""
    _event_seq: int = 0
    _log_seq: int = 0
    _naps: Naps = {}

    @rx.event(background=True)
    async def watch(self) -> Any:
        """Show the execution of the address, and again whenever it changes."""
        async with self:
            execution_id = self._open()
        follow = Follow(
            self,
            topics=lambda viewer: (execution_topic(execution_id),),
            aim=self._aim,
            show=self._show,
        )
        await follow.run()

    def _open(self) -> str:
        """Forget any other execution, and replay this one from its start."""
        execution_id = param_of(self, "id")
        if execution_id != self._id:
            self.reset()
            self._id = execution_id
        self._event_seq = self._log_seq = 0
        self._naps = {}
        return execution_id

    def _aim(self) -> Callable[[Viewer], Look]:
        aim = Aim(
            self._id,
            self._event_seq,
            self._log_seq,
            self._step,
            self.item,
            self.picked.stamp,
            self._naps,
            self.things,
        )
        return lambda viewer: read(viewer, aim)

    def _show(self, look: Look) -> None:
        for number in range(SLOTS):
            bar = look.bars[number] if number < len(look.bars) else Bar()
            if getattr(self, f"bar{number}") != bar:
                setattr(self, f"bar{number}", bar)
        self._set(
            head=look.head,
            cause=look.cause,
            note=look.note,
            steps=len(look.bars),
            input=look.input,
            output=look.output,
            output_file=look.output_file,
            things=look.things,
            stage=look.stage,
            family=look.family,
            decided=look.decided,
            behind=len(look.lines) == LINES or len(look.events) == LINES,
        )
        self._show_asks(look.asks)
        if look.picked is not None:
            self.picked = look.picked
        if look.lines:
            self.lines, self._log_seq = look.lines, int(look.lines[-1][0])
        if look.events:
            self.events, self._event_seq = look.events, int(look.events[-1][0])
        self._naps = look.naps
        self._still = not look.head.is_open

    @rx.event
    def select_step(self, name: str) -> None:
        """Show the values of a step."""
        self._step, self.item = name[:64], -1
        self.look_again()

    @rx.event
    def select_item(self, item: int) -> None:
        """Show the values of one item of the step; -1 goes back to the step itself."""
        self.item = int(item)
        self.look_again()

    @rx.event
    def refill_logs(self, seq: int) -> None:
        """Send the log again from after ``seq``: the tab noticed a gap."""
        self._log_seq = max(int(seq), 0)
        self.look_again()

    @rx.event
    def refill_events(self, seq: int) -> None:
        """Send the events again from after ``seq``: the tab noticed a gap."""
        self._event_seq = max(int(seq), 0)
        self.look_again()

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
    async def retry(self, _note: str) -> Any:
        """Start a new execution from this one, and go there."""
        execution_id = self._id
        return await self._do(
            lambda viewer: client().start_again(owner_id=viewer.id, execution_id=execution_id)
        )

    async def _do(self, action: Callable[[Viewer], Any]) -> Any:
        """Carry out an action as the viewer of this moment; what is refused is said on the page."""
        session = session_of(self)

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
