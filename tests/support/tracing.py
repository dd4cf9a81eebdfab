"""Workflows traced from one function, beside the document that they have to equal."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent
from typing import Any

from engine.authoring import Workflow, workflow
from engine.definition import content_hash, parse_text

HEAD = """\
name: traced
input: {type: object, properties: {x: {title: X}}, required: [x], additionalProperties: false}
"""


def traced(body: Callable[[Any], Any], **options: Any) -> Workflow:
    """Return the workflow whose body is ``body``, of one input."""

    @workflow(name="traced", **options)
    def traced_workflow(x: Any) -> Any:
        return body(x)

    return traced_workflow


def same(made: Workflow, text: str, module: str) -> None:
    """Fail unless ``made`` is what ``text`` says, HERE being the name of ``module``."""
    written = parse_text(HEAD + dedent(text).replace("HERE", module))
    assert made.definition.document == written.document
    assert made.definition == written
    assert content_hash(made.definition.document) == content_hash(written.document)
