"""Every error as one form: problem details (RFC 9457), with a code that programs branch on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from engine.codec import encode
from engine.errors import EngineError, Fault, RateLimited, Unauthenticated
from engine.not_json import why

MEDIA_TYPE = "application/problem+json"
TOO_LARGE = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
_log = logging.getLogger(__name__)


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


def too_large() -> Response:
    """Return the refusal of a body over its limit."""
    return problem(TOO_LARGE, "too_large", "the body is over the limit of this address")


def install(app: FastAPI) -> None:
    """Make every error of the app a problem."""
    app.add_exception_handler(EngineError, _engine_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(Exception, _unforeseen)


async def _engine_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, EngineError)
    headers = {}
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="engine"'
    return problem(
        error.status,
        error.code,
        error.message,
        hint=error.hint,
        faults=error.faults,
        headers=headers,
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    if status == TOO_LARGE:
        return too_large()
    said = {
        HTTPStatus.NOT_FOUND: f"there is nothing at {request.url.path}",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method} is not possible here",
    }
    return problem(
        status,
        status.phrase.lower().replace(" ", "_"),
        said.get(status, str(error.detail)),
        hint="GET /api/docs lists what there is" if status == HTTPStatus.NOT_FOUND else "",
        headers=error.headers,
    )


async def _invalid_request(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if found and found[0]["type"] == "json_invalid":
        said = f"the body is not JSON: {why(str(error.body), str(found[0]['msg']))}"
        return problem(422, "invalid_request", said, faults=[Fault("body", said)])
    faults = [Fault(".".join(str(part) for part in one["loc"]), str(one["msg"])) for one in found]
    return problem(422, "invalid_request", "the request is not of this form", faults=faults)


async def _unforeseen(request: Request, error: Exception) -> Response:
    # By its pattern: the path itself may be a secret (a link that signs in), or forge a line.
    where = getattr(request.scope.get("route"), "path", "a path of no route")
    _log.error("%s %s failed", request.method, where, exc_info=error)
    return problem(500, "internal_error", "the engine failed: its log says why")
