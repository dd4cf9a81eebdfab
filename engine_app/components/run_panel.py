"""The test panel: a form from the input's schema, or the input as JSON."""

from __future__ import annotations

import reflex as rx

from engine_app.components import form_fields, kit
from engine_app.states.answering import FORM
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
            form_fields.wrong(WorkflowState.wrong),
            kit.FormKey.create(name=FORM),
            kit.Answered.create(turn=WorkflowState.turn),
            rx.el.button("Run", type="submit", class_name="btn p", custom_attrs=kit.ACTS),
            on_submit=WorkflowState.run,
            class_name="pane",
            no_validate=True,
            key=WorkflowState.id,
        ),
        id="run",
        class_name="panel",
    )


def _json() -> rx.Component:
    return form_fields.as_json(
        "Input as JSON", WorkflowState.text, "in-json", key=WorkflowState.text
    )


def _fields() -> rx.Component:
    return rx.cond(
        WorkflowState.fields.length() > 0,
        form_fields.fields(WorkflowState.fields, ""),
        rx.el.p("It takes no input.", class_name="sub", style={"marginBottom": "12px"}),
    )
