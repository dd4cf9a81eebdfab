"""The fields of a form that was made from a JSON Schema."""

from __future__ import annotations

from typing import Any

import reflex as rx

from engine_app.forms.reading import MEANING


def fields(shown: Any, prefix: Any) -> rx.Component:
    """Return the fields; ``prefix`` keeps the ids of two forms on a page apart."""
    return rx.foreach(shown, lambda field: _field(field, prefix))


def as_json(label: str, text: Any, identity: Any, *, secret: Any = False) -> rx.Component:
    """Return a field for JSON text; its name in the form is ``json``.

    ``secret``: passwords may stand in it; the tab keeps nothing of it then.
    """
    return rx.el.div(
        rx.el.label(label, html_for=identity),
        rx.el.textarea(
            id=identity,
            name="json",
            default_value=text,
            class_name="in",
            rows=6,
            spell_check=False,
            custom_attrs={"data-secret": secret},
        ),
        class_name="field",
    )


def wrong(texts: Any) -> rx.Component:
    """Return what is wrong with the form as a whole."""
    return rx.foreach(
        texts,
        lambda text: rx.el.p(
            text,
            role="alert",
            style={"color": "var(--fail)", "marginBottom": "10px", "whiteSpace": "pre-wrap"},
        ),
    )


def _field(field: Any, prefix: Any) -> rx.Component:
    name = rx.Var.create(prefix).to(str) + "in-" + field.name
    described = rx.Var.create(prefix).to(str) + "about-" + field.name
    common: dict[str, Any] = {
        "id": name,
        "name": field.key,
        "aria_invalid": field.wrong != "",
        "aria_describedby": described,
    }
    return rx.el.div(
        rx.cond(field.kind != "boolean", rx.el.label(field.label, _star(field), html_for=name)),
        _control(field, common),
        rx.cond(field.empties.length() > 0, _meaning(field, described)),
        rx.el.span(
            rx.cond(field.wrong != "", rx.el.span(field.wrong, class_name="wrong", role="alert")),
            rx.cond(field.hint != "", rx.el.span(field.hint, class_name="hint")),
            id=described,
        ),
        class_name="field",
        key=field.name,
    )


def _control(field: Any, common: dict[str, Any]) -> rx.Component:
    typed = {**common, "default_value": field.value, "placeholder": field.placeholder}
    secret: dict[str, Any] = {"custom_attrs": {"data-secret": field.secret}}
    # Not of the browser's own types for mail, addresses or numbers: those change what is typed.
    line = rx.el.input(input_mode=field.mode, class_name="in", auto_complete="off", **typed)
    return rx.match(
        field.kind,
        ("boolean", _switch(field, common)),
        ("choice", _choice(field, common)),
        ("json", rx.el.textarea(class_name="in", spell_check=False, **secret, **typed)),
        ("text", rx.el.textarea(class_name="in grow", rows=1, **typed)),
        ("date", rx.el.input(type="date", class_name="in", **typed)),
        (
            "password",
            rx.el.input(type="password", class_name="in", auto_complete="new-password", **typed),
        ),
        line,
    )


def _meaning(field: Any, described: Any) -> rx.Component:
    """Return what the field means while it is empty, to be chosen where that may be several."""
    return rx.el.span(
        "empty means ",
        rx.el.select(
            rx.foreach(field.empties, lambda one: rx.el.option(one.label, value=one.value)),
            name=field.key + MEANING,
            id=described + "-empty",
            default_value=field.empty,
            aria_label="empty means",
        ),
        class_name="hint meaning",
    )


def _star(field: Any) -> rx.Component:
    return rx.cond(field.required, rx.el.span(" (required)", class_name="hint"))


def _switch(field: Any, common: dict[str, Any]) -> rx.Component:
    return rx.el.label(
        rx.el.input(type="checkbox", default_checked=field.checked, **common),
        field.label,
        class_name="check",
    )


def _choice(field: Any, common: dict[str, Any]) -> rx.Component:
    return rx.el.select(
        rx.foreach(field.options, lambda option: rx.el.option(option.label, value=option.value)),
        default_value=field.value,
        class_name="in",
        **common,
    )
