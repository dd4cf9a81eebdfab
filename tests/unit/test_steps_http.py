"""The http step against a real server on loopback."""

from __future__ import annotations

import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import pytest

from engine.errors import OutboundRefused, StepError
from engine.io.http_client import HttpClient
from engine.steps import Context
from engine.steps.http import Http


class _Handler(BaseHTTPRequestHandler):
    """Answers with what ``server.answer`` says, and keeps what it was sent."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.seen.append(
            {
                "method": self.command,
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "body": body,
            }
        )
        status, headers, answer = self.server.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET  # noqa: N815  # the library's names

    def log_message(self, *_: Any) -> None:
        """Say nothing on the console."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[dict[str, Any]] = []
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture(scope="module")
def running() -> Iterator[_Server]:
    made = _Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join(5)


@pytest.fixture
def server(running: _Server) -> _Server:
    running.seen.clear()
    running.answer = (200, {}, b"")
    return running


@pytest.fixture(scope="module")
def client() -> Iterator[HttpClient]:
    made = HttpClient(["127.0.0.1/32"])
    yield made
    made.close()


@pytest.fixture
def http(client: HttpClient) -> Http:
    return Http(lambda: client)


CONTEXT = Context(
    execution_id="0000000000001", workflow="orders", step="fetch", idempotency_key="key-1"
)
JSON = {"Content-Type": "application/json; charset=utf-8"}


def test_a_json_answer_is_its_value(server: _Server, http: Http) -> None:
    server.answer = (201, JSON, b'{"a": [1, 2.5, null, "\xc3\xa9"]}')
    output = http.run({"url": f"{server.url}/x"}, CONTEXT)
    assert output["status"] == 201
    assert output["headers"]["content-type"] == "application/json; charset=utf-8"
    assert output["body"] == {"a": [1, 2.5, None, "é"]}


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("text/plain; charset=latin-1", b"\xe9", "é"),
        ("text/plain; charset=no-such", b"plain", "plain"),
        ("text/csv", "\ufeffa,é\n".encode(), "a,é\n"),
        ("text/csv; charset=utf-16", "a,é".encode("utf-16"), "a,é"),
        ("application/xml", b"<a/>", "<a/>"),
        ("image/svg+xml", b"<svg/>", "<svg/>"),
        ("", b"plain", "plain"),
        ("application/json", b"", ""),
        ("image/png", b"", ""),
    ],
)
def test_an_answer_of_text_is_its_text(
    server: _Server, http: Http, kind: str, body: bytes, expected: object
) -> None:
    server.answer = (200, {"Content-Type": kind} if kind else {}, body)
    output = http.run({"url": server.url}, CONTEXT)
    assert (output["read_as"], output["body"]) == ("text", expected)


BYTES = bytes(range(256)) * 64


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("image/png", BYTES),
        ("application/octet-stream", b"even what is text"),
        ("application/pdf", b"%PDF"),
        ("", BYTES),
        ("text/csv", "Größe;Preis\n".encode("latin-1")),
        ("text/plain; charset=ascii", "ü".encode()),
        ("text/plain; charset=no-such", b"\xff"),
        ("text/plain", b"a\0b"),
        ("application/x-unknown", b"{}"),
    ],
)
def test_no_byte_of_any_other_answer_is_changed(
    server: _Server, http: Http, kind: str, body: bytes
) -> None:
    server.answer = (200, {"Content-Type": kind} if kind else {}, body)
    output = http.run({"url": server.url}, CONTEXT)
    assert output["read_as"] == "base64"
    assert b64decode(output["body"]) == body


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"id": 9223372036854775807}', {"id": 2**63 - 1}),
        (b'{"x": 1.10}', {"x": 1.1}),
        (b'"text"', "text"),
    ],
)
def test_json_is_its_value_by_the_grammar(
    server: _Server, http: Http, body: bytes, expected: object
) -> None:
    server.answer = (200, {"Content-Type": "application/vnd.shop+json"}, body)
    output = http.run({"url": server.url}, CONTEXT)
    assert (output["read_as"], output["body"]) == ("json", expected)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"a": {"id": 9223372036854775808}}', "a.id is an integer beyond 64 bits"),
        (b'{"a": ["x\\u0000"]}', "a[0] holds a NUL character"),
        (b'{"n": NaN}', "line 1, column 7"),
        (b"{broken", "line 1"),
        (b"[" * 1000 + b"]" * 1000, "nested deeper than 64 levels"),
        ('{"a": "ü"}'.encode("latin-1"), "not UTF-8"),
    ],
)
def test_json_that_cannot_be_kept_fails_the_step_and_says_why_and_what_helps(
    server: _Server, http: Http, body: bytes, why: str
) -> None:
    server.answer = (200, JSON, body)
    with pytest.raises(StepError) as caught:
        http.run({"url": f"{server.url}/x?token=secret"}, CONTEXT)
    assert not caught.value.retryable
    message = str(caught.value)
    assert f"GET {server.url}/x: the body of the answer cannot be kept as JSON" in message
    assert why in message
    assert "`read_as: text` keeps it as it came" in message


def test_how_an_answer_is_read_can_be_said(server: _Server, http: Http) -> None:
    server.answer = (200, JSON, b'{"id": 9223372036854775808}')
    told = [
        http.run({"url": server.url, "read_as": way}, CONTEXT)["body"] for way in ("text", "base64")
    ]
    assert told == ['{"id": 9223372036854775808}', b64encode(server.answer[2]).decode()]
    server.answer = (200, {"Content-Type": "text/html"}, b'{"a": 1}')
    assert http.run({"url": server.url, "read_as": "json"}, CONTEXT)["body"] == {"a": 1}
    server.answer = (200, {"Content-Type": "text/plain"}, b"\xff")
    with pytest.raises(StepError, match="is no utf-8 text"):
        http.run({"url": server.url, "read_as": "text"}, CONTEXT)


def test_a_request_is_sent_as_it_is_written(server: _Server, http: Http) -> None:
    http.run(
        {
            "method": "post",
            "url": f"{server.url}/orders?a=1",
            "headers": {"X-Shop": 7, "Accept": "text/csv"},
            "query": {"tag": ["x", "y z"], "on": True, "none": None},
            "json": {"sum": 3},
        },
        CONTEXT,
    )
    (sent,) = server.seen
    path, _, query = sent["path"].partition("?")
    assert (sent["method"], path) == ("POST", "/orders")
    # A space as "+" or "%20": releases of httpx differ, servers do not care
    assert parse_qsl(query) == [("a", "1"), ("tag", "x"), ("tag", "y z"), ("on", "true")]
    assert json.loads(sent["body"]) == {"sum": 3}
    expected = {"x-shop": "7", "accept": "text/csv", "content-type": "application/json"}
    assert expected.items() <= sent["headers"].items()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_changes_things_carries_the_same_key_each_time(
    server: _Server, http: Http, method: str
) -> None:
    for _attempt in range(2):
        http.run({"method": method, "url": server.url, "body": "text"}, CONTEXT)
    assert [sent["headers"]["idempotency-key"] for sent in server.seen] == ["key-1", "key-1"]
    assert [sent["body"] for sent in server.seen] == [b"text", b"text"]


def test_a_key_of_ones_own_wins_and_reading_needs_none(server: _Server, http: Http) -> None:
    own = {"idempotency-key": "mine"}
    http.run({"method": "POST", "url": server.url, "headers": own}, CONTEXT)
    http.run({"method": "GET", "url": server.url}, CONTEXT)
    http.run({"method": "HEAD", "url": server.url}, CONTEXT)
    assert [sent["headers"].get("idempotency-key") for sent in server.seen] == ["mine", None, None]


@pytest.mark.parametrize(
    ("status", "again"),
    [
        *((status, False) for status in (400, 401, 404, 409, 410, 422)),
        *((status, True) for status in (408, 425, 429, 500, 502, 503)),
    ],
)
def test_a_bad_status_fails_the_attempt_and_says_whether_another_helps(
    server: _Server, http: Http, status: int, again: bool
) -> None:
    server.answer = (status, {"Retry-After": "17"}, b"<p>no\nway</p>" + b"x" * 1000)
    with pytest.raises(StepError) as caught:
        http.run({"url": f"{server.url}/x?token=secret"}, CONTEXT)
    assert caught.value.retryable is again
    message = str(caught.value)
    assert f"GET {server.url}/x answered {status} " in message
    assert "Retry-After: 17: <p>no way</p>xxx" in message
    assert len(message) < 500
    assert "secret" not in message


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({}, "with.url"),
        ({"url": 7}, "with.url"),
        ({"url": "http://x", "method": "BREW"}, "with.method"),
        ({"url": "http://x", "verb": "GET"}, "with.verb"),
        ({"url": "http://x", "headers": ["a"]}, "with.headers"),
        ({"url": "http://x", "headers": {"a": ["b"]}}, "with.headers.a"),
        ({"url": "http://x", "query": "a=1"}, "with.query"),
        ({"url": "http://x", "query": {"a": {"b": 1}}}, "with.query.a"),
        ({"url": "http://x", "json": 1, "body": "x"}, "with.json"),
        ({"url": "http://x", "body": {"a": 1}}, "with.body"),
        ({"url": "http://x", "read_as": "xml"}, "with.read_as"),
    ],
)
def test_parameters_that_mean_nothing_are_refused_with_their_path(
    http: Http, params: dict[str, Any], path: str
) -> None:
    with pytest.raises(StepError) as caught:
        http.run(params, CONTEXT)
    assert path in str(caught.value)
    assert (caught.value.reason, caught.value.retryable) == ("rejected_input", False)


def test_without_the_allow_list_loopback_is_refused(server: _Server) -> None:
    guarded = HttpClient()
    with pytest.raises(OutboundRefused, match="ENGINE_HTTP_ALLOW"):
        Http(lambda: guarded).run({"url": server.url}, CONTEXT)
    guarded.close()
    assert server.seen == []
