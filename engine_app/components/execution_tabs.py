"""The views of one execution: timeline, steps, logs, events, values."""

from __future__ import annotations

from typing import Any

import reflex as rx

from engine_app.components import execution_lists as lists
from engine_app.components import ui, widgets
from engine_app.components.ui import ago, fact, pill, took
from engine_app.states.execution import ExecutionState
from engine_app.states.execution_windows import SLOTS
from engine_app.states.view_models import Bar

_HEAD = ExecutionState.head
_PICKED = ExecutionState.picked


def timeline() -> rx.Component:
    """Return waiting and running on one bar per step, the chosen step and its log beneath."""
    return rx.fragment(
        lists.step_filters(),
        rx.el.div(
            rx.el.div(
                rx.el.span(),
                widgets.Axis.create(start=_HEAD.created, end=_HEAD.finished),
                rx.el.span(),
                class_name="axis",
                aria_hidden="true",
            ),
            rx.el.div(
                *[
                    timeline_row(
                        bar=getattr(ExecutionState, f"bar{number}"),
                        start=_HEAD.created,
                        end=_HEAD.finished,
                        chosen=_PICKED.name,
                    )
                    for number in range(SLOTS)
                ],
                class_name="gantt",
            ),
            lists.step_pager(),
            class_name="panel joined",
        ),
        rx.el.div(
            rx.el.div(_log(step=_PICKED.name), class_name="panel"),
            rx.el.div(rx.el.div(_PICKED.name, class_name="hd"), _facts(), class_name="panel"),
            class_name="two",
        ),
    )


_SHAPES = (
    ("completed", "✓"),
    ("running", "▸"),
    ("failed", "✕"),
    ("retrying", "↻"),
    ("waiting", "◷"),
    ("queued", "≡"),
    ("cancelled", "⊘"),
    ("skipped", "–"),
)


@rx.memo
def timeline_row(
    bar: rx.Var[Bar], start: rx.Var[int], end: rx.Var[int], chosen: rx.Var[str]
) -> rx.Component:
    """Return one step's row: drawn again only when its own slot changes."""
    label = (
        bar.name
        + ", "
        + bar.status
        + rx.cond(bar.label != "", ", " + bar.label, "")
        + rx.cond(bar.note != "", ", " + bar.note, "")
    )
    row = rx.el.button(
        rx.el.span(
            rx.el.span(rx.match(bar.status, *_SHAPES, "·"), class_name="shape", aria_hidden="true"),
            rx.el.span(bar.name, class_name="name"),
            rx.el.span(
                bar.label,
                rx.cond((bar.label != "") & (bar.note != ""), " · ", ""),
                bar.note,
                class_name="sub",
            ),
            class_name="n",
        ),
        widgets.Track.create(segs=bar.segs, start=start, end=end),
        rx.el.span(
            rx.cond(bar.started > 0, took(bar.started, bar.finished), bar.status),
            class_name="took",
        ),
        type="button",
        class_name=rx.Var.create("g ") + bar.status + rx.cond(chosen == bar.name, " on", ""),
        aria_label=label,
        aria_pressed=chosen == bar.name,
        title=label,
        on_click=ExecutionState.select_step(bar.name),
        custom_attrs={"data-row": bar.name, "data-status": bar.status},
    )
    return rx.cond(
        bar.name != "",
        rx.fragment(
            rx.cond(bar.group != "", rx.el.div(bar.group, class_name="group")),
            row,
        ),
    )


def _log(*, step: Any = "", tall: bool = False) -> rx.Component:
    return widgets.LogTail.create(
        of=_HEAD.id,
        chunk=ExecutionState.lines,
        first=ExecutionState.first_line,
        step=step,
        filters=tall,
        tall=tall,
        on_gap=ExecutionState.refill_logs,
    )


def _facts() -> rx.Component:
    return rx.el.dl(
        fact("Status", pill(_PICKED.status)),
        rx.cond(_PICKED.reason != "", fact("Reason", _PICKED.reason)),
        rx.cond(_PICKED.progress != "", fact("Progress", _PICKED.progress)),
        fact("Attempts", _PICKED.attempts),
        fact("Uses", rx.el.span(_PICKED.uses, class_name="mono")),
        fact("Needs", _PICKED.needs),
        rx.cond(
            _PICKED.started > 0,
            rx.fragment(
                fact("Latest try began", ago(_PICKED.started)),
                fact("Latest try took", took(_PICKED.started, _PICKED.finished)),
            ),
        ),
        rx.cond(
            _PICKED.worker != "",
            fact("Worker", widgets.CopyId.create(text=_PICKED.worker)),
        ),
        class_name="kv",
    )


def steps() -> rx.Component:
    """Return the steps beside the values, attempts and errors of the chosen one."""
    names = [
        step_choice(bar=getattr(ExecutionState, f"bar{number}"), chosen=_PICKED.name)
        for number in range(SLOTS)
    ]
    chosen = rx.el.div(
        rx.el.div(*names, lists.step_pager(), class_name="list"),
        rx.el.div(
            rx.el.div(
                _PICKED.name,
                rx.cond(
                    _PICKED.item >= 0,
                    rx.fragment(
                        rx.el.span("item ", _PICKED.item, class_name="sub"),
                        rx.el.button(
                            "back to the step",
                            type="button",
                            class_name="btn s",
                            on_click=ExecutionState.select_item(-1),
                        ),
                    ),
                ),
                class_name="hd",
            ),
            _facts(),
            _tries(),
            lists.items(),
            _value("Input", _PICKED.input, _PICKED.input_file),
            _value("Output", _PICKED.output, _PICKED.output_file),
        ),
        class_name="panel joined stepper",
    )
    return rx.fragment(lists.step_filters(), chosen)


@rx.memo
def step_choice(bar: rx.Var[Bar], chosen: rx.Var[str]) -> rx.Component:
    """Return one step of the list."""
    return rx.cond(
        bar.name != "",
        rx.el.button(
            rx.el.span(bar.name),
            pill(bar.status),
            type="button",
            class_name=rx.cond(chosen == bar.name, "on", ""),
            aria_pressed=chosen == bar.name,
            on_click=ExecutionState.select_step(bar.name),
            custom_attrs={"data-row": bar.name, "data-status": bar.status},
        ),
    )


def _value(name: str, text: Any, file: Any = "") -> rx.Component:
    return rx.el.section(
        rx.el.div(
            name,
            rx.cond(
                file != "",
                widgets.Jump.create("download", href=file, download="", class_name="sub"),
            ),
            class_name="hd",
        ),
        rx.cond(text != "", ui.code(text, name), rx.el.p("None.", class_name="sub pane")),
    )


def _tries() -> rx.Component:
    return rx.cond(
        _PICKED.tries.length() > 0,
        rx.el.section(
            rx.el.div(
                "Attempts that did not complete ",
                rx.el.span(_PICKED.tries_more, class_name="sub"),
                class_name="hd",
            ),
            rx.el.div(rx.foreach(_PICKED.tries, _try), class_name="pane stack"),
        ),
    )


def _try(attempt: Any) -> rx.Component:
    return rx.el.div(
        rx.el.div(
            rx.el.b(attempt.title),
            rx.el.span(
                "after ",
                took(attempt.started, attempt.finished),
                ", ",
                ago(attempt.finished),
                class_name="sub",
            ),
            class_name="row",
        ),
        rx.el.p(attempt.message),
        rx.cond(attempt.trace != "", rx.el.pre(attempt.trace, tab_index=0, class_name="sub")),
    )


def logs() -> rx.Component:
    """Return the live log of all steps, or a page of it that was asked for."""
    return rx.el.div(
        rx.cond(ExecutionState.log_page.on, lists.log_page(), _log(tall=True)),
        lists.log_pager(),
        class_name="panel joined",
    )


def events() -> rx.Component:
    """Return the facts, newest first."""
    return rx.el.div(
        widgets.EventTail.create(
            of=_HEAD.id,
            chunk=ExecutionState.events,
            first=ExecutionState.first_event,
            on_gap=ExecutionState.refill_events,
        ),
        class_name="panel joined scroll",
    )


def values() -> rx.Component:
    """Return what went in, what came out, and the artifacts."""
    return rx.el.div(
        rx.cond(
            ExecutionState.things.length() > 0,
            rx.el.section(
                rx.el.div("Artifacts", class_name="hd"),
                rx.el.div(rx.foreach(ExecutionState.things, _thing), class_name="pane stack"),
            ),
        ),
        rx.el.div(
            _value("Input", ExecutionState.input),
            _value(
                "Output",
                rx.cond(_HEAD.status == "completed", ExecutionState.output, ""),
                ExecutionState.output_file,
            ),
            class_name="cols",
        ),
        class_name="panel joined",
    )


def _thing(thing: Any) -> rx.Component:
    return rx.el.figure(
        rx.el.figcaption(
            widgets.Jump.create(rx.el.b(thing.name), href=thing.href, download=thing.name),
            rx.el.span(" ", thing.step, " · ", thing.size, class_name="sub"),
        ),
        rx.match(
            thing.kind,
            ("image", rx.el.img(src=thing.href, alt=thing.name)),
            ("markdown", rx.html(thing.html, class_name="md")),
            ("table", _table(thing)),
            ("link", _link(thing)),
            rx.fragment(),
        ),
        class_name="art",
        style={"margin": 0},
    )


def _table(thing: Any) -> rx.Component:
    return rx.el.div(
        rx.el.table(
            rx.el.thead(rx.el.tr(rx.foreach(thing.columns, _head))),
            rx.el.tbody(rx.foreach(thing.rows, _row)),
        ),
        rx.cond(thing.more != "", rx.el.p(thing.more, class_name="sub")),
        class_name="scroll",
        tab_index=0,
        role="region",
        aria_label=thing.name,
    )


def _head(name: Any) -> rx.Component:
    return rx.el.th(name)


def _row(cells: Any) -> rx.Component:
    return rx.el.tr(rx.foreach(cells, _cell))


def _cell(text: Any) -> rx.Component:
    return rx.el.td(text)


def _link(thing: Any) -> rx.Component:
    return rx.el.a(
        thing.title,
        rx.el.span(" ", thing.url, class_name="sub"),
        href=thing.url,
        rel="noopener noreferrer nofollow",
        target="_blank",
    )
