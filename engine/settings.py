"""All settings, read once, checked whole. The only reader of the environment."""

from __future__ import annotations

import re
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from engine import ports
from engine.errors import Fault, SettingsError

Names = Annotated[tuple[str, ...], NoDecode]


def _examples() -> Names:
    """Return the module of the examples where a checkout is tried out: in its own folder.

    Elsewhere one is in a project of one's own, which may well have a folder of that name.
    """
    checkout = Path(__file__).resolve().parents[1]
    is_here = checkout == Path.cwd().resolve() and (checkout / "pyproject.toml").is_file()
    return ("examples",) if is_here else ()


class Settings(BaseSettings):
    """One frozen object. Each field is read from ``ENGINE_<NAME>``, but for the two URLs."""

    model_config = SettingsConfigDict(env_prefix="ENGINE_", frozen=True, extra="ignore")

    database_url: str = Field("", validation_alias="DATABASE_URL")
    redis_url: str = Field("", validation_alias="REDIS_URL")
    home: Path = Path(".engine")

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    allowed_origins: Names = ()
    trusted_proxies: Names = ()
    session_hours: int = Field(24 * 14, ge=1)

    modules: Names = Field(default_factory=_examples)
    worker_processes: int = Field(2, ge=1, le=64)
    worker_threads: int = Field(8, ge=1, le=256)
    long_threads: int = Field(8, ge=1, le=256)
    drain_seconds: float = Field(10, ge=0)
    continuation_ms: int = Field(200, ge=0)

    heartbeat_seconds: float = Field(3, gt=0)
    lease_seconds: float = Field(10, gt=0)
    sweep_seconds: float = Field(1, gt=0)
    cancel_grace_seconds: float = Field(10, ge=0)
    cancel_interrupt_seconds: float = Field(5, ge=0)
    step_timeout_seconds: float = Field(3600, gt=0)
    max_crashes: int = Field(3, ge=1)

    sqlite_synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
    http_allow: Names = ()
    inline_limit: int = Field(256 * 1024, ge=1024, le=1024 * 1024)
    payload_limit: int = Field(64 * 1024 * 1024, ge=1024 * 1024, le=1024**3)
    store_url: str = ""
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("modules", "allowed_origins", "trusted_proxies", "http_allow", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _whole_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not _is_origin(origin):
                raise ValueError(f"{origin!r} is no address: give https://HOST or http://HOST:PORT")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _whole_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            try:
                ip_network(name)
            except ValueError as error:
                raise ValueError(f"{error}: give addresses or networks, as 10.0.0.0/8") from None
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        known = ("sqlite:///", "postgresql://", "postgresql+psycopg://", "postgres://")
        if value and not value.startswith(known):
            raise ValueError("give sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME")
        _check_port(value)
        return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", value)

    @field_validator("redis_url")
    @classmethod
    def _known_redis(cls, value: str) -> str:
        if value and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("give redis://HOST:PORT/DB, rediss://… or unix://PATH")
        _check_port(value)
        return value

    @model_validator(mode="after")
    def _lease_outlives_beats(self) -> Settings:
        if self.lease_seconds < 2 * self.heartbeat_seconds:
            raise ValueError(
                "ENGINE_LEASE_SECONDS must be at least twice ENGINE_HEARTBEAT_SECONDS, "
                "or one late beat would look like a death"
            )
        return self

    @property
    def database(self) -> str:
        """The SQLAlchemy URL: ``DATABASE_URL``, else a SQLite file in the home; an absolute one."""
        kind, separator, path = self.database_url.partition(":///")
        if kind == "sqlite":
            return f"{kind}{separator}{Path(path).absolute()}"
        return self.database_url or f"sqlite:///{self.home.absolute() / 'engine.db'}"

    @property
    def stall_seconds(self) -> float:
        """For how long a worker may stand still before its guardian kills it.

        Shorter than others take to find its lease run out; but a busy machine's late beat is no
        stall, however short the lease.
        """
        return max(2.0, (self.lease_seconds - self.heartbeat_seconds) * 0.85)

    @property
    def payload_store(self) -> str:
        """Where large values go: ``ENGINE_STORE_URL``, else a folder in the home; absolute."""
        if "://" in self.store_url:
            return self.store_url
        return str(Path(self.store_url or self.home / "payloads").absolute())

    @property
    def redis(self) -> str:
        """Redis's URL: ``REDIS_URL``, else what the embedded one wrote down when it started.

        Raises:
            SettingsError: neither is there.
        """
        if self.redis_url:
            return self.redis_url
        try:
            return self.redis_file.read_text().strip()
        except FileNotFoundError:
            raise SettingsError(
                "there is no Redis: REDIS_URL is not set and the embedded one is not running",
                hint="start it with `engine up`, or set REDIS_URL",
            ) from None

    @property
    def redis_file(self) -> Path:
        """Where the embedded Redis writes its URL down for whoever else works in this home."""
        return self.home / "redis.url"

    @property
    def origin(self) -> str:
        """Where a browser on this machine finds the pages, without a trailing slash."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104  # compared
        return f"http://{host}:{self.port}"


def _check_port(url: str) -> None:
    # A password may hold what ends an address elsewhere: all before the last @ is left out.
    scheme, _, rest = url.partition("://")
    if fault := ports.fault_of(f"{scheme}://{rest.rpartition('@')[2]}"):
        raise ValueError(fault)


def _is_origin(text: str) -> bool:
    parts = urlsplit(text)
    try:
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # no number, or beyond 65535
        return False
    # A star is no host name: it would read as "trust everybody", and trusts nobody.
    return known and "*" not in text and parts.path in ("", "/") and not parts.query


def load() -> Settings:
    """Return settings read from the environment now.

    Raises:
        SettingsError: with every fault, each under its variable's name.
    """
    try:
        return Settings()
    except ValidationError as error:
        faults = [Fault(_variable(item["loc"]), item["msg"]) for item in error.errors()]
        raise SettingsError("the settings are not usable", faults=faults) from None


@cache
def current() -> Settings:
    """Return this process's settings: read once, the same for its whole life."""
    return load()


def _variable(location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else ""
    return name if name.isupper() or not name else f"ENGINE_{name.upper()}"
