"""What ``with`` may hold, by step type: faults that a run would only meet later."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from engine.definition import schema
from engine.definition.durations import seconds
from engine.definition.faults import Faults

HTTP_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
MAX_SLEEP = 366 * 86400
_WORD = re.compile(r"[A-Za-z_][\w.-]{0,62}", re.ASCII)
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")

Check = Callable[[dict[str, Any], str, Faults], None]


def known() -> tuple[str, ...]:
    """Return the names of the step types: the built-in ones and those installed beside."""
    return (*BUILT_IN, *_installed())


def check(uses: str, params: dict[str, Any], path: str, faults: Faults) -> None:
    """Keep a fault for everything in ``params`` that step type ``uses`` will not take."""
    if uses in BUILT_IN:
        BUILT_IN[uses](params, path, faults)


@cache
def _installed() -> tuple[str, ...]:
    return tuple(sorted({entry.name for entry in entry_points(group="engine.steps")}))


def _python(params: dict[str, Any], path: str, faults: Faults) -> None:
    function = params.get("function")
    if function is None:
        faults.add(f"{path}.function", "is required", "name it as module.function")
    elif not isinstance(function, str) or not _FUNCTION.fullmatch(function):
        faults.add(f"{path}.function", "must be module.function, without ${{ }}")
    for name in params:
        if not name.isidentifier():
            faults.add(path, f"{name!r} cannot be the name of a function's argument")


def _http(params: dict[str, Any], path: str, faults: Faults) -> None:
    faults.keys(params, ("method", "url", "headers", "query", "json", "body"), path)
    method = params.get("method", "GET")
    if not _computed(method) and str(method).upper() not in HTTP_METHODS:
        faults.add(
            f"{path}.method", f"{method!r} is no method", f"one of {', '.join(HTTP_METHODS)}"
        )
    url = params.get("url")
    if url is None:
        faults.add(f"{path}.url", "is required", "url: https://example.org/path")
    elif faults.typed(url, str, f"{path}.url") and not url.startswith(("http", "${{")):
        faults.add(f"{path}.url", "must start with http:// or https://")
    for name in ("headers", "query"):
        if name in params and not _computed(params[name]):
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
    if "for" in params and not _computed(params["for"]):
        duration = seconds(params["for"])
        if duration is None or duration > MAX_SLEEP:
            faults.add(
                f"{path}.for", "must be a duration of at most 366 days", "write 90s or 1h30m"
            )
    if "until" in params:
        faults.typed(params["until"], str, f"{path}.until", "write 2027-01-31T08:00:00Z")


def _signal(params: dict[str, Any], path: str, faults: Faults) -> None:
    faults.keys(params, ("name", "correlation", "schema", "deadline", "look_back"), path)
    _named(params, "name", path, faults)
    _schema(params, "schema", path, faults)
    _duration(params, "deadline", path, faults)
    _duration(params, "look_back", path, faults)


def _approval(params: dict[str, Any], path: str, faults: Faults) -> None:
    faults.keys(params, ("title", "description", "form", "approvers", "deadline"), path)
    if "title" not in params:
        faults.add(f"{path}.title", "is required", "what is it that a person shall approve?")
    _schema(params, "form", path, faults)
    _duration(params, "deadline", path, faults)
    approvers = params.get("approvers")
    if approvers is not None and not _computed(approvers):
        faults.typed(approvers, list, f"{path}.approvers", "write [ada, grace]")


def _workflow(params: dict[str, Any], path: str, faults: Faults) -> None:
    faults.keys(params, ("workflow", "input", "version", "wait", "parent_ends"), path)
    if not isinstance(params.get("workflow"), str):
        faults.add(f"{path}.workflow", "is required", "the name of a workflow")
    version = params.get("version")
    if version is not None and not _computed(version) and type(version) is not int:
        faults.add(f"{path}.version", "must be a number", "without one it is the newest")
    if "wait" in params:
        faults.typed(params["wait"], bool, f"{path}.wait")
    if params.get("parent_ends", "cancel") not in ("cancel", "leave"):
        hint = "what becomes of the child when this execution ends before it"
        faults.add(f"{path}.parent_ends", "must be cancel or leave", hint)


def _actor(params: dict[str, Any], path: str, faults: Faults) -> None:
    _named(params, "actor", path, faults)
    for name in params:
        if not name.isidentifier():
            faults.add(path, f"{name!r} cannot be the name of an actor's argument")


def _fail(params: dict[str, Any], path: str, faults: Faults) -> None:
    faults.keys(params, ("message",), path)
    if not isinstance(params.get("message"), str):
        faults.add(f"{path}.message", "is required", "the error that people will read")


def _named(params: dict[str, Any], key: str, path: str, faults: Faults) -> None:
    value = params.get(key)
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        faults.add(f"{path}.{key}", "must be a name", "letters, digits, -, _ and .")


def _schema(params: dict[str, Any], key: str, path: str, faults: Faults) -> None:
    if key in params and faults.typed(params[key], dict, f"{path}.{key}", "write a JSON Schema"):
        schema.check_schema(params[key], faults, f"{path}.{key}")


def _duration(params: dict[str, Any], key: str, path: str, faults: Faults) -> None:
    if key not in params or _computed(params[key]):
        return
    duration = seconds(params[key])
    if duration is None or duration > MAX_SLEEP:
        faults.add(f"{path}.{key}", "must be a duration of at most 366 days", "write 90s or 2d")


def _computed(value: Any) -> bool:
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
