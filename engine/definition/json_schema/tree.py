"""A schema taken apart as values need it, each part once, references followed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from engine.definition.json_schema import applicators, keywords, unevaluated
from engine.definition.json_schema.run import BadSchema, Check, Node, Place, Run
from engine.definition.json_schema.shape import problem_of

_LONGEST_CHAIN = 100  # of references to references: one that goes in a circle has no end
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)


class Tree:
    """One whole schema: ``root`` is what references begin at."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self._nodes: dict[int, Node] = {}
        self._anchors: dict[str, Any] | None = None

    def node(self, schema: Any) -> Node:
        """Return the node of a part; the same one for the same part."""
        found = self._nodes.get(id(schema))
        if found is None:
            found = self._nodes[id(schema)] = Node(schema, self)
        return found

    def checks(self, schema: Any) -> Sequence[Check]:
        """Return what a value must pass to fit ``schema``: its type first.

        Raises:
            BadSchema: a keyword holds what it may not.
        """
        if schema is True:
            return ()
        if schema is False:
            return (_nothing_fits,)
        if not isinstance(schema, dict):
            raise BadSchema("a schema must be a mapping, or true or false")
        names = sorted(schema, key="type".__ne__) if "type" in schema else schema
        found = []
        for name in names:
            given = schema[name]
            if problem := problem_of(name, given):
                raise BadSchema(f"{name} {problem}")
            if name in keywords.BUILD:
                found.append(keywords.BUILD[name](given, schema))
            elif name in applicators.BUILD:
                found.append(applicators.BUILD[name](given, schema, self))
            elif name in unevaluated.BUILD:
                found.append(unevaluated.BUILD[name](given, schema, self))
        return found

    def resolved(self, schema: Any) -> Any:
        """Return what a schema that is only a reference leads to, else itself."""
        for _ in range(_LONGEST_CHAIN):
            if not isinstance(schema, dict) or schema.keys() != {"$ref"}:
                break
            schema = self.target(schema["$ref"])
        return schema

    def target(self, reference: str) -> Any:
        """Return the part that ``#``, ``#/a/pointer`` or ``#anchor`` leads to.

        Raises:
            BadSchema: it leads nowhere.
        """
        pointer = unquote(reference[1:])
        found: Any = self.root
        if pointer and not pointer.startswith("/"):
            found = self._anchored().get(pointer, _NOWHERE)
        else:
            for part in pointer.split("/")[1:]:
                found = _entry(found, part.replace("~1", "/").replace("~0", "~"))
        if not isinstance(found, dict | bool):
            raise BadSchema(f"the reference {reference[:80]!r} leads nowhere")
        return found

    def _anchored(self) -> dict[str, Any]:
        if self._anchors is None:
            self._anchors = {}
            left = [self.root]
            while left:
                part = left.pop()
                if isinstance(part, dict):
                    for key in ("$anchor", "$dynamicAnchor"):
                        if isinstance(name := part.get(key), str):
                            self._anchors.setdefault(name, part)
                inner = part.values() if isinstance(part, dict) else part
                left += [entry for entry in inner if isinstance(entry, dict | list)]
        return self._anchors


_NOWHERE = object()


def _entry(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return value.get(key, _NOWHERE)
    if isinstance(value, list) and _INDEX.fullmatch(key) and int(key) < len(value):
        return value[int(key)]
    return _NOWHERE


def _nothing_fits(run: Run, _value: Any, place: Place) -> bool:
    return run.fault(place, "false", "must not be there")
