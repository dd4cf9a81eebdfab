"""Every error as one form: problem details (RFC 9457), with a code that programs branch on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from engine import errors
from engine.codec import encode
from engine.errors import EngineError, Fault, RateLimited, Unauthenticated, Unavailable

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger(__name__)


# By the nearest class: what is not named here is a fault of the engine's own.
_STATUS: dict[type[EngineError], HTTPStatus] = {
    errors.InvalidError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.StaleClaim: HTTPStatus.CONFLICT,
    errors.UnreadableVersion: HTTPStatus.CONFLICT,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.NoEvidence: HTTPStatus.SERVICE_UNAVAILABLE,
}


def status_of(kind: type[EngineError]) -> HTTPStatus:
    """Return the HTTP status of an error of that class."""
    named = (_STATUS[one] for one in kind.__mro__ if one in _STATUS)
    return next(named, HTTPStatus.INTERNAL_SERVER_ERROR)


class Problem(BaseModel):
    """What is wrong, in words and as a code."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str = ""
    errors: list[dict[str, str]] = []


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    hint: str = "",
    faults: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error response."""
    body: dict[str, Any] = {
        "type": f"urn:execution-engine:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if hint:
        body["hint"] = hint
    if faults:
        body["errors"] = [
            {"path": fault.path, "problem": fault.problem, "hint": fault.hint} for fault in faults
        ]
    return Response(encode(body), status, headers, media_type=MEDIA_TYPE)


def nothing_at(path: str) -> Response:
    """Return the answer of an address at which there is nothing."""
    return problem(
        HTTPStatus.NOT_FOUND,
        "not_found",
        f"there is nothing at {path.replace(chr(0), '?')}",
        hint="GET /api/docs lists what there is",
    )


def install(app: FastAPI, routes: Sequence[APIRoute]) -> None:
    """Make every error of the app a problem; ``routes`` are all that it has."""

    async def wrong_method(request: Request, _error: Exception) -> Response:
        return _wrong_method(request, routes)

    app.add_exception_handler(EngineError, _engine_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(HTTPStatus.METHOD_NOT_ALLOWED, wrong_method)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(Exception, _unforeseen)


async def _engine_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, EngineError)
    headers = {}
    if isinstance(error, RateLimited | Unavailable):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="engine"'
    return problem(
        status_of(type(error)),
        error.code,
        error.message,
        hint=error.hint,
        faults=error.faults,
        headers=headers,
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    if status == HTTPStatus.NOT_FOUND:
        return nothing_at(request.url.path)
    code = status.phrase.lower().replace(" ", "_")
    return problem(status, code, str(error.detail), headers=error.headers)


def _wrong_method(request: Request, routes: Sequence[APIRoute]) -> Response:
    """Answer OPTIONS by the methods that are possible at an address, and any other with them."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    here = [route for route in routes if route.path_regex.match(path)]
    methods = {"OPTIONS"}.union(*(route.methods or () for route in here))
    headers = {"Allow": ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))}
    if request.method == "OPTIONS":
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
    said = f"{request.method} is not possible here"
    status = HTTPStatus.METHOD_NOT_ALLOWED
    return problem(status, "method_not_allowed", said, headers=headers)


async def _invalid_request(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    faults = [Fault(".".join(str(part) for part in one["loc"]), str(one["msg"])) for one in found]
    return problem(422, "invalid_request", "the request is not of this form", faults=faults)


async def _unforeseen(request: Request, error: Exception) -> Response:
    # By its pattern: the path itself may be a secret (a link that signs in), or forge a line.
    where = getattr(request.scope.get("route"), "path", "a path of no route")
    _log.error("%s %s failed", request.method, where, exc_info=error)
    return problem(500, "internal_error", "the engine failed: its log says why")
