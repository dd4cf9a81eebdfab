"""The components of ``assets/ui.jsx``: what the browser does by itself between two words."""

from __future__ import annotations

from typing import Any

import reflex as rx
from reflex_components_core.core.banner import has_connection_errors
from reflex_components_core.el.element import Element


class _Kit(rx.Component):
    library = "$/public/ui.jsx"


class Ago(_Kit):
    """How long ago, exact on hover."""

    tag = "Ago"
    at: rx.Var[int]


class Clock(_Kit):
    """The time of day in the viewer's zone, exact on hover."""

    tag = "Clock"
    at: rx.Var[int]
    digits: rx.Var[int]


class Day(_Kit):
    """A day and the time on it in the viewer's zone, exact on hover."""

    tag = "Day"
    at: rx.Var[int]


class Took(_Kit):
    """A duration; ticks while there is no end."""

    tag = "Took"
    start: rx.Var[int]
    end: rx.Var[int]


class Title(_Kit):
    """The tab's title, once there is more to say than the page's own."""

    tag = "Title"
    text: rx.Var[str]


class Mark(_Kit):
    """The connection mark: live, catching up, stale, offline."""

    tag = "Mark"
    beat: rx.Var[int]
    errors: rx.Var[bool]
    behind: rx.Var[bool]


class CopyId(_Kit):
    """A short id that copies itself whole."""

    tag = "CopyId"
    text: rx.Var[str]
    short: rx.Var[bool]


class ThemeSwitch(_Kit):
    """System, light, dark."""

    tag = "ThemeSwitch"


class Keys(_Kit):
    """The keyboard and its help."""

    tag = "Keys"


class SignIn(_Kit):
    """The sign-in form: a native POST, so that the answer's cookie is the browser's own."""

    tag = "SignIn"
    action: rx.Var[str]


class _Acting(rx.Component):
    library = "$/public/acting.jsx"


class Told(_Acting):
    """A word to whoever clicked in vain. Its module guards all that acts on a page."""

    tag = "Told"


class Answered(_Acting):
    """Lets buttons that wait for an answer live again when ``turn`` changes."""

    tag = "Answered"
    turn: rx.Var[int]


def _key_spec(key: rx.Var[str]) -> tuple[rx.Var[str]]:
    return (key,)


class _Memory(rx.Component):
    library = "$/public/memory.jsx"


def _form_spec(mode: rx.Var[str], text: rx.Var[str]) -> tuple[rx.Var[str], rx.Var[str]]:
    return (mode, text)


class Keep(_Memory):
    """Keeps in the tab what is typed into the form it stands in; see ``memory.jsx``.

    ``on_recall`` hears, of a form that was typed as JSON, that it was, with its text.
    """

    tag = "Keep"
    name: rx.Var[str]
    drawn: rx.Var[int]
    mode: rx.Var[str]
    brief: rx.Var[bool]
    on_recall: rx.EventHandler[_form_spec]


class Recall(_Memory):
    """Keeps in the tab what was chosen; ``on_recall`` hears it when the server has forgotten."""

    tag = "Recall"
    chosen: rx.Var[str]
    about: rx.Var[str]
    on_recall: rx.EventHandler[_key_spec]


class Gone(_Acting):
    """Asks, once it is on the page, what became of ``of``."""

    tag = "Gone"
    of: rx.Var[str]
    on_gone: rx.EventHandler[_key_spec]


class FormKey(_Acting):
    """A field that names this filling in of its form."""

    tag = "FormKey"
    name: rx.Var[str]


class Sender(_Acting):
    """A button that sends the form it stands in, with ``does`` in its field ``name``."""

    tag = "Sender"
    does: rx.Var[str]
    name: rx.Var[str]
    acts: rx.Var[bool]


def _confirm_spec(note: rx.Var[str], key: rx.Var[str]) -> tuple[rx.Var[str], rx.Var[str]]:
    return (note, key)


def _no_spec() -> tuple[()]:
    return ()


def _seq_spec(seq: rx.Var[int]) -> tuple[rx.Var[int]]:
    return (seq,)


class Confirm(_Kit):
    """A button that asks once, naming what it will touch, and may ask for a note.

    ``on_confirm`` gets the note, and a key of this asking: what comes twice was meant once.
    """

    tag = "Confirm"
    label: rx.Var[str]
    title: rx.Var[str]
    body: rx.Var[str]
    action: rx.Var[str]
    ask: rx.Var[str]
    danger: rx.Var[bool]
    primary: rx.Var[bool]
    on_confirm: rx.EventHandler[_confirm_spec]


class Sheet(_Kit):
    """A button that opens a dialog with a form in it."""

    tag = "Sheet"
    label: rx.Var[str]
    title: rx.Var[str]
    primary: rx.Var[bool]
    on_open: rx.EventHandler[_no_spec]


class SheetBack(_Kit):
    """The button that closes the dialog it stands in."""

    tag = "SheetBack"


class Verdict(_Kit):
    """The two buttons that end an approval's form: which one was pressed is a field of it."""

    tag = "Verdict"
    of: rx.Var[str]
    name: rx.Var[str]


class Track(_Kit):
    """One row's bars on the timeline."""

    tag = "Track"
    segs: rx.Var[list[Any]]
    start: rx.Var[int]
    end: rx.Var[int]


class Axis(_Kit):
    """The timeline's scale."""

    tag = "Axis"
    start: rx.Var[int]
    end: rx.Var[int]


class LogTail(_Kit):
    """The log: fed with new lines only, filtered where it is read."""

    tag = "LogTail"
    # Not `id`: Reflex would make it the element's and write a ref.
    of: rx.Var[str]
    chunk: rx.Var[list[Any]]
    first: rx.Var[int]
    step: rx.Var[str]
    filters: rx.Var[bool]
    tall: rx.Var[bool]
    on_gap: rx.EventHandler[_seq_spec]


class EventTail(_Kit):
    """The events: fed with new ones only."""

    tag = "EventTail"
    of: rx.Var[str]
    chunk: rx.Var[list[Any]]
    first: rx.Var[int]
    on_gap: rx.EventHandler[_seq_spec]


class NativeForm(Element):  # type: ignore[misc]  # no types come with it
    """A form that the browser posts itself: Reflex's own blocks that."""

    tag = "form"
    action: rx.Var[str]
    method: rx.Var[str]


class Jump(Element):  # type: ignore[misc]  # no types come with it
    """A link within the page: Reflex's own would go through the router and read the page anew."""

    tag = "a"
    href: rx.Var[str]
    download: rx.Var[str]


def title(*parts: Any) -> rx.Component:
    """Return the tab's title: what tells it from other tabs comes first, nothing if that is
    empty."""
    text = rx.Var.create(parts[0])
    for part in parts[1:]:
        text = text.to(str) + " · " + part
    return Title.create(text=rx.cond(parts[0] != "", text.to(str) + " · Execution Engine", ""))


ACTS = {"data-act": ""}  # on what acts: see acting.jsx
STEADY = {"data-steady": ""}  # on a list that moves by itself and has such buttons


def mark(beat: Any, behind: Any) -> rx.Component:
    """Return the connection mark, fed by a page's last beat."""
    return Mark.create(beat=beat, behind=behind, errors=has_connection_errors)
