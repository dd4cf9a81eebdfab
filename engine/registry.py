"""What this process knows: step functions and workflows, by name.

Filled by the decorators when modules are imported, read by workers and by `publish`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from engine.definition import Definition
from engine.errors import Cut, Fault, InvalidDocument, SettingsError, UnknownStep
from engine.expressions import did_you_mean

ACTOR = "actor:"
MODULES_GROUP = "engine.modules"


@dataclass(frozen=True, slots=True)
class Remote:
    """An actor of the user's own, which runs steps in a worker of the user's own.

    ``send`` takes its arguments by name, and the key and epoch of the step run that it works for.
    ``is_idle`` tells whether no message waits for it or is under way.
    """

    name: str
    send: Callable[[Mapping[str, Any], Sequence[Any]], None]
    is_idle: Callable[[], bool]


_remotes: dict[str, Remote] = {}
_functions: dict[str, Callable[..., Any]] = {}
_options: dict[str, frozenset[str]] = {}
_workflows: dict[str, Definition] = {}


def register_step(
    name: str, function: Callable[..., Any], *, options: frozenset[str] = frozenset()
) -> None:
    """Make ``function`` callable by documents as ``name``; the same name again replaces it.

    ``options`` are the keys of a step that its decorator says something about.
    """
    _functions[name] = function
    _options[name] = options


def options_of(name: str) -> frozenset[str]:
    """Return the keys of a step that the decorator of a function says something about."""
    return _options.get(name, frozenset())


def unused_options(definition: Definition) -> list[Fault]:
    """Return a note for each step whose function's decorator says what ``definition`` leaves out.

    The options of ``@step`` are written into workflows in Python; a document has what it says.
    """
    notes = []
    for step in definition.steps:
        unsaid = sorted(options_of(step.function) - step.keys) if step.function else []
        if unsaid:
            said = f"{', '.join(unsaid)} of @step do not apply to a document"
            notes.append(Fault(f"steps.{step.name}", said, "write them into this step"))
    return notes


def find_function(name: str) -> Callable[..., Any]:
    """Return the function registered as ``name``.

    Raises:
        UnknownStep: this process has none; another one may.
    """
    try:
        return _functions[name]
    except KeyError:
        hint = did_you_mean(name, _functions) if _functions else "name its module in ENGINE_MODULES"
        raise UnknownStep(f"function {name} is not installed on this worker", hint=hint) from None


def has_function(name: str) -> bool:
    """Return whether this process can call ``name``; actors are ``actor:NAME``."""
    return name in _functions or name.removeprefix(ACTOR) in _remotes


def register_actor(remote: Remote) -> None:
    """Make an actor callable by documents under its name; the same name again replaces it."""
    _remotes[remote.name] = remote


def find_actor(name: str) -> Remote:
    """Return the actor of that name.

    Raises:
        UnknownStep: this process has none; another one may.
    """
    try:
        return _remotes[name]
    except KeyError:
        hint = "make it a step with actor_step() in a module that ENGINE_MODULES names"
        raise UnknownStep(f"actor {name} is not known on this worker", hint=hint) from None


def actors() -> list[Remote]:
    """Return the actors that this process knows."""
    return list(_remotes.values())


def function_names() -> list[str]:
    """Return the names of all registered functions, and of actors as ``actor:NAME``, sorted."""
    return sorted([*_functions, *(f"{ACTOR}{name}" for name in _remotes)])


def register_workflow(definition: Definition) -> None:
    """Keep ``definition`` to be published under its name.

    Raises:
        InvalidDocument: another workflow of this process has the name.
    """
    known = _workflows.get(definition.name)
    if known is not None and known != definition:
        raise InvalidDocument(
            f"two different workflows are called '{definition.name}'",
            hint="rename one: @workflow(name='…')",
        )
    _workflows[definition.name] = definition


def workflows() -> list[Definition]:
    """Return the workflows written in Python that were imported so far, by name."""
    return [_workflows[name] for name in sorted(_workflows)]


def load_modules(names: Iterable[str]) -> None:
    """Import the modules ``names`` and those that entry points name, so that they register.

    Raises:
        SettingsError: one cannot be imported, with the reason.
    """
    # As `dramatiq` and `periodiq` do: modules in the folder that one stands in are found.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    named = dict.fromkeys(names, "ENGINE_MODULES")
    for entry in entry_points(group=MODULES_GROUP):
        named.setdefault(entry.value, f"entry point {entry.name} of group {MODULES_GROUP}")
    for name, by in named.items():
        try:
            importlib.import_module(name)
        except (KeyboardInterrupt, Cut):
            raise  # somebody ends this process, not the module
        except BaseException as error:
            raise SettingsError(
                f"module {name} ({by}) cannot be imported: {why(error)}", hint=_hint(error)
            ) from error


def why(error: BaseException) -> str:
    """Return why code of others could not be loaded, for a person; whatever it raised."""
    if isinstance(error, SystemExit):
        return f"it ends the process that imports it, by sys.exit({_text(error)})"
    return f"{type(error).__name__}: {_text(error)}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(its message cannot be read)"


def _hint(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "put what only a script does under `if __name__ == '__main__':`"
    if isinstance(error, ModuleNotFoundError):
        return "is it on the path of this process?"
    return ""
