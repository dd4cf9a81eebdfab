"""Workflow documents: what people write, checked whole, as the graph that the engine runs."""

from engine.definition.document import MAX_ITEMS, MAX_STEPS, content_hash, parse, parse_text
from engine.definition.durations import seconds
from engine.definition.model import Definition, RetryPolicy, Step
from engine.definition.schema import MAX_INPUT, check_input
from engine.definition.text import MAX_TEXT

__all__ = [
    "MAX_INPUT",
    "MAX_ITEMS",
    "MAX_STEPS",
    "MAX_TEXT",
    "Definition",
    "RetryPolicy",
    "Step",
    "check_input",
    "content_hash",
    "parse",
    "parse_text",
    "seconds",
]
