"""Workflow documents: what people write, checked whole, as the graph that the engine runs."""

from engine.definition.checked import Checked, checked
from engine.definition.conditions import MAX_ITEMS
from engine.definition.document import MAX_STEPS, parse, parse_text
from engine.definition.durations import moment, seconds
from engine.definition.model import Cache, Definition, OnFailure, RetryPolicy, Step, Tolerance
from engine.definition.moment import check_elsewhere
from engine.definition.normal import content_hash
from engine.definition.schema import MAX_INPUT, check_input, check_value
from engine.definition.text import MAX_TEXT
from engine.definition.typed import Typed, read_typed

__all__ = [
    "MAX_INPUT",
    "MAX_ITEMS",
    "MAX_STEPS",
    "MAX_TEXT",
    "Cache",
    "Checked",
    "Definition",
    "OnFailure",
    "RetryPolicy",
    "Step",
    "Tolerance",
    "Typed",
    "check_elsewhere",
    "check_input",
    "check_value",
    "checked",
    "content_hash",
    "moment",
    "parse",
    "parse_text",
    "read_typed",
    "seconds",
]
