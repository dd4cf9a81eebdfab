"""A PgBouncer before a PostgreSQL server, in either of its modes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from benchmarks.servers import other_user
from tests.support.needs import lacking
from tests.support.processes import free_port, server


@contextmanager
def pgbouncer(database_url: str, mode: str, **more: str) -> Iterator[str]:
    """Yield the URL of the same database behind a PgBouncer in ``session`` or ``transaction``
    mode, which shares four sessions of the server among its clients; ``more`` are settings of it.
    """
    program = shutil.which("pgbouncer")
    if program is None:
        lacking("no PgBouncer: install pgbouncer")
    url = make_url(database_url)
    with tempfile.TemporaryDirectory(prefix="engine-test-bouncer-") as folder:
        port, file = free_port(), Path(folder) / "pgbouncer.ini"
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(port),
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": mode,
            "default_pool_size": "4" if mode == "transaction" else "60",
            **more,
        }
        lines = [f"{name} = {value}" for name, value in settings.items()]
        target = f"* = host={url.host} port={url.port} user={url.username}"
        file.write_text("\n".join(["[databases]", target, "[pgbouncer]", *lines, ""]))
        user = other_user()
        if user is not None:
            shutil.chown(folder, user)
            shutil.chown(file, user)
        with server([program, str(file)], port=port, log=Path(folder) / "log", user=user):
            yield url.set(port=port).render_as_string(hide_password=False)
