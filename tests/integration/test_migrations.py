"""The revisions make what the models say, on both databases."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from engine.errors import EngineError, Unavailable
from engine.store.db import migrate, schema_version
from engine.store.tables import Base
from tests.support.postgres import create_database, drop_database


def _with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def test_the_revisions_make_exactly_what_the_models_say(database_url: str) -> None:
    engine = create_engine(_with_driver(database_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_tables_clustered_by_execution_have_no_rowid_in_sqlite(sqlite_url: str) -> None:
    engine = create_engine(sqlite_url)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master")
        made = {row.name: str(row.sql) for row in rows}
    for table in Base.metadata.sorted_tables:
        wanted = table.dialect_options["sqlite"]["with_rowid"]
        assert ("WITHOUT ROWID" not in made[table.name]) == wanted, table.name
    engine.dispose()


def test_upgrading_again_changes_nothing(database_url: str) -> None:
    migrate.upgrade(database_url)
    assert schema_version.current(database_url) == schema_version.NEWEST


def test_a_database_that_is_not_there_has_no_revision_and_is_not_made(tmp_path: Path) -> None:
    assert schema_version.current(f"sqlite:///{tmp_path / 'new.db'}") is None
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_one_sentence_without_the_password() -> None:
    with pytest.raises(Unavailable, match=r"does not work: .*refused") as caught:
        migrate.upgrade("postgresql://me:canary-secret@127.0.0.1:1/name")
    assert "canary-secret" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be made: Not a directory"):
        migrate.upgrade(f"sqlite:///{tmp_path / 'file' / 'folder' / 'engine.db'}")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'folder' / 'empty.db'}"
        return
    server = request.getfixturevalue("postgres_url")
    yield create_database(server, "empty")
    drop_database(server, "empty")


def test_of_four_migrators_at_once_one_works_and_the_others_wait(empty_url: str) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            migrate.upgrade(empty_url)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert schema_version.current(empty_url) == schema_version.NEWEST


def test_a_database_of_a_newer_release_is_refused_in_one_sentence(database_url: str) -> None:
    statement = "UPDATE alembic_version SET version_num = '9999'"
    if database_url.startswith("sqlite"):
        with sqlite3.connect(database_url.removeprefix("sqlite:///")) as connection:
            connection.execute(statement)
    else:
        with psycopg.connect(database_url.replace("+psycopg", "")) as server:
            server.execute(statement)
    with pytest.raises(EngineError, match="revision 9999, which this release does not know"):
        migrate.upgrade(database_url)


def test_the_newest_revision_is_the_head_of_the_scripts() -> None:
    scripts = Path(migrate.__file__).parent / "migrations"
    assert ScriptDirectory(str(scripts)).get_current_head() == schema_version.NEWEST
