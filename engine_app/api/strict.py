"""What holds for every route, whatever it is for: who may call it, and what it takes.

What a route does not know is refused, never passed over: a misspelt filter would list everything.
What one of the databases cannot hold is refused here too, before it could fail there.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping
from email.message import Message
from typing import Any, get_args, get_origin

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.params import Form
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.types import Message as Received
from starlette.types import Receive

from engine.codec import MAX_INTEGER, decode_strict
from engine.errors import (
    Fault,
    InvalidQuery,
    InvalidRequest,
    PayloadError,
    TooLarge,
    UnsupportedMediaType,
)
from engine_app.api.guard import guard, is_open

EMPTY = 1_000  # bytes that a request may have which takes no body: an empty object, as some send
LARGEST = MAX_INTEGER  # of a number in an address: a database has none that is larger
_NUL = "\0"
# Read at once; more is read on a thread, so that it holds nobody up.
_SHORT = 50_000

_Handle = Callable[[Request], Coroutine[Any, Any, Response]]


class Body(BaseModel):
    """What a route takes as JSON: each field by its own type, and no others."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Strict(APIRoute):
    """A route that lets in who may call it, and takes nothing that it does not know.

    Attributes:
        most: how many bytes a request may have.
    """

    most = EMPTY

    def get_route_handler(self) -> _Handle:
        """Return what serves a request, or refuses it."""
        handle = super().get_route_handler()
        fields = {field.alias: field for field in _query_fields(self.dependant)}
        several = {name for name, field in fields.items() if _is_list(field.field_info.annotation)}

        async def strictly(request: Request) -> Response:
            if not is_open(self.endpoint):
                await run_in_threadpool(guard, request)
            _check_headers(request.headers)
            _check_query(request, set(fields), several)
            limited = Request(request.scope, _limited(request, self.most))
            return await handle(await self._read(limited))

        return strictly

    async def _read(self, request: Request) -> Request:
        """Return the request with its body read, if it is one that this route takes."""
        if self.openapi_extra:
            return request  # a document: read by its own rules
        if self.body_field is None:
            await _refuse_body(request)
            return request
        if isinstance(self.body_field.field_info, Form):
            await _check_form(request)
            return request
        return await _with_json(request)


def up_to(most: int) -> type[Strict]:
    """Return the kind of route whose requests may have ``most`` bytes."""
    return type("Strict", (Strict,), {"most": most})


def _limited(request: Request, most: int) -> Receive:
    """Return what receives the request's body, for as long as it keeps to the limit.

    Raises:
        TooLarge: it says itself that it will not.
    """
    refusal = TooLarge(f"the body is over {most:,} bytes, the limit of this address")
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > most:
        raise refusal
    received = 0

    async def receive() -> Received:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > most:
            raise refusal
        return message

    return receive


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if _NUL in value:
            fault = Fault(f"header.{name}", "holds a NUL character", "remove it")
            raise InvalidRequest("a header cannot be taken", faults=[fault])


def _check_query(request: Request, known: set[str], several: set[str]) -> None:
    given = request.query_params.multi_items()
    takes = f"it takes {', '.join(sorted(known))}" if known else "this address takes none"
    faults = []
    for name in dict.fromkeys(name for name, _ in given):
        values = [value for key, value in given if key == name]
        if name not in known:
            faults.append(_query_fault(name, "is no parameter of this address", takes))
        elif any(_NUL in value for value in values):
            faults.append(_query_fault(name, "holds a NUL character", "remove it"))
        elif len(values) > 1 and name not in several:
            faults.append(_query_fault(name, "stands twice, and takes one value", "give it once"))
    if faults:
        raise InvalidQuery("the address asks for what there is not", faults=faults)


def _query_fault(name: str, problem: str, hint: str) -> Fault:
    return Fault(f"query.{name.replace(_NUL, '?')[:64]}", problem, hint)


async def _refuse_body(request: Request) -> None:
    sent = (await request.body()).strip()
    try:
        empty = not sent or decode_strict(sent) in ({}, None)
    except PayloadError:
        empty = False
    if not empty:
        raise InvalidRequest("this address takes no body", hint="send none, or {}")


async def _check_form(request: Request) -> None:
    given = (await request.form()).multi_items()
    names = [name for name, _ in given]
    for name, value in given:
        if names.count(name) > 1:
            fault = Fault(f"body.{name[:64]}", "stands twice", "give it once")
        elif isinstance(value, str) and _NUL in name + value:
            fault = Fault("body", "a field holds a NUL character", "remove it")
        else:
            continue
        raise InvalidRequest("the form cannot be taken", faults=[fault])


async def _with_json(request: Request) -> Request:
    """Return the request with its JSON read by the one codec.

    Raises:
        UnsupportedMediaType: it is not called JSON.
        InvalidRequest: it is none, or holds what cannot be kept.
    """
    body = await request.body()
    if not body:
        return request
    if not _is_json(request.headers.get("content-type", "")):
        raise UnsupportedMediaType(
            "the body is not called JSON", hint="send Content-Type: application/json"
        )
    try:
        if len(body) > _SHORT:
            value = await run_in_threadpool(decode_strict, body)
        else:
            value = decode_strict(body)
    except PayloadError as error:
        raise _refusal(error) from None
    return _Read(request, value)


def _refusal(error: PayloadError) -> InvalidRequest:
    if not error.path:
        said = error.message.replace("the text", "the body", 1).replace("the value", "the body", 1)
        return InvalidRequest(said, hint=error.hint, faults=[Fault("body", said, error.hint)])
    where = f"body{error.path}" if error.path.startswith("[") else f"body.{error.path}"
    said = f"the body cannot be taken: {error.message}"
    return InvalidRequest(said, faults=[Fault(where, error.problem, error.hint)])


class _Read(Request):
    """A request whose JSON was read."""

    def __init__(self, request: Request, value: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._body = request._body  # read once: the connection has it no more
        self._value = value

    async def json(self) -> Any:
        """Return what the body stands for."""
        return self._value


def _is_json(content_type: str) -> bool:
    told = Message()
    told["content-type"] = content_type
    kind, subtype = told.get_content_maintype(), told.get_content_subtype()
    return kind == "application" and (subtype == "json" or subtype.endswith("+json"))


def _query_fields(dependant: Dependant) -> Iterator[Any]:
    yield from dependant.query_params
    for part in dependant.dependencies:
        yield from _query_fields(part)


def _is_list(annotation: Any) -> bool:
    return any(get_origin(part) is list for part in (annotation, *get_args(annotation)))
