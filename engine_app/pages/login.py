"""``/login``: the only page for those who are not signed in. It knows nothing."""

from __future__ import annotations

import reflex as rx

from engine_app.components import widgets
from engine_app.components.shell import brand


def page() -> rx.Component:
    """Return the page."""
    return rx.el.main(
        rx.el.div(
            brand(),
            rx.el.h1("Sign in", class_name="only-reader"),
            widgets.SignIn.create(action="/api/login"),
            rx.el.p(
                "On the machine the engine runs on, its start prints a link that signs in once.",
                class_name="sub",
                style={"marginTop": "14px"},
            ),
            class_name="panel",
        ),
        class_name="door",
    )
