"""The wheel, installed beside a project that has a package of the name ``tests`` as well."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = {"engine", "actors", "engine_app", "examples"}
# What a build takes: a copy, so that nothing is written beside the sources.
SOURCES = (*SHIPPED, "pyproject.toml", "requirements-run.txt", "README.md", "LICENSE")
IMPORTS = """
import sys
import engine, actors, engine_app
import tests
site = sys.argv[1]
for package in (engine, actors, engine_app):
    assert package.__file__.startswith(site), package.__file__
assert tests.WHOSE == "the project's", tests.__file__
from engine_app.cli import main
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        # Nothing of the checkout: neither its folder nor what these tests are run with.
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), "PYTHONNOUSERSITE": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as ``pip wheel`` builds it from these sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source, folder / "sources" / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            (folder / "sources").mkdir(exist_ok=True)
            shutil.copy(source, folder / "sources")
    (folder / "sources" / "tests").mkdir()
    (folder / "sources" / "tests" / "__init__.py").write_text('WHOSE = "the engine\'s"\n')
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        *options,
        "-w",
        folder,
        folder / "sources",
        cwd=folder,
    )
    [found] = folder.glob("*.whl")
    return found


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of a clean venv; what the engine needs is lent to it by a path."""
    venv.create(tmp_path / "venv", with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "venv")}))
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return tmp_path / "venv" / "bin" / "python"


def test_the_wheel_holds_the_packages_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == SHIPPED
    assert not [name for name in names if "tests" in name.split("/")[:-1]]
    assert "engine/store/migrations/versions/r0004_signal_keys.py" in names


def test_a_project_with_its_own_tests_imports_the_engine(
    wheel: Path, python: Path, tmp_path: Path
) -> None:
    [site] = {Path(path).parent for path in (tmp_path / "venv").rglob("lent.pth")}
    options = ("--no-deps", "--no-index", "--disable-pip-version-check", "--target", site)
    run(sys.executable, "-m", "pip", "install", "-q", *options, wheel, cwd=tmp_path)
    project = tmp_path / "project"
    (project / "tests").mkdir(parents=True)
    (project / "tests" / "__init__.py").write_text('WHOSE = "the project\'s"\n')
    run(python, "-c", IMPORTS, site, cwd=project)
    assert run(python, "-m", "engine_app.cli", "--help", cwd=project).count("workflows")
