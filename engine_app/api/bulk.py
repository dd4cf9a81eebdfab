"""One verb for many executions, named by their ids or by the list's own filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, Field, model_validator

from engine.core.status import EXECUTION_OPEN, ExecutionStatus
from engine.errors import EngineError, Unavailable
from engine.store import reads
from engine_app.api import shapes
from engine_app.api.executions import by
from engine_app.api.guard import Me, Parts, With
from engine_app.api.strict import Body, up_to
from engine_app.auth.viewer import Viewer
from engine_app.serialize import micros

router = APIRouter(route_class=up_to(20_000), tags=["executions"])
_LONGEST_KEY = 100  # leaves room for an id beside it
# Which executions each verb can mean anything to.
_FITTING = {
    "cancel": EXECUTION_OPEN,
    "pause": EXECUTION_OPEN - {ExecutionStatus.PAUSED},
    "resume": frozenset({ExecutionStatus.PAUSED}),
    "retry": frozenset({ExecutionStatus.FAILED, ExecutionStatus.CANCELLED}),
}


class Filter(Body):
    """As `GET /executions` filters."""

    workflow: str | None = None
    status: list[str] | None = None
    trigger: list[str] | None = None
    text: str | None = Field(None, max_length=200)
    since: str | None = Field(None, description="ISO 8601")
    until: str | None = Field(None, description="ISO 8601, not included")
    schedule: str | None = Field(None, description="the id of what started them")

    def fitting(self, action: str) -> reads.Filter | None:
        """Return what the list is asked for: of these, those that the action fits. None: none.

        Raises:
            InvalidQuery: a status or a time that means nothing.
        """
        reads.check_status(self.status or ())
        fitting = _FITTING[action] if self.status is None else _FITTING[action] & set(self.status)
        if not fitting:
            return None
        return reads.Filter(
            workflow=self.workflow,
            status=sorted(fitting),
            trigger=self.trigger,
            text=self.text,
            since=micros(self.since, "since"),
            until=micros(self.until, "until"),
            schedule=self.schedule,
        )


class Bulk(Body):
    """What to do to which executions: ``ids`` or ``filter``."""

    action: Literal["cancel", "pause", "resume", "retry"]
    ids: list[str] | None = Field(None, min_length=1, max_length=reads.MAX_LIMIT)
    filter: Filter | None = None
    cursor: str | None = Field(None, description="`next_cursor` of the call before, by filter")
    note: str = Field("", max_length=256)
    dry_run: bool = Field(False, description="count, and do nothing")

    @model_validator(mode="after")
    def _one_way(self) -> Bulk:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("give either ids or filter; an empty filter means all of yours")
        return self


class Refused(BaseModel):
    """One that it could not be done to, and why."""

    id: str
    code: str
    detail: str


class Done(BaseModel):
    """One that it was done to; a retry's new execution."""

    id: str
    execution_id: str


class BulkAnswer(BaseModel):
    """What was done, or by a dry run would be."""

    action: str
    matched: int = Field(description="counted to 1000")
    done: list[Done]
    refused: list[Refused]
    next_cursor: str | None = Field(description="there are more: call again with it as `cursor`")


@dataclass(slots=True)
class _Work:
    """The verb, and what has come of it so far."""

    parts: Parts
    me: Viewer
    wanted: Bulk
    key: str | None
    done: list[dict[str, str]] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)

    def run(self, ids: Sequence[str]) -> None:
        """Do it to each; a refusal holds none of the others up."""
        lost: Unavailable | None = None
        for execution_id in dict.fromkeys(ids):
            try:
                if lost is not None:
                    raise lost
                found = self._apply(execution_id)
            except EngineError as error:
                # Nobody waits two hundred times for a database that does not answer.
                lost = error if isinstance(error, Unavailable) else None
                detail = {"id": execution_id, "code": error.code, "detail": error.message}
                self.refused.append(detail)
            else:
                self.done.append({"id": execution_id, "execution_id": found})

    def _apply(self, execution_id: str) -> str:
        client, owner_id, note = self.parts.client, self.me.id, self.wanted.note
        match self.wanted.action:
            case "cancel":
                client.cancel(owner_id=owner_id, execution_id=execution_id, note=note)
            case "pause":
                client.pause(owner_id=owner_id, execution_id=execution_id, note=note)
            case "resume":
                client.resume(owner_id=owner_id, execution_id=execution_id)
            case "retry":
                key = None if self.key is None else f"{self.key}.{execution_id}"
                return client.start_again(
                    owner_id=owner_id,
                    execution_id=execution_id,
                    trigger_detail=by(self.me),
                    idempotency_key=key,
                ).execution_id
        return execution_id


@router.post("/executions/bulk", response_model=BulkAnswer)
def bulk(
    wanted: Bulk,
    me: Me,
    parts: With,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=_LONGEST_KEY)] = None,
) -> Response:
    """Do one thing to many executions of yours, 200 at most in one call. Those that it does not
    fit are left out by a filter, and refused by id. With an `Idempotency-Key`, a retry that is
    sent again starts nothing twice."""
    given = (wanted.filter or Filter()).fitting(wanted.action)
    work, matched, next_cursor = _Work(parts, me, wanted, idempotency_key), 0, None
    if given is not None:
        given = replace(given, ids=wanted.ids)
        matched = parts.database.read(lambda connection: reads.matching(connection, me.id, given))
    if given is not None and not wanted.dry_run:
        ids, next_cursor = (
            (wanted.ids, None) if wanted.ids is not None else _listed(parts, me, wanted, given)
        )
        work.run(ids)
    return shapes.json(
        {
            "action": wanted.action,
            "matched": matched,
            "done": work.done,
            "refused": work.refused,
            "next_cursor": next_cursor,
        }
    )


def _listed(
    parts: Parts, me: Viewer, wanted: Bulk, given: reads.Filter
) -> tuple[list[str], str | None]:
    now = parts.database.now()
    page = parts.database.read(
        lambda connection: reads.executions(
            connection, me.id, given, now=now, cursor=wanted.cursor, limit=reads.MAX_LIMIT
        )
    )
    return [row.id for row in page.rows], page.next_cursor
