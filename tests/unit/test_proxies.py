"""Who is behind a proxy, and that nobody says so of themselves."""

from __future__ import annotations

import re

import pytest

from engine_app.auth.proxies import Caller, caller, networks

TRUSTED = networks(["10.0.0.0/8", "192.168.1.7", "fd00::/8"])


def found(peer: str, **headers: str) -> tuple[str, str]:
    """Return address and scheme, of headers named in Python's way."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    who = caller(peer, "http", named, TRUSTED)
    return who.address, who.scheme


@pytest.mark.parametrize(
    "headers",
    [
        {"x_forwarded_for": "203.0.113.9"},
        {"x_forwarded_for": "203.0.113.9:4711"},
        {"x_forwarded_for": "198.51.100.1, 203.0.113.9"},  # the first is the client's own word
        {"x_forwarded_for": "10.1.1.1, 203.0.113.9, 10.2.2.2"},
        {"forwarded": "for=203.0.113.9"},
        {"forwarded": 'For="203.0.113.9:80"; by=10.0.0.1, for=10.2.2.2'},
        {"forwarded": 'for="a,b;c", for=203.0.113.9'},
        {"forwarded": "for=203.0.113.9", "x_forwarded_for": "203.0.113.9"},
    ],
)
def test_the_nearest_address_that_no_trusted_proxy_has_is_the_callers(
    headers: dict[str, str],
) -> None:
    assert found("10.0.0.1", **headers)[0] == "203.0.113.9"


@pytest.mark.parametrize(
    "headers",
    [
        {"x_forwarded_for": "203.0.113.9", "x_forwarded_proto": "https"},
        {"forwarded": "for=203.0.113.9;proto=https"},
    ],
)
@pytest.mark.parametrize("peer", ["203.0.113.77", "192.168.1.8", "", "a-socket", "::ffff:11.0.0.1"])
def test_nobody_else_is_believed(peer: str, headers: dict[str, str]) -> None:
    assert found(peer, **headers) == (peer, "http")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x_forwarded_for": ""},
        {"x_forwarded_for": "unknown"},
        {"x_forwarded_for": "203.0.113.9, nonsense"},
        {"forwarded": "for=_hidden"},
        {"forwarded": "for=unknown"},
        {"forwarded": "proto=https"},
        {"forwarded": ';;,,="\\'},
    ],
)
def test_where_a_proxy_does_not_tell_it_is_the_caller(headers: dict[str, str]) -> None:
    assert found("10.0.0.1", **headers)[0] == "10.0.0.1"


@pytest.mark.parametrize(
    "headers",
    [
        {"forwarded": "for=203.0.113.9", "x_forwarded_for": "198.51.100.1"},
        {"forwarded": "for=198.51.100.1", "x_forwarded_for": "203.0.113.9"},
    ],
)
def test_a_header_that_the_other_contradicts_makes_nobody_out_of_somebody(
    headers: dict[str, str],
) -> None:
    assert found("10.0.0.1", **headers)[0] == "10.0.0.1"


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        ({"x_forwarded_for": "203.0.113.9", "x_forwarded_proto": "https"}, "https"),
        ({"x_forwarded_for": "203.0.113.9, 10.1.1.1", "x_forwarded_proto": "https"}, "https"),
        ({"x_forwarded_for": "203.0.113.9, 10.1.1.1", "x_forwarded_proto": "https, http"}, "https"),
        ({"x_forwarded_for": "203.0.113.9", "x_forwarded_proto": "gopher"}, "http"),
        ({"x_forwarded_for": "203.0.113.9"}, "http"),
        ({"forwarded": "for=203.0.113.9;proto=HTTPS"}, "https"),
        ({"forwarded": "for=203.0.113.9;proto=https, for=10.1.1.1;proto=http"}, "https"),
    ],
)
def test_the_scheme_is_the_one_by_which_the_caller_came(
    headers: dict[str, str], scheme: str
) -> None:
    assert found("10.0.0.1", **headers) == ("203.0.113.9", scheme)


@pytest.mark.parametrize("peer", ["::ffff:10.0.0.1", "fd00::1", "192.168.1.7"])
def test_a_proxy_is_known_by_each_way_to_write_its_address(peer: str) -> None:
    assert found(peer, x_forwarded_for="2001:db8::1")[0] == "2001:db8::1"
    assert found(peer, forwarded='for="[2001:db8::1]:80"')[0] == "2001:db8::1"


def test_without_trusted_proxies_nothing_is_believed() -> None:
    headers = {"x-forwarded-for": "203.0.113.9"}
    assert caller("127.0.0.1", "http", headers, ()) == Caller("127.0.0.1", "http")


@pytest.mark.parametrize("name", ["localhost", "10.0.0.1/8", "10.0.0.0/33", ""])
def test_what_is_no_network_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=re.escape(name or "''")):
        networks([name])
