"""``/executions/[id]``: one run: is it moving, what failed and why, what can be done."""

from __future__ import annotations

from typing import Any

import reflex as rx

from engine_app.components import execution_tabs as tabs
from engine_app.components import pending_inputs, standing, ui, widgets
from engine_app.components.shell import frame
from engine_app.components.ui import ago, kpi, link, pill, took
from engine_app.states.execution import ExecutionState

_HEAD = ExecutionState.head
_STAGE = ExecutionState.stage
_TABS = (
    ("timeline", "Timeline"),
    ("steps", "Steps"),
    ("logs", "Logs"),
    ("events", "Events"),
    ("io", "Input / Output"),
)


def page() -> rx.Component:
    """Return the page."""
    return frame(
        "/monitoring",
        widgets.title(_HEAD.workflow, _HEAD.status, _HEAD.id),
        widgets.Recall.create(
            chosen=ExecutionState.chosen, about=_HEAD.id, on_recall=ExecutionState.recall
        ),
        _trail(),
        rx.cond(
            ExecutionState.trouble != "",
            ui.trouble(ExecutionState.trouble, ExecutionState.look_again),
        ),
        rx.cond(
            ExecutionState.loaded,
            rx.cond(ExecutionState.missing, _missing(), _content()),
            rx.cond(ExecutionState.trouble == "", _skeleton()),
        ),
    )


def _trail() -> rx.Component:
    return rx.el.div(
        link("Monitoring", to="/monitoring"),
        rx.cond(
            _HEAD.id != "",
            rx.fragment(
                rx.el.span("/", aria_hidden="true"),
                link(_HEAD.workflow, to=rx.Var.create("/workflows/") + _HEAD.workflow_id),
                rx.el.span("/", aria_hidden="true"),
                widgets.CopyId.create(text=_HEAD.id),
            ),
        ),
        rx.el.span(class_name="grow"),
        rx.cond(
            _HEAD.id != "",
            widgets.Jump.create(
                "download all",
                href=rx.Var.create("/api/executions/") + _HEAD.id + "/record",
                download="",
                class_name="sub",
                title="Steps with their values, items, events and log lines, as JSON",
            ),
        ),
        widgets.mark(ExecutionState.beat, ExecutionState.behind),
        class_name="trail",
    )


def _content() -> rx.Component:
    return rx.fragment(
        _title(),
        _refusal(),
        standing.stage_words(),
        pending_inputs.cards(ExecutionState),
        pending_inputs.decisions(ExecutionState.decided),
        rx.foreach(ExecutionState.left_out, lambda words: rx.el.p(words, class_name="note")),
        _cause(),
        _words(),
        standing.relatives(),
        _figures(),
        _tabs(),
        _shown(),
    )


def _title() -> rx.Component:
    return rx.el.div(
        rx.el.h1(_HEAD.workflow),
        rx.el.span("version ", _HEAD.version, class_name="sub"),
        rx.el.span(pill(_HEAD.status), standing.stage_pill(), class_name="row", aria_live="polite"),
        rx.el.span(class_name="grow"),
        standing.actions(),
        class_name="row title",
    )


def _refusal() -> rx.Component:
    return rx.cond(
        ExecutionState.refusal != "",
        rx.el.div(
            rx.el.h2("That was not possible"),
            ExecutionState.refusal,
            class_name="cause",
            role="alert",
        ),
    )


def _cause() -> rx.Component:
    cause = ExecutionState.cause
    return rx.cond(
        cause.title != "",
        rx.el.section(
            rx.el.h2(cause.title),
            rx.el.span(cause.text),
            rx.cond(cause.trace != "", rx.el.pre(cause.trace, tab_index=0, aria_label="Trace")),
            class_name="cause",
            aria_label="Cause of the failure",
        ),
    )


def _words() -> rx.Component:
    """Return, for whoever waits, what the run is doing, in a sentence."""
    return rx.cond(
        _says_more() | (_HEAD.origin != ""),
        rx.el.p(
            rx.cond(_says_more(), _HEAD.why, ""),
            rx.cond(
                _HEAD.origin != "",
                rx.fragment(
                    rx.cond(_says_more(), " · ", ""),
                    "goes on from ",
                    link(
                        "an earlier execution",
                        to=rx.Var.create("/executions/") + _HEAD.origin,
                        class_name="under",
                    ),
                    rx.cond(
                        _STAGE.rerun_from != "",
                        rx.fragment(", from step ", rx.el.b(_STAGE.rerun_from)),
                    ),
                ),
            ),
            class_name="note",
        ),
    )


def _says_more() -> Any:
    """Return whether the sentence tells what neither stage nor cards nor cause have told."""
    asked = (_HEAD.status == "waiting") & (ExecutionState.asks.length() > 0)
    return (_HEAD.is_open & ~asked & (_STAGE.name == "")) | (_HEAD.status == "cancelled")


def _figures() -> rx.Component:
    return rx.el.div(
        kpi("Created", ago(_HEAD.created)),
        kpi("Duration", took(_HEAD.started, _HEAD.finished)),
        kpi("Steps", _HEAD.steps),
        kpi("Waited to start", took(_HEAD.created, _HEAD.started)),
        rx.cond(_STAGE.deadline > 0, kpi("Must end", ago(_STAGE.deadline))),
        kpi("Trigger", _HEAD.trigger, title=_HEAD.trigger),
        class_name="panel kpis",
    )


def _tab() -> Any:
    asked = ExecutionState.router.url.query_parameters["tab"]
    return rx.cond(asked, asked, "timeline").to(str)


def _tabs() -> rx.Component:
    return rx.el.nav(
        *[
            link(
                name,
                rx.cond(_HEAD.events > 0, rx.el.span(" ", _HEAD.events, class_name="faint"))
                if key == "events"
                else "",
                to=rx.Var.create("/executions/") + _HEAD.id + f"?tab={key}",
                class_name=rx.cond(_tab() == key, "on", ""),
                aria_current=rx.cond(_tab() == key, "page", "false"),
                prevent_scroll_reset=True,
            )
            for key, name in _TABS
        ],
        class_name="tabs",
        aria_label="Views of the execution",
    )


def _shown() -> rx.Component:
    return rx.match(
        _tab(),
        ("steps", tabs.steps()),
        ("logs", tabs.logs()),
        ("events", tabs.events()),
        ("io", tabs.values()),
        tabs.timeline(),
    )


def _missing() -> rx.Component:
    return rx.el.div(
        ui.empty(
            "No such execution",
            "It is not among yours. The address may be wrong, or it belongs to someone else.",
            link("All your executions", to="/monitoring", class_name="btn"),
        ),
        class_name="panel",
        style={"marginTop": "14px"},
    )


def _skeleton() -> rx.Component:
    return rx.fragment(
        rx.el.div(ui.bone("180px"), ui.bone("80px"), class_name="row title"),
        rx.el.div(
            *[rx.el.div(ui.bone("60px"), rx.el.br(), ui.bone("90px")) for _ in range(5)],
            class_name="panel kpis",
        ),
        ui.bones(6),
    )
