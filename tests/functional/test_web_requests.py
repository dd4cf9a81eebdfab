"""Requests that nobody means well, sent to the running engine as bytes."""

from __future__ import annotations

import http.client
from typing import NamedTuple

import pytest

from tests.support.system import System


class Told(NamedTuple):
    """What a request was answered with."""

    status: int
    kind: str
    location: str


def ask(system: System, path: str, *, method: str = "GET", cookie: str = "") -> Told:
    """Send the path as it stands: no client of ours tidies it up."""
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=10)
    connection.putrequest(method, path)
    if cookie:
        connection.putheader("Cookie", cookie)
    connection.endheaders()
    answer = connection.getresponse()
    answer.read()
    connection.close()
    kind, location = answer.getheader("content-type"), answer.getheader("location")
    return Told(answer.status, kind or "", location or "")


@pytest.mark.parametrize(
    "path",
    [
        *("/x%00", "/%00", "/x%00.js", "/api/workflows/%00", "/api/executions?text=%00"),
        *("/api/%ff", "/%ff", "/api/workflows/%ed%a0%80", "/%ed%a0%80", "/" + "a" * 5000),
        *("/..%2f..%2fetc/passwd", "//evil.example/", "/executions/x%0d%0aSet-Cookie:a", "/[id]"),
        *("/_event", "/_event/?EIO=4&transport=polling", "/_upload", "/_upload/x", "/.web"),
    ],
)
def test_no_address_makes_the_server_fail(system: System, path: str) -> None:
    before = len(system.said)
    for method in ("GET", "HEAD", "POST"):
        assert 400 <= ask(system, path, method=method, cookie="engine_session=x").status < 500
    assert "Traceback" not in "\n".join(system.said[before:])


@pytest.mark.parametrize("path", ["/approvals", "/approvals/", "/monitoring", "/workflows/x", "/"])
def test_a_page_asked_for_while_signed_out_leads_to_sign_in_and_back(
    system: System, path: str
) -> None:
    asked = path.rstrip("/") or "/"
    told = ask(system, path)
    assert (told.status, told.location) == (303, "/login?next=" + asked.replace("/", "%2F"))


def test_a_redirect_names_no_scheme_that_a_proxy_for_tls_would_not_have(system: System) -> None:
    for path in ("/approvals", "/assets", "/api", "/api/docs/", "/login", "//monitoring"):
        told = ask(system, path, cookie="engine_session=x")
        assert told.location == "" or told.location.startswith("/")
        assert not told.location.startswith("//")
