"""Answering what waits for a person, wherever it is shown: approvals and signals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import reflex as rx

from engine.answer import Decision
from engine.errors import EngineError, Fault, InvalidInput
from engine.store import views
from engine_app.auth.viewer import Viewer
from engine_app.reading import client, database, in_thread
from engine_app.states.base import session_of, to_login, viewer_of
from engine_app.states.shapes_waits import Ask, approval, refused, typed_for

# Names that no field of a form has: its own are those of a JSON Schema's properties.
KEY, VERDICT, COMMENT = "engine:key", "engine:verdict", "engine:comment"
_COMMENT_LIMIT = 2_000


class Answering(rx.State, mixin=True):
    """A form per ask. What was typed survives a refusal; a reading never overwrites it."""

    asks: list[Ask] = []
    refusal: str = ""
    _asked: list[Ask] = []

    def _show_asks(self, found: list[Ask]) -> None:
        """Show the asks that were read, unless they are those on the page, as typed."""
        if found != self._asked:
            read = {ask.key: ask for ask in self._asked}
            typed = {ask.key: ask for ask in self.asks}
            self.asks = [
                typed.get(ask.key, ask) if read.get(ask.key) == ask else ask for ask in found
            ]
            self._asked = found

    @rx.event
    async def answer(self, form: dict[str, Any]) -> Any:
        """Approve, reject or send the signal as typed; what is refused is said beside the form."""
        ask = next((ask for ask in self.asks if ask.key == form.get(KEY)), None)
        if ask is None:
            self.refusal = "This was answered a moment before, or its time is over."
            return None
        try:
            act = _action(ask, form)
            viewer = await _as_viewer(session_of(self), act)
        except EngineError as error:
            again = refused(ask, form, list(error.faults), str(error))
            self.asks = [again if one.key == ask.key else one for one in self.asks]
            return None
        self.refusal = ""
        if viewer is None:
            return to_login(self)
        self.asks = [one for one in self.asks if one.key != ask.key]
        self.look_again()  # of Following, which every page has
        return None

    @rx.event
    async def open_ask(self, key: str) -> Any:
        """Show the form of an approval that is too large to come along with the others."""
        ask = next((ask for ask in self.asks if ask.key == key), None)
        if ask is None or not ask.closed:
            return None
        found: list[Ask] = []
        try:
            viewer = await _as_viewer(session_of(self), lambda one: found.append(_read(ask, one)))
        except EngineError as error:
            found.append(replace(ask, wrong=[str(error)]))
        else:
            if viewer is None:
                return to_login(self)
        self.asks = [found[0] if one.key == key else one for one in self.asks]
        return None


async def _as_viewer(session: str | None, act: Callable[[Viewer], Any]) -> Viewer | None:
    """Carry out an action as the viewer of this moment; return None once the session is over."""

    def run() -> Viewer | None:
        viewer = viewer_of(session)
        if viewer is not None:
            act(viewer)
        return viewer

    return await in_thread(run)


def _read(ask: Ask, viewer: Viewer) -> Ask:
    """Return the ask with its form.

    Raises:
        NotFound: it waits no more, or not for the viewer.
        PayloadLost, Unavailable: its form cannot be read.
    """
    row = views.approval(
        database(),
        viewer.id,
        viewer.name,
        execution_id=ask.execution,
        step=ask.step,
        item=None if ask.item < 0 else ask.item,
    )
    return approval(row)


def _action(ask: Ask, form: Mapping[str, Any]) -> Callable[[Viewer], Any]:
    """Return what the form asks for.

    Raises:
        InvalidInput: something that was typed cannot be read.
    """
    if ask.kind == "approval" and form.get(VERDICT) != "approve":
        return _decision(ask, form, approved=False, values={})
    value, faults = typed_for(ask, form)
    if faults:
        raise InvalidInput("what was typed cannot be read", faults=faults)
    if ask.kind == "signal":
        return _signal(ask, value)
    if not isinstance(value, dict):
        fault = Fault("", 'give a JSON object, e.g. {"a": 1}')
        raise InvalidInput("the form is no JSON object", faults=[fault])
    return _decision(ask, form, approved=True, values=value)


def _signal(ask: Ask, body: Any) -> Callable[[Viewer], Any]:
    return lambda viewer: client().signal(
        owner_id=viewer.id,
        name=ask.name,
        body=body,
        correlation=ask.correlation,
        execution_id=ask.execution,
        sent_by=viewer.name,
    )


def _decision(
    ask: Ask, form: Mapping[str, Any], *, approved: bool, values: dict[str, Any]
) -> Callable[[Viewer], Any]:
    comment = str(form.get(COMMENT) or "").strip()[:_COMMENT_LIMIT]
    item = None if ask.item < 0 else ask.item
    return lambda viewer: client().decide(
        user_id=viewer.id,
        execution_id=ask.execution,
        step=ask.step,
        decision=Decision(approved, viewer.name, comment, values, item),
    )
