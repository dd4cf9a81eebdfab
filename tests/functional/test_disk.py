"""A disk that fills, or may not be written: it is named, and nothing else is blamed for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.settings import Settings
from engine_app import disk
from engine_app.supervisor import checks

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What readiness says on a small disk: with room, when it is full, when it is read-only."""
    folder = tmp_path_factory.mktemp("small")
    if shutil.which("unshare") is None:
        pytest.skip("no unshare to mount a small disk with")
    mount = f"mount -t tmpfs -o size=1m none {folder}"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], check=False).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-m", "tests.support.full_disk", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("{", "["))]


def test_with_room_left_it_is_ready(said: list[Any]) -> None:
    assert said[0]["status"] == "ok"
    assert said[0]["parts"]["disk"] == "ok"


def test_a_full_disk_is_named_and_redis_is_not_called_silent(said: list[Any]) -> None:
    parts = said[1]["parts"]
    assert said[1]["status"] == "not ready"
    assert parts["disk"] == "the disk of the database has only 0 MiB left"
    assert parts["redis"].startswith("refuses: ")
    assert "AOF" in parts["redis"]


def test_a_disk_that_is_mounted_read_only_is_named(said: list[Any]) -> None:
    [sentence] = said[2]
    assert sentence.endswith("/home is mounted read-only")


def places(**values: Any) -> dict[str, str]:
    settings = Settings(**values)
    return {one.setting + ": " + one.what: str(one.path) for one in disk.places(settings)}


def test_all_that_is_written_here_is_looked_at_and_what_is_elsewhere_is_not() -> None:
    here = places(DATABASE_URL="sqlite:////data/db/engine.db", home="/home/e", REDIS_URL="")
    assert here == {
        "ENGINE_HOME: ENGINE_HOME": "/home/e",
        "DATABASE_URL: the database": "/data/db",
        "ENGINE_STORE_URL: large values": "/home/e/payloads",
        "ENGINE_HOME: the embedded Valkey": "/home/e/valkey",
    }
    elsewhere = places(
        DATABASE_URL="postgresql://db/engine",
        home="/home/e",
        REDIS_URL="redis://there:6379/0",
        store_url="s3://bucket/values",
    )
    assert elsewhere == {"ENGINE_HOME: ENGINE_HOME": "/home/e"}


def test_a_folder_that_nobody_lets_us_look_into_is_told_of(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/{'deep' * 100}/engine.db"  # a name that no folder can have
    [short] = disk.shortages(Settings(DATABASE_URL=url, home=tmp_path), disk.TO_GO_ON)
    assert short.told.startswith("the disk of the database cannot be looked at: ")


def test_one_disk_is_told_of_once_by_what_fails_first(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/engine.db"
    settings = Settings(DATABASE_URL=url, home=tmp_path / "not" / "there" / "yet")
    [short] = disk.shortages(settings, 2**62)
    assert short.told.startswith("the disk of the database has only ")
    assert checks._disk(settings) == []
