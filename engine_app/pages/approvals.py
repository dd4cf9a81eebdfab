"""``/approvals``: what waits for the viewer's decision."""

from __future__ import annotations

import reflex as rx

from engine_app.components import pending_inputs, ui, widgets
from engine_app.components.shell import frame
from engine_app.components.ui import link
from engine_app.states.approvals import ApprovalsState


def page() -> rx.Component:
    """Return the page."""
    return frame(
        "/approvals",
        rx.el.div(
            rx.el.h1("Approvals"),
            rx.el.span(class_name="grow"),
            widgets.mark(ApprovalsState.beat, ApprovalsState.behind),
            class_name="row",
        ),
        rx.cond(
            ApprovalsState.trouble != "",
            ui.trouble(ApprovalsState.trouble, ApprovalsState.look_again),
        ),
        rx.cond(
            ApprovalsState.refusal != "",
            rx.el.div(
                rx.el.h2("That was not possible"),
                ApprovalsState.refusal,
                class_name="cause",
                role="alert",
            ),
        ),
        rx.cond(
            ApprovalsState.loaded,
            # The list stays where it is while it is empty: a card that comes is one that moved.
            rx.fragment(
                pending_inputs.cards(ApprovalsState, named=True),
                rx.cond(ApprovalsState.asks.length() == 0, _none()),
            ),
            rx.cond(ApprovalsState.trouble == "", ui.bones(3)),
        ),
        rx.cond(
            ApprovalsState.loaded & ((ApprovalsState.newest != "") | (ApprovalsState.older != "")),
            ui.pager(
                rx.fragment(ApprovalsState.asks.length(), " on this page, the newest first"),
                first=("← newest", ApprovalsState.newest),
                further=("older →", ApprovalsState.older),
                name="Pages of approvals",
            ),
        ),
    )


def _none() -> rx.Component:
    return rx.el.div(
        ui.empty(
            "Nothing waits for your decision",
            "A workflow asks for one with an approval step. It appears here the moment it waits, "
            "with its form, whichever execution it belongs to.",
            link("Try the example “release”", to="/workflows/release", class_name="btn"),
        ),
        class_name="panel",
        style={"marginTop": "14px"},
    )
