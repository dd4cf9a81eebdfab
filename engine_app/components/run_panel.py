"""The test panel: a form from the input's schema, or the input as JSON."""

from __future__ import annotations

import reflex as rx

from engine_app.components import form_fields, widgets
from engine_app.states.answering import FORM
from engine_app.states.running import DO, RENEW, RUN, TO_FORM, TO_JSON
from engine_app.states.workflow import WorkflowState

_OLD = WorkflowState.made_of < WorkflowState.newest


def run_panel() -> rx.Component:
    """Return the panel."""
    return rx.el.section(
        rx.el.div("Run", class_name="hd"),
        rx.el.form(
            rx.cond(_OLD, _outdated()),
            rx.cond(WorkflowState.as_json, _json(), _fields()),
            form_fields.wrong(WorkflowState.wrong),
            widgets.FormKey.create(name=FORM),
            widgets.Keep.create(
                name="run",
                drawn=WorkflowState.drawn,
                mode=rx.cond(WorkflowState.as_json, TO_JSON, TO_FORM),
                on_recall=WorkflowState.recall,
            ),
            widgets.Answered.create(turn=WorkflowState.turn),
            _buttons(),
            on_submit=WorkflowState.run,
            class_name="pane",
            no_validate=True,
            # Drawn anew, or the browser would keep what was typed into another form.
            key=rx.Var.create("form ") + WorkflowState.drawn.to_string(),
        ),
        id="run",
        class_name="panel",
    )


def _buttons() -> rx.Component:
    # The first one is also what Enter means.
    return rx.el.div(
        widgets.Sender.create(
            rx.cond(_OLD, rx.fragment("Run version ", WorkflowState.made_of), "Run"),
            does=RUN,
            name=DO,
            class_name="btn p",
            acts=True,
        ),
        rx.el.span(class_name="grow"),
        rx.cond(
            ~WorkflowState.json_only,
            rx.cond(
                WorkflowState.as_json,
                widgets.Sender.create("as a form", does=TO_FORM, name=DO, class_name="btn s"),
                widgets.Sender.create("as JSON", does=TO_JSON, name=DO, class_name="btn s"),
            ),
        ),
        class_name="row",
    )


def _outdated() -> rx.Component:
    return rx.el.div(
        rx.el.p(
            "Version ",
            WorkflowState.newest,
            " was published after this form was opened, which is of version ",
            WorkflowState.made_of,
            ".",
        ),
        widgets.Sender.create(
            "Take the form of version ",
            WorkflowState.newest,
            does=RENEW,
            name=DO,
            class_name="btn s",
        ),
        class_name="note",
        role="status",
        style={"marginBottom": "12px"},
    )


def _json() -> rx.Component:
    return form_fields.as_json(
        "Input as JSON", WorkflowState.text, "in-json", secret=WorkflowState.secret
    )


def _fields() -> rx.Component:
    return rx.cond(
        WorkflowState.fields.length() > 0,
        form_fields.fields(WorkflowState.fields, ""),
        rx.el.p("It takes no input.", class_name="sub", style={"marginBottom": "12px"}),
    )
