"""``/workflows``: what can be run."""

from __future__ import annotations

from typing import Any

import reflex as rx

from engine_app.components import ui, widgets
from engine_app.components.shell import frame
from engine_app.components.ui import ago, link, pill
from engine_app.states.workflows import WorkflowsState


def page() -> rx.Component:
    """Return the page."""
    return frame(
        "/workflows",
        rx.el.div(
            rx.el.h1("Workflows"),
            rx.el.span("yours and those shared with everyone", class_name="sub"),
            rx.el.span(class_name="grow"),
            widgets.mark(WorkflowsState.beat, WorkflowsState.behind),
            class_name="row",
            style={"marginBottom": "14px"},
        ),
        _filters(),
        rx.cond(
            WorkflowsState.trouble != "",
            ui.trouble(WorkflowsState.trouble, WorkflowsState.look_again),
        ),
        rx.cond(
            WorkflowsState.loaded,
            rx.cond(
                WorkflowsState.cards.length() > 0,
                rx.fragment(_table(), _pager()),
                rx.cond(
                    (WorkflowsState.text != "") | (WorkflowsState.first != ""),
                    _no_match(),
                    _nothing(),
                ),
            ),
            rx.cond(WorkflowsState.trouble == "", ui.bones(5)),
        ),
    )


def _filters() -> rx.Component:
    return rx.el.div(
        ui.search("Find workflows", "Find by name", WorkflowsState.text, WorkflowsState.search),
        rx.cond(WorkflowsState.text != "", link("Clear filter", to="/workflows", class_name="btn")),
        class_name="filters",
    )


def _pager() -> rx.Component:
    return rx.cond(
        (WorkflowsState.first != "") | (WorkflowsState.further != ""),
        ui.pager(
            rx.fragment(WorkflowsState.cards.length(), " workflows"),
            first=("← first", WorkflowsState.first),
            further=("next →", WorkflowsState.further),
        ),
    )


def _table() -> rx.Component:
    heads = ("Workflow", "Version", "Steps", "Last run", "")
    return rx.el.div(
        rx.el.table(
            rx.el.thead(rx.el.tr(*[rx.el.th(name, scope="col") for name in heads])),
            rx.el.tbody(rx.foreach(WorkflowsState.cards, _row)),
        ),
        class_name="panel rows",
    )


def _row(card: Any) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            link(rx.el.b(card.name), to=card.path),
            rx.cond(card.shared, rx.el.span(" shared", class_name="sub")),
            rx.el.span(card.about, class_name="why"),
            class_name="wide",
        ),
        rx.el.td("v", card.version, class_name="sub nowrap"),
        rx.el.td(card.steps, class_name="sub x"),
        rx.el.td(
            rx.cond(
                card.last_id != "",
                link(
                    pill(card.last_status),
                    " ",
                    rx.el.span(ago(card.last_at), class_name="sub"),
                    to=rx.Var.create("/executions/") + card.last_id,
                    class_name="nowrap",
                ),
                rx.el.span("never", class_name="sub"),
            )
        ),
        rx.el.td(link("Run…", to=card.path + "#run", class_name="btn"), class_name="num"),
        custom_attrs={"data-row": card.id},
        key=card.id,
    )


def _no_match() -> rx.Component:
    return rx.el.div(
        ui.empty(
            "Nothing matches",
            "No workflow that you may run has this in its name, or there are no more of them.",
            link("Show all workflows", to="/workflows", class_name="btn"),
        ),
        class_name="panel",
    )


def _nothing() -> rx.Component:
    return rx.el.div(
        ui.empty(
            "No workflows yet",
            "A workflow is a graph of steps, written in Python or as a document. Publish one with",
            rx.el.code("engine workflows push my-workflow.yaml", class_name="mono"),
        ),
        class_name="panel",
    )
