"""What readiness says while a disk fills: ``python -m tests.support.full_disk FOLDER``.

To be run where a small disk may be mounted (``unshare -m``). The engine's home is on it: database,
large values and an embedded Valkey. It prints what readiness says, as JSON lines: with room left,
without, and once the disk is mounted read-only.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import redis

from engine.settings import Settings
from engine.store.db import migrate
from engine.store.recovery import liveness
from engine_app import disk
from tests.support.processes import eventually
from tests.support.valkey import valkey
from tests.support.web import web

SMALL = "24m"  # with room for the database, and some to go on


def main(folder: str) -> None:
    mount("-t", "tmpfs", "-o", f"size={SMALL}", "none", folder)
    home = Path(folder) / "home"
    home.mkdir()
    url = f"sqlite:///{home}/engine.db"
    migrate.upgrade(url)
    aof = {"dir": str(home), "appendonly": "yes", "appendfsync": "everysec"}
    with valkey(settings=aof) as redis_url, web(url, redis_url, home=home) as it:
        worker = liveness.WorkerRow("w", "here", 1, ["steps"], 8, [])
        it.database.write(lambda c: liveness.register(c, worker, it.database.now() + 10**9))
        say(it.nobody().get("/api/ready").json())
        fill(home / "ballast")
        refuses = redis.Redis.from_url(redis_url)
        eventually(lambda: refused(refuses), seconds=10, what="Valkey sees that it cannot write")
        say(it.nobody().get("/api/ready").json())
        (home / "ballast").unlink()
    mount("-o", "remount,ro", folder)
    settings = Settings(DATABASE_URL=url, home=home)
    say([one.told_here for one in disk.shortages(settings, disk.TO_GO_ON)])


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def fill(file: Path) -> None:
    """Write until nothing more can be."""
    with file.open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(b"\0" * 4096)
        except OSError:
            return


def refused(client: redis.Redis) -> bool:
    try:
        client.set("key", "x" * 4096)
        client.ping()
    except redis.RedisError:
        return True
    return False


def say(what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
