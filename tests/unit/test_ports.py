"""A port that is none is refused wherever a URL is read: the resolver would take another."""

from __future__ import annotations

import pytest

from engine import ports
from engine.definition import parse_text
from engine.errors import InvalidDocument, OutboundRefused, SettingsError
from engine.io.http_client import HttpClient
from engine.settings import load

WRONG = ("73650", "65536", "0", "-1", "8o", "٣", "99999999999999999999")


@pytest.mark.parametrize("port", WRONG)
@pytest.mark.parametrize("place", ["h", "me:pass:word@h", "127.0.0.1", "[::1]"])
def test_what_is_no_port_is_told(port: str, place: str) -> None:
    for rest in ("", "/", "/path:99999", "?a=1", "#x"):
        assert ports.fault_of(f"http://{place}:{port}{rest}").startswith(f"port {port} is none")


@pytest.mark.parametrize(
    "url",
    [
        *("http://h", "http://h:", "http://h:1/", "https://h:65535?x", "https://[::1]/", "h:99999"),
        *("redis://:pass@h:6379/0", "unix:///run/redis.sock", "sqlite:////a:99999", "http://h/:0"),
        *("postgresql://me:99999@h/name", "postgresql+psycopg:///name", "http://h?next=a:99999"),
    ],
)
def test_a_good_port_and_none_at_all_are_no_fault(url: str) -> None:
    assert ports.fault_of(url) == ""


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("REDIS_URL", "redis://127.0.0.1:73650/0"),
        ("REDIS_URL", "rediss://:secret@host:port/0"),
        ("DATABASE_URL", "postgresql://me:secret@host:73650/name"),
        ("ENGINE_PORT", "73650"),
    ],
)
def test_settings_refuse_it_under_the_variables_name(
    name: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, url)
    with pytest.raises(SettingsError) as caught:
        load()
    [fault] = caught.value.faults
    assert fault.path == name
    assert "65535" in fault.problem
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("password", ["a:1/2", "a/b:99999", "a#:7", "[:99999"])
def test_a_password_is_not_taken_for_a_port(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://me:{password}@h:5432/name")
    assert password in load().database


@pytest.mark.parametrize("port", ["73650", "65536", "0"])
def test_an_http_step_connects_to_no_other_port(port: str) -> None:
    client = HttpClient(["127.0.0.0/8"])
    with pytest.raises(OutboundRefused, match=f"port {port} is none: give one from 1 to 65535"):
        client.request("GET", f"http://127.0.0.1:{port}/")
    client.close()


def test_a_document_with_it_is_refused_and_one_that_computes_it_is_not() -> None:
    def document(url: str) -> str:
        return f'name: w\nsteps: {{a: {{uses: http, with: {{url: "{url}"}}}}}}\n'

    with pytest.raises(InvalidDocument, match=r"steps\.a\.with\.url: port 73650 is none"):
        parse_text(document("http://h:73650/"))
    parse_text(document("http://h:${{ input.port }}/"))
