"""What may be done with an execution now, the stage of its end, and whom it belongs to."""

from __future__ import annotations

from typing import Any

import reflex as rx

from engine_app.components import widgets
from engine_app.components.rerun import rerun
from engine_app.components.ui import link, pill
from engine_app.states.execution import ExecutionState

_HEAD = ExecutionState.head
_STAGE = ExecutionState.stage
_FAMILY = ExecutionState.family


def actions() -> rx.Component:
    """Return the buttons: only those whose action is possible now."""
    return rx.el.span(
        widgets.Answered.create(turn=ExecutionState.turn),
        rx.cond(_STAGE.can_resume, _resume()),
        rx.cond(_STAGE.can_pause, _pause()),
        rx.cond(_STAGE.can_cancel, _cancel()),
        rx.cond(~_HEAD.is_open, rerun(_HEAD.id, _HEAD.workflow)),
        rx.cond((_HEAD.status == "failed") | (_HEAD.status == "cancelled"), _retry()),
        class_name="row",
        custom_attrs=widgets.STEADY,  # what may be done changes with the execution
    )


def _resume() -> rx.Component:
    return rx.el.button(
        "Resume",
        type="button",
        class_name="btn p",
        custom_attrs=widgets.ACTS,
        on_click=ExecutionState.resume,
    )


def _pause() -> rx.Component:
    return widgets.Confirm.create(
        label="Pause…",
        title=rx.Var.create("Pause this execution of ") + _HEAD.workflow + "?",
        body="No further step starts until it is resumed. Running steps finish; what waits for a "
        "time, a signal or a person goes on waiting, and deadlines go on counting.",
        action="Pause the execution",
        ask="Why (stays in its events; may stay empty)",
        primary=False,
        on_confirm=ExecutionState.pause,
    )


def _cancel() -> rx.Component:
    return widgets.Confirm.create(
        label=rx.cond(_STAGE.name == "closing", "Abandon…", "Cancel…"),
        title=rx.cond(
            _STAGE.name == "closing",
            rx.Var.create("Abandon the closing steps of ") + _HEAD.workflow + "?",
            rx.Var.create("Cancel this execution of ") + _HEAD.workflow + "?",
        ),
        body=_STAGE.cancel,
        action=rx.cond(
            _STAGE.name == "closing", "Abandon the closing steps", "Cancel the execution"
        ),
        ask="Why (shown in the list; may stay empty)",
        danger=True,
        on_confirm=ExecutionState.cancel,
    )


def _retry() -> rx.Component:
    return widgets.Confirm.create(
        label="Retry…",
        title=rx.Var.create("Retry this execution of ") + _HEAD.workflow + "?",
        body="A new execution of the same version goes on where this one stopped: completed steps "
        "keep their results, the others run again, and what they did outside may be done twice. "
        "This one stays as it is.",
        action="Start the retry",
        primary=True,
        on_confirm=ExecutionState.retry,
    )


def stage_pill() -> rx.Component:
    """Return the stage beside the status, where there is one that the status does not say."""
    return rx.match(
        _STAGE.name,
        ("asked", pill("ending", "stopping")),
        ("interrupting", pill("ending", "interrupting")),
        ("closing", pill("closing", "closing")),
        ("abandoned", pill("ending", "abandoning")),
        rx.fragment(),
    )


def stage_words() -> rx.Component:
    """Return, while an execution ends, which stage that has reached and until when."""
    return rx.match(
        _STAGE.name,
        ("paused", _words("Paused: no step starts until someone resumes it.")),
        (
            "asked",
            _words(
                "Running steps are asked to stop until ",
                widgets.Clock.create(at=_STAGE.until),
                "; then they are interrupted. It ends as ",
                _STAGE.ending,
                ".",
            ),
        ),
        (
            "interrupting",
            _words(
                "Interrupting what still runs until ",
                widgets.Clock.create(at=_STAGE.until),
                "; after that its result no longer counts.",
            ),
        ),
        (
            "closing",
            _words(
                "Closing steps are running. Then it ends",
                rx.cond(_STAGE.ending != "", rx.fragment(" as ", _STAGE.ending), ""),
                ".",
            ),
        ),
        (
            "abandoned",
            _words(
                "The closing steps are abandoned: those that run are asked to stop until ",
                widgets.Clock.create(at=_STAGE.until),
                ".",
            ),
        ),
        rx.fragment(),
    )


def _words(*parts: Any) -> rx.Component:
    return rx.el.p(*parts, class_name="note stage", role="status")


def relatives() -> rx.Component:
    """Return links to the parent, the children, and what it was run again as."""
    return rx.fragment(
        rx.cond(
            _FAMILY.parent.id != "",
            rx.el.p(
                "Started by step ",
                rx.el.b(_FAMILY.parent.step),
                " of ",
                _kin_link(_FAMILY.parent, _FAMILY.parent.workflow),
                pill(_FAMILY.parent.status),
                class_name="row kin",
            ),
        ),
        rx.cond(
            _FAMILY.again.length() > 0,
            rx.el.div(
                "Run again as ",
                rx.foreach(
                    _FAMILY.again,
                    lambda kin: rx.el.span(
                        _kin_link(
                            kin, rx.cond(kin.step != "", "from " + kin.step, "from what failed")
                        ),
                        pill(kin.status),
                        class_name="row",
                    ),
                ),
                rx.el.span(_FAMILY.again_more, class_name="sub"),
                class_name="row kin",
            ),
        ),
        rx.cond(_FAMILY.children.length() > 0, _children()),
    )


def _children() -> rx.Component:
    return rx.el.section(
        rx.el.div("Children ", rx.el.span(_FAMILY.summary, class_name="sub"), class_name="hd"),
        rx.el.ul(
            rx.foreach(
                _FAMILY.children,
                lambda kin: rx.el.li(
                    pill(kin.status),
                    _kin_link(kin, kin.workflow),
                    rx.el.span("step ", kin.step, class_name="sub"),
                    custom_attrs={"data-row": kin.id},
                ),
            ),
            class_name="kids",
        ),
        class_name="panel",
        style={"margin": "14px 0"},
        aria_label="Children",
    )


def _kin_link(kin: Any, words: Any) -> rx.Component:
    return link(words, to=rx.Var.create("/executions/") + kin.id, class_name="under", title=kin.id)
