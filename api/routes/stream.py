"""New levels as they are published: server-sent events, and the same messages by WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, WebSocket
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocketDisconnect

from api.deps import Services, ServicesDep
from api.live.hub import Mailbox
from api.live.messages import PING, RETRY, Key, LevelMessage, missed_messages, newest_message, parse_id
from api.params import IndexId
from api.problems import declared, problem
from indexer.errors import DeaiError
from indexer.store.read import read_index

router = APIRouter(prefix="/v1/indices/{index_id}", tags=["stream"])
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
EVENTS: dict[str, Any] = {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Events"}


@router.get(
    "/stream",
    response_class=Response,
    responses={200: EVENTS, **declared("not_found", "invalid_request")},
    summary="New levels as server-sent events",
)
async def stream_levels(
    request: Request,
    services: ServicesDep,
    index_id: IndexId,
    *,
    last_event_id: Annotated[str | None, Header(max_length=64, description="Replay what came after")] = None,
    after: Annotated[str | None, Query(max_length=64, description="The same, for clients that set no headers")] = None,
) -> Response:
    """The newest level at once, then each new one: `event: level`, `id`, `data` as JSON. Comments keep it alive.

    With Last-Event-ID, what was missed comes first (at most 1,000). A slow client skips to the newest.
    """
    await asyncio.to_thread(read_index, services.store, index_id)
    known = last_event_id or after
    seen = parse_id(known) if known else None
    if services.hub.full:
        said = f"{services.hub.most} clients listen already; ask /latest, or try again"
        return problem(request.scope, "too_many_requests", detail=said, headers={"Retry-After": "30"})
    return StreamingResponse(_events(services, index_id, seen), media_type="text/event-stream", headers=HEADERS)


async def _events(services: Services, index_id: str, seen: Key | None) -> AsyncIterator[bytes]:
    with services.hub.listening(index_id) as box:
        yield RETRY
        async for message in _messages(services, index_id, box, seen=seen):
            yield PING if message is None else message.as_event()


async def _messages(
    services: Services, index_id: str, box: Mailbox, *, seen: Key | None
) -> AsyncIterator[LevelMessage | None]:
    """What was missed (or the newest), then whatever comes; None is a sign of life. Never the same twice."""
    for message in await asyncio.to_thread(_beginning, services, index_id, seen):
        seen = message.key
        yield message
    while True:
        arrived = await box.take()
        if arrived is None:
            yield None
        elif seen is None or arrived.key > seen:
            seen = arrived.key
            yield arrived


def _beginning(services: Services, index_id: str, seen: Key | None) -> list[LevelMessage]:
    if seen is not None:
        return missed_messages(services.store, index_id, seen)
    newest = newest_message(services.store, index_id)
    return [] if newest is None else [newest]


@router.websocket("/ws")
async def socket_levels(socket: WebSocket, index_id: str) -> None:
    """The same messages as text frames: {"event": "level", "id": …, "data": {…}}. What the client sends is ignored."""
    services: Services = socket.app.state.services
    try:
        await asyncio.to_thread(read_index, services.store, index_id)
        after = socket.query_params.get("after")
        seen = parse_id(after) if after else None
    except DeaiError as error:
        await socket.accept()
        await socket.close(code=1008, reason=str(error)[:120])
        return
    await socket.accept()
    if services.hub.full:
        await socket.close(code=1013, reason="too many clients listen already")
        return
    sending = asyncio.create_task(_send_all(services, socket, index_id, seen))
    try:
        while True:
            await socket.receive()
    except (WebSocketDisconnect, RuntimeError):
        pass
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _send_all(services: Services, socket: WebSocket, index_id: str, seen: Key | None) -> None:
    with services.hub.listening(index_id) as box:
        async for message in _messages(services, index_id, box, seen=seen):
            await socket.send_text('{"event":"ping"}' if message is None else message.as_text())
