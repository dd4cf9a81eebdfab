"""What waits for a person, with the form to answer it."""

from __future__ import annotations

from typing import Any

import reflex as rx

from engine_app.components import form_fields, widgets
from engine_app.components.ui import ago, link, pill
from engine_app.states.answering import COMMENT, FORM, KEY, VERDICT


def cards(state: Any, *, named: bool = False) -> rx.Component:
    """Return a card for each ask of the state; ``named`` says whose execution it is."""
    return rx.el.div(
        rx.foreach(state.asks, lambda ask: _card(ask, state, named)),
        widgets.Answered.create(turn=state.turn),
        aria_live="polite",
        custom_attrs=widgets.STEADY,
    )


def _card(ask: Any, state: Any, named: bool) -> rx.Component:
    return rx.el.section(
        rx.el.div(
            rx.cond(
                ask.kind == "signal",
                _signal_title(ask),
                rx.fragment(
                    rx.cond(ask.over == "", pill("waiting", "waits for a decision")),
                    rx.el.h2(ask.title),
                ),
            ),
            rx.el.span(class_name="grow"),
            _where(ask) if named else rx.el.span(_step(ask), class_name="sub"),
            class_name="row",
        ),
        rx.cond(ask.over != "", _over(ask, state), _open(ask, state)),
        class_name="panel ask",
        key=ask.key,
        aria_label=rx.cond(ask.kind == "signal", "Waits for a signal", "Waits for a decision"),
        custom_attrs={
            "data-ask": ask.step,
            "data-card": "",
            "data-over": rx.cond(ask.over != "", "true", "false"),
        },
    )


def _open(ask: Any, state: Any) -> rx.Component:
    return rx.fragment(
        rx.cond(ask.about != "", rx.el.p(ask.about, class_name="about")),
        _times(ask),
        # Read no more: what became of it is asked once this is on the page.
        rx.cond(ask.gone, widgets.Gone.create(of=ask.key, on_gone=state.tell_end)),
        rx.cond(
            ask.held != "",
            rx.el.p(ask.held),
            rx.cond(ask.closed != "", _opener(ask, state), _form(ask, state)),
        ),
    )


def _over(ask: Any, state: Any) -> rx.Component:
    return rx.el.div(
        rx.el.p(
            rx.el.b(ask.over),
            rx.cond(ask.over_at > 0, rx.fragment(", ", ago(ask.over_at))),
        ),
        rx.el.span(class_name="grow"),
        rx.el.button(
            "Dismiss",
            type="button",
            class_name="btn s",
            custom_attrs=widgets.ACTS,
            on_click=state.dismiss(ask.key),
        ),
        class_name="row",
    )


def _opener(ask: Any, state: Any) -> rx.Component:
    return rx.el.div(
        rx.el.p(ask.closed),
        form_fields.wrong(ask.wrong),
        rx.el.button(
            "Show the form", type="button", class_name="btn", on_click=state.open_ask(ask.key)
        ),
    )


def _form(ask: Any, state: Any) -> rx.Component:
    return rx.el.form(
        rx.el.input(type="hidden", name=KEY, value=ask.key, read_only=True),
        widgets.FormKey.create(name=FORM),
        widgets.Keep.create(name=rx.Var.create("ask ") + ask.key + " " + ask.since.to_string()),
        rx.cond(
            ask.as_json,
            form_fields.as_json("What to send, as JSON", ask.text, ask.key + "-json"),
            form_fields.fields(ask.fields, ask.key + "-"),
        ),
        rx.cond(ask.kind == "approval", _comment(ask)),
        form_fields.wrong(ask.wrong),
        rx.cond(
            ask.kind == "approval",
            widgets.Verdict.create(of=ask.title, name=VERDICT),
            rx.el.div(
                rx.el.button(
                    "Send the signal", type="submit", class_name="btn p", custom_attrs=widgets.ACTS
                ),
                class_name="row",
            ),
        ),
        on_submit=state.answer,
        no_validate=True,
    )


def _step(ask: Any) -> rx.Component:
    return rx.fragment("step ", ask.step, rx.cond(ask.item >= 0, f" [{ask.item}]", ""))


def _where(ask: Any) -> rx.Component:
    path = rx.Var.create("/executions/") + ask.execution
    return rx.el.span(
        rx.cond(
            ask.owner == "",
            link(ask.workflow, to=path, class_name="under"),
            # Of someone else's execution its approvers see this card and nothing more.
            rx.fragment(ask.workflow, " of ", ask.owner),
        ),
        " · ",
        _step(ask),
        class_name="sub",
    )


def _signal_title(ask: Any) -> rx.Component:
    return rx.el.h2(
        "Waits for signal ",
        rx.el.span(ask.name, class_name="mono"),
        rx.cond(
            ask.correlation != "",
            rx.fragment(", correlation ", rx.el.span(ask.correlation, class_name="mono")),
        ),
    )


def _times(ask: Any) -> rx.Component:
    return rx.el.p(
        "since ",
        ago(ask.since),
        rx.cond(
            ask.until > 0,
            rx.fragment(" · until ", widgets.Day.create(at=ask.until), ", ", ago(ask.until)),
            " · without a deadline",
        ),
        rx.cond(ask.kind == "approval", rx.fragment(" · decided by ", ask.who)),
        class_name="sub",
    )


def _comment(ask: Any) -> rx.Component:
    name = ask.key + "-comment"
    return rx.el.div(
        rx.el.label("Comment ", rx.el.span("(may stay empty)", class_name="hint"), html_for=name),
        rx.el.input(id=name, name=COMMENT, class_name="in", max_length=2000, auto_complete="off"),
        class_name="field",
    )


def decisions(found: Any) -> rx.Component:
    """Return a line per approval that is over: who, when, what they said."""
    return rx.el.div(
        rx.foreach(
            found,
            lambda one: rx.el.p(
                pill(one.status, one.word),
                rx.el.b(one.step),
                rx.cond(one.by != "", rx.fragment("by ", rx.el.b(one.by))),
                ago(one.at),
                rx.cond(one.comment != "", rx.el.q(one.comment)),
                class_name="row decided",
            ),
        ),
        aria_live="polite",
    )
