"""What is shown where there is no page."""

from __future__ import annotations

import reflex as rx

from engine_app.components.shell import frame
from engine_app.components.ui import empty, link


def page() -> rx.Component:
    """Return the page."""
    return frame(
        "",
        rx.el.div(
            empty(
                "There is no such page",
                "The address may be mistyped.",
                link("Monitoring", to="/monitoring", class_name="btn"),
            ),
            class_name="panel",
        ),
    )
