"""The keywords that look at a value by itself, without schemas inside them."""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Any

from engine.definition.json_schema import formats
from engine.definition.json_schema.run import Check, Place, Run
from engine.definition.json_schema.values import (
    TYPES,
    WORDS,
    frozen,
    is_multiple,
    is_number,
    shown,
    word,
)
from engine.expressions import did_you_mean, matches

_LISTED = 8  # options named in a message


def _type(given: Any, _schema: Any) -> Check:
    names = [given] if isinstance(given, str) else list(given)
    fitting = [TYPES[name] for name in names]
    wanted = " or ".join(WORDS[name] for name in names)

    if len(fitting) == 1:
        fits = fitting[0]
        return lambda run, value, place: (
            fits(value) or run.fault(place, "type", f"must be {wanted}, not {word(value)}")
        )
    return lambda run, value, place: (
        any(fits(value) for fits in fitting)
        or run.fault(place, "type", f"must be {wanted}, not {word(value)}")
    )


def _enum(options: Any, _schema: Any) -> Check:
    known = {frozen(option, _free) for option in options}
    listed = ", ".join(shown(option) for option in options[:_LISTED])
    some = listed + (", …" if len(options) > _LISTED else "")
    texts = [option for option in options if isinstance(option, str)]

    def check(run: Run, value: Any, place: Place) -> bool:
        if frozen(value, run.budget.spend) in known:
            return True
        near = did_you_mean(value, texts) if isinstance(value, str) and run.found == [] else ""
        hint = near if near.startswith("did you") else ""
        return run.fault(place, "enum", f"must be one of {some}", hint)

    return check


def _const(wanted: Any, _schema: Any) -> Check:
    frozen_wanted, said = frozen(wanted, _free), shown(wanted)

    def check(run: Run, value: Any, place: Place) -> bool:
        if frozen(value, run.budget.spend) == frozen_wanted:
            return True
        return run.fault(place, "const", f"must be {said}")

    return check


def _free(_units: int) -> None:
    """What the schema itself costs is bounded by its size, once for each check."""


def _compared(keyword: str, fits: Callable[[Any, Any], bool], words: str) -> Build:
    def build(bound: Any, _schema: Any) -> Check:
        return lambda run, value, place: (
            not is_number(value)
            or fits(value, bound)
            or run.fault(place, keyword, f"must be {words} {bound}")
        )

    return build


def _sized(keyword: str, kind: type[Sized], *, least: bool, one: str, many: str) -> Build:
    def build(bound: Any, _schema: Any) -> Check:
        limit = f"{int(bound)} {one if bound == 1 else many}"
        words = f"must have {'at least' if least else 'at most'} {limit}"

        def check(run: Run, value: Any, place: Place) -> bool:
            if not isinstance(value, kind):
                return True
            size = len(value)
            if size >= bound if least else size <= bound:
                return True
            return run.fault(place, keyword, f"{words}, not {size}")

        return check

    return build


def _pattern(pattern: Any, _schema: Any) -> Check:
    def check(run: Run, value: Any, place: Place) -> bool:
        if type(value) is not str or matches(value, pattern, run.budget):
            return True
        return run.fault(place, "pattern", f"must match the pattern {pattern!r}")

    return check


def _format(name: Any, _schema: Any) -> Check:
    def check(run: Run, value: Any, place: Place) -> bool:
        wrong = formats.fault(name, value) if type(value) is str else None
        return wrong is None or run.fault(place, "format", *wrong)

    return check


def _unique(wanted: Any, _schema: Any) -> Check:
    def check(run: Run, value: Any, place: Place) -> bool:
        if not wanted or type(value) is not list:
            return True
        seen: dict[Any, int] = {}
        for index, entry in enumerate(value):
            run.budget.spend(1)
            first = seen.setdefault(frozen(entry, run.budget.spend), index)
            if first != index:
                problem = f"has equal entries, at {first} and {index}"
                return run.fault(place, "uniqueItems", problem)
        return True

    return check


def _required(names: Any, _schema: Any) -> Check:
    def check(run: Run, value: Any, place: Place) -> bool:
        if type(value) is not dict:
            return True
        run.budget.spend(len(names) // 8)
        missing = [name for name in names if name not in value]
        for name in missing:
            run.fault((place, name), "required", "is required")
        return not missing

    return check


def _dependent_required(wanted: Any, _schema: Any) -> Check:
    def check(run: Run, value: Any, place: Place) -> bool:
        if type(value) is not dict:
            return True
        fits = True
        for name, others in wanted.items():
            if name not in value:
                continue
            run.budget.spend(1 + len(others) // 8)
            for other in others:
                if other not in value:
                    said = f"is required beside {name}"
                    fits = run.fault((place, other), "dependentRequired", said)
        return fits

    return check


Build = Callable[[Any, Any], Check]
BUILD: dict[str, Build] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "minimum": _compared("minimum", lambda value, bound: value >= bound, "at least"),
    "maximum": _compared("maximum", lambda value, bound: value <= bound, "at most"),
    "exclusiveMinimum": _compared("exclusiveMinimum", lambda value, bound: value > bound, "over"),
    "exclusiveMaximum": _compared("exclusiveMaximum", lambda value, bound: value < bound, "below"),
    "multipleOf": _compared("multipleOf", is_multiple, "a multiple of"),
    "minLength": _sized("minLength", str, least=True, one="character", many="characters"),
    "maxLength": _sized("maxLength", str, least=False, one="character", many="characters"),
    "minItems": _sized("minItems", list, least=True, one="entry", many="entries"),
    "maxItems": _sized("maxItems", list, least=False, one="entry", many="entries"),
    "minProperties": _sized("minProperties", dict, least=True, one="property", many="properties"),
    "maxProperties": _sized("maxProperties", dict, least=False, one="property", many="properties"),
    "pattern": _pattern,
    "format": _format,
    "uniqueItems": _unique,
    "required": _required,
    "dependentRequired": _dependent_required,
}
