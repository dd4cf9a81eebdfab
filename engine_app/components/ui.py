"""Small parts that several pages share."""

from __future__ import annotations

from typing import Any

import reflex as rx
from reflex_components_core.react_router.dom import ReactRouterLink

from engine_app.components import widgets


def pill(status: Any, word: Any = None) -> rx.Component:
    """Return a status as colour, shape and word."""
    return rx.el.span(status if word is None else word, class_name=rx.Var.create("st ") + status)


def empty(title: Any, text: Any, *actions: rx.Component) -> rx.Component:
    """Return what stands where there is nothing: what the thing is and how to make the first."""
    return rx.el.div(rx.el.h2(title), rx.el.p(text), *actions, class_name="empty")


def trouble(message: Any, again: Any) -> rx.Component:
    """Return the error state: what went wrong, and a button to try again."""
    return rx.el.div(
        rx.el.div(
            rx.el.h2("This page could not read the database"),
            rx.el.p(message),
            rx.el.p(rx.el.button("Try again", class_name="btn", on_click=again, type="button")),
            class_name="cause",
        ),
        role="alert",
    )


def bone(width: str) -> rx.Component:
    """Return a grey stand-in for a word that is still being read."""
    return rx.el.span(class_name="sk", style={"width": width})


def bones(rows: int = 6) -> rx.Component:
    """Return a skeleton of a list."""
    widths = ("38%", "62%", "47%", "55%", "41%", "58%")
    return rx.el.div(
        rx.el.span("Loading", class_name="only-reader"),
        *[
            rx.el.div(
                bone("74px"),
                rx.el.span(bone(widths[number % 6]), style={"flex": "1"}),
                bone("60px"),
                class_name="row",
                style={"padding": "13px 12px", "flexWrap": "nowrap"},
            )
            for number in range(rows)
        ],
        class_name="panel",
        aria_busy="true",
    )


def kpi(name: str, value: Any, **props: Any) -> rx.Component:
    """Return one figure with its name."""
    return rx.el.div(rx.el.span(name, class_name="k"), rx.el.span(value, class_name="v", **props))


def fact(name: str, *value: Any) -> rx.Component:
    """Return a line of a list of facts."""
    return rx.fragment(rx.el.dt(name), rx.el.dd(*value))


def code(text: Any, label: str) -> rx.Component:
    """Return a value as JSON text that scrolls by keyboard too."""
    return rx.el.pre(text, class_name="code", tab_index=0, aria_label=label)


def ago(at: Any) -> rx.Component:
    """Return a time, relative, exact on hover."""
    return widgets.Ago.create(at=at)


def took(start: Any, end: Any) -> rx.Component:
    """Return a duration, ticking while ``end`` is 0."""
    return widgets.Took.create(start=start, end=end)


def choice(name: str, value: Any, options: Any, on_change: Any) -> rx.Component:
    """Return a labelled selection for a filter row; ``options`` are option elements."""
    return rx.el.label(
        name,
        rx.el.select(*options, value=value, on_change=on_change, aria_label=name),
        class_name="chip",
    )


def search(
    label: str, placeholder: str, text: Any, on_submit: Any, *, name: str = "q", kept: bool = True
) -> rx.Component:
    """Return a field to find something by; ``/`` leads to it.

    Args:
        label: what is found, for those who do not see the placeholder.
        text: what is looked for now; another text draws the field anew.
        name: of the field, in what ``on_submit`` hears.
        kept: whether what is typed and not yet looked for outlives a lost server.
    """
    # Only what is kept has an id, by which the tab knows it again.
    known: dict[str, Any] = {"id": "search"} if kept else {}
    return rx.el.form(
        rx.el.kbd("/", aria_hidden="true"),
        rx.el.input(
            name=name,
            type="search",
            default_value=text,
            key=text,
            placeholder=placeholder,
            class_name="in",
            aria_label=label,
            custom_attrs={"data-search": "true"},
            **known,
        ),
        *([widgets.Keep.create(name=label.lower(), brief=True, key=text)] if kept else []),
        on_submit=on_submit,
        class_name="search",
        role="search",
    )


def pager(
    *told: rx.Component,
    first: tuple[str, Any],
    further: tuple[str, Any],
    name: str = "Pages",
) -> rx.Component:
    """Return the way to the first page and the next, each a label and an address, or none.

    Args:
        told: what this page has.
        name: what the ways are among, for those who do not see them.
    """
    return rx.el.nav(
        *(rx.el.span(words) for words in told),
        rx.el.span(class_name="grow"),
        *(
            rx.cond(address != "", link(label, to=address, class_name="nowrap"))
            for label, address in (first, further)
        ),
        class_name="pager",
        aria_label=name,
    )


def link(*content: Any, to: Any, **props: Any) -> rx.Component:
    """Return a link to a page of this app."""
    return ReactRouterLink.create(*content, to=to, discover="none", **props)
