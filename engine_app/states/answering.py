"""Answering what waits for a person, wherever it is shown: approvals and signals.

A card stays where it is until whoever looks at it dismisses it: what moves under a pointer would
be answered by a click that was meant for something else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import reflex as rx

from engine.commands.signals import MAX_KEY, Decision
from engine.errors import Conflict, EngineError, Fault, InvalidInput, NotFound
from engine.store import reads
from engine.store.reads.pending_actions import DecisionRow, Place, decision
from engine_app.auth.viewer import Viewer
from engine_app.db_access import client, database, in_thread
from engine_app.states.base import session_of, to_login, viewer_of
from engine_app.states.shapes_asks import (
    Ask,
    answered,
    approval,
    ended,
    merged,
    refused,
    typed_for,
)

# Names that no field of a form has: its own are those of a JSON Schema's properties.
KEY, VERDICT, COMMENT = "engine:key", "engine:verdict", "engine:comment"
APPROVE, REJECT = "approve", "reject"  # as the buttons of ui.jsx say it
FORM = "engine:form"  # of this filling in: what is sent twice is meant once
_COMMENT_LIMIT = 2_000


class Answering(rx.State, mixin=True):
    """A form per ask. What was typed survives a refusal; a reading never overwrites it."""

    asks: list[Ask] = []
    refusal: str = ""
    _asked: list[Ask] = []

    def _show_asks(self, found: list[Ask]) -> None:
        """Show the asks that were read, unless they are those on the page, as typed."""
        if found != self._asked:
            asks = merged(self.asks, self._asked, found)
            if asks != self.asks:
                self.asks = asks
            self._asked = found

    def _clear_asks(self) -> None:
        """Forget what is over: the page is opened anew."""
        self.asks = [ask for ask in self.asks if not ask.over]

    def _replace_ask(self, key: str, ask: Ask | None) -> None:
        self.asks = [one for old in self.asks if (one := ask if old.key == key else old)]

    @rx.event
    async def answer(self, form: dict[str, Any]) -> Any:
        """Approve, reject or send the signal as typed; what is refused is said beside the form."""
        ask = next((ask for ask in self.asks if ask.key == form.get(KEY)), None)
        if ask is None or ask.over:
            return None  # the click before this one did it
        self.turn += 1
        try:
            act = _action(ask, form)
            viewer, now = await _as_viewer(session_of(self), act)
        except EngineError as error:
            again = refused(ask, form, list(error.faults), str(error))
            if isinstance(error, Conflict | NotFound):
                again = replace(again, gone=True)  # has the page ask how it ended
            self._replace_ask(ask.key, again)
            return None
        self.refusal = ""
        if viewer is None:
            return to_login(self)
        self._replace_ask(ask.key, answered(ask, form.get(VERDICT) == APPROVE, viewer.name, now))
        self.look_again()  # of Following, which every page has
        return None

    @rx.event
    async def tell_end(self, key: str) -> Any:
        """Say on the card of what waits no more how that came about."""
        ask = next((ask for ask in self.asks if ask.key == key), None)
        if ask is None or not ask.gone or ask.over:
            return None
        found: list[DecisionRow | None] = []
        try:
            viewer, now = await _as_viewer(
                session_of(self), lambda one: found.append(_ended(ask, one))
            )
        except NotFound:
            # Deleted, or the execution starts the step anew: nothing that can be answered here.
            self._replace_ask(key, replace(ask, over="over", over_at=0))
            return None
        except EngineError as error:
            self.refusal = str(error)
            return None
        if viewer is None:
            return to_login(self)
        self._replace_ask(key, ended(ask, found[0], now))
        return None

    @rx.event
    def dismiss(self, key: str) -> None:
        """Take the card of what is over off the page."""
        self.asks = [ask for ask in self.asks if ask.key != key or not ask.over]

    @rx.event
    async def open_ask(self, key: str) -> Any:
        """Show the form of an approval that is too large to come along with the others."""
        ask = next((ask for ask in self.asks if ask.key == key), None)
        if ask is None or not ask.closed or ask.over:
            return None
        found: list[Ask] = []
        try:
            viewer, _ = await _as_viewer(
                session_of(self), lambda one: found.append(_read(ask, one))
            )
        except EngineError as error:
            found.append(replace(ask, wrong=[str(error)]))
        else:
            if viewer is None:
                return to_login(self)
        self._replace_ask(key, found[0])
        return None


async def _as_viewer(
    session: str | None, act: Callable[[Viewer], Any]
) -> tuple[Viewer | None, int]:
    """Carry out an action as the viewer of this moment, and tell the time (µs) after it; the
    viewer is None once the session is over."""

    def run() -> tuple[Viewer | None, int]:
        viewer = viewer_of(session)
        if viewer is not None:
            act(viewer)
        return viewer, time.time_ns() // 1000

    return await in_thread(run)


def _ended(ask: Ask, viewer: Viewer) -> DecisionRow | None:
    place = Place(ask.execution, ask.step, None if ask.item < 0 else ask.item)
    return database().read(lambda connection: decision(connection, viewer.id, viewer.name, place))


def _read(ask: Ask, viewer: Viewer) -> Ask:
    """Return the ask with its form.

    Raises:
        NotFound: it waits no more, or not for the viewer.
        PayloadLost, Unavailable: its form cannot be read.
    """
    row = reads.approval(
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
    verdict = form.get(VERDICT)
    if ask.kind == "approval" and verdict not in (APPROVE, REJECT):
        raise InvalidInput("press Approve or Reject: nothing was decided")
    if ask.kind == "approval" and verdict == REJECT:
        return _decision(ask, form, approved=False, values={})
    value, faults = typed_for(ask, form)
    if faults:
        raise InvalidInput("what was typed cannot be read", faults=faults)
    if ask.kind == "signal":
        return _signal(ask, form, value)
    if not isinstance(value, dict):
        fault = Fault("", 'give a JSON object, e.g. {"a": 1}')
        raise InvalidInput("the form is no JSON object", faults=[fault])
    return _decision(ask, form, approved=True, values=value)


def _signal(ask: Ask, form: Mapping[str, Any], body: Any) -> Callable[[Viewer], Any]:
    key = str(form.get(FORM) or "")[:MAX_KEY] or None
    return lambda viewer: client().signal(
        owner_id=viewer.id,
        name=ask.name,
        body=body,
        correlation=ask.correlation,
        execution_id=ask.execution,
        sent_by=viewer.name,
        idempotency_key=key,
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
