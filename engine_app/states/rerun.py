"""Running an ended execution again from a step: chosen, told before, then started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import reflex as rx

from engine.commands.rerun import NEWEST, RerunRequest
from engine.commands.signals import MAX_KEY
from engine.core.status import ExecutionStatus
from engine.errors import EngineError, InvalidInput
from engine.store import reads
from engine_app import forms
from engine_app.auth.viewer import Viewer
from engine_app.db_access import client, database, in_thread
from engine_app.states.answering import FORM
from engine_app.states.base import session_of, to_login, viewer_of
from engine_app.states.view_models_waits import Outlook, outlook

STEPS_SHOWN = 500  # a longer list helps nobody; the API takes any step


@dataclass(frozen=True)
class _Origin:
    """What the dialog offers for an execution."""

    version: int
    newest: int
    steps: list[str]
    more: int
    shown: str  # the input, its secrets masked
    secret: bool  # its schema names some
    input: Any
    failed: str  # the step whose failure ended it
    ended_well: bool
    closes: bool


class RerunState(rx.State):
    """One dialog. ``outlook`` always belongs to the choices on the page, or is empty."""

    ready: bool = False
    steps: list[str] = []
    more: int = 0
    step: str = ""
    version: int = 0
    newest: int = 0
    newer: bool = False  # the newest version is wanted
    edited: bool = False
    text: str = ""
    secret: bool = False  # passwords may stand in it
    closes: bool = False  # it has steps that run at the end
    what_failed: bool = False  # may be chosen: something has
    outlook: Outlook = Outlook()
    wrong: list[str] = []
    turn: int = 0
    _id: str = ""
    _original: Any = None  # what masks in ``text`` stand for

    @rx.event
    async def open(self, execution_id: str) -> Any:
        """Offer the steps of this execution, and tell what the first choice would do."""
        self.reset()
        self._id = execution_id[:64]
        yield  # the form of an earlier opening goes: what was typed there is no choice of now
        yield await self._offer()

    async def _offer(self) -> Any:
        session, execution_id, newer = session_of(self), self._id, self.newer
        try:
            origin = await in_thread(lambda: _origin(session, execution_id, newer))
        except EngineError as error:
            self.ready, self.wrong, self.outlook = True, _words(error), Outlook()
            return None
        if origin is None:
            return to_login(self)
        first = not self.ready
        self.steps, self.more = origin.steps, origin.more
        self.version, self.newest = origin.version, origin.newest
        self.closes = origin.closes
        self.what_failed = not origin.ended_well
        if first:
            self.text, self._original = origin.shown, origin.input
            self.secret = origin.secret
            self.step = origin.failed
        if self.step not in self.steps and (self.step or origin.ended_well):
            self.step = origin.steps[0] if origin.steps else ""
        self.ready = True
        return await self._foretell()

    async def _foretell(self) -> Any:
        """Tell what starting now would do, or what is wrong with the choices."""
        self.outlook, self.wrong = Outlook(), []
        try:
            wish = self._wish()
            execution_id = self._id
            found = await self._ask(
                lambda viewer: client().preview_again(
                    owner_id=viewer.id, execution_id=execution_id, wish=wish
                )
            )
        except EngineError as error:
            self.wrong = _words(error)
            return None
        if found is None:
            return to_login(self)
        self.outlook = outlook(found)
        return None

    def _wish(self) -> RerunRequest:
        value: Any = None
        if self.edited:
            value, faults = forms.read_json(self.text, self._original)
            if faults:
                raise InvalidInput("the input cannot be read", faults=faults)
        return RerunRequest(
            from_step=self.step or None,
            version=NEWEST if self.newer else None,
            input=value,
            edited=self.edited,
        )

    async def _ask(self, ask: Callable[[Viewer], Any]) -> Any:
        session = session_of(self)

        def run() -> Any:
            viewer = viewer_of(session)
            return None if viewer is None else ask(viewer)

        return await in_thread(run)

    @rx.event
    async def pick_step(self, step: str) -> Any:
        """Run again from this step; empty: from what failed."""
        self.step = step[:64]
        return await self._foretell()

    @rx.event
    async def pick_version(self, which: str) -> Any:
        """Run the newest version, or the one it had."""
        self.newer = which == NEWEST
        return await self._offer()

    @rx.event
    async def edit(self, wanted: bool) -> Any:
        """Give another input, or the same."""
        self.edited = bool(wanted)
        return await self._foretell()

    @rx.event
    async def type_input(self, text: str) -> Any:
        """Check the input as typed."""
        self.text = text
        return await self._foretell()

    @rx.event
    async def start(self, form: dict[str, Any]) -> Any:
        """Start the new execution and go there."""
        if self.edited:
            self.text = str(form.get("input", ""))
        self.wrong = []
        try:
            wish, execution_id = self._wish(), self._id
            key = str(form.get(FORM) or "")[:MAX_KEY] or None
            started = await self._ask(
                lambda viewer: client().start_again(
                    owner_id=viewer.id,
                    execution_id=execution_id,
                    wish=wish,
                    trigger_detail=viewer.name,
                    idempotency_key=key,
                )
            )
        except EngineError as error:
            self.wrong = _words(error)
            self.turn += 1
            return None
        if started is None:
            return to_login(self)
        return rx.redirect(f"/executions/{started.execution_id}")


def _words(error: EngineError) -> list[str]:
    return [str(fault) for fault in error.faults] or [str(error)]


def _origin(session: str | None, execution_id: str, newer: bool) -> _Origin | None:
    """Return what the dialog offers; None once the session is over.

    Raises:
        NotFound: there is no such execution for the viewer.
    """
    viewer = viewer_of(session)
    if viewer is None:
        return None
    db = database()
    now = db.now()

    def read(connection: Any) -> _Origin:
        detail = reads.execution(connection, viewer.id, execution_id, now=now)
        row = detail.row
        newest = reads.workflow(connection, viewer.id, row.workflow_id).version
        definition = reads.definition(
            connection, viewer.id, row.workflow_id, version=newest if newer else row.version
        )
        names = [step.name for step in definition.steps if not step.closing]
        failed = str((detail.error or {}).get("step") or "")
        return _Origin(
            version=row.version,
            newest=newest,
            steps=names[:STEPS_SHOWN],
            more=max(len(names) - STEPS_SHOWN, 0),
            shown=forms.json_text(definition.input_schema, detail.input),
            secret=forms.names_secrets(definition.input_schema, definition.input_schema),
            input=detail.input,
            failed=failed if failed in names else "",
            ended_well=row.status == ExecutionStatus.COMPLETED,
            closes=bool(definition.closing),
        )

    return db.read(read)
