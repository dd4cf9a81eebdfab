"""``/workflows/[id]``: run it with this input, see its graph, follow its executions."""

from __future__ import annotations

from typing import Any

import reflex as rx

from engine_app.components import executions, ui, widgets
from engine_app.components.graph import graph
from engine_app.components.run_panel import run_panel
from engine_app.components.shell import frame
from engine_app.components.ui import ago, link
from engine_app.states.workflow import SLOTS, WorkflowState


def page() -> rx.Component:
    """Return the page."""
    return frame(
        "/workflows",
        widgets.title(WorkflowState.name, "workflow"),
        rx.el.div(
            link("Workflows", to="/workflows"),
            rx.cond(
                WorkflowState.id != "",
                rx.fragment(
                    rx.el.span("/", aria_hidden="true"),
                    widgets.CopyId.create(text=WorkflowState.id),
                ),
            ),
            rx.el.span(class_name="grow"),
            widgets.mark(WorkflowState.beat, WorkflowState.behind),
            class_name="trail",
        ),
        rx.cond(
            WorkflowState.trouble != "",
            ui.trouble(WorkflowState.trouble, WorkflowState.look_again),
        ),
        rx.cond(
            WorkflowState.loaded,
            rx.cond(WorkflowState.missing, _missing(), _content()),
            rx.cond(WorkflowState.trouble == "", ui.bones(6)),
        ),
    )


def _content() -> rx.Component:
    return rx.fragment(
        rx.el.div(
            rx.el.h1(WorkflowState.name),
            rx.el.span("version ", WorkflowState.version, class_name="sub"),
            rx.cond(WorkflowState.shared, rx.el.span("shared", class_name="sub")),
            class_name="row title",
        ),
        rx.cond(WorkflowState.about != "", rx.el.p(WorkflowState.about, class_name="sub")),
        rx.el.div(
            rx.el.div(
                rx.el.section(
                    rx.el.div("Graph", class_name="hd"), graph(WorkflowState), class_name="panel"
                ),
                _recent(),
                class_name="stack",
            ),
            rx.el.div(run_panel(), _versions(), _schedules(), class_name="stack first"),
            class_name="two",
        ),
        rx.el.details(
            rx.el.summary("Document", class_name="hd", style={"cursor": "pointer"}),
            ui.code(WorkflowState.document, "Document"),
            class_name="panel",
            style={"marginTop": "14px"},
        ),
    )


def _recent() -> rx.Component:
    return rx.el.section(
        rx.el.div(
            rx.el.h2("Recent executions"),
            rx.el.span(class_name="grow"),
            link(
                "all of this workflow →",
                to=rx.Var.create("/monitoring?workflow=") + WorkflowState.name,
                class_name="sub",
            ),
            class_name="row",
            style={"margin": "0 0 8px"},
        ),
        rx.cond(
            WorkflowState.lines > 0,
            executions.short_table(
                [getattr(WorkflowState, f"run{number}") for number in range(SLOTS)]
            ),
            rx.el.div(
                ui.empty(
                    "Never run by you",
                    "Fill in the form and press Run: the execution appears here and can be "
                    "watched step by step.",
                ),
                class_name="panel",
            ),
        ),
    )


def _versions() -> rx.Component:
    return rx.el.section(
        rx.el.div("Versions", class_name="hd"),
        rx.el.table(
            rx.el.tbody(
                rx.foreach(
                    WorkflowState.versions,
                    lambda version: rx.el.tr(
                        rx.el.td(
                            "v",
                            version.number,
                            rx.cond(
                                version.number == WorkflowState.version,
                                rx.el.span(" current", class_name="sub"),
                            ),
                        ),
                        rx.el.td(version.hash, class_name="mono sub"),
                        rx.el.td(ago(version.at), class_name="num sub nowrap"),
                    ),
                )
            )
        ),
        _pager(
            WorkflowState.newest_versions, WorkflowState.older_versions, name="Pages of versions"
        ),
        class_name="panel",
    )


def _pager(first: Any, further: Any, *, name: str) -> rx.Component:
    return rx.cond(
        (first != "") | (further != ""),
        rx.el.div(
            ui.pager(first=("← newest", first), further=("older →", further), name=name),
            class_name="pane",
        ),
    )


def _schedules() -> rx.Component:
    return rx.el.section(
        rx.el.div("Schedules", class_name="hd"),
        rx.cond(
            WorkflowState.dues.length() > 0,
            rx.el.table(rx.el.tbody(rx.foreach(WorkflowState.dues, _due))),
            rx.el.p(
                "None of yours starts it by itself. A schedule is made by POST /api/schedules.",
                class_name="sub pane",
            ),
        ),
        _pager(WorkflowState.newest_dues, WorkflowState.older_dues, name="Pages of schedules"),
        class_name="panel",
    )


def _due(due: Any) -> rx.Component:
    return rx.el.tr(
        rx.el.td(
            link(rx.el.b(due.name), to=f"/monitoring?schedule={due.id}"),
            rx.el.span(due.cron, " · ", due.zone, class_name="why mono"),
            rx.cond(
                due.note != "",
                rx.el.p(due.note, class_name=rx.cond(due.problem != "", "why bad", "why")),
            ),
        ),
        rx.el.td(
            rx.cond(
                due.paused,
                "paused",
                rx.cond(
                    due.problem != "",
                    "held up",
                    rx.cond(due.next > 0, ago(due.next), "never again"),
                ),
            ),
            class_name="num sub nowrap",
        ),
    )


def _missing() -> rx.Component:
    return rx.el.div(
        ui.empty(
            "No such workflow",
            "It is neither yours nor shared. The address may be wrong.",
            link("All workflows", to="/workflows", class_name="btn"),
        ),
        class_name="panel",
        style={"marginTop": "14px"},
    )
