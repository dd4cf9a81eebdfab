"""``uses: http``: one request, guarded against reaching private networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine import outbound
from engine.codec import decode, encode
from engine.errors import PayloadError, StepError
from engine.outbound import Outbound, Response, without_secrets
from engine.steps.context import Context

DEFAULT_SECONDS = 60.0
_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
_SAFE = ("GET", "HEAD", "OPTIONS")
_KEYS = ("method", "url", "headers", "query", "json", "body")
# Of the 4xx these say "later", all others say "never like this".
# Source: https://www.rfc-editor.org/rfc/rfc9110 (15.5.9), rfc8470 (5.2), rfc6585 (4)
_LATER = (408, 425, 429)
_SHOWN = 300


class Http:
    """Sends ``with: {method, url, headers, query, json, body}``."""

    name = "http"

    def __init__(self, client: Callable[[], Outbound] = outbound.current) -> None:
        self._client = client

    def run(self, params: dict[str, Any], context: Context) -> dict[str, Any]:
        """Return ``{"status", "headers", "body"}``; a JSON body as its value, else as text.

        All but safe methods carry an Idempotency-Key, the same for each attempt.

        Raises:
            StepError: the parameters mean nothing, there was no answer, or its status is 400 or up.
        """
        method, url = _target(params)
        headers = _headers(params)
        content = _content(params, headers)
        if method not in _SAFE:
            _default(headers, "Idempotency-Key", context.idempotency_key)
        response = self._client().request(
            method,
            url,
            headers=headers,
            query=_query(params),
            content=content,
            seconds=context.timeout or DEFAULT_SECONDS,
        )
        if response.status >= 400:
            raise _failure(method, url, response)
        return {
            "status": response.status,
            "headers": response.headers,
            "body": _body(response),
        }


def _target(params: dict[str, Any]) -> tuple[str, str]:
    unknown = [name for name in params if name not in _KEYS]
    if unknown:
        raise _rejected(f"with.{unknown[0]} is not known", f"known are {', '.join(_KEYS)}")
    method = params.get("method", "GET")
    if not isinstance(method, str) or method.upper() not in _METHODS:
        raise _rejected(f"with.method: {method!r} is no method", f"one of {', '.join(_METHODS)}")
    url = params.get("url")
    if not isinstance(url, str) or not url:
        raise _rejected("with.url must be a text", "url: https://example.org/path")
    return method.upper(), url


def _headers(params: dict[str, Any]) -> dict[str, str]:
    given = params.get("headers") or {}
    if not isinstance(given, dict):
        raise _rejected("with.headers must be a mapping of names to texts")
    headers: dict[str, str] = {}
    for name, value in given.items():
        headers[str(name)] = _text(f"with.headers.{name}", value)
    return headers


def _query(params: dict[str, Any]) -> list[tuple[str, str]] | None:
    given = params.get("query")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise _rejected("with.query must be a mapping of names to texts or lists of them")
    pairs: list[tuple[str, str]] = []
    for name, value in given.items():
        values = value if isinstance(value, list) else [value]
        pairs += [
            (str(name), _text(f"with.query.{name}", one)) for one in values if one is not None
        ]
    return pairs


def _content(params: dict[str, Any], headers: dict[str, str]) -> bytes | None:
    if "json" in params and "body" in params:
        raise _rejected("with.json and with.body exclude each other")
    if "json" in params:
        _default(headers, "Content-Type", "application/json")
        return encode(params["json"]).encode()
    if params.get("body") is None:
        return None
    return _text("with.body", params["body"]).encode()


def _default(headers: dict[str, str], name: str, value: str) -> None:
    if name.lower() not in {given.lower() for given in headers}:
        headers[name] = value


def _text(path: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise _rejected(f"{path} must be a text or a number, not {type(value).__name__}")


def _body(response: Response) -> Any:
    if not response.body:
        return ""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return decode(response.body)
        except PayloadError:
            # It says JSON and is none, or none that both databases can hold: as text it is kept.
            return _as_text(response)
    return _as_text(response)


def _as_text(response: Response) -> str:
    try:
        text = response.body.decode(response.encoding, errors="replace")
    except LookupError:
        text = response.body.decode(errors="replace")
    return text.replace("\0", "\ufffd")


def _failure(method: str, url: str, response: Response) -> StepError:
    told = " ".join(_as_text(response).split())
    message = f"{method} {without_secrets(url)} answered {response.status} {response.phrase}"
    later = response.headers.get("retry-after")
    if later:
        message += f", Retry-After: {later[:64]}"
    if told:
        message += f": {told[:_SHOWN]}" + ("…" if len(told) > _SHOWN else "")
    return StepError(message, retryable=response.status >= 500 or response.status in _LATER)


def _rejected(message: str, hint: str = "") -> StepError:
    return StepError(f"http: {message}", reason="rejected_input", retryable=False, hint=hint)
