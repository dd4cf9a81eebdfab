"""A list of executions: each row says in words what it does or waits for."""

from __future__ import annotations

from typing import Any

import reflex as rx

from engine_app.components import widgets
from engine_app.components.ui import ago, link, pill, took
from engine_app.states.view_models import Line

_HEADS = ("Status", "Workflow", "Execution", "Progress", "Trigger", "Created", "Duration")


def table(slots: list[Any]) -> rx.Component:
    """Return the table over row slots; a slot without an id is not drawn."""
    return rx.el.div(
        rx.el.table(
            rx.el.thead(
                rx.el.tr(*[rx.el.th(name, class_name=_class(name), scope="col") for name in _HEADS])
            ),
            rx.el.tbody(*[execution_line(row=slot) for slot in slots]),
        ),
        class_name="panel rows",
    )


def short_table(slots: list[Any]) -> rx.Component:
    """Return the table of one workflow's executions: narrow, without its name in each row."""
    heads = ("Status", "Doing", "Execution", "Created", "Duration")
    return rx.el.div(
        rx.el.table(
            rx.el.thead(
                rx.el.tr(*[rx.el.th(name, class_name=_class(name), scope="col") for name in heads])
            ),
            rx.el.tbody(*[short_line(row=slot) for slot in slots]),
        ),
        class_name="panel rows",
    )


def _class(name: str) -> str:
    if name in ("Created", "Duration"):
        return "num"
    return "x" if name == "Trigger" else ""


@rx.memo
def execution_line(row: rx.Var[Line]) -> rx.Component:
    """Return one row: drawn again only when its own slot changes."""
    path = rx.Var.create("/executions/") + row.id
    return rx.cond(
        row.id != "",
        rx.el.tr(
            rx.el.td(pill(row.status)),
            rx.el.td(
                link(rx.el.b(row.workflow), to=path),
                rx.el.span(" v", row.version, class_name="sub"),
                rx.el.span(row.why, class_name="why"),
                class_name="wide",
            ),
            rx.el.td(widgets.CopyId.create(text=row.id)),
            rx.el.td(
                rx.el.span(
                    rx.el.i(style={"width": row.share}),
                    class_name=rx.Var.create("bar ") + row.status,
                    aria_hidden="true",
                ),
                row.done,
                " / ",
                row.total,
                class_name="nowrap x",
            ),
            rx.el.td(_trigger(row), class_name="sub x"),
            rx.el.td(ago(row.created), class_name="num sub nowrap"),
            rx.el.td(took(row.started, row.finished), class_name="num nowrap"),
            custom_attrs={"data-row": row.id},
        ),
    )


def _trigger(row: rx.Var[Line]) -> rx.Component:
    """Return what started it; a schedule leads to all that it has started."""
    there = rx.Var.create("/monitoring?schedule=") + row.schedule
    return rx.cond(row.schedule != "", link(row.trigger, to=there), row.trigger)


@rx.memo
def short_line(row: rx.Var[Line]) -> rx.Component:
    """Return one row of the narrow table."""
    return rx.cond(
        row.id != "",
        rx.el.tr(
            rx.el.td(pill(row.status)),
            rx.el.td(
                link(row.why, to=rx.Var.create("/executions/") + row.id),
                rx.el.span("v", row.version, " · ", row.trigger, class_name="why"),
                class_name="wide",
            ),
            rx.el.td(widgets.CopyId.create(text=row.id)),
            rx.el.td(ago(row.created), class_name="num sub nowrap"),
            rx.el.td(took(row.started, row.finished), class_name="num nowrap"),
            custom_attrs={"data-row": row.id},
        ),
    )
