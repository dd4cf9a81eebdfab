"""Text to plain values: JSON, or YAML 1.2 by a safe loader that cannot be made to explode."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from typing import Any

import yaml

from engine.codec import MAX_DEPTH
from engine.errors import Fault, InvalidDocument, TooLarge

MAX_TEXT = 16_000_000  # bytes
MAX_ALIASES = 100
MAX_NODES = 2_000_000  # once aliases are followed


def read(text: str, *, limit: int = MAX_TEXT) -> Any:
    """Return the value that ``text`` (JSON or YAML) stands for.

    Raises:
        TooLarge: over ``limit`` bytes.
        InvalidDocument: neither JSON nor YAML, a key given twice, too deep, too many aliases.
    """
    if len(text) > limit or len(text.encode(errors="replace")) > limit:
        raise TooLarge(f"the document is over {limit} bytes", hint="move data out of it")
    if text.lstrip()[:1] == "{":
        try:
            return json.loads(text, object_pairs_hook=_unique)
        except json.JSONDecodeError:
            pass  # YAML also has mappings in braces; its message is the better one then
        except RecursionError:
            raise _invalid(f"the document is nested deeper than {MAX_DEPTH} levels") from None
    return _yaml(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _invalid(f"the key '{key[:80]}' is given twice", "remove one of them")
            seen.add(key)
    return result


def _yaml(text: str) -> Any:
    try:
        _check_events(text)
        value = yaml.load(text, Loader=_Loader)  # noqa: S506  # a subclass of the safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = error.problem or error.context or "it cannot be read"
        raise _invalid(f"the document is not YAML{where}: {problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise _invalid(f"the document is not YAML: {str(error)[:200]}") from None
    _check_size(value)
    return value


def _check_events(text: str) -> None:
    """Refuse deep nesting and many aliases before anything is built from them."""
    depth = aliases = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _invalid(f"the document is nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
            if aliases > MAX_ALIASES:
                raise _invalid(f"the document has over {MAX_ALIASES} aliases", "write it out")


def _check_size(value: Any) -> None:
    """Refuse what aliases blow up: ten levels of ten are ten thousand million nodes."""
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        if not isinstance(node, dict | list):
            return 1
        key = id(node)
        if key not in sizes:
            sizes[key] = MAX_NODES + 1  # seen again before it is known: it holds itself
            entries = node.values() if isinstance(node, dict) else node
            sizes[key] = 1 + sum(size(entry) for entry in entries)
        return sizes[key]

    if size(value) > MAX_NODES:
        raise _invalid("the document's aliases make it too large", "write it out")


def _invalid(problem: str, hint: str = "") -> InvalidDocument:
    return InvalidDocument(problem, hint=hint, faults=[Fault("", problem, hint)])


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader with YAML 1.2's scalars: `on` is a word and `1:30` a text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # filled by the calls below

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key '{key.value[:80]}' is given twice", key.start_mark
                    )
                seen.add(key.value)
        result: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return result


# Source: https://yaml.org/spec/1.2.2/#1032-tag-resolution
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), list(_first)
    )
