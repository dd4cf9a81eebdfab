"""Publish workflows: a document becomes a version unless it is the latest already."""

from __future__ import annotations

from engine.definition import Checked, Definition, checked
from engine.registry import workflows as registered
from engine.store.db.database import Database
from engine.store.writes import workflows
from engine.store.writes.workflows import NewVersion, Published


def publish(
    database: Database,
    owner_id: str,
    document: Definition | Checked,
    *,
    shared: bool = False,
    workflow_id: str | None = None,
) -> Published:
    """Make the definition the latest version of the owner's workflow of its name.

    Safe to repeat, also by two at once: an equal document adds no version.

    Args:
        database: where it is kept.
        owner_id: whose workflow it is.
        document: what ``parse``, ``@workflow`` or ``checked`` gave.
        shared: everyone may read and run it; executions stay private.
        workflow_id: the workflow that must get the version, when it is to be an existing one.

    Raises:
        NotFound: ``workflow_id`` is not the owner's workflow of that name.
        TooLarge: the document is over 16 MB.
    """
    found = checked(document) if isinstance(document, Definition) else document
    new = NewVersion(found.name, found.document, found.content_hash)
    now = database.now()
    return database.write(
        lambda connection: workflows.publish(
            connection, owner_id, new, now, shared=shared, workflow_id=workflow_id
        )
    )


def publish_all(database: Database, owner_id: str) -> list[Published]:
    """Publish every workflow that the loaded modules define, shared, and return what is there.

    Args:
        database: where they are kept.
        owner_id: who may change them: code has no owner of its own.
    """
    return [publish(database, owner_id, found, shared=True) for found in registered()]
