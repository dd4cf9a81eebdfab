"""Values with ``${{ … }}`` in their strings, compiled once and filled in for each step run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.codec import encode, member
from engine.errors import EngineError, ExpressionError, Fault
from engine.expressions import kinds, precheck, tree
from engine.expressions.evaluate import Frame, build, select, write
from engine.expressions.functions import FUNCTIONS
from engine.expressions.suggest import did_you_mean
from engine.expressions.syntax import MACROS, MAX_LENGTH, parse, tokens
from engine.expressions.values import Budget, capped, export

ROOTS = ("input", "steps", "item", "index", "execution")
MAX_EXPRESSIONS = 200_000  # characters of all expressions of a document; see `Allowance`
_MAX_FAULTS = 100
_CONSTANT_COST = 5  # units of work that constants may take, per character: as long as reading it
_PLAIN_COST = 3  # of a plain reference, in characters of an expression
_OPEN = "${{"
_PLAIN = re.compile(
    r"\s*([A-Za-z_]\w*)((?:\.[A-Za-z_]\w*|\[\d{1,9}\]|\['[^'\\]*'\]|\[\"[^\"\\]*\"\])*)\s*",
    re.ASCII,
)
_SEGMENT = re.compile(r"\.(\w+)|\[(\d+)\]|\[['\"]([^'\"]*)['\"]\]", re.ASCII)

Path = tuple[str | int, ...]
Fill = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Reference:
    """A plain reference in an expression, and where in the document it stands."""

    path: Path
    where: str


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled value. ``references`` are all its references; ``steps`` the step names in them."""

    path: str
    references: tuple[Reference, ...]
    _fill: Fill = field(repr=False)
    _plain: tuple[Any] | None = field(default=None, repr=False)
    _gives: Callable[[kinds.Known], kinds.Kinds] = field(default=kinds.unknown_of, repr=False)

    @property
    def constant(self) -> bool:
        """Whether it holds no expression."""
        return self._plain is not None

    @property
    def steps(self) -> frozenset[str]:
        """The names of the steps it refers to."""
        return frozenset(
            str(reference.path[1])
            for reference in self.references
            if reference.path[0] == "steps" and len(reference.path) > 1
        )

    def kinds(self, known: kinds.Known) -> kinds.Kinds:
        """Return the kinds of value that it can give, None when that is not known.

        ``known`` tells those of a reference.
        """
        return self._gives(known)

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """Return the value for ``scope``: plain JSON, to be read and never changed.

        Raises:
            ExpressionError: naming the expression's path, and no data.
        """
        return self._fill(scope)


class Allowance:
    """How much of expressions there may be, in all that is compiled with it.

    A plain reference counts for three, anything else for its characters: each of those takes some
    5 µs to read.
    """

    def __init__(self, units: int = MAX_EXPRESSIONS) -> None:
        self.left = units

    def take(self, units: int) -> None:
        self.left -= units
        if self.left < 0:
            raise _Spent


class _Spent(Exception):
    pass


def compile(
    value: Any, path: str, allowance: Allowance | None = None, *, stored: bool = False
) -> Template:
    """Return ``value`` with every ``${{ … }}`` in it compiled; ``path`` is where it stands.

    Of one that is ``stored`` only what cannot be compiled is a fault: it was taken once, and what
    is wrong with it whatever the data may stand where no execution gets.

    Raises:
        ExpressionError: with every fault in ``value`` (the first hundred), each with its path.
    """
    compiler = _Compiler(allowance or Allowance(), stored=stored)
    try:
        fill = compiler.value(value, path)
    except _Spent:
        problem = f"the expressions have over {MAX_EXPRESSIONS:,} characters in all"
        hint = "compute less in expressions, and more in a python step"
        raise ExpressionError(problem, faults=[Fault(path, problem, hint)]) from None
    except _Enough:
        fill = None
    if compiler.faults:
        raise ExpressionError("the expressions are not valid", faults=compiler.faults)
    if fill is None:
        return Template(path, (), lambda scope: value, (value,))
    gives = compiler.gives if isinstance(value, str) else _container(value)
    return Template(path, tuple(compiler.references), fill, None, gives)


class _Compiler:
    """Goes through one value, collecting every fault and every reference."""

    def __init__(self, allowance: Allowance, *, stored: bool) -> None:
        self.allowance = allowance
        self.stored = stored
        self.faults: list[Fault] = []
        self.references: list[Reference] = []
        self.gives: Callable[[kinds.Known], kinds.Kinds] = kinds.unknown_of  # of the last text

    def value(self, value: Any, path: str) -> Fill | None:
        """Return how to fill in ``value``, or None when there is nothing to fill in."""
        if isinstance(value, str):
            return self.text(value, path) if _OPEN in value else None
        if isinstance(value, dict):
            return self.object(value, path)
        return self.list(value, path) if isinstance(value, list) else None

    def object(self, value: dict[str, Any], path: str) -> Fill | None:
        if not self.stored:
            self.keys(value, path)
        fills = {key: self.value(entry, member(path, key)) for key, entry in value.items()}
        moving = {key: fill for key, fill in fills.items() if fill is not None}
        if not moving:
            return None
        return lambda scope: value | {key: fill(scope) for key, fill in moving.items()}

    def keys(self, value: dict[str, Any], path: str) -> None:
        """Refuse expressions in keys, and what is escaped there: both would stay as they are."""
        for key in value:
            if _OPEN in key:
                problem = "an expression cannot be a key"
                hint = "make the whole mapping by one: ${{ {input.key: 1} }}"
                self.fault(ExpressionError(problem, hint=hint), member(path, key))

    def list(self, value: list[Any], path: str) -> Fill | None:
        fills = [self.value(entry, member(path, index)) for index, entry in enumerate(value)]
        if not any(fills):
            return None
        parts = list(zip(value, fills, strict=True))
        return lambda scope: [entry if fill is None else fill(scope) for entry, fill in parts]

    def text(self, text: str, path: str) -> Fill | None:
        try:
            parts = _split(text)
        except ExpressionError as error:
            self.fault(error, path)
            return None
        if len(parts) == 1 and isinstance(parts[0], _Source):
            return self.expression(parts[0], path)
        fills: list[str | Fill | None] = [
            part if isinstance(part, str) else self.expression(part, path) for part in parts
        ]
        self.gives = lambda known: kinds.TEXT
        return _mixed(fills, path)

    def expression(self, source: _Source, path: str) -> Fill | None:
        try:
            plain = _plain_path(source.text)
            self.allowance.take(len(source.text) if plain is None else _PLAIN_COST)
            if plain is not None:
                self.refer(plain, path)
                self.gives = lambda known: known(plain)
                return _lookup(plain, path)
            node = parse(source.text)
            self.check(node, path, len(source.text))
            self.gives = lambda known: kinds.kinds(node, known)
            return _evaluation(node, source.text, path)
        except ExpressionError as error:
            self.fault(error, path)
            return None

    def check(self, node: tree.Node, path: str, length: int) -> None:
        for part in tree.walk(node):
            if isinstance(part, tree.Call) and part.name not in FUNCTIONS:
                hint = did_you_mean(part.name, [*FUNCTIONS, *MACROS, "has"])
                raise ExpressionError(f"there is no function {part.name}()", hint=hint)
            if isinstance(part, tree.Macro) and part.variable in ROOTS:
                raise ExpressionError(
                    f"'{part.variable}' already has a meaning", hint="name the loop's value else"
                )
            _check_dashes(part)
        if not self.stored:
            precheck.check(node, work=_CONSTANT_COST * (20 + length))
        for found in tree.references(node):
            self.refer(found, path)

    def refer(self, found: Path, path: str) -> None:
        if found[0] not in ROOTS:
            hint = did_you_mean(str(found[0]), ROOTS)
            if found[0] in ("secrets", "env"):
                hint = "secrets are not there yet: let the function read them on the worker"
            raise ExpressionError(f"'{found[0]}' is not known", hint=hint)
        if found[0] == "steps" and (len(found) < 2 or not isinstance(found[1], str)):
            raise ExpressionError("'steps' needs a step's name", hint="write steps.a.output")
        self.references.append(Reference(found, path))

    def fault(self, error: ExpressionError, path: str) -> None:
        self.faults.append(Fault(path, error.message, error.hint))
        if len(self.faults) >= _MAX_FAULTS:
            raise _Enough


def _container(value: Any) -> Callable[[kinds.Known], kinds.Kinds]:
    found = kinds.LIST if isinstance(value, list) else kinds.OBJECT
    return lambda known: found


class _Enough(Exception):
    """There are as many faults as anybody reads."""


@dataclass(frozen=True, slots=True)
class _Source:
    """The text between ``${{`` and ``}}``."""

    text: str


def _split(text: str) -> list[str | _Source]:
    """Return ``text`` cut into what is kept (``$${{`` unescaped) and what is computed."""
    parts: list[str | _Source] = []
    at = 0
    while (start := text.find(_OPEN, at)) >= 0:
        if start > 0 and text[start - 1] == "$":
            parts.append(text[at : start - 1] + _OPEN)
            at = start + len(_OPEN)
            continue
        end = _end(text, start + len(_OPEN))
        parts += [text[at:start], _Source(text[start + len(_OPEN) : end])]
        at = end + 2
    parts.append(text[at:])
    kept = [part for part in parts if part]
    computed = [part for part in kept if isinstance(part, _Source)]
    # A block scalar of YAML ends in a line break that nobody means.
    if len(computed) == 1 and all(isinstance(part, _Source) or part.isspace() for part in kept):
        return list(computed)
    return kept


def _end(text: str, start: int) -> int:
    """Return where the expression that starts at ``start`` is closed by ``}}``."""
    simple = text.find("}}", start)
    if simple >= 0 and not any(mark in text[start:simple] for mark in "{'\""):
        return simple
    depth = 0
    for token in tokens(text, start):
        if token.at - start > MAX_LENGTH:
            raise ExpressionError(
                f"the expression is over the limit of {MAX_LENGTH} characters, or never closed",
                hint="end it with }}, or split it over transform steps",
            )
        if token.text == "{":
            depth += 1
        elif token.text == "}" and depth == 0 and text.startswith("}}", token.at):
            return token.at
        elif token.text == "}":
            depth -= 1
    raise ExpressionError(
        "'${{' is never closed", hint="end it with }}, or write $${{ for the text"
    )


def _check_dashes(node: tree.Node) -> None:
    """Refuse ``steps.my-step``, which means ``steps.my`` minus ``step``."""
    if not isinstance(node, tree.Binary) or node.operator != "-":
        return
    left = tree.reference(node.left)
    if left is not None and left[0] == "steps" and len(left) == 2:
        rest = tree.reference(node.right) or ("…",)
        raise ExpressionError(
            f"'steps.{left[1]}-{rest[0]}' would be a subtraction",
            hint=f"write steps['{left[1]}-{rest[0]}']",
        )


def _plain_path(source: str) -> Path | None:
    match = _PLAIN.fullmatch(source)
    if match is None or match[1] in ("true", "false", "null"):
        return None
    keys: list[str | int] = [match[1]]
    for name, index, quoted in _SEGMENT.findall(match[2]):
        keys.append(int(index) if index else name or quoted)
    return tuple(keys)


def _lookup(path: Path, where: str) -> Fill:
    """Return the fast path: no tree, no budget, the very value that the scope holds."""
    root, keys = str(path[0]), path[1:]

    def fill(scope: Mapping[str, Any]) -> Any:
        if root not in scope:
            raise ExpressionError(f"{where}: '{root}' has no value here")
        value = scope[root]
        for depth, key in enumerate(keys):
            if type(value) is dict and key in value:
                value = value[key]
                continue
            try:
                value = select(value, key, write(path[: depth + 1]))
            except ExpressionError as error:
                raise ExpressionError(f"{where}: {error.message}", hint=error.hint) from None
        return value

    return fill


def _evaluation(node: tree.Node, source: str, where: str) -> Fill:
    run = build(node)
    shown = source.strip() if len(source) < 120 else source.strip()[:117] + "…"

    def fill(scope: Mapping[str, Any]) -> Any:
        frame = Frame(scope)
        try:
            return export(run(frame), frame.budget)
        except ExpressionError as error:
            message = f"{where}: {error.message}, in {shown}"
            raise ExpressionError(message, hint=error.hint) from None
        except RecursionError:
            raise ExpressionError(f"{where}: the value is nested too deep, in {shown}") from None

    return fill


def _mixed(parts: list[str | Fill | None], where: str) -> Fill:
    def fill(scope: Mapping[str, Any]) -> str:
        written = []
        for part in parts:
            if isinstance(part, str):
                written.append(part)
            elif part is not None:
                value = part(scope)
                written.append(value if isinstance(value, str) else encode(value))
        try:
            return capped("".join(written), Budget())
        except EngineError as error:
            raise ExpressionError(f"{where}: {error}") from None

    return fill
