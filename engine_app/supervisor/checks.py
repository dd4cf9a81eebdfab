"""What would make a start fail, found before anything is started: all of it at once."""

from __future__ import annotations

import socket
from pathlib import Path

import redis

from engine.errors import EngineError, Fault, SettingsError
from engine.settings import Settings
from engine.store.db import schema_version
from engine_app import disk, embedded
from engine_app.asking import asking, told


def prepare_home(settings: Settings) -> None:
    """Make the home, for the owner's eyes only.

    Raises:
        SettingsError: it cannot be made or written, or the disk is full.
    """
    home = settings.home.absolute()
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        _probe(home)
    except OSError as error:
        fault = Fault(
            "ENGINE_HOME", f"{home} cannot be written: {error.strerror}", "choose another"
        )
        raise SettingsError("the engine cannot start", faults=[fault]) from None


def refuse(settings: Settings) -> None:
    """Return if a start has a chance.

    Raises:
        SettingsError: with every fault.
    """
    if found := faults(settings):
        raise SettingsError("the engine cannot start", faults=found)


def faults(settings: Settings) -> list[Fault]:
    """Return everything that would keep the engine from starting with these settings."""
    found = [*_disk(settings), *_port(settings), *_database(settings)]
    found += embedded.faults(settings) if embedded.wanted(settings) else _redis(settings)
    return found


def _probe(home: Path) -> None:
    probe = home / "write-probe"
    try:
        probe.write_bytes(b"\0" * 65536)
    finally:
        probe.unlink(missing_ok=True)


def _disk(settings: Settings) -> list[Fault]:
    hint = f"free {disk.TO_START // disk.MIB} MiB or choose another"
    found = disk.shortages(settings, disk.TO_START)
    return [Fault(one.place.setting, one.told_here, hint) for one in found]


def _port(settings: Settings) -> list[Fault]:
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return [Fault("ENGINE_HOST", f"{settings.host} is no address of this machine: {error}")]
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        # As servers do: connections of a server that just stopped are no reason to refuse
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            where = f"port {settings.port} on {settings.host}"
            problem = f"{where} cannot be used: {error.strerror}"
            return [Fault("ENGINE_PORT", problem, "stop what listens there, or choose another")]
    return []


def _database(settings: Settings) -> list[Fault]:
    try:
        schema_version.current(settings.database)
    except EngineError as error:
        return [Fault("DATABASE_URL", error.message, error.hint)]
    return []


def _redis(settings: Settings) -> list[Fault]:
    try:
        client = asking(settings.redis_url)
    except ValueError as error:  # a part of the URL that only redis-py reads
        return [Fault("REDIS_URL", str(error))]
    try:
        client.ping()
    except redis.RedisError as error:
        hint = "start it, or leave REDIS_URL out for the embedded one"
        return [Fault("REDIS_URL", f"the server there {told(error)}", hint)]
    finally:
        client.close()
    return []
