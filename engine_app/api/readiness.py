"""Whether work can be done here: each part asked at once, and none waited for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from actors.timebox import Timebox
from engine.store.db import schema_version
from engine.store.recovery import liveness
from engine.store.writes import schedules
from engine_app import disk
from engine_app.api.guard import Parts
from engine_app.asking import why_not

TROUBLES = ("schedules_held_up", "executions_left_alone")
PART_SECONDS = 1.5  # that a part has to answer; whoever asks wants to know within two

# One for the process: what does not answer holds a few threads, whoever asks and how often.
_box = Timebox("readiness")


@dataclass(frozen=True, slots=True)
class Readiness:
    """The state of each part, ``ok`` or why it is not, and what else does not go on.

    ``troubles`` are how many schedules are due and cannot start, and how many executions rescue
    cannot look after, None where the database does not tell: no reason to send no traffic here.
    """

    parts: dict[str, str]
    troubles: dict[str, int | None]

    @property
    def good(self) -> bool:
        """Whether work can be done."""
        return all(state == "ok" for state in self.parts.values())


def look(parts: Parts) -> Readiness:
    """Return how it stands here, within two seconds whatever does not answer."""
    asked: dict[str, Callable[[], object]] = {
        "database": lambda: _database(parts),
        "redis": lambda: _redis(parts),
        "workers": lambda: _workers(parts),
        "disk": lambda: _disk(parts),
        "troubles": lambda: _troubles(parts),
    }
    found = _box.together(PART_SECONDS, asked)
    told = found.pop("troubles")
    return Readiness(
        {
            name: _why(name, state) if isinstance(state, Exception) else str(state)
            for name, state in found.items()
        },
        dict(zip(TROUBLES, told if isinstance(told, tuple) else (None, None), strict=True)),
    )


def _why(name: str, error: Exception) -> str:
    if name == "redis":
        return why_not(error)
    # Of workers only the database knows, and what is wrong with that is told in its own place.
    return "unknown" if name == "workers" else "does not answer"


def _database(parts: Parts) -> str:
    found = schema_version.current(parts.settings.database)
    return "ok" if found == schema_version.NEWEST else "not migrated"


def _redis(parts: Parts) -> str:
    parts.client.redis.ping()
    return "ok"


def _workers(parts: Parts) -> str:
    dead_before = parts.database.now() - int(parts.settings.lease_seconds * 1e6)
    alive = parts.database.read(lambda connection: liveness.alive(connection, dead_before))
    return "ok" if alive.workers else "none is alive"


def _troubles(parts: Parts) -> tuple[int, int]:
    return parts.database.read(
        lambda connection: (schedules.held_up(connection), liveness.faulty(connection).count)
    )


def _disk(parts: Parts) -> str:
    short = disk.shortages(parts.settings, disk.TO_GO_ON)
    return "; ".join(one.told for one in short) or "ok"
