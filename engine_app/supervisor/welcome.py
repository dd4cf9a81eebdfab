"""What a start says when it is ready: what runs where, how to sign in, what to try."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from engine.settings import Settings
from engine_app import embedded
from engine_app.auth.links import LIFETIME

_FIRST_CHOICE = "weather"


def welcome(settings: Settings, user: str, link: str, workflows: Sequence[str]) -> str:
    """Return the text.

    Args:
        settings: of this run.
        user: whom the link signs in.
        link: the whole link.
        workflows: names of what can be run.
    """
    facts = [
        ("Pages and API", settings.origin),
        ("Workers", _workers(settings)),
        ("Database", _database(settings)),
        ("Redis", _redis(settings)),
        ("Files", str(settings.home.absolute())),
        ("Workflows", ", ".join(workflows) or "none yet (ENGINE_MODULES names what holds some)"),
    ]
    tries = [f"  {line}" for line in _tries(workflows)]
    return "\n".join(
        [
            "",
            *(f"  {name:14} {value}" for name, value in facts),
            "",
            f"  Sign in as {user} (works once, for {LIFETIME // 60} minutes):",
            f"  {link}",
            "",
            "  To try next, in another terminal:",
            *tries,
            "",
        ]
    )


def _workers(settings: Settings) -> str:
    processes = "1 process" if settings.worker_processes == 1 else "processes"
    count = "" if settings.worker_processes == 1 else f"{settings.worker_processes} "
    short = f"{count}{processes} × {settings.worker_threads} threads"
    return f"{short}, and 1 × {settings.long_threads} for long steps"


def _database(settings: Settings) -> str:
    kind, _, path = settings.database.partition(":///")
    if kind == "sqlite":
        return f"SQLite in {path}"
    return f"PostgreSQL at {_without_password(settings.database)}"


def _redis(settings: Settings) -> str:
    if embedded.wanted(settings):
        return f"Valkey, embedded ({embedded.url(settings)})"
    return _without_password(settings.redis_url)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.hostname or ''}{port}{parts.path}"


def _tries(workflows: Sequence[str]) -> list[str]:
    engine = _command()
    name = _FIRST_CHOICE if _FIRST_CHOICE in workflows else next(iter(workflows), "NAME")
    first = [] if workflows else [f"{engine} workflows push FILE.yaml"]
    return [
        *first,
        f"{engine} run {name} --follow",
        f"{engine} list",
        f"{engine} show EXECUTION",
    ]


def _command() -> str:
    """Return how this person calls the command: as short as it works from this folder."""
    script = Path(sys.executable).with_name("engine")
    if not script.exists():
        return f"{os.path.relpath(sys.executable)} -m engine_app.cli"
    return min((str(script), os.path.relpath(script)), key=len)
