"""Nothing that users ask us to call reaches a private address."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from engine.errors import OutboundRefused, StepError
from engine.io.http_client import Gate, HttpClient, is_public, without_secrets


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))
        size = int(self.headers.get("content-length") or 0)
        self.rfile.read(size)
        answer = getattr(self, f"_{self.path.split('?')[0].strip('/').replace('-', '_')}", self._ok)
        answer()

    do_POST = do_GET  # noqa: N815  # the library's name

    def log_message(self, *_: Any) -> None:
        """Say nothing on the console."""

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _ok(self) -> None:
        self._answer(200, b"hello", Set_Cookie="who=me; Path=/")

    def _loop(self) -> None:
        self._answer(302, Location="/loop")

    def _once(self) -> None:
        self._answer(303, Location="/target?x=1")

    def _to_other_origin(self) -> None:
        self._answer(307, Location=f"http://localhost:{self.server.server_port}/target")

    def _to_private(self) -> None:
        self._answer(302, Location="http://10.0.0.1/admin")

    def _to_file(self) -> None:
        self._answer(302, Location="file:///etc/passwd")

    def _to_credentials(self) -> None:
        self._answer(302, Location=f"http://me:pw@127.0.0.1:{self.server.server_port}/target")

    def _big(self) -> None:
        self._answer(200, b"x" * 5000)

    def _slow(self) -> None:
        self.server.let_go.wait(10)
        self.close_connection = True

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        try:
            for _ in range(200):
                self.wfile.write(b"x")
                if self.server.let_go.wait(0.05):
                    break
        except OSError:
            pass  # the client has hung up, which is what the test wants
        self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.let_go = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server() -> Iterator[_Server]:
    made = _Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.let_go.set()
    made.shutdown()
    made.server_close()
    thread.join(5)


@pytest.fixture
def client() -> Iterator[HttpClient]:
    made = HttpClient(["127.0.0.0/8", "localhost"], max_body=4096)
    yield made
    made.close()


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254",
        "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8",
        "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.7",
        "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:8.8.8.8",
        "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1",
        "2001:0:4136:e378::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::",
        "2002:808:808::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1",
        "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_plainly_public_are_refused(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))
    assert not Gate().lets("example.org", ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text",
    ["1.1.1.1", "8.8.8.8", "93.184.215.14", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"],
)
def test_public_addresses_pass(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


def test_the_allow_list_opens_ranges_and_names_and_nothing_else() -> None:
    gate = Gate(["10.0.0.0/24", "fd00::/8", "Intranet.example."])
    private = ipaddress.ip_address("192.168.0.1")
    assert gate.lets("x", ipaddress.ip_address("10.0.0.9"))
    assert gate.lets("x", ipaddress.ip_address("fd12::1"))
    assert gate.lets("intranet.EXAMPLE", private)
    assert not gate.lets("x", ipaddress.ip_address("10.0.1.9"))
    assert not gate.lets("sub.intranet.example", private)


def test_a_name_with_one_private_address_is_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def two_faces(host: str, port: int, **_: Any) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("1.1.1.1", "127.0.0.1")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", two_faces)
    with pytest.raises(OutboundRefused, match=r"rebind\.example has the address 127\.0\.0\.1"):
        Gate().addresses("rebind.example", 80)


def test_a_name_is_resolved_once_and_the_checked_address_is_used(
    monkeypatch: pytest.MonkeyPatch, server: _Server
) -> None:
    asked = []

    def changing(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.66"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    client = HttpClient(["127.0.0.1/32"])
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: (changing if host == "rebind.example" else real)(
            host, *rest, **more
        ),
    )
    response = client.request("GET", f"http://rebind.example:{server.server_port}/")
    client.close()
    assert response.body == b"hello"
    assert asked == ["rebind.example"]
    assert server.seen[0][1]["Host"] == f"rebind.example:{server.server_port}"


def test_tls_asks_for_the_name_not_for_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    hello: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def take_hello() -> None:
            connection, _ = listener.accept()
            with connection:
                hello.append(connection.recv(4096))

        thread = threading.Thread(target=take_hello)
        thread.start()
        answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        real = socket.getaddrinfo
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *rest, **more: (
                answer if host == "shop.example" else real(host, *rest, **more)
            ),
        )
        client = HttpClient(["127.0.0.1"])
        with pytest.raises(StepError):
            client.request("GET", f"https://shop.example:{port}/")
        client.close()
        thread.join(5)
    assert b"shop.example" in hello[0]


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]"],
)
def test_without_the_allow_list_loopback_is_refused_however_it_is_written(
    server: _Server, host: str
) -> None:
    client = HttpClient()
    with pytest.raises(OutboundRefused, match="not a public one") as caught:
        client.request("GET", f"http://{host}:{server.server_port}/")
    client.close()
    assert (caught.value.reason, caught.value.retryable) == ("rejected_input", False)
    assert server.seen == []


def test_an_allowed_address_is_reached_and_cookies_are_forgotten(
    server: _Server, client: HttpClient
) -> None:
    first = client.request("GET", f"{server.url}/a?x=1", query={"y": "2"})
    client.request("GET", f"{server.url}/b")
    assert (first.status, first.body) == (200, b"hello")
    assert "set-cookie" in first.headers
    assert server.seen[0][0] == "/a?x=1&y=2"
    assert "Cookie" not in server.seen[1][1]


def test_redirects_are_followed_up_to_the_limit(server: _Server, client: HttpClient) -> None:
    assert client.request("POST", f"{server.url}/once", content=b"x").body == b"hello"
    assert server.seen[-1][0] == "/target?x=1"
    with pytest.raises(OutboundRefused, match="at most 5 are followed"):
        client.request("GET", f"{server.url}/loop")
    with pytest.raises(OutboundRefused, match="at most 0 are followed"):
        client.request("GET", f"{server.url}/once", redirects=0)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("to-private", r"10\.0\.0\.1, which is not a public one"),
        ("to-file", "file is not spoken"),
        ("to-credentials", "carries credentials"),
    ],
)
def test_each_redirect_passes_the_same_gate(
    server: _Server, client: HttpClient, path: str, why: str
) -> None:
    with pytest.raises(OutboundRefused, match=why):
        client.request("GET", f"{server.url}/{path}")
    assert len(server.seen) == 1


def test_a_redirect_to_another_origin_carries_no_credentials(
    server: _Server, client: HttpClient
) -> None:
    secrets = {"Authorization": "Bearer t", "X-Api-Key": "k", "Idempotency-Key": "i"}
    client.request("POST", f"{server.url}/to-other-origin", headers=secrets, content=b"x")
    assert secrets.items() <= server.seen[0][1].items()
    assert not secrets.keys() & {name.title() for name in server.seen[1][1]}
    assert server.seen[1][1]["Host"] == f"localhost:{server.server_port}"


@pytest.mark.parametrize(
    "url",
    ["ftp://example.org/", "file:///etc/passwd", "example.org", "", "http://", "//x", "http://[::1",
     "http://a\x00b/", "http://me:secret@example.org/", "unix:///tmp/x"],
)  # fmt: skip
def test_urls_that_are_not_plain_http_are_refused(client: HttpClient, url: str) -> None:
    with pytest.raises(OutboundRefused) as caught:
        client.request("GET", url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [{"Host": "x"}, {"transfer-encoding": "chunked"}, {"X": "a\r\nY: b"}, {"X": "ü"}, {"a b": "x"}],
)
def test_headers_that_would_unmake_the_request_are_refused(
    server: _Server, client: HttpClient, headers: dict[str, str]
) -> None:
    with pytest.raises(OutboundRefused):
        client.request("GET", f"{server.url}/", headers=headers)
    assert server.seen == []


def test_proxy_variables_are_ignored(
    server: _Server, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    fresh = HttpClient(["127.0.0.0/8"])
    assert fresh.request("GET", f"{server.url}/").status == 200
    fresh.close()


def test_a_body_over_the_limit_is_refused(server: _Server, client: HttpClient) -> None:
    with pytest.raises(StepError, match="more than 4096 bytes") as caught:
        client.request("GET", f"{server.url}/big")
    assert (caught.value.reason, caught.value.retryable) == ("too_large", False)


@pytest.mark.parametrize("path", ["slow", "drip"])
def test_an_answer_that_takes_too_long_is_a_timeout(
    server: _Server, client: HttpClient, path: str
) -> None:
    began = time.monotonic()
    with pytest.raises(StepError, match=r"no answer within 0\.3 s") as caught:
        client.request("GET", f"{server.url}/{path}?token=secret", seconds=0.3)
    assert time.monotonic() - began < 3
    assert (caught.value.reason, caught.value.retryable) == ("timeout", True)
    assert "secret" not in str(caught.value)


def test_a_second_exchange_on_a_kept_connection_has_its_own_deadline(
    server: _Server, client: HttpClient
) -> None:
    client.request("GET", f"{server.url}/a", seconds=0.4)
    time.sleep(0.5)
    assert client.request("GET", f"{server.url}/b", seconds=5).status == 200


def test_no_server_and_no_name_are_errors_worth_another_attempt(client: HttpClient) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/", "http://nowhere.invalid/"):
        with pytest.raises(StepError) as caught:
            client.request("GET", url)
        assert (caught.value.reason, caught.value.retryable) == ("error", True)


def test_messages_show_urls_without_their_secrets() -> None:
    assert without_secrets("https://me:pw@h.example:8/p?token=t#f") == "https://h.example:8/p"
    assert without_secrets("http://a\x00") == "an invalid URL"
