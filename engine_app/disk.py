"""Whether there is room, and leave, to write where the engine writes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.settings import Settings
from engine.store.db import schema_version
from engine_app import embedded

MIB = 1024 * 1024
TO_START = 50 * MIB  # bytes: room for the databases' own journals
TO_GO_ON = 4 * MIB  # bytes: below that the next checkpoint, or the next large value, may fail


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that the engine writes to: what for, and which setting says where it is."""

    path: Path
    what: str
    setting: str


@dataclass(frozen=True, slots=True)
class Shortage:
    """A place that cannot be written, or soon cannot; ``problem`` goes on from its name."""

    place: Place
    problem: str

    @property
    def told(self) -> str:
        """The sentence for everybody: it names no path of this machine."""
        return f"the disk of {self.place.what} {self.problem}"

    @property
    def told_here(self) -> str:
        """The sentence for who is at this machine."""
        return f"the disk of {self.place.path} {self.problem}"


def places(settings: Settings) -> list[Place]:
    """Return the folders of this machine that the engine writes to."""
    home = settings.home.absolute()
    found = [Place(home, "ENGINE_HOME", "ENGINE_HOME")]
    address = schema_version.parsed(settings.database)
    if schema_version.is_sqlite(address) and address.database:
        folder = Path(address.database).absolute().parent
        found.append(Place(folder, "the database", "DATABASE_URL"))
    if "://" not in settings.payload_store:
        folder = Path(settings.payload_store).absolute()
        found.append(Place(folder, "large values", "ENGINE_STORE_URL"))
    if embedded.wanted(settings):
        found.append(Place(home / "valkey", "the embedded Valkey", "ENGINE_HOME"))
    return found


def shortages(settings: Settings, least: int) -> list[Shortage]:
    """Return each disk once on which less than ``least`` bytes are left or none may be written."""
    return list(_shortages(settings, least))


def _shortages(settings: Settings, least: int) -> Iterator[Shortage]:
    seen: set[int] = set()
    # Its name is that of what fails first: the home's own files are small and few.
    for place in sorted(places(settings), key=lambda one: one.what == "ENGINE_HOME"):
        try:
            folder = next(path for path in (place.path, *place.path.parents) if path.exists())
            device, problem = folder.stat().st_dev, _problem(folder, least)
        except OSError as error:
            yield Shortage(place, f"cannot be looked at: {error.strerror}")
            continue
        if problem and device not in seen:
            seen.add(device)
            yield Shortage(place, problem)


def _problem(folder: Path, least: int) -> str:
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return "is mounted read-only"
    free = shutil.disk_usage(folder).free
    return f"has only {free // MIB} MiB left" if free < least else ""
