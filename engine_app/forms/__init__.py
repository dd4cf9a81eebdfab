"""Forms: from a JSON Schema to fields, and from what was typed back into a value. Pure."""

from engine_app.forms.fields import Field, Option, example, json_text
from engine_app.forms.masks import MASK, masked, names_secrets, unmasked
from engine_app.forms.reading import filled, form, read, read_json, to_form, to_json

__all__ = [
    "MASK",
    "Field",
    "Option",
    "example",
    "filled",
    "form",
    "json_text",
    "masked",
    "names_secrets",
    "read",
    "read_json",
    "to_form",
    "to_json",
    "unmasked",
]
