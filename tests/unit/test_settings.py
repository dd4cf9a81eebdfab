"""Settings are read once, checked whole, and every fault is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import make_url

from engine.errors import SettingsError
from engine.settings import Settings, load

NAMES = ("DATABASE_URL", "REDIS_URL", "ENGINE_HOME", "ENGINE_PORT", "ENGINE_MODULES")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_without_any_variable_the_engine_is_embedded_and_local(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load()
    assert settings.database == f"sqlite:///{tmp_path / '.engine' / 'engine.db'}"
    assert (settings.redis_url, settings.host, settings.port) == ("", "127.0.0.1", 8000)


def test_the_two_urls_have_the_names_that_platforms_give_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me@host/name")
    monkeypatch.setenv("REDIS_URL", "redis://host:6379/3")
    settings = load()
    assert settings.database == "postgresql+psycopg://me@host/name"
    assert settings.redis == "redis://host:6379/3"


def test_all_faults_are_named_at_once_by_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_PORT", "many")
    monkeypatch.setenv("REDIS_URL", "http://host")
    monkeypatch.setenv("DATABASE_URL", "mysql://host")
    with pytest.raises(SettingsError) as caught:
        load()
    assert {fault.path for fault in caught.value.faults} == {
        "ENGINE_PORT",
        "REDIS_URL",
        "DATABASE_URL",
    }


def test_a_fault_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://me:canary-secret@host")
    with pytest.raises(SettingsError) as caught:
        load()
    assert "canary-secret" not in str(caught.value)


def test_a_lease_must_outlive_two_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_LEASE_SECONDS", "5")
    monkeypatch.setenv("ENGINE_HEARTBEAT_SECONDS", "3")
    with pytest.raises(SettingsError, match="at least twice ENGINE_HEARTBEAT_SECONDS"):
        load()


@pytest.mark.parametrize(
    ("text", "names"),
    [("", ()), ("a", ("a",)), (" a , b.c,", ("a", "b.c"))],
)
def test_lists_are_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch, text: str, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ENGINE_MODULES", text)
    assert load().modules == names


@pytest.mark.parametrize(
    "origin", ["*", "engine.example", "https://*.example", "ftp://a", "http://a:99999", "//a/b"]
)
def test_what_is_no_address_of_pages_is_refused(
    monkeypatch: pytest.MonkeyPatch, origin: str
) -> None:
    monkeypatch.setenv("ENGINE_ALLOWED_ORIGINS", f"https://engine.example, {origin}")
    with pytest.raises(SettingsError, match="is no address: give https://HOST") as caught:
        load()
    assert origin in str(caught.value)


@pytest.mark.parametrize("proxy", ["*", "proxy.example", "10.0.0.1/8", "10.0.0.0/40"])
def test_what_is_no_network_of_proxies_is_refused(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("ENGINE_TRUSTED_PROXIES", f"10.0.0.0/8, ::1, {proxy}")
    with pytest.raises(SettingsError, match="give addresses or networks") as caught:
        load()
    assert [fault.path for fault in caught.value.faults] == ["ENGINE_TRUSTED_PROXIES"]
    assert proxy in str(caught.value)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load().port = 1  # type: ignore[misc]  # that it is refused is the point


def test_without_a_url_redis_is_where_the_embedded_one_wrote_it_down(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(SettingsError, match="start it with `engine up`, or set REDIS_URL"):
        _ = settings.redis
    settings.redis_file.write_text("unix:///somewhere\n")
    assert settings.redis == "unix:///somewhere"


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("10.0.0.7", "10.0.0.7")])
def test_the_origin_is_an_address_a_browser_can_open(
    monkeypatch: pytest.MonkeyPatch, host: str, shown: str
) -> None:
    monkeypatch.setenv("ENGINE_HOST", host)
    monkeypatch.setenv("ENGINE_PORT", "8123")
    assert load().origin == f"http://{shown}:8123"


@pytest.mark.parametrize("scheme", ["postgres://", "postgresql://", "postgresql+psycopg://"])
def test_a_postgresql_url_may_begin_in_each_of_its_ways(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{scheme}me:a%40b%25@host/name?sslmode=require")
    found = make_url(load().database)
    assert (found.drivername, found.password) == ("postgresql+psycopg", "a@b%")
    assert found.query == {"sslmode": "require"}
