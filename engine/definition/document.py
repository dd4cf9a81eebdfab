"""Workflow document to `Definition`: every fault at once, each with its path and a hint."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from engine.codec import plain
from engine.definition import conditions, ends, graph, normal, policies, schema, text, uses
from engine.definition.conditions import MAX_ITEMS
from engine.definition.faults import Faults, TooMany
from engine.definition.model import (
    DEFAULT_PARALLEL,
    Definition,
    OnFailure,
    RetryPolicy,
    Step,
)
from engine.errors import Fault, InvalidDocument, PayloadError
from engine.expressions import Allowance, Template, did_you_mean
from engine.ids import is_id

MAX_STEPS = 20_000

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_STEP_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_SCOPES = {
    "execution": ("id", "workflow", "outcome", "error"),
    "steps": ("output", "status", "error", "failures"),
}


def parse(document: object, *, stored: bool = False) -> Definition:
    """Return the workflow that ``document`` (plain values) describes.

    In one that is ``stored`` a step type that is not installed here is no fault: it was elsewhere.

    Raises:
        InvalidDocument: with every fault (the first hundred), each with its path and a hint.
    """
    # What is stored was accepted once: it is read, whatever a later release takes.
    faults = Faults(Allowance(sys.maxsize) if stored else None, stored=stored)
    try:
        source = plain(document)
    except PayloadError as error:
        raise _invalid([Fault("", error.message, error.hint)], "the document") from None
    if not faults.typed(source, dict, "", "write name: … and steps: …"):
        raise _invalid(faults.found, "the document")
    definition = None
    with suppress(TooMany):
        definition = _Reader(source, faults, stored=stored).definition()
    if faults.found or definition is None:
        name = source.get("name")
        raise _invalid(faults.found, f"workflow '{name}'" if _is_text(name) else "the document")
    return definition


def parse_text(source: str, *, limit: int = text.MAX_TEXT) -> Definition:
    """Return the workflow that JSON or YAML text describes, of at most ``limit`` bytes.

    Raises:
        InvalidDocument: as `parse` does, or the text is neither JSON nor YAML.
        TooLarge: over ``limit``.
    """
    return parse(text.read(source, limit=limit))


def _invalid(faults: list[Fault], what: str) -> InvalidDocument:
    count = "one fault" if len(faults) == 1 else f"{len(faults)} faults"
    return InvalidDocument(f"{what} is not valid: {count}", faults=faults)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) < 80


@dataclass(slots=True)
class _Draft:
    """A step whose edges are not known yet."""

    step: Step
    path: str
    templates: list[Template]
    per_item: int  # how many of them, from the first, are filled in for each item
    needs: list[str]


class _Reader:
    """Goes through one document, stage by stage, keeping faults and going on."""

    def __init__(self, source: dict[str, Any], faults: Faults, *, stored: bool) -> None:
        self.source = source
        self.stored = stored
        self.faults = faults
        self.schema: dict[str, Any] = {"type": "object"}
        self.indexes: dict[str, int] = {}
        self.defaulted: frozenset[str] = frozenset()  # the keys that `defaults` says for all steps

    def definition(self) -> Definition | None:
        """Return the workflow; only to be used when no fault was found."""
        source, faults = self.source, self.faults
        faults.keys(source, normal.KEYS, "")
        name = self.name()
        self.read_schema()
        drafts = self.drafts()
        output = None
        if source.get("output") is not None:
            output = faults.template(source["output"], "output")
        for draft in drafts:
            several = draft.step.for_each is not None
            self.check_references(draft.templates[: draft.per_item], items=several)
            self.check_references(draft.templates[draft.per_item :], items=False)
            conditions.check((draft.step.when, draft.step.for_each), source, faults)
        outputs = [output] if output else []
        self.check_references(outputs, items=False)
        ends.check_early(outputs, faults)
        steps = self.connect(drafts)
        return Definition(
            name=name,
            title=self.text("title", 200) or name.replace("-", " ").capitalize(),
            description=self.text("description", 10_000),
            input_schema=self.schema,
            steps=steps,
            output=output,
            document=normal.form(source),
            timeout=policies.lifetime(source.get("timeout"), "timeout", faults),
        )

    def name(self) -> str:
        name = self.source.get("name")
        hint = "lower-case letters, digits and dashes, as nightly-report"
        if name is None:
            self.faults.add("name", "is required", hint)
        elif not isinstance(name, str) or not _NAME.fullmatch(name):
            self.faults.add("name", "must be a slug of at most 63 characters", hint)
        elif is_id(name) and any(letter.isdigit() for letter in name):
            self.faults.add("name", "looks like an id, so no path could tell which", "add a dash")
        else:
            return name
        return ""

    def text(self, key: str, limit: int) -> str:
        value = self.source.get(key)
        if value is None or not self.faults.typed(value, str, key):
            return ""
        if len(value) > limit:
            self.faults.add(key, f"has over {limit} characters", "shorten it")
        if key == "title" and "${{" in value:
            hint = "no execution is known yet: write plain text"
            self.faults.add_new(key, "cannot hold an expression", hint)
        return str(value).strip()

    def read_schema(self) -> None:
        given = self.source.get("input")
        if given is None or not self.faults.typed(given, dict, "input", "write a JSON Schema"):
            return
        schema.check_schema(given, self.faults)
        self.schema = {"type": "object"} | given

    def drafts(self) -> list[_Draft]:
        """Return the steps as they are written, without edges."""
        steps = self.source.get("steps")
        hint = "write steps: {fetch: {uses: http, with: {…}}}"
        if not steps:
            self.faults.add("steps", "needs at least one step", hint)
            return []
        if not self.faults.typed(steps, dict, "steps", hint):
            return []
        if len(steps) > MAX_STEPS:
            self.faults.add("steps", f"has {len(steps)} steps, over the limit of {MAX_STEPS}")
            return []
        retry, timeout = self.defaults()
        self.indexes = {name: index for index, name in enumerate(steps)}
        found = [self.draft(name, body, retry, timeout) for name, body in steps.items()]
        return [draft for draft in found if draft is not None]

    def defaults(self) -> tuple[RetryPolicy, float | None]:
        given = self.source.get("defaults")
        if given is None or not self.faults.typed(given, dict, "defaults"):
            return RetryPolicy(), None
        self.faults.keys(given, ("retry", "timeout"), "defaults")
        self.defaulted = frozenset(given)
        retry = policies.retry(given.get("retry"), "defaults.retry", RetryPolicy(), self.faults)
        timeout = policies.timeout(given.get("timeout"), "defaults.timeout", None, self.faults)
        return retry, timeout

    def draft(
        self, name: str, body: Any, retry: RetryPolicy, timeout: float | None
    ) -> _Draft | None:
        path, faults = f"steps.{name}", self.faults
        if not _STEP_NAME.fullmatch(name):
            faults.add(path, "is no name for a step", "lower-case letters, digits, - and _")
            path = f"steps[{self.indexes[name]}]"
        if not faults.typed(body, dict, path, "write {uses: python, with: {…}}"):
            return None
        faults.keys(body, normal.STEP_KEYS, path)
        params = self.params(body, path)
        if params is None:
            return None
        when = conditions.when(body, path, faults)
        for_each = conditions.for_each(body, path, faults)
        limit = policies.timeout(body.get("timeout"), f"{path}.timeout", timeout, faults)
        step = Step(
            index=self.indexes[name],
            name=name,
            uses=str(body["uses"]),
            params=params,
            function=uses.code(body["uses"], body.get("with", {})),
            when=when,
            for_each=for_each,
            max_parallel=self.max_parallel(body, path),
            retry=policies.retry(body.get("retry"), f"{path}.retry", retry, faults),
            timeout=limit,
            queue=policies.queue(body.get("queue"), f"{path}.queue", limit, faults),
            expires=policies.timeout(body.get("expires"), f"{path}.expires", None, faults),
            process=policies.isolation(body, path, faults),
            memory=policies.memory(body, path, faults),
            cache=policies.cache(body.get("cache"), f"{path}.cache", faults),
            tolerance=policies.tolerance(body, path, faults),
            keys=frozenset(body) | self.defaulted,
        )
        templates = [params, *([step.cache.key] if step.cache else [])]
        items = len(templates)
        templates += [part for part in (when, for_each) if part is not None]
        return _Draft(step, path, templates, items, self.needs(body, path))

    def params(self, body: dict[str, Any], path: str) -> Template | None:
        """Return ``with`` compiled, once it fits ``uses``."""
        used = body.get("uses")
        if used is None:
            self.faults.add(f"{path}.uses", "is required", f"one of {', '.join(uses.known())}")
        elif not self.knows(used):
            hint = did_you_mean(str(used), uses.known())
            self.faults.add(f"{path}.uses", f"{used!r} is no step type", hint)
        given = body.get("with", {})
        if not self.faults.typed(given, dict, f"{path}.with"):
            return None
        if used in uses.known():
            uses.check(used, given, f"{path}.with", self.faults)
        template = self.faults.template(given, f"{path}.with")
        return template if self.knows(used) else None

    def knows(self, used: Any) -> bool:
        """Whether a step may be of this type."""
        return used in uses.known() or (self.stored and isinstance(used, str))

    def max_parallel(self, body: dict[str, Any], path: str) -> int:
        given = body.get("max_parallel")
        if given is None:
            return DEFAULT_PARALLEL
        if "for_each" not in body:
            self.faults.add(f"{path}.max_parallel", "means nothing without for_each", "remove it")
        if type(given) is int and 1 <= given <= MAX_ITEMS:
            return given
        self.faults.add(f"{path}.max_parallel", f"must be a whole number from 1 to {MAX_ITEMS}")
        return DEFAULT_PARALLEL

    def needs(self, body: dict[str, Any], path: str) -> list[str]:
        given = body.get("needs", [])
        if not self.faults.typed(given, list, f"{path}.needs", "write [a, b]"):
            return []
        known = []
        for index, name in enumerate(given):
            if not isinstance(name, str) or name not in self.indexes:
                hint = did_you_mean(str(name), self.indexes)
                self.faults.add(f"{path}.needs[{index}]", f"there is no step {name!r}", hint)
            else:
                known.append(name)
        return known

    def check_references(self, templates: list[Template], *, items: bool) -> None:
        for template in templates:
            for reference in template.references:
                self.check_reference(reference.path, reference.where, items=items)

    def check_reference(self, path: tuple[str | int, ...], where: str, *, items: bool) -> None:
        root, first = path[0], path[1] if len(path) > 1 else None
        if root in ("item", "index") and not items:
            hint = "they exist in the with of a step that has for_each"
            self.faults.add(where, f"'{root}' has no value here", hint)
        elif root == "input" and isinstance(first, str):
            if schema.undeclared(self.schema, first):
                hint = did_you_mean(first, self.schema["properties"])
                self.faults.add(where, f"the input has no '{first}'", hint)
        elif root == "steps" and first not in self.indexes:
            hint = did_you_mean(str(first), self.indexes)
            self.faults.add(where, f"there is no step '{first}'", hint)
        elif root in _SCOPES and not (root == "execution" and first is None):
            field = first if root == "execution" else path[2] if len(path) > 2 else None
            if field is not None and field not in _SCOPES[str(root)]:
                hint = did_you_mean(str(field), _SCOPES[str(root)])
                self.faults.add(where, f"'{root}' has no '{field}'", hint)

    def connect(self, drafts: list[_Draft]) -> tuple[Step, ...]:
        """Return the steps with their edges, or as they are once there are faults."""
        if not self.indexes:
            return ()
        roles = ends.read(self.source, self.indexes, self.faults)
        closing = roles.closing
        for draft in drafts:
            if draft.step.index not in closing:
                ends.check_early(draft.templates, self.faults)
        if self.faults.found:
            return tuple(draft.step for draft in drafts)
        names = list(self.indexes)
        needs = [self.edges(draft) for draft in drafts]
        ends.edges(needs, roles, names, self.faults)
        circle = graph.cycle(needs)
        if circle:
            shown = " → ".join(names[index] for index in circle[:20])
            shown += " → …" if len(circle) > 20 else ""
            hint = "a step cannot use what comes after it"
            first = names[circle[0]]
            self.faults.add(f"steps.{first}", f"waits for itself: {shown} → {first}", hint)
        dependants = graph.invert(needs)
        handlers = roles.handlers
        return tuple(
            replace(
                draft.step,
                needs=tuple(needs[index]),
                dependants=tuple(dependants[index]),
                on_failure=roles.on_failure.get(index, OnFailure.FAIL),
                handles=tuple(roles.handles.get(index, ())),
                handlers=handlers.get(index, ()),
                closing=index in closing,
                compensates=roles.compensates.get(index),
            )
            for index, draft in enumerate(drafts)
        )

    def edges(self, draft: _Draft) -> list[int]:
        names = {*draft.needs, *(name for part in draft.templates for name in part.steps)}
        return sorted(self.indexes[name] for name in names)
