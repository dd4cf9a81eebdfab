"""The documents say what is so: commands run, links lead somewhere, tables are whole."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine import errors
from engine.core.event import EventType
from engine.core.status import Reason
from engine.definition import parse_text
from engine.settings import Settings
from engine.store.tables import Base
from engine_app.api.problems import status_of
from tests.support.documents import (
    ROOT,
    Block,
    blocks,
    broken_links,
    documents,
    first_cells,
    section,
    text_of,
)
from tests.support.folding import fold
from tests.support.system import System, running

MANUAL = "docs/execution-engine.md"
SECONDS = 120  # for all commands of one document, while those of others run beside it
AT_ONCE = 4
RUN = ("sh", "python", "sql", "yaml", "json")
PLAIN = ("text", "mermaid")  # shown, nothing to run
Done = subprocess.CompletedProcess[str]
ALL = [block for document in documents() for block in blocks(document)]
TO_RUN = [block for block in ALL if not block.reason]


def in_language(language: str) -> dict[str, list[Block]]:
    """Return the blocks to run in ``language`` by document."""
    found: dict[str, list[Block]] = {}
    for block in TO_RUN:
        if block.language == language:
            found.setdefault(block.document, []).append(block)
    return found


@dataclass
class Reader:
    """Somebody who follows the documents: an engine that runs, a folder, a shell."""

    system: System
    folder: Path

    def environment(self, *without: str) -> dict[str, str]:
        """Return what commands are started with; it says nothing the documents tell to set."""
        own = {**self.system.environment, "HOME": str(self.folder)}
        return {name: value for name, value in own.items() if name not in without}

    def run(self, *command: str, text: str = "", without: tuple[str, ...] = ()) -> Done:
        """Run a command in the folder and return how it ended and what it said."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(*without),
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def follow(self, document: str) -> Done:
        """Type the commands of a document into one shell."""
        script = "set -eux\n" + "".join(
            f": --- line {block.line}\n{block.text}" for block in in_language("sh")[document]
        )
        here = script.replace("127.0.0.1:8000", f"127.0.0.1:{self.system.port}")
        return self.run("sh", "-s", text=here, without=("PYTHONPATH", "ENGINE_MODULES"))


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with tempfile.TemporaryDirectory(prefix="engine-docs-") as name:
        folder = Path(name)
        modules = ["examples", *_save_files(folder)]
        variables = {"ENGINE_MODULES": ",".join(modules), "PYTHONPATH": f"{name}{os.pathsep}{ROOT}"}
        with running(**variables) as system:
            _install(folder)
            (folder / ".engine").symlink_to(system.home)
            yield Reader(system.await_ready(), folder)


@pytest.fixture(scope="module")
def followed(reader: Reader) -> Iterator[dict[str, Future[Done]]]:
    """The commands of all documents, each document's in a shell of its own, several at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {document: pool.submit(reader.follow, document) for document in in_language("sh")}


def _ended_well(done: Done) -> None:
    if done.returncode:
        pytest.fail(f"exit code {done.returncode}\n{done.stdout[-4000:]}", pytrace=False)


def _install(folder: Path) -> None:
    """Give the folder the ``.venv`` that `make run` makes."""
    script = Path(sys.prefix) / "bin" / "engine"
    if script.exists():
        (folder / ".venv").symlink_to(sys.prefix)
        return
    # A venv with the requirements alone, where the tests run too.
    bin_ = folder / ".venv" / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "python3").symlink_to(Path(sys.executable).resolve())
    engine = bin_ / "engine"
    engine.write_text(
        f'#!/bin/sh\nexport PYTHONPATH="{ROOT}${{PYTHONPATH:+:$PYTHONPATH}}"\n'
        f'exec "{sys.executable}" -m engine_app.cli "$@"\n'
    )
    engine.chmod(0o755)


def _save_files(folder: Path) -> list[str]:
    """Save the blocks that the reader is told to save; return the modules with workflows."""
    modules = []
    for block in TO_RUN:
        if block.file:
            (folder / block.file).write_text(block.text)
            if block.file.endswith(".py") and "@workflow" in block.text:
                modules.append(block.file.removesuffix(".py"))
    return modules


@pytest.mark.parametrize("document", documents())
def test_each_block_is_run_or_says_why_not(document: str) -> None:
    unexplained = [
        str(block)
        for block in blocks(document)
        if not block.reason and block.language not in (*RUN, *PLAIN)
    ]
    assert not unexplained, "write <!-- not run: REASON --> above"


@pytest.mark.parametrize("block", [b for b in TO_RUN if b.language in ("yaml", "json")], ids=str)
def test_a_workflow_document_is_valid(block: Block) -> None:
    value = yaml.safe_load(block.text)
    assert isinstance(value, dict), "no workflow: write <!-- not run: REASON --> above"
    assert "steps" in value, "no workflow: write <!-- not run: REASON --> above"
    parse_text(block.text)


@pytest.mark.parametrize("document", in_language("sh"))
def test_the_commands_of_a_document_work(followed: dict[str, Future[Done]], document: str) -> None:
    _ended_well(followed[document].result())


@pytest.mark.parametrize("document", in_language("python"))
def test_the_python_of_a_document_runs(reader: Reader, document: str) -> None:
    module = re.sub(r"\W", "_", document.lower())
    source = ""
    for block in in_language("python")[document]:
        if block.file:
            # A file that its reader saves: a module of its own, or tests for pytest.
            (reader.folder / block.file).write_text(block.text)
            is_test = block.file.startswith("test_")
            how = ("-m", "pytest", "-q", block.file) if is_test else (block.file,)
            _ended_well(reader.run(sys.executable, *how))
            continue
        # At the line it has in the document: a traceback then leads to it.
        source += "\n" * (block.line - 1 - source.count("\n")) + block.text
    (reader.folder / f"{module}.py").write_text(source)
    _ended_well(reader.run(sys.executable, "-c", f"import {module}"))


@pytest.mark.parametrize("block", [b for b in TO_RUN if b.language == "sql"], ids=str)
def test_the_sql_of_the_documents_runs(reader: Reader, block: Block) -> None:
    connection = sqlite3.connect(reader.system.home / "engine.db", timeout=10)
    with connection:
        connection.executescript(block.text)
    connection.close()


def test_the_documented_fold_of_events_gives_what_is_stored(
    reader: Reader, followed: dict[str, Future[Done]]
) -> None:
    for done in followed.values():
        done.result()  # leaves executions of all kinds behind
    connection = sqlite3.connect(reader.system.home / "engine.db", isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("BEGIN")  # one moment for all queries: workers go on beside
    for execution in connection.execute("SELECT id, status FROM executions").fetchall():
        events = connection.execute(
            "SELECT seq, type, step, item, data FROM events WHERE execution_id = ? ORDER BY seq",
            (execution["id"],),
        ).fetchall()
        status, runs = fold(events)
        assert status == execution["status"], execution["id"]
        stored = connection.execute(
            "SELECT step, item, status FROM step_runs WHERE execution_id = ?",
            (execution["id"],),
        )
        known = {(run["step"], run["item"]): run["status"] for run in stored}
        assert runs.items() <= known.items(), execution["id"]
    connection.close()


@pytest.mark.parametrize("document", documents())
def test_no_link_is_dead(document: str) -> None:
    assert broken_links(document) == []


def test_the_settings_and_their_table_are_the_same() -> None:
    rows = re.findall(
        r"^\| `([A-Z_]+)` \| ([^|]+) \|", section(MANUAL, "## Settings"), re.MULTILINE
    )
    told = {name: default.strip("` ") for name, default in rows}
    fields = {
        str(field.validation_alias or f"ENGINE_{name.upper()}"): field.get_default(
            call_default_factory=True
        )
        for name, field in Settings.model_fields.items()
    }
    assert told.keys() == fields.keys()
    wrong = {name: value for name, value in fields.items() if not _says(told[name], value)}
    assert not wrong


def _says(told: str, default: Any) -> bool:
    if default in ("", ()):
        return True  # told in words
    if isinstance(default, float):
        return told == f"{default:g}"
    return told == (",".join(default) if isinstance(default, tuple) else str(default))


def test_the_events_and_their_tables_are_the_same() -> None:
    told = [
        name
        for heading in ("## Events of the execution", "## Events of step runs")
        for name in first_cells(section("docs/events.md", heading))
    ]
    assert sorted(told) == sorted(EventType)


def test_every_reason_is_told() -> None:
    told = first_cells(section(MANUAL, "### Reasons"))
    assert set(Reason) <= set(told)


def test_the_codes_and_their_table_are_the_same() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (\d+) \|",
        section(MANUAL, "### Codes of the API and the command line"),
        re.MULTILINE,
    )
    tree: list[type[errors.EngineError]] = [errors.EngineError, *_below(errors.EngineError)]
    assert {(code, int(status)) for code, status in rows} == {
        (kind.code, int(status_of(kind))) for kind in tree if kind.__module__ == errors.__name__
    }


def _below(kind: type[errors.EngineError]) -> list[type[errors.EngineError]]:
    return [one for child in kind.__subclasses__() for one in (child, *_below(child))]


def test_every_table_and_column_is_told() -> None:
    text = section(MANUAL, "## Database")
    for table in Base.metadata.sorted_tables:
        assert f"**{table.name}**" in text
        told = text.split(f"**{table.name}**", 1)[1].split("\n\n", 1)[0]
        missing = [column.name for column in table.columns if f"`{column.name}`" not in told]
        assert not missing, table.name


def test_the_documents_name_no_path_of_a_machine() -> None:
    home = os.path.expanduser("~") + "/"
    assert not [document for document in documents() if home in text_of(document)]
