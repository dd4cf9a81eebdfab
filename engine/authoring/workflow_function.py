"""``@workflow``: runs a function once, on handles, and keeps the definition that comes out."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, overload

from pydantic import ConfigDict, PydanticUserError, create_model
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import PydanticJsonSchemaWarning

from engine import registry
from engine.authoring.elsewhere import ChildStep
from engine.authoring.handles import Handle, TracingError, check_function, refuse
from engine.authoring.trace import current, tracing
from engine.definition import Definition, parse
from engine.errors import InvalidDocument

Function = Callable[..., Any]


@overload
def workflow(function: Function, /) -> Workflow: ...


@overload
def workflow(
    *,
    name: str | None = None,
    title: str | None = None,
    description: str | None = None,
    defaults: dict[str, Any] | None = None,
    timeout: str | float | None = None,
) -> Callable[[Function], Workflow]: ...


def workflow(
    function: Function | None = None,
    /,
    *,
    name: str | None = None,
    title: str | None = None,
    description: str | None = None,
    defaults: dict[str, Any] | None = None,
    timeout: str | float | None = None,
) -> Workflow | Callable[[Function], Workflow]:
    """Return the workflow that ``function`` describes, registered under its name.

    The body runs once, here, on handles; its arguments become the input's schema.

    Args:
        function: calls steps and returns the workflow's output.
        name: by default the function's, with dashes for underscores.
        title: for people; by default made of the name.
        description: by default the function's docstring.
        defaults: ``{"retry": {…}, "timeout": …}`` for all its steps.
        timeout: of an execution, as "2h" or seconds.

    Raises:
        TracingError: the body does what only real values allow, with file and line.
            What comes out is no valid workflow: the line of the first step with a fault, and
            every fault.
    """

    def decorate(found: Function) -> Workflow:
        check_function(found, "a workflow")
        if not hasattr(found, "__code__"):
            refuse("a workflow is a function written with def", "def my_workflow(url): …")
        head = {
            "name": name or found.__name__.strip("_").lower().replace("_", "-"),
            "title": title,
            "description": description or inspect.getdoc(found),
            "defaults": defaults,
            "timeout": timeout,
        }
        return Workflow(found, head)

    return decorate if function is None else decorate(function)


class Workflow:
    """A workflow written in Python. ``definition`` is the same as its document's would be."""

    def __init__(self, function: Function, head: dict[str, Any]) -> None:
        self.fn = function
        self.name: str = head["name"]
        self.definition: Definition = _define(function, head)
        self.signature = inspect.signature(function)
        functools.update_wrapper(self, function)
        registry.register_workflow(self.definition)

    @property
    def as_step(self) -> ChildStep:
        """The workflow as a step of another: called, mapped and given options as steps are.

        ``wait=False`` does not wait for its end, ``version=3`` chooses one, and
        ``parent_ends="leave"`` lets it go on when the execution that started it ends before it.
        """
        return ChildStep(self.name, self.signature)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return the handle of its output as a step, while another workflow is traced.

        Raises:
            TracingError: elsewhere: a workflow is started, not called.
        """
        return self.as_step(*arguments, **named)

    def run(self, input: Mapping[str, Any] | None = None, /, **named: Any) -> Any:
        """Run it in this process, skipping what it waits for, and return its output.

        For trying it out and for tests: no Redis, no workers, a database to throw away.

        Args:
            input: the input; or give its fields by keyword.
            named: fields of the input.

        Raises:
            RunFailed: it did not complete, or it waits for a signal or an approval.
            InvalidInput: the input does not fit.
            UnknownStep: it has a step whose function or actor is not there.
        """
        from engine.testing import Harness  # noqa: PLC0415  # stands above all that it runs

        with Harness() as harness:
            return harness.run(self, input, **named).result()

    def __repr__(self) -> str:
        return f"<workflow {self.name}>"


def _define(function: Function, head: dict[str, Any]) -> Definition:
    where = f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"
    schema = _input_schema(function, head["name"], where)
    if current() is not None:
        refuse("a workflow cannot be defined inside another", "move it to the module")
    with tracing(head["name"]) as trace:
        given = Handle("input", trace)
        inputs = {name: given[name] for name in schema["properties"]}
        result = function(**inputs)
        if inspect.iscoroutine(result):
            result.close()
            raise TracingError(f"{where}: a workflow function is not async", hint="drop async")
        trace.finish()
        output = trace.write(result)
    parts = {"input": schema, "steps": trace.steps, "finally": trace.closing or None}
    document = {**head, **parts, "output": output}
    try:
        return parse({key: value for key, value in document.items() if value is not None})
    except InvalidDocument as error:
        line = trace.line_of(error.faults) or where
        raise TracingError(f"{line}: {error.message}", faults=error.faults) from None


def _input_schema(function: Function, name: str, where: str) -> dict[str, Any]:
    """Return the JSON Schema of the arguments; ones that are not named are refused."""
    fields: dict[str, Any] = {}
    try:
        # Pydantic finds the names that annotations use where the function was written.
        signature = inspect.signature(function, eval_str=True)
    except NameError as error:
        raise TracingError(f"{where}: {error}", hint="import what annotations name") from None
    for parameter in signature.parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TracingError(f"{where}: '{parameter}' cannot be an input", hint="name each input")
        kind = Any if parameter.annotation is parameter.empty else parameter.annotation
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (kind, default)
    schema = _schema_of(name, fields, where)
    for field in fields:
        if field not in schema["properties"]:  # pydantic has another use for it
            raise TracingError(f"{where}: '{field}' cannot be an input", hint="rename it")
    return schema


def _schema_of(name: str, fields: dict[str, Any], where: str) -> dict[str, Any]:
    for field in fields:
        if field.startswith("_"):
            raise TracingError(f"{where}: '{field}' cannot be an input", hint="drop the _")
    hint = "annotate inputs with JSON types"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Field name .* shadows")
            warnings.simplefilter("error", PydanticJsonSchemaWarning)
            model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
            schema = model.model_json_schema()
    except (PydanticUserError, PydanticInvalidForJsonSchema, NameError) as error:
        raise TracingError(f"{where}: {str(error).splitlines()[0]}", hint=hint) from None
    except PydanticJsonSchemaWarning as error:
        hint = "give a default that JSON can carry"
        raise TracingError(f"{where}: {str(error).splitlines()[0]}", hint=hint) from None
    except ValueError as error:
        raise TracingError(f"{where}: {str(error).splitlines()[0]}", hint="rename it") from None
    schema.pop("title", None)
    return {"type": "object", "properties": {}} | schema
