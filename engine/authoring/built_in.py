"""Steps that need no function: waiting for a time, a word or a person, failing, closing."""

from __future__ import annotations

from typing import Any, Unpack

from pydantic import PydanticUserError, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema

from engine.authoring import options as known
from engine.authoring.elsewhere import slug
from engine.authoring.handles import Handle, refuse
from engine.authoring.options import Duration, WaitOptions
from engine.authoring.trace import Trace, current


def sleep(
    duration: Duration | Handle | None = None,
    *,
    until: str | Handle | None = None,
    **options: Unpack[WaitOptions],
) -> Handle:
    """Return the handle of a step that waits without holding a worker.

    Args:
        duration: how long, as "90s", "1h30m" or seconds.
        until: a time with its zone instead, as 2027-01-31T08:00:00Z.
        **options: see `WaitOptions`; two waits in one workflow need two names.

    Raises:
        TracingError: outside a workflow, or with neither or both of duration and until.
    """
    trace = _trace("sleep() waits in a workflow only", "inside a step use time.sleep")
    if (duration is None) == (until is None):
        refuse("sleep() takes a duration or until=", 'write sleep("90s", after=[…])')
    return _place(trace, "sleep", "sleep", {"for": duration, "until": until}, dict(options))


def wait_for_signal(
    signal: str,
    *,
    correlation: Any = None,
    schema: Any = None,
    deadline: Duration | Handle | None = None,
    look_back: Duration | Handle | None = None,
    **options: Unpack[WaitOptions],
) -> Any:
    """Return the handle of the body that is sent with a signal; nothing is held while it waits.

    Args:
        signal: its name; also the step's, unless ``name=`` gives another.
        correlation: which one is meant when many wait for the name, as an order's id.
        schema: what the body has to fit: a JSON Schema, or a type such as a pydantic model.
        deadline: how long it waits; then the step fails.
        look_back: how long before the step began a signal may have come.
        **options: see `WaitOptions`.

    Raises:
        TracingError: outside a workflow, or for a schema that is none.
    """
    trace = _trace("wait_for_signal() waits in a workflow only", "")
    if not isinstance(signal, str):
        refuse("wait_for_signal() takes a name", 'write wait_for_signal("paid", correlation=id)')
    params = {
        "name": signal,
        "correlation": correlation,
        "schema": _schema("schema", schema),
        "deadline": deadline,
        "look_back": look_back,
    }
    return _place(trace, slug(signal), "signal", params, dict(options))


def approval(
    title: str | Handle,
    *,
    description: str | Handle | None = None,
    form: Any = None,
    approvers: list[str] | Handle | None = None,
    deadline: Duration | Handle | None = None,
    **options: Unpack[WaitOptions],
) -> Any:
    """Return the handle of a person's yes: ``approved``, ``by``, ``at``, ``comment``, ``values``.

    A no fails the step with reason ``rejected``.

    Args:
        title: what is to be approved, in a few words.
        description: all that the person has to know.
        form: what they fill in (``values``): a JSON Schema of an object, or a pydantic model.
        approvers: the user names of those who may decide; everybody who may act by default.
        deadline: how long it waits; then the step fails.
        **options: see `WaitOptions`; the step is called approval by default.

    Raises:
        TracingError: outside a workflow, or for a form that is none.
    """
    trace = _trace("approval() waits in a workflow only", "")
    params = {
        "title": title,
        "description": description,
        "form": _schema("form", form),
        "approvers": approvers,
        "deadline": deadline,
    }
    return _place(trace, "approval", "approval", params, dict(options))


def fail(message: str | Handle, **options: Unpack[WaitOptions]) -> Handle:
    """Return the handle of a step that fails with ``message``, and its execution with it.

    Args:
        message: for people; handles may stand in it.
        **options: see `WaitOptions`; ``when=`` says in which case it is to fail.

    Raises:
        TracingError: outside a workflow.
    """
    trace = _trace("fail() ends an execution in a workflow only", "inside a step raise an error")
    return _place(trace, "fail", "fail", {"message": message}, dict(options))


def at_end(*steps: Any) -> None:
    """Let ``steps`` run at the very end, however the execution ended, in their own order.

    Args:
        *steps: what they returned, as in ``at_end(cleanup(order))``.

    Raises:
        TracingError: outside a workflow, or for anything but what a step returned.
    """
    trace = _trace("at_end() means something in a workflow only", "")
    if not steps:
        refuse("at_end() takes what steps returned", "write at_end(cleanup(order))")
    trace.close(trace.names(list(steps), "at_end"))


def _trace(problem: str, hint: str) -> Trace:
    trace = current()
    if trace is None:
        refuse(problem, hint or "call it in the body of a @workflow function")
    return trace


def _place(
    trace: Trace, name: str, uses: str, params: dict[str, Any], options: dict[str, Any]
) -> Handle:
    known.check(options, known.WAIT, f"{uses} step")
    given = {key: value for key, value in params.items() if value is not None}
    return known.place(trace, name, {"uses": uses, "with": trace.write(given)}, options)


def _schema(keyword: str, kind: Any) -> dict[str, Any] | None:
    if kind is None or isinstance(kind, dict):
        return kind
    hint = f"write {keyword}=Model, or a JSON Schema as a dict"
    if isinstance(kind, Handle):
        refuse(f"{keyword}= has to be known before an execution", hint)
    try:
        schema = TypeAdapter(kind).json_schema()
    except (PydanticUserError, PydanticInvalidForJsonSchema, NameError) as error:
        refuse(f"{keyword}= is no type that JSON can carry: {str(error).splitlines()[0]}", hint)
    schema.pop("title", None)
    return schema
