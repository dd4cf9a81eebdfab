"""The ways to what is not on screen of an execution: other steps, items, log lines."""

from __future__ import annotations

from typing import Any

import reflex as rx

from engine_app.components import ui, widgets
from engine_app.states.execution import ExecutionState
from engine_app.states.execution_windows import ITEM_STATUSES, SLOTS

_STEPS = ExecutionState.steps
_PICKED = ExecutionState.picked
_PAGE = ExecutionState.log_page
_LEVELS = ("info", "warning", "error", "critical")


def step_filters() -> rx.Component:
    """Return, where not all steps fit, the search among them and the choice of a status."""
    return rx.cond(
        _STEPS.total > SLOTS,
        rx.el.div(
            ui.search(
                "Find steps",
                "Find a step",
                _STEPS.find,
                ExecutionState.find_steps,
                name="find",
                kept=False,
            ),
            ui.choice(
                "Status",
                _STEPS.only,
                [
                    rx.el.option("any", value=""),
                    rx.foreach(
                        _STEPS.tally,
                        lambda one: rx.el.option(
                            one.status, " (", one.count, ")", value=one.status
                        ),
                    ),
                ],
                ExecutionState.only_steps,
            ),
            class_name="filters",
        ),
    )


def step_pager() -> rx.Component:
    """Return where the steps on screen are among all, and the ways to the others."""
    return rx.cond(
        _STEPS.total > SLOTS,
        rx.el.nav(
            rx.cond(
                _STEPS.found > 0,
                rx.el.span("steps ", _STEPS.first, " to ", _STEPS.last, " of ", _STEPS.found),
                rx.el.span("no such step among ", _STEPS.total),
            ),
            rx.cond(
                (_STEPS.found > 0) & (_STEPS.found < _STEPS.total),
                rx.el.span("(", _STEPS.total, " in all)"),
            ),
            rx.el.span(class_name="grow"),
            _way("← earlier", _STEPS.before, ExecutionState.turn_steps(_STEPS.before)),
            _way("later →", _STEPS.after, ExecutionState.turn_steps(_STEPS.after)),
            class_name="pager inner",
            aria_label="Pages of steps",
        ),
    )


def _way(label: str, to: Any, event: Any) -> rx.Component:
    return rx.cond(to >= 0, rx.el.button(label, type="button", class_name="btn s", on_click=event))


def items() -> rx.Component:
    """Return the items of a fan-out, those that failed with their errors, and the ways to all."""
    return rx.cond(
        (_PICKED.window.total > 0) & (_PICKED.item < 0),
        rx.el.section(
            rx.cond(_PICKED.failed.length() > 0, _failed_items()),
            rx.el.div(
                "Items ",
                rx.el.span(_PICKED.window.told, class_name="sub"),
                class_name="hd",
            ),
            _item_ways(),
            rx.el.div(rx.foreach(_PICKED.members, _item), class_name="pane row"),
        ),
    )


def _item_ways() -> rx.Component:
    asked = _PICKED.window
    return rx.el.div(
        rx.el.form(
            rx.el.input(
                name="number",
                type="number",
                min=0,
                max=asked.total - 1,
                placeholder="number",
                class_name="in",
                style={"width": "110px"},
                aria_label="Number of an item",
            ),
            rx.el.button("Open", type="submit", class_name="btn s"),
            on_submit=ExecutionState.find_item,
            class_name="row",
        ),
        ui.choice(
            "Status",
            asked.only,
            [
                rx.el.option("any", value=""),
                *[rx.el.option(name, value=name) for name in ITEM_STATUSES],
            ],
            ExecutionState.only_items,
        ),
        rx.cond(
            ExecutionState.item_wrong != "",
            rx.el.span(ExecutionState.item_wrong, role="alert", class_name="bad"),
        ),
        rx.el.span(class_name="grow"),
        _way("← earlier", asked.before, ExecutionState.turn_items(asked.before)),
        _way("later →", asked.after, ExecutionState.turn_items(asked.after)),
        class_name="pager inner",
        role="navigation",
        aria_label="Pages of items",
    )


def _failed_items() -> rx.Component:
    """Return the items that failed with their errors, whether the step tolerates them or not."""
    return rx.fragment(
        rx.el.div(
            "Failed items ",
            rx.cond(
                _PICKED.failed_more != "",
                rx.el.button(
                    _PICKED.failed_more,
                    type="button",
                    class_name="btn s",
                    on_click=ExecutionState.only_items("failed"),
                ),
            ),
            class_name="hd",
        ),
        rx.el.ul(
            rx.foreach(
                _PICKED.failed, lambda item: rx.el.li(_item(item), rx.el.span(item.message))
            ),
            class_name="kids",
        ),
    )


def _item(item: Any) -> rx.Component:
    return rx.el.button(
        item.number,
        type="button",
        class_name=rx.Var.create("st ") + item.status,
        style={"border": 0, "cursor": "pointer"},
        title=rx.cond(item.message != "", item.status + ": " + item.message, item.status),
        aria_label=rx.Var.create("item ") + item.number.to_string() + ", " + item.status,
        on_click=ExecutionState.select_item(item.number),
    )


def log_page() -> rx.Component:
    """Return the page of the log that was asked for."""
    return rx.el.div(
        rx.cond(
            ExecutionState.log_lines.length() > 0,
            rx.foreach(ExecutionState.log_lines, _line),
            rx.el.span("No line of the whole log is like that.", class_name="sub"),
        ),
        class_name="log tall",
        tab_index=0,
        role="log",
        aria_label="Page of the log",
        aria_live="off",
    )


def _line(line: Any) -> rx.Component:
    return rx.el.div(
        widgets.Clock.create(at=line[2].to(int), digits=2),
        rx.el.span(line[3].to(str), class_name="lv"),
        rx.el.span(
            rx.el.span(line[0].to(str), " ", line[1].to(str), class_name="from"),
            line[4].to(str),
            class_name="m",
        ),
        class_name=line[3].to(str),
        key=line[0].to(str),
    )


def log_pager() -> rx.Component:
    """Return the search in the whole log, the ways through it and its download."""
    address = rx.Var.create("/api/executions/") + ExecutionState.head.id
    return rx.el.div(
        _log_search(),
        rx.cond(
            ExecutionState.log_wrong != "",
            rx.el.span(ExecutionState.log_wrong, role="alert", class_name="bad"),
        ),
        rx.cond(_PAGE.on, rx.el.span(_PAGE.told)),
        rx.el.span(class_name="grow"),
        _log_way("first lines", "first"),
        rx.cond(_PAGE.on & _PAGE.earlier, _log_way("← earlier", "earlier")),
        rx.cond(_PAGE.on & _PAGE.later, _log_way("later →", "later")),
        rx.cond(_PAGE.on, _log_way("follow", "follow")),
        widgets.Jump.create("download the log", href=address + "/logs/text", download=""),
        class_name="pager inner",
        role="navigation",
        aria_label="Pages of the log",
    )


def _log_search() -> rx.Component:
    return rx.el.form(
        rx.el.input(
            name="text",
            id="log-text",
            type="search",
            default_value=_PAGE.text,
            placeholder="find in the whole log",
            class_name="in",
            aria_label="Find in the whole log",
        ),
        rx.el.label(
            "Level",
            rx.el.select(
                rx.el.option("any", value=""),
                *[rx.el.option(name, value=name) for name in _LEVELS],
                name="least",
                id="log-least",
                default_value=_PAGE.least,
                aria_label="Lowest level in the whole log",
            ),
            class_name="chip",
        ),
        rx.el.input(
            name="number",
            id="log-number",
            input_mode="numeric",
            placeholder="from line",
            class_name="in",
            style={"width": "110px"},
            aria_label="From the line with the number",
        ),
        rx.el.button("Read", type="submit", class_name="btn s"),
        widgets.Keep.create(name="log"),
        on_submit=ExecutionState.read_log,
        class_name="row",
    )


def _log_way(label: str, way: str) -> rx.Component:
    return rx.el.button(
        label, type="button", class_name="btn s", on_click=ExecutionState.turn_log(way)
    )
