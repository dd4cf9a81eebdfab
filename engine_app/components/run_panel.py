"""The test panel: a form from the input's schema, or the input as JSON."""

from __future__ import annotations

from typing import Any

import reflex as rx

from engine_app.states.workflow import WorkflowState


def run_panel() -> rx.Component:
    """Return the panel."""
    return rx.el.section(
        rx.el.div(
            "Run",
            rx.el.span(class_name="grow"),
            rx.cond(
                ~WorkflowState.json_only,
                rx.el.button(
                    rx.cond(WorkflowState.as_json, "as a form", "as JSON"),
                    type="button",
                    class_name="btn s",
                    on_click=WorkflowState.switch_to_json,
                ),
            ),
            class_name="hd",
        ),
        rx.el.form(
            rx.cond(WorkflowState.as_json, _json(), _fields()),
            rx.foreach(
                WorkflowState.wrong,
                lambda text: rx.el.p(
                    text, role="alert", style={"color": "var(--fail)", "marginBottom": "10px"}
                ),
            ),
            rx.el.button("Run", type="submit", class_name="btn p"),
            on_submit=WorkflowState.run,
            class_name="pane",
            no_validate=True,
            key=WorkflowState.id,
        ),
        id="run",
        class_name="panel",
    )


def _json() -> rx.Component:
    return rx.el.div(
        rx.el.label("Input as JSON", html_for="in-json"),
        rx.el.textarea(
            id="in-json",
            name="json",
            default_value=WorkflowState.text,
            key=WorkflowState.text,
            class_name="in",
            rows=8,
            spell_check=False,
        ),
        class_name="field",
    )


def _fields() -> rx.Component:
    return rx.cond(
        WorkflowState.fields.length() > 0,
        rx.foreach(WorkflowState.fields, _field),
        rx.el.p("It takes no input.", class_name="sub", style={"marginBottom": "12px"}),
    )


def _field(field: Any) -> rx.Component:
    name = rx.Var.create("in-") + field.name
    described = rx.Var.create("about-") + field.name
    common: dict[str, Any] = {
        "id": name,
        "name": field.name,
        "aria_invalid": field.wrong != "",
        "aria_describedby": described,
    }
    return rx.el.div(
        rx.cond(field.kind != "boolean", rx.el.label(field.label, _star(field), html_for=name)),
        rx.match(
            field.kind,
            ("boolean", _switch(field, common)),
            ("choice", _choice(field, common)),
            ("json", rx.el.textarea(default_value=field.value, class_name="in", **common)),
            (
                "integer",
                rx.el.input(
                    default_value=field.value, input_mode="numeric", class_name="in", **common
                ),
            ),
            (
                "number",
                rx.el.input(
                    default_value=field.value, input_mode="decimal", class_name="in", **common
                ),
            ),
            rx.el.input(default_value=field.value, type=field.input, class_name="in", **common),
        ),
        rx.el.span(
            rx.cond(field.wrong != "", rx.el.span(field.wrong, class_name="wrong", role="alert")),
            rx.cond(field.hint != "", rx.el.span(field.hint, class_name="hint")),
            id=described,
        ),
        class_name="field",
        key=field.name,
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
        rx.cond(~field.required, rx.el.option("–", value="")),
        rx.foreach(field.options, lambda option: rx.el.option(option, value=option)),
        default_value=field.value,
        class_name="in",
        **common,
    )
