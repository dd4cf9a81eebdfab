"""YAML 1.2 to plain values: the core schema, and merge keys, in one pass with a bound.

libyaml gives the events; what they stand for is decided here. The loaders of PyYAML resolve YAML
1.1, where 01234 is an octal number, and build a tree first: 1.2 MB took them seconds, and merge
keys that double in each line for ever.
Source: https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from engine.codec import MAX_DEPTH
from engine.definition.limits import MAX_VALUES, integer

_PREFIX = "tag:yaml.org,2002:"
_WORDS = (
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("true", "True", "TRUE"), True)
    | dict.fromkeys(("false", "False", "FALSE"), False)
    | dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf"))
    | dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf"))
    | dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan"))
)
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_OTHER_BASE = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_MAX_TAGS = 100
_EXPRESSION = "${{"


class Refused(Exception):
    """The text is not YAML, or more of it than the engine takes: where, why and what to do."""

    def __init__(self, said: str, hint: str = "") -> None:
        super().__init__(f"the document {said}")
        self.hint = hint


def read(text: str, *, most_text: int) -> Any:
    """Return the value of the one document in ``text``.

    Args:
        text: YAML.
        most_text: characters that its values may have once aliases are followed.

    Raises:
        Refused: saying where and why.
    """
    # libyaml compares each with all before it: 16 MB of them would take ten minutes.
    if text.count("\n%TAG") > _MAX_TAGS:
        raise Refused(f"has over {_MAX_TAGS} %TAG directives", "remove them: tags are not taken")
    try:
        return _Reader(text, most_text).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "it cannot be read"
        raise _not_yaml(problem, mark, _advice(text, mark.line if mark else 0)) from None
    except yaml.YAMLError as error:
        raise _not_yaml(str(error)[:200]) from None


def _not_yaml(problem: str, mark: Any = None, hint: str = "") -> Refused:
    where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return Refused(f"is not YAML{where}: {problem}", hint)


def _advice(text: str, at: int) -> str:
    """Return what to do about a fault of the grammar in line ``at``, as far as that tells."""
    near = text.split("\n")[max(at - 1, 0) : at + 1]
    if any(_EXPRESSION in line for line in near):
        return "put the expression in quotes: '${{ … }}'"
    if any("\t" in line[: len(line) - len(line.lstrip())] for line in near):
        return "indent by spaces, not tabs"
    return ""


@dataclass(slots=True)
class _Anchored:
    """A value with a name, and what another use of it counts for."""

    value: Any = None
    values: int = 0
    characters: int = 0
    whole: bool = False


# Pure Python's gives the same events, slowly, where the package was built without libyaml.
_Parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Merge:
    """The key ``<<``, which no text is equal to."""


_MERGE = _Merge()


class _Reader:
    """Goes through the events once; ``values`` and ``characters`` count what has come of them."""

    def __init__(self, text: str, most_text: int) -> None:
        self.parser = _Parser(text)
        self.most_text = most_text
        self.anchors: dict[str, _Anchored] = {}
        self.values = 0
        self.characters = 0
        self.depth = 0

    def document(self) -> Any:
        self.next()  # the stream's start
        start = self.next()
        if isinstance(start, StreamEndEvent):
            return None
        value = self.value(self.next())
        self.next()  # the document's end
        more = self.next()
        if isinstance(more, DocumentStartEvent):
            hint = "one file holds one workflow: remove the '---', or write two files"
            raise _not_yaml("a second document begins here", more.start_mark, hint)
        return value

    def next(self) -> Any:
        """Return the next event; PyYAML's types do not say that it has an anchor or a mark."""
        return self.parser.get_event()

    def value(self, event: Any) -> Any:
        self.count(event, values=1)
        if isinstance(event, AliasEvent):
            return self.alias(event)
        if event.anchor is None:
            return self.built(event)
        # Before it is built: a value that holds itself is told from one that is not there.
        named = self.anchors[event.anchor] = _Anchored()
        values, characters = self.values, self.characters
        named.value = self.built(event)
        named.values, named.characters = self.values - values, self.characters - characters
        named.whole = True
        return named.value

    def built(self, event: Any) -> Any:
        if isinstance(event, ScalarEvent):
            self.count(event, characters=len(event.value))
            return _scalar(event)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            line = event.start_mark.line + 1
            raise Refused(f"is nested deeper than {MAX_DEPTH} levels, in line {line}", "flatten it")
        built = (self.sequence if isinstance(event, SequenceStartEvent) else self.mapping)(event)
        self.depth -= 1
        return built

    def sequence(self, event: SequenceStartEvent) -> list[Any]:
        _check_tag(event, "seq")
        entries = []
        while not isinstance(entry := self.next(), SequenceEndEvent):
            entries.append(self.value(entry))
        return entries

    def mapping(self, event: MappingStartEvent) -> dict[str, Any]:
        _check_tag(event, "map")
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while not isinstance(at := self.next(), MappingEndEvent):
            key = self.key(at)
            entry = self.next()
            value = self.value(entry)
            if isinstance(key, _Merge):
                self.merge(merged, value, entry)
            elif key in own:
                raise _not_yaml(f"the key '{key[:80]}' is given twice", at.start_mark, "remove one")
            else:
                own[key] = value
        return merged | own if merged else own

    def merge(self, merged: dict[str, Any], value: Any, event: Any) -> None:
        """Add what stands under ``<<``: the mapping's own keys and earlier ones win."""
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, dict):
                hint = "write <<: *name, where name is the anchor of a mapping"
                raise _not_yaml("only mappings can be merged", event.start_mark, hint)
            self.count(event, values=len(one))
            for key, entry in one.items():
                merged.setdefault(key, entry)

    def alias(self, event: Any) -> Any:
        named = self.anchors.get(event.anchor)
        if named is None:
            raise _not_yaml(
                f"there is no anchor '{event.anchor[:80]}' before this", event.start_mark
            )
        if not named.whole:
            raise _not_yaml(f"the value '{event.anchor[:80]}' holds itself", event.start_mark)
        self.count(event, values=named.values, characters=named.characters)
        return named.value

    def key(self, event: Any) -> str | _Merge:
        """Return a key of a mapping."""
        if isinstance(event, ScalarEvent) and event.value == "<<" and event.implicit[0]:
            return _MERGE
        if isinstance(event, MappingStartEvent | SequenceStartEvent):
            problem = "a mapping or a list cannot be a key"
            raise _not_yaml(problem, event.start_mark, "put an expression in quotes: '${{ … }}'")
        key = self.value(event)
        if not isinstance(key, str):
            hint = f'write "{event.value[:40]}"' if isinstance(event, ScalarEvent) else ""
            raise _not_yaml("a key must be a text", event.start_mark, hint)
        return key

    def count(self, event: Any, *, values: int = 0, characters: int = 0) -> None:
        """Refuse more than there may be, before it is built."""
        self.values += values
        self.characters += characters
        if self.values > MAX_VALUES:
            _refuse(event, f"has over {MAX_VALUES:,} values")
        if self.characters > self.most_text:
            _refuse(event, f"has texts of over {self.most_text:,} characters")


def _refuse(event: Any, problem: str) -> NoReturn:
    said = f"{problem}, aliases and merge keys followed, in line {event.start_mark.line + 1}"
    raise Refused(said, "give the data as input, or let a step read it")


def _scalar(event: ScalarEvent) -> Any:
    """Return what a scalar stands for: by its tag, else by the core schema unless it is quoted."""
    if event.tag is None:
        return _resolved(event.value) if event.implicit[0] else event.value
    if event.tag == "!":
        return event.value
    kind = event.tag.removeprefix(_PREFIX)
    if event.tag.startswith(_PREFIX) and kind in _KINDS:
        if kind == "str":
            return event.value
        value = _resolved(event.value)
        if kind == "float" and type(value) is int:
            return float(value)
        if type(value) is _KINDS[kind]:
            return value
        raise _not_yaml(f"'{event.value[:40]}' is no {kind}", event.start_mark, "remove the tag")
    raise _unknown_tag(event)


_KINDS = {"str": str, "int": int, "float": float, "bool": bool, "null": type(None)}


def _resolved(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INTEGER.match(text):
        return integer(text)
    if _OTHER_BASE.match(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    return float(text) if _FLOAT.match(text) else text


def _check_tag(event: MappingStartEvent | SequenceStartEvent, kind: str) -> None:
    if event.tag not in (None, "!", _PREFIX + kind):
        raise _unknown_tag(event)


def _unknown_tag(event: Any) -> Refused:
    tag = event.tag.replace(_PREFIX, "!!")[:80]
    return _not_yaml(f"the tag {tag} is not known", event.start_mark, "remove it")
