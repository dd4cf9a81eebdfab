"""Modules and step types of others: whatever their import raises is told, and ends nothing else."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import registry, steps
from engine.errors import Cut, SettingsError

Write = Callable[[str], str]
HALT = """
class Halt(BaseException):
    def __str__(self):
        raise ValueError

raise Halt
"""
ENDS = [
    ("import nothing_of_this_name", "nothing_of_this_name"),
    ("import sys; sys.exit(0)", r"it ends the process that imports it, by sys.exit\(0\)"),
    ("import sys; sys.exit('no licence')", r"by sys.exit\(no licence\)"),
    ("raise SystemExit", r"by sys.exit\(\)"),
    (HALT, r"Halt: \(its message cannot be read\)"),
    ("raise BaseExceptionGroup('both', [SystemExit(1)])", "BaseExceptionGroup: both"),
    ("x = (", "SyntaxError"),
]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module that can be imported; return its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def module(text: str) -> str:
        name = f"module_of_{tmp_path.name}"
        (tmp_path / f"{name}.py").write_text(text)
        return name

    yield module
    steps._types.cache_clear()


def installed(folder: Path, group: str, module: str) -> None:
    """Make the module an entry point, as an installed distribution does."""
    info = folder / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\ntheirs = {module}\n")


@pytest.mark.parametrize(("text", "reason"), ENDS)
def test_a_module_that_cannot_be_imported_is_named_with_the_reason(
    text: str, reason: str, write: Write
) -> None:
    name = write(text)
    registry.load_modules(["json", "json"])
    told = rf"module {name} \(ENGINE_MODULES\) cannot be imported: .*{reason}"
    with pytest.raises(SettingsError, match=told):
        registry.load_modules([name])


def test_a_module_of_an_entry_point_says_who_named_it(write: Write, tmp_path: Path) -> None:
    name = write("raise SystemExit(0)")
    installed(tmp_path, registry.MODULES_GROUP, name)
    with pytest.raises(SettingsError, match=rf"module {name} \(entry point theirs of group"):
        registry.load_modules([])


@pytest.mark.parametrize("raised", [KeyboardInterrupt, Cut])
def test_an_end_of_the_process_from_outside_is_not_laid_to_the_module(
    raised: type[BaseException], write: Write
) -> None:
    name = write(f"from engine.errors import Cut\nraise {raised.__name__}")
    with pytest.raises(raised):
        registry.load_modules([name])


@pytest.mark.parametrize(("text", "reason"), ENDS)
def test_a_step_type_that_cannot_be_loaded_is_told_and_harms_no_other(
    text: str, reason: str, write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = write(text)
    installed(tmp_path, steps.GROUP, f"{name}:Made")
    steps._types.cache_clear()
    with caplog.at_level(logging.ERROR):
        assert "http" in steps.names()
    assert not steps.has("theirs")
    [line] = [record.getMessage() for record in caplog.records if "theirs" in record.getMessage()]
    assert line.startswith(f"step type theirs ({name}:Made) cannot be loaded: ")
    assert re.search(reason, line)
