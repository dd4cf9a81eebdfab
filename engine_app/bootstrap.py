"""What a start puts into the database: tables, a first user, the workflows of the modules."""

from __future__ import annotations

import getpass
import platform
from collections.abc import Collection

from engine import publish, registry
from engine.errors import InvalidError, Unavailable
from engine.settings import Settings
from engine.store import liveness, migrate, users
from engine.store.database import Database
from engine_app.auth.links import create_link
from engine_app.auth.names import check_name

_FIRST_USER = "owner"


class Bootstrap:
    """The supervisor's own view of the database, open while it runs."""

    def __init__(self, settings: Settings) -> None:
        migrate.upgrade(settings.database)
        registry.load_modules(settings.modules)
        self._database = Database.open(settings.database, threads=1)
        first = self._database.read(users.first)
        self.user = first.name if first else _name_of_person()
        self._user_id = first.id if first else self._add(self.user)

    def publish(self) -> list[str]:
        """Publish the workflows of the modules; return their names."""
        publish.publish_all(self._database, self._user_id)
        return sorted(found.name for found in registry.workflows())

    def link(self) -> str:
        """Return the path of a page that signs the first user in, once."""
        return create_link(self._database, self._user_id)

    def bury(self, pids: Collection[int]) -> bool:
        """Mark workers of this machine as dead at once; return whether the database took it."""
        host = platform.node()
        try:
            now = self._database.now()
            self._database.write(
                lambda connection: sum(
                    liveness.bury(connection, now, host=host, pid=pid) for pid in pids
                )
            )
        except Unavailable:
            return False  # their leases will run out instead
        return True

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    def _add(self, name: str) -> str:
        now = self._database.now()
        return self._database.write(lambda connection: users.add(connection, name, now))


def _name_of_person() -> str:
    try:
        name = getpass.getuser()
        check_name(name)
    except (KeyError, OSError, InvalidError):
        return _FIRST_USER  # an account without a name, as containers have, or with an odd one
    return _FIRST_USER if name == "root" else name
