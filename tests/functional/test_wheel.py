"""The wheel: what it holds, and that it runs by itself with whatever it says that it works with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import httpx
import pytest

from engine_app import build, front_end
from tests.support.system import ROOT, System, running

SHIPPED = {"engine", "actors", "engine_app"}
# What a build takes: a copy, so that nothing is written beside the sources.
SOURCES = (
    *SHIPPED,
    *("examples", "assets", "reflex.lock"),
    *("pyproject.toml", "build_backend.py", "requirements-run.txt", "constraints.txt"),
    *("README.md", "LICENSE", "rxconfig.py", "bunfig.toml", ".npmrc"),
)
IMPORTS = """
import os, sys
os.environ["REDIS_URL"] = "redis://127.0.0.1:1"
from engine_app import build
assert sys.prefix in str(build.ROOT), build.ROOT
os.chdir(build.ROOT)
import actors, engine.testing, engine_app.cli, engine_app.engine_app, engine_app.supervisor.up
"""
DOCUMENT = "name: hello\nsteps: {say: {uses: transform, with: {value: 'good day'}}}\n"


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        # Nothing of the checkout: neither its folder nor what these tests are run with.
        env={**os.environ, "PYTHONPATH": "", "PYTHONNOUSERSITE": "1", "VIRTUAL_ENV": ""},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def copy(folder: Path) -> Path:
    """Return a folder with the sources in it, and the pages if they are built."""
    for name in (*SOURCES, str(front_end.BUILT), str(front_end.STAMP)):
        source, target = ROOT / name, folder / "sources" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "external")
            shutil.copytree(source, target, ignore=ignored)
        else:
            shutil.copy(source, target)
    for name in ("tests", "benchmarks"):
        (folder / "sources" / name).mkdir()
        (folder / "sources" / name / "__init__.py").touch()
    return folder / "sources"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as ``pip wheel`` builds it from these sources."""
    build.build(print)
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    sources = copy(folder)
    run(sys.executable, "-m", "pip", "wheel", "-q", *options, "-w", folder, sources, cwd=folder)
    [found] = folder.glob("*.whl")
    return found


def uv(*arguments: str | Path, cwd: Path) -> str:
    return run(Path(sysconfig.get_path("scripts")) / "uv", *arguments, cwd=cwd)


def floors() -> dict[str, str]:
    """Return the lowest release that the wheel says it works with, of each package."""
    lines = (ROOT / "requirements-run.txt").read_text().splitlines()
    pattern = re.compile(r"^([A-Za-z0-9-]+)(?:\[\w+\])?[^;]*?>=([\d.]+)")
    found = [pattern.match(line) for line in lines if not line.startswith("#")]
    assert all(found), "each has a lowest release"
    return {match[1].lower(): match[2] for match in found if match}


def test_the_wheel_holds_the_packages_and_the_built_pages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == SHIPPED
    assert not [name for name in names if {"tests", "examples"} & set(name.split("/")[:-1])]
    assert "engine/store/db/migrations/versions/r0004_signal_keys.py" in names
    assert "engine_app/front/rxconfig.py" in names
    built = [path for path in (ROOT / front_end.BUILT).rglob("*") if path.is_file()]
    pages = {f"engine_app/front/{path.relative_to(ROOT)}" for path in built}
    assert pages <= set(names)


def test_the_wheel_pins_nothing_exactly(wheel: Path) -> None:
    metadata = zipfile.ZipFile(wheel).read(
        f"{'-'.join(wheel.name.split('-')[:2])}.dist-info/METADATA"
    )
    needed = re.findall(r"^Requires-Dist: (.*)$", metadata.decode(), re.MULTILINE)
    assert len(needed) == len(floors())
    assert [line for line in needed if re.search(r"==[\d.]+(?![\d.*])", line)] == []


def installed(wheel: Path, resolution: str, folder: Path, *options: str) -> Path:
    """Return the interpreter of an environment with the wheel and what it asks for."""
    uv("venv", "-q", "--python", sys.executable, folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    needed: tuple[str | Path, ...] = ("-r", ROOT / "requirements-run.txt", wheel)
    how = ("--resolution", resolution, *options)
    uv("pip", "install", "-q", "--python", python, *how, *needed, cwd=folder)
    return python


def test_an_engine_from_the_wheel_runs_in_an_empty_folder_with_the_lowest_releases(
    wheel: Path, tmp_path: Path
) -> None:
    python = installed(wheel, "lowest-direct", tmp_path, "--compile-bytecode")
    listed = uv("pip", "freeze", "--python", python, cwd=tmp_path).lower()
    for name, version in floors().items():
        assert re.search(rf"^{name}=={re.escape(version)}(\.0)*$", listed, re.MULTILINE), name
    project = tmp_path / "project"
    (project / "tests").mkdir(parents=True)
    (project / "tests" / "__init__.py").write_text("raise SystemExit('the project\\'s own')\n")
    with running(python, project, PYTHONPATH="") as system:
        _works(system.await_ready(), project)
    shipped = next((tmp_path / "venv").rglob("engine_app/front"))
    assert {path.name for path in shipped.iterdir()} == {"rxconfig.py", ".web", "__pycache__"}


def test_with_the_highest_releases_all_of_it_can_be_imported(wheel: Path, tmp_path: Path) -> None:
    # No more: it runs in all other tests, with releases that are nearly these.
    python = installed(wheel, "highest", tmp_path)
    run(python, "-c", IMPORTS, cwd=tmp_path)


def _works(system: System, project: Path) -> None:
    assert "none yet (ENGINE_MODULES names what holds some)" in "\n".join(system.said)
    page = httpx.get(f"{system.url}/login")
    assert page.status_code == 200
    script = re.search(r'"(/assets/[^"]+\.js)"', page.text)
    assert script
    assert httpx.get(system.url + script[1]).status_code == 200
    (project / "hello.yaml").write_text(DOCUMENT)
    system.cli("workflows", "push", "hello.yaml")
    assert "good day" in system.cli("run", "hello", "--follow", "--json")
    assert sorted(path.name for path in project.iterdir()) == ["hello.yaml", "tests"]
