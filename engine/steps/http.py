"""``uses: http``: one request, guarded against reaching private networks."""

from __future__ import annotations

import codecs
import re
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from engine.codec import decode, encode
from engine.errors import PayloadError, StepError
from engine.io import http_client
from engine.io.http_client import HttpClient, Response, without_secrets
from engine.steps.context import Context

DEFAULT_SECONDS = 60.0
_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
_SAFE = ("GET", "HEAD", "OPTIONS")
_KEYS = ("method", "url", "headers", "query", "json", "body", "read_as")
# Of the 4xx these say "later", all others say "never like this".
# Source: https://www.rfc-editor.org/rfc/rfc9110 (15.5.9), rfc8470 (5.2), rfc6585 (4)
_LATER = (408, 425, 429)
_SHOWN = 300


class Http:
    """Sends ``with: {method, url, headers, query, json, body, read_as}``."""

    name = "http"

    def __init__(self, client: Callable[[], HttpClient] = http_client.current) -> None:
        self._client = client

    def run(self, params: dict[str, Any], context: Context) -> dict[str, Any]:
        """Return ``{"status", "headers", "body", "read_as"}``: the body as a value of JSON, as a
        text, or as base64 of its bytes, whichever its type or ``read_as`` says.

        All but safe methods carry an Idempotency-Key, the same for each attempt.

        Raises:
            StepError: the parameters mean nothing, there was no answer, its status is 400 or up, or
                its body is not what it is to be read as.
        """
        method, url = _target(params)
        wanted = _wanted(params)
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
        read_as, body = _read(f"{method} {without_secrets(url)}", response, wanted)
        return {
            "status": response.status,
            "headers": response.headers,
            "body": body,
            "read_as": read_as,
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


# --- the answer's body ---------------------------------------------------------------------------

_WAYS = ("json", "text", "base64")
# Types that are text though their name does not begin so.
_TEXTUAL = re.compile(
    r"text/.+|.+\+(xml|yaml)|application/(xml|yaml|x-yaml|javascript|ecmascript|x-www-form-urlencoded"
    r"|x-ndjson|ndjson|jsonl|json-seq|csv|sql|graphql|toml|rtf)"
)


def _wanted(params: dict[str, Any]) -> str | None:
    wanted = params.get("read_as")
    if wanted is not None and wanted not in _WAYS:
        raise _rejected(f"with.read_as: {wanted!r} is none of {', '.join(_WAYS)}")
    return wanted


def _read(place: str, response: Response, wanted: str | None) -> tuple[str, Any]:
    """Return how the body is read, and what it is then; never a text with bytes replaced."""
    if not response.body:
        return wanted or "text", ""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if wanted == "json" or (wanted is None and _is_json(kind)):
        return "json", _as_json(place, response)
    text = None
    if wanted == "text" or (wanted is None and (not kind or _TEXTUAL.fullmatch(kind))):
        text = _as_text(response)
    if text is not None:
        return "text", text
    if wanted == "text":
        raise _unreadable(place, f"is no {response.charset or 'utf-8'} text", "read_as: base64")
    return "base64", b64encode(response.body).decode()


def _is_json(kind: str) -> bool:
    return kind == "application/json" or kind.endswith("+json")


def _as_json(place: str, response: Response) -> Any:
    try:
        # A byte order mark is no part of the value. Source: RFC 8259 (8.1)
        return decode(response.body.removeprefix(codecs.BOM_UTF8))
    except PayloadError as error:
        raise _unreadable(place, f"cannot be kept as JSON: {error}", "read_as: text") from None


def _as_text(response: Response) -> str | None:
    """Return the body as text if it is one, every letter of it."""
    try:
        text = response.body.decode(_charset(response))
    except UnicodeError:
        return None
    return None if "\0" in text else text  # no database keeps it


def _charset(response: Response) -> str:
    try:
        return codecs.lookup(response.charset or "utf-8-sig").name
    except LookupError:
        return "utf-8-sig"


def _unreadable(place: str, problem: str, way: str) -> StepError:
    return StepError(
        f"{place}: the body of the answer {problem}",
        retryable=False,
        hint=f"`{way}` keeps it as it came",
    )


def _failure(method: str, url: str, response: Response) -> StepError:
    told = " ".join(response.body.decode(errors="replace").replace("\0", "\ufffd").split())
    message = f"{method} {without_secrets(url)} answered {response.status} {response.phrase}"
    later = response.headers.get("retry-after")
    if later:
        message += f", Retry-After: {later[:64]}"
    if told:
        message += f": {told[:_SHOWN]}" + ("…" if len(told) > _SHOWN else "")
    return StepError(message, retryable=response.status >= 500 or response.status in _LATER)


def _rejected(message: str, hint: str = "") -> StepError:
    return StepError(f"http: {message}", reason="rejected_input", retryable=False, hint=hint)
