"""The dialog that runs an ended execution again, and tells before what that repeats."""

from __future__ import annotations

from typing import Any

import reflex as rx

from engine.commands.rerun import NEWEST
from engine_app.components import form_fields, widgets
from engine_app.states.answering import FORM
from engine_app.states.rerun import RerunState

_SAME = "same"
_OUT = RerunState.outlook


def rerun(execution: Any, workflow: Any) -> rx.Component:
    """Return the button and its dialog."""
    return widgets.Sheet.create(
        rx.cond(
            RerunState.ready,
            _form(),
            rx.el.p("Reading the steps …", class_name="sub", role="status"),
        ),
        label="Rerun…",
        title=rx.Var.create("Run ") + workflow + " again",
        on_open=RerunState.open(execution),
        key=execution,
    )


def _form() -> rx.Component:
    return rx.el.form(
        rx.el.p(
            "A new execution starts; this one stays as it is. Steps before the chosen one keep "
            "their results, but for those that compensations undid.",
            class_name="sub",
        ),
        _from(),
        _version(),
        _input(),
        form_fields.wrong(RerunState.wrong),
        _outlook(),
        widgets.FormKey.create(name=FORM),
        widgets.Answered.create(turn=RerunState.turn),
        rx.el.div(
            widgets.SheetBack.create(),
            rx.cond(
                _OUT.version > 0,
                rx.el.button(
                    "Start it", type="submit", class_name="btn p", custom_attrs=widgets.ACTS
                ),
                rx.el.button(
                    "Start it",
                    type="submit",
                    class_name="btn p",
                    disabled=True,
                    title="Not as it stands: see above",
                ),
            ),
            class_name="row",
        ),
        on_submit=RerunState.start,
        no_validate=True,
    )


def _from() -> rx.Component:
    return rx.el.div(
        rx.el.label("Run again from", html_for="rerun-step"),
        rx.el.select(
            rx.cond(RerunState.what_failed, rx.el.option("whatever did not complete", value="")),
            rx.foreach(RerunState.steps, lambda name: rx.el.option(name, value=name)),
            id="rerun-step",
            value=RerunState.step,
            on_change=RerunState.pick_step,
            class_name="in",
        ),
        rx.cond(
            RerunState.more > 0,
            rx.el.span(RerunState.more, " more steps: the API takes any.", class_name="hint"),
        ),
        class_name="field",
    )


def _version() -> rx.Component:
    return rx.cond(
        RerunState.newest > RerunState.version,
        rx.el.div(
            rx.el.label("Version", html_for="rerun-version"),
            rx.el.select(
                rx.el.option("the same: ", RerunState.version.to_string(), value=_SAME),
                rx.el.option("the newest: ", RerunState.newest.to_string(), value=NEWEST),
                id="rerun-version",
                value=rx.cond(RerunState.newer, NEWEST, _SAME),
                on_change=RerunState.pick_version,
                class_name="in",
            ),
            class_name="field",
        ),
        rx.cond(
            RerunState.version > 0,
            rx.el.p("Version ", RerunState.version, ", the newest.", class_name="sub field"),
        ),
    )


def _input() -> rx.Component:
    return rx.el.div(
        rx.el.label(
            rx.el.input(
                type="checkbox", default_checked=RerunState.edited, on_change=RerunState.edit
            ),
            "Give another input",
            class_name="check",
        ),
        rx.cond(
            RerunState.edited,
            rx.el.textarea(
                name="input",
                id="rerun-input",
                default_value=RerunState.text,
                on_blur=RerunState.type_input,
                class_name="in",
                rows=7,
                spell_check=False,
                aria_label="Input as JSON",
                custom_attrs={"data-secret": RerunState.secret},
            ),
        ),
        rx.cond(RerunState.edited, widgets.Keep.create(name="rerun")),
        class_name="field",
    )


def _outlook() -> rx.Component:
    return rx.el.div(
        rx.cond(
            _OUT.version > 0,
            rx.el.dl(
                _fate("Run again", _OUT.repeated, "what they did outside may be done twice", "w"),
                _fate("New", _OUT.fresh, "not begun before", "n"),
                _fate("Taken over", _OUT.reused, "results kept, not run", "k"),
                class_name="fates",
            ),
        ),
        rx.cond(
            (_OUT.version > 0) & RerunState.closes,
            rx.el.p(
                "The steps that run at its end run at the end of the new one too.",
                class_name="sub",
                style={"marginTop": "8px"},
            ),
        ),
        aria_live="polite",
    )


def _fate(name: str, fate: Any, about: str, kind: str) -> rx.Component:
    return rx.fragment(
        rx.el.dt(
            rx.el.b(fate.count, " ", name.lower()),
            rx.cond(fate.count > 0, rx.el.span(about, class_name="sub")),
            class_name=f"fate {kind}",
        ),
        rx.cond(fate.count > 0, rx.el.dd(fate.names)),
    )
