"""A form from a JSON Schema: which fields it has, and what each of them shows first. Pure.

What is seen is what is sent: what a field cannot show exactly it does not show as something else,
and what an empty one means stands beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from engine_app.forms.masks import MASK, has_secrets, masked, may_name_secrets, names_secrets
from engine_app.forms.rules import Rule, resolved, rule_of

MAX_FIELDS = 200  # one with more is typed as JSON
ABSENT, NULL, EMPTY = "absent", "null", "empty"  # what an empty field may mean
_MEANINGS = {ABSENT: "not given", NULL: "null", EMPTY: "the empty text"}
_MODES = {"integer": "numeric", "number": "decimal"}
_FORMAT_MODES = {"email": "email", "uri": "url"}
_EXAMPLES = {"date-time": "2026-01-31T12:00:00+01:00", "time": "12:00:00Z"}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
    "minLength": "length at least",
    "maxLength": "length at most",
    "minItems": "entries at least",
    "maxItems": "entries at most",
}


class Missing:
    """What is not given at all; there is one."""


MISSING = Missing()


@dataclass(frozen=True)
class Option:
    """An entry of a selection."""

    value: str = ""
    label: str = ""
    given: str = ""  # as JSON: what it stands for


@dataclass(frozen=True)
class Field:
    """A field of the form. ``kind`` tells how it is drawn and read back.

    Attributes:
        name: of the property.
        key: of the browser's field: a property may be called anything.
        kind: as of ``Rule``.
        value: what it shows; of a choice the option.
        empties: what it may mean when it is empty, if that is more than one thing.
        empty: what it means when it is empty; nothing: it must be filled in.
        exact: as JSON, what it stands for while it shows ``value``, where reading that would
            give something else.
        hidden: as JSON, what masks in ``value`` stand for.
        secret: whether passwords may stand in it.
    """

    name: str = ""
    key: str = ""
    label: str = ""
    kind: str = "text"
    mode: str = "text"
    required: bool = False
    value: str = ""
    checked: bool = False
    hint: str = ""
    placeholder: str = ""
    options: list[Option] = field(default_factory=list)
    empties: list[Option] = field(default_factory=list)
    empty: str = ""
    exact: str = ""
    hidden: str = ""
    secret: bool = False
    wrong: str = ""


def fields(schema: Mapping[str, Any], value: Mapping[str, Any] | None = None) -> list[Field]:
    """Return the fields for a schema's properties; none when only JSON can say it. Each that
    shows something has in ``exact`` what that is.

    Args:
        schema: of an object.
        value: what they show; None, and what it lacks: the schema's defaults.
    """
    root = schema
    says = resolved(schema, root)
    rules = says.get("properties")
    if not isinstance(rules, Mapping):
        return []
    required = dict.fromkeys(str(name) for name in says.get("required", ()))
    # What is required and described nowhere needs a field, too.
    names = [*rules, *(name for name in required if name not in rules)]
    if len(names) > MAX_FIELDS:
        return []
    # Asked once: looking through the whole schema for each field takes time by its square.
    secrets = names_secrets(schema, root)
    found = []
    for number, name in enumerate(names):
        rule = rule_of(rules.get(name, {}), root)
        given = MISSING if value is None else value.get(name, MISSING)
        made = _field(name, rule, given, needed=name in required)
        if secrets and made.kind == "json":
            made = _with_secrets(made, rule, given, root)
        found.append(replace(made, key=f"f{number}"))
    return found


def _field(name: str, rule: Rule, given: Any, *, needed: bool) -> Field:
    default = rule.says.get("default", MISSING)
    start = default if given is MISSING else given
    kind = _kind(rule, default, start)
    optional = not needed and default is MISSING
    made = Field(
        name=name,
        label=str(rule.says.get("title") or name),
        kind=kind,
        mode=_MODES.get(kind) or _FORMAT_MODES.get(str(rule.says.get("format")), "text"),
        required=not optional and default is MISSING,
        hint=_hint(rule),
    )
    if kind == "boolean":
        return replace(made, checked=start is True)
    if kind == "choice":
        return _with_options(made, rule, start, default, optional=optional)
    made = _with_meanings(made, rule, start, optional=optional)
    exact = _json(start) if _fits(start, kind) else ""
    return replace(made, value=_shown(start, kind), exact=exact)


def _with_secrets(made: Field, rule: Rule, given: Any, root: Mapping[str, Any]) -> Field:
    """Return a field for JSON that shows no secret."""
    start = rule.says.get("default", MISSING) if given is MISSING else given
    made = replace(made, secret=may_name_secrets(rule.says))
    if start is MISSING or not has_secrets(rule.says, start, root):
        return made
    return replace(made, value=_json(masked(rule.says, start, root)), hidden=_json(start))


def _kind(rule: Rule, default: Any, start: Any) -> str:
    """Return the kind of field: a box to tick only where it shows what was chosen from the first,
    a calendar only where it can show the day."""
    if rule.kind == "boolean":
        ticked = isinstance(default, bool) and isinstance(start, bool) and not rule.nullable
        return "boolean" if ticked else "choice"
    if rule.kind == "date" and start not in (MISSING, None) and not _is_day(start):
        return "line"
    return rule.kind


def _is_day(value: Any) -> bool:
    if not (isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value)):
        return False
    try:
        return date.fromisoformat(value).year > 0
    except ValueError:
        return False


def _with_options(made: Field, rule: Rule, start: Any, default: Any, *, optional: bool) -> Field:
    """Return a selection. Options go by their number: as text ``1`` and ``"1"`` would be one."""
    choices = list(rule.options)
    if rule.kind == "boolean":
        choices = [(True, ""), (False, "")]
    if rule.nullable and all(value is not None for value, _ in choices):
        choices.append((None, ""))
    quoted = any(not isinstance(value, str) for value, _ in choices)
    options = [
        Option(str(number), title or _label(value, quoted=quoted), _json(value))
        for number, (value, title) in enumerate(choices)
    ]
    chosen = next((one.value for one in options if one.given == _json(start)), "")
    if start is MISSING:
        chosen = ""
    if optional:
        options = [Option("", "– not given –"), *options]
    elif not chosen or default is MISSING:
        options = [Option("", "– choose –"), *options]
    return replace(made, options=options, value=chosen, empty=ABSENT if optional else "")


def _label(value: Any, *, quoted: bool) -> str:
    """Return an option as text; in quotes where it could be taken for another, or for none."""
    if not isinstance(value, str):
        return _json(value)
    return _json(value) if quoted or not value.strip() else value


def _with_meanings(made: Field, rule: Rule, start: Any, *, optional: bool) -> Field:
    """Return the field with what it may mean when it is empty, and what it means at first."""
    meanings = [ABSENT] * optional + [NULL] * rule.nullable
    meanings += [EMPTY] * (made.kind in ("text", "password"))
    if start is not MISSING:
        first = NULL if start is None and rule.nullable else EMPTY
    else:
        first = meanings[0] if meanings else ""
    first = first if first in meanings else next(iter(meanings), "")
    only = _MEANINGS[first] if len(meanings) == 1 and first != EMPTY else ""
    example = _EXAMPLES.get(str(rule.says.get("format")), "")
    return replace(
        made,
        placeholder=only,
        empties=[Option(one, _MEANINGS[one]) for one in meanings] if len(meanings) > 1 else [],
        empty=first,
        hint=" · ".join(part for part in (made.hint, example and f"like {example}") if part),
    )


def _shown(value: Any, kind: str) -> str:
    """Return a value as one would type it; null and what is missing are empty."""
    if value is MISSING or (value is None and kind != "json"):
        return ""
    if isinstance(value, str) and kind != "json":
        return value
    return _json(value)


def _fits(value: Any, kind: str) -> bool:
    """Return whether a field of this kind can stand for the value."""
    if kind == "json":
        return value is not MISSING
    if kind in ("integer", "number"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str)


def _json(value: Any) -> str:
    return "" if value is MISSING else json.dumps(value, ensure_ascii=False)


def _hint(rule: Rule) -> str:
    says = rule.says
    parts = [str(says["description"])] if says.get("description") else []
    parts += [f"{word} {says[name]}" for name, word in _BOUNDS.items() if name in says]
    if says.get("pattern"):
        parts.append(f"like {says['pattern']}")
    return " · ".join(parts)


def example(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value to start from: the defaults, and nulls for what is required."""
    says = resolved(schema, schema)
    rules = says.get("properties")
    required = says.get("required", ())
    return dict(_examples(rules if isinstance(rules, Mapping) else {}, required, schema))


def _examples(
    rules: Mapping[str, Any], required: Any, root: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    for name, rule in rules.items():
        says = resolved(rule, root)
        if "default" in says:
            yield name, says["default"]
        elif name in required:
            yield name, None


def json_text(schema: Mapping[str, Any], value: Any) -> str:
    """Return a value as text to edit, its secrets masked."""
    return json.dumps(masked(schema, value, schema), ensure_ascii=False, indent=2)


__all__ = [
    "ABSENT",
    "EMPTY",
    "MASK",
    "MISSING",
    "NULL",
    "Field",
    "Option",
    "example",
    "fields",
    "json_text",
]
