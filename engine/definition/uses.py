"""What ``with`` may hold, by step type: faults that a run would only meet later."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from engine import ports
from engine.definition import schema
from engine.definition.durations import moment, seconds
from engine.definition.faults import Faults

READ_AS = ("json", "text", "base64")
HTTP_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
MAX_SLEEP = 366 * 86400
MAX_APPROVERS = 100
TYPE = "type:"  # before the name of a step type that is installed beside the built-in ones
_WORD = re.compile(r"[A-Za-z_][\w.-]{0,62}", re.ASCII)

Check = Callable[[dict[str, Any], str, Faults], None]


def known() -> tuple[str, ...]:
    """Return the names of the step types: the built-in ones and those installed beside."""
    return (*BUILT_IN, *_installed())


def check(uses: str, params: dict[str, Any], path: str, faults: Faults) -> None:
    """Keep a fault for everything in ``params`` that step type ``uses`` will not take."""
    if uses in BUILT_IN:
        BUILT_IN[uses](params, path, faults)


def code(uses: str, params: dict[str, Any]) -> str | None:
    """Return the code that only some workers may have.

    It is a function, an actor as ``actor:NAME``, or an installed step type as ``type:NAME``.
    """
    if uses == "python":
        return params.get("function")
    if uses == "actor":
        return f"actor:{params.get('actor')}"
    return None if uses in BUILT_IN else f"{TYPE}{uses}"


def is_name(value: object) -> bool:
    """Return whether ``value`` may name a signal or an actor."""
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


@cache
def _installed() -> tuple[str, ...]:
    return tuple(sorted({entry.name for entry in entry_points(group="engine.steps")}))


def _python(params: dict[str, Any], path: str, faults: Faults) -> None:
    function = params.get("function")
    if function is None:
        faults.add(f"{path}.function", "is required", "name it as module.function")
    elif not isinstance(function, str) or not _is_function(function):
        faults.add(f"{path}.function", "must be module.function, without ${{ }}")
    for name in params:
        if not name.isidentifier():
            faults.add(path, f"{name!r} cannot be the name of a function's argument")


def _is_function(name: str) -> bool:
    parts = name.split(".")
    return len(parts) > 1 and all(map(str.isidentifier, parts))


def _http(params: dict[str, Any], path: str, faults: Faults) -> None:
    faults.keys(params, ("method", "url", "headers", "query", "json", "body", "read_as"), path)
    read_as = params.get("read_as", "text")
    if not computed(read_as) and read_as not in READ_AS:
        faults.add(f"{path}.read_as", f"{read_as!r} is no way", f"one of {', '.join(READ_AS)}")
    method = params.get("method", "GET")
    if not computed(method) and str(method).upper() not in HTTP_METHODS:
        faults.add(
            f"{path}.method", f"{method!r} is no method", f"one of {', '.join(HTTP_METHODS)}"
        )
    url = params.get("url")
    if url is None:
        faults.add(f"{path}.url", "is required", "url: https://example.org/path")
    elif faults.typed(url, str, f"{path}.url"):
        if not url.startswith(("http", "${{")):
            faults.add(f"{path}.url", "must start with http:// or https://")
        elif "${{" not in url and (fault := ports.fault_of(url)):
            faults.add(f"{path}.url", fault)
    for name in ("headers", "query"):
        if name in params and not computed(params[name]):
            faults.typed(params[name], dict, f"{path}.{name}")
    if "json" in params and "body" in params:
        faults.add(path, "has both json and body", "json is sent as JSON, body as it is")


def _transform(params: dict[str, Any], path: str, faults: Faults) -> None:
    faults.keys(params, ("value",), path)
    if "value" not in params:
        faults.add(f"{path}.value", "is required", "it becomes the step's output")


def _sleep(params: dict[str, Any], path: str, faults: Faults) -> None:
    faults.keys(params, ("for", "until"), path)
    if ("for" in params) == ("until" in params):
        faults.add(path, "needs exactly one of for and until", "for: 90s")
    if "for" in params and not computed(params["for"]):
        duration = seconds(params["for"])
        if duration is None or duration > MAX_SLEEP:
            faults.add(
                f"{path}.for", "must be a duration of at most 366 days", "write 90s or 1h30m"
            )
    if "for" not in params and "until" in params and not computed(params["until"]):
        try:
            moment(params["until"])
        except ValueError as error:
            faults.add(f"{path}.until", str(error), "write 2027-01-31T08:00:00Z or …+01:00")


def _signal(params: dict[str, Any], path: str, faults: Faults) -> None:
    faults.keys(params, ("name", "correlation", "schema", "deadline", "look_back"), path)
    _named(params, "name", path, faults, "as whoever sends it calls it")
    correlation = params.get("correlation", "")
    if type(correlation) not in (str, int):
        hint = "write ${{ input.order }}, what the sender knows too"
        faults.add(f"{path}.correlation", "must be a text or a whole number", hint)
    _schema(params, "schema", path, faults)
    _duration(params, "deadline", path, faults, least="longer than nothing")
    _duration(params, "look_back", path, faults)


def _approval(params: dict[str, Any], path: str, faults: Faults) -> None:
    faults.keys(params, ("title", "description", "form", "approvers", "deadline"), path)
    _told(params, "title", path, faults, "what is it that a person shall approve?")
    if "description" in params:
        faults.typed(params["description"], str, f"{path}.description")
    if _schema(params, "form", path, faults) and params["form"].get("type", "object") != "object":
        faults.add(f"{path}.form.type", "must be object", "a form is a mapping of fields")
    _duration(params, "deadline", path, faults, least="longer than nothing")
    if "approvers" in params and not computed(params["approvers"]):
        _approvers(params["approvers"], f"{path}.approvers", faults)


def _approvers(value: Any, path: str, faults: Faults) -> None:
    if not faults.typed(value, list, path, "write [ada, grace]"):
        return
    if not value:
        faults.add(path, "names nobody", "leave it out, and everybody who may act can decide")
    if len(value) > MAX_APPROVERS:
        faults.add(path, f"names more than {MAX_APPROVERS} people")
    for index, name in enumerate(value):
        faults.typed(name, str, f"{path}[{index}]", "the name of a user")


def _workflow(params: dict[str, Any], path: str, faults: Faults) -> None:
    faults.keys(params, ("workflow", "input", "version", "wait", "parent_ends"), path)
    _told(params, "workflow", path, faults, "the name of a workflow")
    if "input" in params and not computed(params["input"]):
        faults.typed(params["input"], dict, f"{path}.input", "write {url: …}")
    version = params.get("version", 1)
    if not computed(version) and not (type(version) is int and version > 0):
        hint = "without one it is the newest"
        faults.add(f"{path}.version", "must be a whole number from 1", hint)
    if "wait" in params:
        faults.typed(params["wait"], bool, f"{path}.wait", "false goes on at once")
    if params.get("parent_ends", "cancel") not in ("cancel", "leave"):
        hint = "what becomes of the child when this execution ends before it"
        faults.add(f"{path}.parent_ends", "must be cancel or leave", hint)


def _actor(params: dict[str, Any], path: str, faults: Faults) -> None:
    _named(params, "actor", path, faults, "as its worker calls it")
    for name in params:
        if not name.isidentifier():
            hint = "letters, digits and _"
            faults.add(path, f"{name!r} cannot be the name of an actor's argument", hint)


def _fail(params: dict[str, Any], path: str, faults: Faults) -> None:
    faults.keys(params, ("message",), path)
    _told(params, "message", path, faults, "the error that people will read")


def _told(params: dict[str, Any], key: str, path: str, faults: Faults, hint: str) -> None:
    """Keep a fault unless ``key`` holds a text."""
    if params.get(key) in (None, ""):
        faults.add(f"{path}.{key}", "is required", hint)
    else:
        faults.typed(params[key], str, f"{path}.{key}", hint)


def _named(params: dict[str, Any], key: str, path: str, faults: Faults, hint: str) -> None:
    """Keep a fault unless ``key`` holds a name that is known before any execution."""
    value = params.get(key)
    if value is None:
        faults.add(f"{path}.{key}", "is required", hint)
    elif not is_name(value):
        problem = "must be a name of letters, digits, -, _ and ., at most 63, without ${{ }}"
        faults.add(f"{path}.{key}", problem, hint)


def _schema(params: dict[str, Any], key: str, path: str, faults: Faults) -> bool:
    """Return whether there is a JSON Schema without a fault."""
    if key not in params or not faults.typed(
        params[key], dict, f"{path}.{key}", "write a JSON Schema"
    ):
        return False
    before = len(faults.found)
    schema.check_schema(params[key], faults, f"{path}.{key}")
    return len(faults.found) == before


def _duration(
    params: dict[str, Any], key: str, path: str, faults: Faults, *, least: str = ""
) -> None:
    """Keep a fault unless ``key`` is left out, computed, or a duration; nothing if ``least``."""
    if key not in params or computed(params[key]):
        return
    duration = seconds(params[key])
    if duration is None or duration > MAX_SLEEP or (least and not duration):
        wanted = f"must be a duration of at most 366 days{f' and {least}' if least else ''}"
        faults.add(f"{path}.{key}", wanted, "write 90s or 2d")


def computed(value: Any) -> bool:
    """Return whether ``value`` is a text with an expression in it."""
    return isinstance(value, str) and "${{" in value


BUILT_IN: dict[str, Check] = {
    "python": _python,
    "http": _http,
    "transform": _transform,
    "sleep": _sleep,
    "signal": _signal,
    "approval": _approval,
    "workflow": _workflow,
    "actor": _actor,
    "fail": _fail,
}
