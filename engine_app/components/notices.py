"""What needs someone's hand, above the list of executions; nothing when nothing does."""

from __future__ import annotations

from typing import Any

import reflex as rx

from engine_app.components import ui, widgets
from engine_app.components.ui import ago, link
from engine_app.states.monitoring import MonitoringState


def notices() -> rx.Component:
    """Return the notices about missing code and dead letters."""
    return rx.el.div(
        widgets.Answered.create(turn=MonitoringState.turn),
        rx.cond(
            MonitoringState.refusal != "",
            rx.el.div(
                rx.el.h2("That was not possible"),
                MonitoringState.refusal,
                class_name="cause",
                role="alert",
            ),
        ),
        rx.cond(MonitoringState.lacks.length() > 0, _lacks()),
        rx.cond(
            (MonitoringState.letters.length() > 0) | (MonitoringState.newest_letters != ""),
            _letters(),
        ),
        aria_live="polite",
    )


def _lacks() -> rx.Component:
    return rx.el.section(
        rx.el.div("Code that no worker has", class_name="hd"),
        rx.el.p(
            "These steps wait until a worker starts that has their code. Deploy it, or cancel the "
            "executions and run them again on a version that does without.",
            class_name="sub",
        ),
        rx.el.ul(
            rx.foreach(
                MonitoringState.lacks,
                lambda one: rx.el.li(
                    rx.el.span(one.words), link(one.waiting, to=one.href, class_name="under")
                ),
            ),
            class_name="kids",
        ),
        rx.cond(
            MonitoringState.more_lacks,
            rx.el.p(
                "and more: GET /api/executions/stranded has them by version.", class_name="sub"
            ),
        ),
        class_name="panel notice",
        aria_label="Code that no worker has",
    )


def _letters() -> rx.Component:
    return rx.el.section(
        rx.el.div("Dead letters", class_name="hd"),
        rx.el.ul(rx.foreach(MonitoringState.letters, _letter), class_name="kids"),
        rx.cond(
            (MonitoringState.newest_letters != "") | (MonitoringState.older_letters != ""),
            ui.pager(
                rx.fragment(MonitoringState.letters.length(), " dead letters"),
                first=("← newest", MonitoringState.newest_letters),
                further=("older →", MonitoringState.older_letters),
                name="Pages of dead letters",
            ),
        ),
        class_name="panel notice",
        aria_label="Dead letters",
    )


def _letter(letter: Any) -> rx.Component:
    return rx.el.li(
        rx.cond(
            letter.execution != "",
            link(
                "execution ",
                rx.el.span(letter.short, class_name="mono"),
                to=rx.Var.create("/executions/") + letter.execution,
                class_name="under",
            ),
        ),
        rx.el.span(
            letter.reason,
            rx.cond(letter.message != "", rx.fragment(": ", letter.message)),
            style={"flex": "1", "minWidth": "200px"},
        ),
        rx.el.span(ago(letter.at), class_name="sub"),
        rx.cond(
            letter.execution != "",
            widgets.Confirm.create(
                label="Replay…",
                title=rx.Var.create("Replay the dead letter of execution …") + letter.short + "?",
                body=letter.again,
                action="Replay",
                on_confirm=lambda _note: MonitoringState.replay(letter.id),
            ),
        ),
        key=letter.id,
    )
