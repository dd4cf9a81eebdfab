"""An execution's events as a stream (SSE) that goes on where the client left off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

import anyio
from anyio import CapacityLimiter
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from engine.codec import encode
from engine.core.status import EXECUTION_ENDS
from engine.errors import EngineError, InvalidQuery, NotFound, Unauthenticated
from engine.store import reads
from engine.store.reads import EventView
from engine_app.api.guard import Me, With, viewer_of
from engine_app.api.strict import LARGEST, Strict
from engine_app.pubsub import Subscription, execution_topic, hub
from engine_app.serialize import shape

HEARTBEAT_SECONDS = 15.0  # proxies cut a silent connection after 30 to 60
# Without Redis's word the stream looks by itself; with it only to make up for a lost one.
POLL_SECONDS = (1.0, 5.0)
_BATCH = 500
# Streams read on a few threads of their own: two hundred of them must leave the API its threads.
_READERS = 4
router = APIRouter(route_class=Strict, tags=["executions"])


@dataclass(frozen=True, slots=True)
class _News:
    events: list[EventView]
    over: bool = False  # the execution ended and these are its last events
    refusal: EngineError | None = None  # why whoever opened the stream may see it no more


class _Stream:
    """One client's stream of one execution."""

    def __init__(self, request: Request, owner_id: str, execution_id: str, after: int) -> None:
        self._request = request
        self._owner_id = owner_id
        self._execution_id = execution_id
        self.after = after

    async def look(self) -> _News:
        """Return what is new, or why the client may see it no more.

        Raises:
            NotFound: there is no such execution, or it belongs to someone else.
        """
        state = self._request.app.state
        if not hasattr(state, "stream_readers"):
            state.stream_readers = CapacityLimiter(_READERS)
        return await anyio.to_thread.run_sync(self._read, limiter=state.stream_readers)

    def _read(self) -> _News:
        # Asked each time: signing out, or a revoked token, ends the stream at the next look.
        if viewer_of(self._request) is None:
            said = "the session or the token is not valid any more"
            return _News([], refusal=Unauthenticated(said))
        events, status, last_seq = self._request.app.state.parts.database.read(
            lambda connection: reads.news(
                connection, self._owner_id, self._execution_id, self.after, _BATCH
            )
        )
        seen = events[-1].seq if events else self.after
        return _News(events, over=status in EXECUTION_ENDS and seen >= last_seq)

    async def follow(self, first: _News, bell: Subscription) -> AsyncIterator[bytes]:
        """Yield events as they come, and comments while none do, until the execution is over or
        the client may see it no more: it is told which."""
        news, silent = first, 0.0
        while True:
            for event in news.events:
                self.after = event.seq
                yield _message(event)
            if news.over or news.refusal:
                yield _last(news.refusal)
                return
            silent = 0.0 if news.events else silent
            if len(news.events) < _BATCH:
                wait = POLL_SECONDS[hub.connected]
                rang = await bell.wait(wait)
                silent += 0.0 if rang else wait
            if silent >= HEARTBEAT_SECONDS:
                silent = 0.0
                yield b": still here\n\n"
            news = await self._look_or_nothing()

    async def _look_or_nothing(self) -> _News:
        try:
            return await self.look()
        except NotFound as refusal:
            return _News([], refusal=refusal)  # it was deleted meanwhile
        except EngineError:
            # The database is away: the client keeps its place and hears when it is back.
            return _News([])


def _message(event: EventView) -> bytes:
    data = encode(shape(event))
    return f"id: {event.seq}\nevent: {event.type}\ndata: {data}\n\n".encode()


def _last(refusal: EngineError | None) -> bytes:
    if refusal is None:
        return b"event: end\ndata: {}\n\n"
    data = encode({"code": refusal.code, "detail": refusal.message})
    return f"event: closed\ndata: {data}\n\n".encode()


@router.get(
    "/executions/{execution_id}/events",
    response_class=Response,
    responses={
        200: {"content": {"text/event-stream": {}}},
        204: {"description": "the execution is over and all its events were seen"},
    },
)
async def events(
    *,
    execution_id: str,
    request: Request,
    me: Me,
    parts: With,
    last_event_id: Annotated[str | None, Header()] = None,
    after: Annotated[
        int, Query(ge=0, le=LARGEST, description="the number of the last event seen")
    ] = 0,
) -> Response:
    """Events as they happen, each once and in order; resumes by `Last-Event-ID`.

    A last message `end` says that the execution has ended and all was sent; asked again then it
    answers 204, which tells a browser's EventSource to stop asking. `closed` says that you may see
    it no more, with `code` and `detail`; asked again it answers by that code.
    """
    stream = _Stream(request, me.id, execution_id, _number(last_event_id, after))
    first = await stream.look()
    if first.over and not first.events and stream.after:
        return Response(status_code=204)

    async def body() -> AsyncIterator[bytes]:
        with hub.subscribe(execution_topic(execution_id)) as bell:
            bell.ring()  # what came between the first look and now rang for nobody
            async for part in stream.follow(first, bell):
                yield part

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(body(), media_type="text/event-stream", headers=headers)


def _number(last_event_id: str | None, after: int) -> int:
    if last_event_id is None or last_event_id == "":
        return after
    if not last_event_id.isdecimal() or len(last_event_id) > 9:
        raise InvalidQuery("Last-Event-ID is not the number of an event")
    return int(last_event_id)
