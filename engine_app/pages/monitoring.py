"""``/monitoring``: what all executions of the viewer are doing, in words."""

from __future__ import annotations

import reflex as rx

from engine.store.reads.walks import REACH
from engine_app.components import executions, ui, widgets
from engine_app.components.notices import notices
from engine_app.components.shell import frame
from engine_app.components.ui import link
from engine_app.states.monitoring import SLOTS, STATUSES, MonitoringState


def page() -> rx.Component:
    """Return the page."""
    return frame(
        "/monitoring",
        rx.el.div(
            rx.el.h1("Monitoring"),
            rx.el.span(MonitoringState.summary, class_name="sub"),
            rx.el.span(class_name="grow"),
            widgets.mark(MonitoringState.beat, MonitoringState.behind),
            link("Run a workflow", to="/workflows", class_name="btn p"),
            class_name="row",
        ),
        notices(),
        _filters(),
        rx.cond(
            MonitoringState.trouble != "",
            ui.trouble(MonitoringState.trouble, MonitoringState.look_again),
        ),
        rx.cond(
            MonitoringState.loaded,
            _list(),
            rx.cond(MonitoringState.trouble == "", ui.bones(8)),
        ),
    )


def _filters() -> rx.Component:
    return rx.el.div(
        ui.search(
            "Find executions",
            "Find by workflow, id, error or trigger",
            MonitoringState.text,
            MonitoringState.search,
        ),
        ui.choice(
            "Status",
            MonitoringState.status,
            [rx.el.option("any", value=""), *[rx.el.option(name, value=name) for name in STATUSES]],
            MonitoringState.pick_status,
        ),
        ui.choice(
            "Workflow",
            MonitoringState.workflow,
            [
                rx.el.option("any", value=""),
                rx.foreach(MonitoringState.workflows, lambda name: rx.el.option(name, value=name)),
                rx.cond(
                    MonitoringState.more_workflows,
                    rx.el.option("… and more: find them by name", value="", disabled=True),
                ),
            ],
            MonitoringState.pick_workflow,
        ),
        rx.cond(
            MonitoringState.lacking,
            rx.el.span("waiting for code that no worker has", class_name="chip said"),
        ),
        rx.cond(
            MonitoringState.scheduled,
            rx.el.span("started by schedule ", MonitoringState.schedule, class_name="chip said"),
        ),
        rx.cond(
            MonitoringState.filtered, link("Clear filters", to="/monitoring", class_name="btn")
        ),
        class_name="filters",
    )


def _list() -> rx.Component:
    return rx.cond(
        MonitoringState.shown > 0,
        rx.fragment(
            executions.table([getattr(MonitoringState, f"row{number}") for number in range(SLOTS)]),
            _pager(),
        ),
        rx.fragment(
            rx.el.div(_nothing(), class_name="panel"),
            rx.cond(MonitoringState.reached > 0, _pager()),
        ),
    )


def _nothing() -> rx.Component:
    return rx.cond(
        MonitoringState.reached > 0,
        ui.empty(
            "Nothing so far",
            f"{REACH:,} executions were looked through, and there are older ones. With a status "
            "chosen only those in it are looked through.",
            link("Look further", to=MonitoringState.older, class_name="btn"),
        ),
        _nothing_at_all(),
    )


def _nothing_at_all() -> rx.Component:
    return rx.cond(
        MonitoringState.filtered | (MonitoringState.first != ""),
        ui.empty(
            "Nothing matches",
            "No execution of yours fits this filter. Others may be there without it.",
            link("Show all executions", to="/monitoring", class_name="btn"),
        ),
        ui.empty(
            "No executions yet",
            "An execution is one run of a workflow. Each appears here the moment it starts, "
            "with what it is doing or waiting for.",
            link("Run your first workflow", to="/workflows", class_name="btn p"),
        ),
    )


def _pager() -> rx.Component:
    return ui.pager(
        rx.fragment(
            MonitoringState.shown, rx.cond(MonitoringState.shown == 1, " execution", " executions")
        ),
        rx.cond(
            MonitoringState.reached > 0,
            rx.el.span("looked back to ", widgets.Day.create(at=MonitoringState.reached)),
        ),
        first=("← newest", MonitoringState.first),
        further=("older →", MonitoringState.older),
    )
