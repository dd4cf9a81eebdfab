"""What stands for a value while a workflow is traced: every operator writes an expression.

What cannot be written as one raises with the file and line of the misuse. Silently going on is
the worst outcome: ``if handle:`` would be decided once, at import, for all executions.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from engine.codec import plain
from engine.errors import InvalidDocument, PayloadError
from engine.expressions import FUNCTIONS, MACROS, RESERVED, ROOTS, did_you_mean

_DOTTED = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_WORDS = ("true", "false", "null", "in")
_HERE = str(Path(__file__).parent)


class TracingError(InvalidDocument):
    """A workflow function does what only real values allow; the message begins with the line."""


def caller() -> str:
    """Return ``file:line`` of the code outside this package that is running."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def refuse(problem: str, hint: str) -> NoReturn:
    """Raise a `TracingError` that names the line of the caller."""
    raise TracingError(f"{caller()}: {problem}", hint=hint)


def check_function(function: object, who: str) -> None:
    """Refuse what a worker could not find by its name, or not call by the names of arguments."""
    name = getattr(function, "__qualname__", None)
    example = "write def with a name of its own, which calls it"
    if isinstance(function, str):
        refuse(f"{who} takes its name by keyword", f"write name={function!r} in the brackets")
    if inspect.isclass(function):
        refuse(f"{who} is a function, not the class {function.__name__}", example)
    if not callable(function) or isinstance(function, classmethod):
        refuse(f"{who} is a function, not of type {type(function).__name__}", example)
    if name is None or not hasattr(function, "__module__"):
        kind = type(function).__name__
        refuse(f"{who} needs a name that a worker can find, which type {kind} has not", example)
    if "<lambda>" in name:
        refuse(f"{who} needs a name that a worker can find, which a lambda has not", example)
    try:
        names = [*inspect.signature(function).parameters]
    except (TypeError, ValueError):
        refuse(f"{who} needs arguments that have names, which {name} has not", example)
    if names[:1] in (["self"], ["cls"]):
        hint = "move it out of the class, or put @staticmethod below the decorator"
        refuse(f"{name} is a method: a worker has no object to call it on", hint)


class Handle:
    """A value that an execution will have: an input, a step's output, or computed from them.

    Attributes and keys are fields; operators and CEL's functions (``h.size()``,
    ``h.map(lambda o: o.amount)``) give further handles.
    """

    __slots__ = ("_atomic", "_text", "_trace")
    _atomic: bool
    _text: str
    _trace: object

    def __init__(self, text: str, trace: object, *, atomic: bool = True) -> None:
        object.__setattr__(self, "_text", text)
        object.__setattr__(self, "_trace", trace)
        object.__setattr__(self, "_atomic", atomic)

    def __getattr__(self, name: str) -> Handle:
        if name.startswith("__"):
            # Asked by copy, inspect and the like: the usual answer keeps them working.
            raise AttributeError(name)
        if name.startswith("_"):
            refuse(f"'{name}' is no field that can be written with a dot", f'write ["{name}"]')
        return self[name]

    def __getitem__(self, key: object) -> Handle:
        if isinstance(key, slice):
            refuse("a handle cannot be sliced", "slice inside a step")
        if isinstance(key, str) and _DOTTED.fullmatch(key) and key not in _WORDS:
            return Handle(f"{operand(self)}.{key}", self._trace)
        return Handle(f"{operand(self)}[{literal(key)}]", self._trace)

    def __call__(self, *arguments: Any, **named: Any) -> Handle:
        target, _, name = self._text.rpartition(".")
        if not self._atomic or not name.isidentifier():
            refuse("a handle is no function", "write handle.size(), or call a step with it")
        if name not in FUNCTIONS and name not in MACROS:
            hint = did_you_mean(name, [*FUNCTIONS, *MACROS])
            if name in ("when", "after"):
                hint = "write step.when(condition)(…), step(…, after=[…])"
            refuse(f"a handle has no function {name}()", hint)
        if named:
            refuse(f"{name}() takes no named arguments", "give them by position")
        if name in MACROS:
            return Handle(f"{target}.{name}({_loop(name, arguments, self._trace)})", self._trace)
        shown = ", ".join(literal(argument) for argument in arguments)
        return Handle(f"{target}.{name}({shown})", self._trace)

    def __format__(self, spec: str) -> str:
        if spec:
            refuse("a handle cannot be formatted", f"leave ':{spec}' out, or format inside a step")
        return str(self)

    def __str__(self) -> str:
        return f"${{{{ string({self._text}) }}}}"

    def __repr__(self) -> str:
        return f"<handle {self._text}>"


def operand(value: object) -> str:
    """Return ``value`` as part of a larger expression, in brackets where it needs them."""
    shown = literal(value)
    return f"({shown})" if isinstance(value, Handle) and not value._atomic else shown


def literal(value: object) -> str:
    """Return ``value`` as CEL writes it; handles inside lists and dicts are written too."""
    if isinstance(value, Handle):
        return value._text
    if isinstance(value, list | tuple):
        return f"[{', '.join(literal(entry) for entry in value)}]"
    if isinstance(value, dict):
        pairs = (f"{literal(key)}: {literal(entry)}" for key, entry in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, str) and "${{" in value:
        refuse("a text with a handle inside cannot be part of an expression", "join with +")
    try:
        return json.dumps(plain(value), ensure_ascii=False)
    except PayloadError as error:
        refuse(error.message, error.hint or "use plain values")


def template(value: Any) -> Any:
    """Return ``value`` as a document holds it: handles become ``${{ … }}``, at any depth."""
    if isinstance(value, Handle):
        return f"${{{{ {value._text} }}}}"
    if isinstance(value, dict):
        return {key: template(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [template(entry) for entry in value]
    try:
        return plain(value)
    except PayloadError as error:
        refuse(error.message, error.hint)


def _loop(name: str, arguments: tuple[Any, ...], trace: object) -> str:
    functions = [argument for argument in arguments if callable(argument)]
    if len(arguments) != 1 or not functions or isinstance(functions[0], Handle):
        refuse(f"{name}() takes one function", f"write .{name}(lambda o: o.amount)")
    names = [*inspect.signature(functions[0]).parameters]
    if len(names) != 1:
        refuse(f"{name}() takes a function of one argument", f"write .{name}(lambda o: o.amount)")
    variable = _variable(names[0])
    return f"{variable}, {literal(functions[0](Handle(variable, trace)))}"


def _variable(name: str) -> str:
    """Return the name of a loop's variable in an expression, where letters are those of ASCII."""
    safe = "".join(c if c.isascii() else f"_{ord(c):x}_" for c in name)
    return f"{safe}_" if safe in (*ROOTS, *RESERVED) else safe


def _binary(symbol: str, *, swapped: bool = False) -> Callable[[Handle, object], Handle]:
    def operator(self: Handle, other: object) -> Handle:
        left, right = (other, self) if swapped else (self, other)
        return Handle(f"{operand(left)} {symbol} {operand(right)}", self._trace, atomic=False)

    return operator


def _function(form: str, *, atomic: bool = True) -> Callable[[Handle], Handle]:
    def operator(self: Handle, *arguments: object) -> Handle:
        if arguments:
            refuse("a handle is rounded to a whole number only", _IN_A_STEP)
        shown = self._text if atomic else operand(self)
        return Handle(form.format(shown), self._trace, atomic=atomic)

    return operator


def _refusal(problem: str, hint: str) -> Callable[..., NoReturn]:
    def operator(self: Handle, *arguments: object, **named: object) -> NoReturn:
        refuse(f"{problem} while the workflow is traced", hint)

    return operator


_BINARY = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "mod": "%", "and": "&&", "or": "||"}
_COMPARED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_FUNCTIONS = {"abs": "abs({})", "round": "round({})", "floor": "floor({})", "ceil": "ceil({})"}
_IN_A_STEP = "do it inside a step, where the value is known"
_REFUSED = {
    "bool": ("a handle is neither true nor false", "branch with step.when(condition)(…)"),
    "iter": ("a handle cannot be looped over", "fan out with step.map(handle)"),
    "next": ("a handle cannot be looped over", "fan out with step.map(handle)"),
    "reversed": ("a handle cannot be looped over", "fan out with step.map(handle)"),
    "len": ("a handle has no length", "write handle.size()"),
    "contains": ("'in' cannot ask a handle", "write handle.exists(lambda x: x == value)"),
    "hash": ("a handle cannot be a key or in a set", "use its name"),
    "setattr": ("a handle cannot be changed", _IN_A_STEP),
    "delattr": ("a handle cannot be changed", _IN_A_STEP),
    "setitem": ("a handle cannot be changed", _IN_A_STEP),
    "delitem": ("a handle cannot be changed", _IN_A_STEP),
    "await": ("a handle cannot be awaited", "pass it on: what uses it waits by itself"),
    "enter": ("a handle cannot be entered", _IN_A_STEP),
    "exit": ("a handle cannot be entered", _IN_A_STEP),
    "reduce_ex": ("a handle cannot be copied or pickled", "pass it on to a step"),
}
_REFUSED |= dict.fromkeys(
    ("int", "float", "complex", "index", "trunc", "bytes", "fspath"),
    ("a handle is not a number yet", _IN_A_STEP),
)
_UNWRITTEN = ("floordiv", "pow", "matmul", "lshift", "rshift", "xor", "divmod")

for _name, _symbol in _BINARY.items():
    setattr(Handle, f"__{_name}__", _binary(_symbol))
    setattr(Handle, f"__r{_name}__", _binary(_symbol, swapped=True))
for _name, _symbol in _COMPARED.items():
    setattr(Handle, f"__{_name}__", _binary(_symbol))
for _name, _form in _FUNCTIONS.items():
    setattr(Handle, f"__{_name}__", _function(_form))
for _name, _form in (("neg", "-{}"), ("invert", "!{}"), ("pos", "{}")):
    setattr(Handle, f"__{_name}__", _function(_form, atomic=False))
for _name, (_problem, _hint) in _REFUSED.items():
    setattr(Handle, f"__{_name}__", _refusal(_problem, _hint))
for _name in _UNWRITTEN:
    for _dunder in (f"__{_name}__", f"__r{_name}__"):
        setattr(Handle, _dunder, _refusal(f"'{_name}' has no expression", _IN_A_STEP))
