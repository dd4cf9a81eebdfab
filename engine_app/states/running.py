"""The form that runs a workflow: as JSON or as a form, for the version that it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import reflex as rx

from engine.commands.signals import MAX_KEY
from engine.definition import Definition, check_input
from engine.errors import EngineError, Fault, InvalidInput
from engine.store import reads
from engine_app import forms
from engine_app.auth.viewer import Viewer
from engine_app.db_access import client, database, in_thread
from engine_app.forms import Field
from engine_app.states.answering import FORM
from engine_app.states.base import session_of, to_login, viewer_of

DO = "engine:do"  # which button sent the form
RUN, TO_JSON, TO_FORM, RENEW = "run", "json", "form", "renew"
JSON = "json"  # the field of the input as JSON


@dataclass(frozen=True)
class _Wanted:
    """An execution to start, as typed; ``newest`` is the version that the page knew of."""

    workflow_id: str
    version: int
    newest: int
    value: Any
    key: str | None


@dataclass(frozen=True)
class _Newer:
    """There is a version that the page did not know of."""

    version: int


class RunForm(rx.State, mixin=True):
    """What was typed stays, whatever is published meanwhile: the form says which version it is of.

    Attributes:
        made_of: the version that the form is of.
        newest: the newest that the page knows of.
        drawn: counts the forms drawn: in a new one the browser keeps nothing of the old.
        secret: whether passwords may stand in its JSON.
    """

    fields: list[Field] = []
    as_json: bool = False
    json_only: bool = False
    text: str = ""
    wrong: list[str] = []
    made_of: int = 0
    newest: int = 0
    drawn: int = 0
    secret: bool = False
    _of: str = ""  # the workflow's id
    _schema: dict[str, Any] = {}
    _original: Any = None  # what masks in ``text`` stand for

    def _show_form(self, workflow_id: str, version: int, schema: dict[str, Any]) -> None:
        """Show the form of a version, unless one of the workflow is on the page: it was perhaps
        typed in."""
        self.newest = version
        if workflow_id != self._of:
            self._of = workflow_id
            self._draw(version, schema, None)

    def _draw(self, version: int, schema: dict[str, Any], value: Any) -> list[Fault]:
        """Draw the form anew, showing a value, as JSON if the form cannot; return why not."""
        faults: list[Fault] = []
        fields = forms.form(schema)
        if value is not None and fields:
            fields, faults = forms.to_form(schema, value)
        shown = forms.example(schema) if value is None else value
        self._schema, self.made_of, self.wrong = schema, version, []
        self.json_only = not fields and bool(schema.get("properties", True))
        self.as_json = self.json_only or bool(faults)
        self.fields = forms.form(schema) if faults else fields
        self._original, self.text = shown, forms.json_text(schema, shown)
        self.secret = forms.names_secrets(schema, schema)
        self.drawn += 1
        return faults

    @rx.event
    async def run(self, typed: dict[str, Any]) -> Any:
        """Do what the button says that sent the form: run it, or show it in another way."""
        wish = str(typed.get(DO) or RUN)
        self.turn += 1  # of Following, which the page has; while it goes on, nothing is sent twice
        if wish == TO_JSON and not self.as_json:
            text, original = forms.to_json(self._schema, self.fields, typed)
            self.as_json, self.text, self._original, self.wrong = True, text, original, []
            self.drawn += 1
        elif wish == TO_FORM and self.as_json:
            self._to_form(typed)
        elif wish == RENEW:
            return await self._renew(typed)
        elif wish == RUN:
            return await self._run(typed)
        return None

    @rx.event
    def recall(self, mode: str, text: str) -> None:
        """Show the form as JSON, as it was before all that was known of the tab was lost."""
        if mode != TO_JSON or self.json_only or self.as_json or self.drawn != 1:
            return
        self.as_json, self.text = True, text or self.text
        self._original = self._original if not text else None  # no mask in it is of this form
        self.drawn += 1

    def _to_form(self, typed: Mapping[str, Any]) -> None:
        self.text = str(typed.get(JSON, ""))
        value, faults = forms.read_json(self.text, self._original)
        if not faults:
            fields, faults = forms.to_form(self._schema, value)
        if faults:
            self.wrong = ["The form cannot show this:", *(str(fault) for fault in faults)]
            return
        self.fields, self.as_json, self.wrong = fields, False, []
        self.drawn += 1

    async def _renew(self, typed: dict[str, Any]) -> Any:
        """Take the form of the newest version, with what was typed."""
        if self.as_json:
            value, faults = forms.read_json(str(typed.get(JSON, "")), self._original)
            if faults:
                self.text, self.wrong = str(typed.get(JSON, "")), [str(one) for one in faults]
                return None
        else:
            _, value = forms.to_json(self._schema, self.fields, typed)
        session, workflow_id, version = session_of(self), self._of, self.newest

        def read() -> Definition | None:
            viewer = viewer_of(session)
            return None if viewer is None else _definition(viewer, workflow_id, version)

        try:
            definition = await in_thread(read)
        except EngineError as error:
            self._refuse(typed, error)
            return None
        if definition is None:
            return to_login(self)
        was_json = self.as_json
        faults = self._draw(version, definition.input_schema, value)
        self.as_json = self.as_json or (was_json and not self.json_only)
        if faults:
            self.wrong = ["The new form cannot show this:", *(str(fault) for fault in faults)]
        return None

    async def _run(self, typed: dict[str, Any]) -> Any:
        """Start an execution with what was typed and go to it, or say what is wrong with it."""
        if self.as_json:
            self.text = str(typed.get(JSON, ""))
            value, faults = forms.read_json(self.text, self._original)
        else:
            value, faults = forms.read(self.fields, typed)
        session, key = session_of(self), str(typed.get(FORM) or "")[:MAX_KEY] or None
        wanted = _Wanted(self._of, self.made_of, self.newest, value, key)
        try:
            if faults:
                raise InvalidInput("the input cannot be read", faults=faults)
            started = await in_thread(lambda: _start(session, wanted))
        except EngineError as error:
            self._refuse(typed, error)
            return None
        if started is None:
            return to_login(self)
        if isinstance(started, _Newer):
            self._keep(typed)
            self.newest = started.version
            return None
        self.wrong = []
        return rx.redirect(f"/executions/{started}")

    def _keep(self, typed: Mapping[str, Any]) -> None:
        if not self.as_json:
            self.fields, self.wrong = forms.filled(self.fields, typed, [])

    def _refuse(self, typed: dict[str, Any], error: EngineError) -> None:
        faults = list(error.faults) or [Fault("", error.message, error.hint)]
        if self.as_json:
            self.wrong = [str(fault) for fault in faults]
        else:
            self.fields, self.wrong = forms.filled(self.fields, typed, faults)


def _definition(viewer: Viewer, workflow_id: str, version: int) -> Definition:
    return database().read(
        lambda connection: reads.definition(connection, viewer.id, workflow_id, version=version)
    )


def _start(session: str | None, wanted: _Wanted) -> str | _Newer | None:
    """Start the execution and return its id; None once the session is over.

    The form's key makes it one, however often that is sent. A version that was published while
    the page did not hear of it is returned instead: whoever runs an older one shall know.

    Raises:
        InvalidInput: with every fault of how the input fits the schema.
    """
    viewer = viewer_of(session)
    if viewer is None:
        return None
    newest = database().read(
        lambda connection: reads.workflow(connection, viewer.id, wanted.workflow_id).version
    )
    if newest > wanted.newest:
        return _Newer(newest)
    definition = _definition(viewer, wanted.workflow_id, wanted.version)
    started = client().start(
        owner_id=viewer.id,
        workflow_id=wanted.workflow_id,
        input=check_input(definition, wanted.value),
        version=wanted.version,
        trigger="manual",
        trigger_detail="form",
        idempotency_key=wanted.key,
    )
    return started.execution_id
