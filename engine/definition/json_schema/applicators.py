"""The keywords with schemas inside them: for parts of a value, or for the value itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from engine.definition.json_schema.run import Check, Found, Node, Place, Run, every
from engine.definition.json_schema.values import shown
from engine.expressions import did_you_mean

if TYPE_CHECKING:
    from engine.definition.json_schema.tree import Tree

_OF_ITSELF = ("type", "const", "enum")  # what these refuse is of another kind altogether


def _ref(target: Any, _schema: Any, tree: Tree) -> Check:
    return tree.node(tree.target(target)).fits


def _properties(given: Any, _schema: Any, tree: Tree) -> Check:
    nodes = {name: tree.node(schema) for name, schema in given.items()}

    def check(run: Run, value: Any, place: Place) -> bool:
        if type(value) is not dict:
            return True
        fits = True
        for name in nodes if len(nodes) < len(value) else value:
            if name in nodes and name in value:
                fits = nodes[name].fits(run, value[name], (place, name)) and fits
        return fits

    return check


def _additional_properties(given: Any, schema: Any, tree: Tree) -> Check:
    node, known = tree.node(given), schema.get("properties", {})
    if given is True:
        return _fits_always

    def check(run: Run, value: Any, place: Place) -> bool:
        if type(value) is not dict:
            return True
        run.budget.spend(len(value) // 8)
        fits = True
        for name, entry in value.items():
            if name in known:
                continue
            if given is False:
                hint = did_you_mean(name, known) if run.found == [] else ""
                said = "is not a known property"
                fits = run.fault((place, name), "additionalProperties", said, hint)
            else:
                fits = node.fits(run, entry, (place, name)) and fits
        return fits

    return check


def _property_names(given: Any, _schema: Any, tree: Tree) -> Check:
    node = tree.node(given)

    def check(run: Run, value: Any, place: Place) -> bool:
        if type(value) is not dict:
            return True
        fits = True
        for name in value:
            if not run.quietly(node, name, place):
                wrong = run.faults_of(node, name, place)
                problem = wrong[0].problem if wrong else "does not fit"
                fits = run.fault((place, name), "propertyNames", f"as a name {problem}")
        return fits

    return check


def _dependent_schemas(given: Any, _schema: Any, tree: Tree) -> Check:
    nodes = {name: tree.node(schema) for name, schema in given.items()}

    def check(run: Run, value: Any, place: Place) -> bool:
        if type(value) is not dict:
            return True
        run.budget.spend(len(nodes) // 8)
        return every(node.fits(run, value, place) for name, node in nodes.items() if name in value)

    return check


def _prefix_items(given: Any, _schema: Any, tree: Tree) -> Check:
    nodes = [tree.node(schema) for schema in given]

    def check(run: Run, value: Any, place: Place) -> bool:
        if type(value) is not list:
            return True
        pairs = enumerate(zip(nodes, value, strict=False))
        return every(node.fits(run, entry, (place, at)) for at, (node, entry) in pairs)

    return check


def _items(given: Any, schema: Any, tree: Tree) -> Check:
    node, start = tree.node(given), len(schema.get("prefixItems", ()))

    def check(run: Run, value: Any, place: Place) -> bool:
        if type(value) is not list:
            return True
        fits = True
        for index in range(start, len(value)):
            fits = node.fits(run, value[index], (place, index)) and fits
        return fits

    return check


def _contains(given: Any, schema: Any, tree: Tree) -> Check:
    node = tree.node(given)
    least, most = schema.get("minContains", 1), schema.get("maxContains")

    def check(run: Run, value: Any, place: Place) -> bool:
        if type(value) is not list:
            return True
        found = sum(run.quietly(node, entry, place) for entry in value)
        if found < least:
            problem = f"must have at least {least} entries that fit {shown(given)}, not {found}"
            return run.fault(place, "contains", problem)
        if most is not None and found > most:
            problem = f"must have at most {most} entries that fit {shown(given)}, not {found}"
            return run.fault(place, "contains", problem)
        return True

    return check


def _all_of(given: Any, _schema: Any, tree: Tree) -> Check:
    # The same schema twice says nothing more, and doubles the work at each level.
    nodes = list(dict.fromkeys(tree.node(tree.resolved(schema)) for schema in given))
    return lambda run, value, place: every(node.fits(run, value, place) for node in nodes)


def _any_of(given: Any, _schema: Any, tree: Tree) -> Check:
    nodes = list(dict.fromkeys(tree.node(tree.resolved(schema)) for schema in given))

    def check(run: Run, value: Any, place: Place) -> bool:
        if any(run.quietly(node, value, place) for node in nodes):
            return True
        return run.found is not None and _none_fits(nodes, "anyOf", run, value, place)

    return check


def _one_of(given: Any, _schema: Any, tree: Tree) -> Check:
    nodes = [tree.node(schema) for schema in given]

    def check(run: Run, value: Any, place: Place) -> bool:
        fitting = sum(run.quietly(node, value, place) for node in nodes)
        if fitting == 0:
            return run.found is not None and _none_fits(nodes, "oneOf", run, value, place)
        problem = f"fits {fitting} of {len(nodes)} choices, and must fit only one"
        return fitting == 1 or run.fault(place, "oneOf", problem)

    return check


def _none_fits(nodes: Sequence[Node], keyword: str, run: Run, value: Any, place: Place) -> bool:
    """Keep what is wrong for the choice that was probably meant."""
    tried = [run.faults_of(node, value, place) for node in nodes]
    meant = [wrong for wrong in tried if wrong and not _is_other(wrong[0], place)]
    if meant:
        for found in min(meant, key=len):
            run.fault(found.place, found.keyword, found.problem, found.hint)
        return False
    said = list(dict.fromkeys(wrong[0].problem for wrong in tried if wrong))
    if len(said) == 1:
        return run.fault(place, keyword, said[0])
    problem = f"fits none of {len(nodes)} choices: {'; '.join(said[:4])}"
    return run.fault(place, keyword, problem + ("; …" if len(said) > 4 else ""))


def _is_other(found: Found, place: Place) -> bool:
    """Return whether a choice was of another kind than the value."""
    return found.place == place and found.keyword in _OF_ITSELF


def _not(given: Any, _schema: Any, tree: Tree) -> Check:
    node = tree.node(given)
    return lambda run, value, place: (
        not run.quietly(node, value, place)
        or run.fault(place, "not", f"must not fit {shown(given)}")
    )


def _if(given: Any, schema: Any, tree: Tree) -> Check:
    asked = tree.node(given)
    then, otherwise = tree.node(schema.get("then", True)), tree.node(schema.get("else", True))

    def check(run: Run, value: Any, place: Place) -> bool:
        chosen = then if run.quietly(asked, value, place) else otherwise
        return chosen.fits(run, value, place)

    return check


def _fits_always(_run: Run, _value: Any, _place: Place) -> bool:
    return True


Build = Callable[[Any, Any, "Tree"], Check]
BUILD: dict[str, Build] = {
    "$ref": _ref,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "if": _if,
    "properties": _properties,
    "additionalProperties": _additional_properties,
    "propertyNames": _property_names,
    "dependentSchemas": _dependent_schemas,
    "prefixItems": _prefix_items,
    "items": _items,
    "contains": _contains,
}
