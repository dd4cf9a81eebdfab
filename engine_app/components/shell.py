"""The frame around every page: navigation, theme, keyboard, who is signed in."""

from __future__ import annotations

from typing import Any

import reflex as rx
from reflex_base.vars.function import ArgsFunctionOperation
from reflex_components_core.base.error_boundary import error_boundary

from engine_app.asked import ASKED_CAP
from engine_app.components import widgets
from engine_app.components.ui import link
from engine_app.states.base import Session

_PLACES = (
    ("/monitoring", "Monitoring"),
    ("/approvals", "Approvals"),
    ("/workflows", "Workflows"),
)


def frame(here: str, *content: Any) -> rx.Component:
    """Return a page; ``here`` is the path of the place it belongs to."""
    return rx.el.div(
        widgets.Jump.create("Skip to content", href="#content", class_name="skip"),
        _side(here),
        rx.el.main(*content, id="content", tab_index=-1),
        widgets.Told.create(),
        class_name="app",
    )


def brand() -> rx.Component:
    """Return the name with its mark."""
    return rx.el.div(
        rx.el.i(aria_hidden="true"), rx.el.span("Execution Engine"), class_name="brand"
    )


def _side(here: str) -> rx.Component:
    return rx.el.aside(
        brand(),
        rx.el.nav(*[_place(path, name, path == here) for path, name in _PLACES], aria_label="Main"),
        _foot(),
        class_name="side",
    )


def _place(path: str, name: str, is_here: bool) -> rx.Component:
    props: dict[str, Any] = {"aria_current": "page", "class_name": "on"} if is_here else {}
    count = _asked() if path == "/approvals" else ""
    return link(name, count, to=path, **props)


def _asked() -> rx.Component:
    """Return how many approvals wait for whoever is signed in."""
    return rx.cond(
        Session.asked > 0,
        rx.el.span(
            Session.asked,
            rx.cond(Session.asked == ASKED_CAP, "+", ""),
            rx.el.span(" waiting for you", class_name="only-reader"),
            class_name="count",
        ),
    )


def _foot() -> rx.Component:
    return rx.el.div(
        rx.el.span(Session.user, class_name="who"),
        rx.el.div(
            widgets.ThemeSwitch.create(),
            widgets.Keys.create(),
            widgets.NativeForm.create(
                rx.el.button("Sign out", type="submit", class_name="btn s"),
                action="/api/logout",
                method="post",
            ),
            class_name="foot-row",
        ),
        class_name="foot",
    )


def failed_page(_stateful: bool) -> rx.Component:
    """Return the boundary that catches a page that failed to draw: words instead of a blank."""
    fallback = rx.el.main(
        rx.el.div(
            rx.el.h2("This page failed to draw"),
            rx.el.p("The engine is not touched by it. Load the page again."),
            widgets.Jump.create("Load again", href="", class_name="btn"),
            class_name="panel empty",
        )
    )
    return error_boundary(
        fallback_render=ArgsFunctionOperation.create(("failure",), rx.Var.create(fallback))
    )
