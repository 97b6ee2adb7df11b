"""New levels as they are published: server-sent events, and the same messages by WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, WebSocket
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from api.answers.answer import NEVER, Answer, file_of
from api.answers.encode import json_bytes
from api.answers.params import IndexId
from api.answers.problems import declared, problem
from api.answers.schemas import wire_model
from api.answers.services import Services, ServicesDep
from api.middleware.limits import far_client
from api.stream import PING, RETRY, LevelMessage, Mailbox, Moment, look, missed_messages, newest_message, parse_id
from indexer.arrays import to_json
from indexer.errors import DeaiError
from indexer.live.standing import LiveLevel
from indexer.store.indices import read_index

router = APIRouter(prefix="/v1/indices/{index_id}", tags=["stream"], responses=declared("not_found"))
Emit = Callable[[LevelMessage | None], Awaitable[None]]
LIVE_S = 3.0
CLOSE_REASON_BYTES = 123
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@router.get(
    "/live",
    response_model=wire_model(LiveLevel, "LiveAnswer"),
    responses=declared("not_enough_data", "source_error"),
    summary="The level between fixings",
)
def get_live(services: ServicesDep, index_id: IndexId) -> Response:
    """The index at the venues' prices of now, by the gates of a fixing: never official and kept nowhere.

    The venues are asked at most every two and a half seconds, and only while somebody asks here.
    """
    return Answer(to_json(services.live.level(index_id)), cache_control=NEVER)


@router.get("/stream", **file_of("text/event-stream", "Events"), summary="New levels as server-sent events")
async def stream_levels(
    request: Request,
    services: ServicesDep,
    index_id: IndexId,
    *,
    live: Annotated[bool, Query(description="Also the level between fixings, as event: live")] = False,
    last_event_id: Annotated[str | None, Header(max_length=64, description="Replay what came after")] = None,
    after: Annotated[str | None, Query(max_length=64, description="The same, for clients that set no headers")] = None,
) -> Response:
    """The newest level at once, then each new one: `event: level`, `id`, `data` as JSON. Comments keep it alive.

    With Last-Event-ID, what was missed comes first (at most 1,000). A slow client skips to the newest. With `live`,
    what /live answers comes as `event: live` every few seconds while the venues are asked for it.
    """
    known = last_event_id or after
    await asyncio.to_thread(read_index, services.store, index_id)
    seen = parse_id(known) if known else None
    if refusal := services.hub.refuses(far_client(request.scope)):
        return problem(request.scope, "too_many_requests", detail=refusal, headers={"Retry-After": "30"})
    return EventStream(services, index_id, seen, live=live)


class EventStream(Response):
    """A response that lasts as long as its client: each message goes straight to the socket."""

    media_type = "text/event-stream"

    def __init__(self, services: Services, index_id: str, seen: Moment | None, *, live: bool = False) -> None:
        super().__init__(headers=HEADERS, media_type=self.media_type)
        del self.headers["content-length"]
        self.services = services
        self.index_id = index_id
        self.seen = seen
        self.live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def write(body: bytes) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": True})

        async def emit(message: LevelMessage | None) -> None:
            await write(PING if message is None else message.event)

        with self.services.hub.listening(self.index_id, far_client(scope)) as box:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": RETRY, "more_body": True})
            beside = [asyncio.create_task(_close_when_gone(receive, box))]
            if self.live:
                beside.append(asyncio.create_task(_tell_live(self.services, self.index_id, write)))
            try:
                await pump(self.services, self.index_id, box, seen=self.seen, emit=emit)
                await send({"type": "http.response.body"})
            finally:
                for task in beside:
                    task.cancel()


async def _tell_live(services: Services, index_id: str, write: Callable[[bytes], Awaitable[None]]) -> None:
    """The live level again and again, each one once; while no venue answers there is nothing to tell."""
    last = None
    while True:
        with contextlib.suppress(DeaiError):
            level = await asyncio.to_thread(services.live.level, index_id)
            if level.time != last:
                last = level.time
                await write(b"event: live\ndata: " + json_bytes(to_json(level)) + b"\n\n")
        await asyncio.sleep(LIVE_S)


async def _close_when_gone(receive: Receive, box: Mailbox) -> None:
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    finally:  # a body larger than any is an end too
        box.close()


async def pump(services: Services, index_id: str, box: Mailbox, *, seen: Moment | None, emit: Emit) -> None:
    """Emits what was missed (or the newest), then whatever comes, never the same twice; None is a sign of life."""
    await look(services)  # or the answers kept may be older than the level that is about to be told
    for message in await asyncio.to_thread(_beginning, services, index_id, seen):
        seen = message.key
        await emit(message)
    while True:
        arrived = await box.take()
        if box.closed:
            return
        if arrived is None:
            await emit(None)
        elif seen is None or arrived.key > seen:
            seen = arrived.key
            await emit(arrived)


def _beginning(services: Services, index_id: str, seen: Moment | None) -> list[LevelMessage]:
    if seen is not None:
        return missed_messages(services.store, index_id, seen)
    newest = newest_message(services.store, index_id)
    return [] if newest is None else [newest]


def close_reason(error: DeaiError) -> str:
    """What went wrong in the 123 bytes that a control frame has for it (RFC 6455 §5.5)."""
    return str(error).encode()[:CLOSE_REASON_BYTES].decode(errors="ignore")


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
        await socket.close(code=1008, reason=close_reason(error))
        return
    await socket.accept()
    if refusal := services.hub.refuses(far_client(socket.scope)):
        await socket.close(code=1013, reason=refusal)
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


async def _send_all(services: Services, socket: WebSocket, index_id: str, seen: Moment | None) -> None:
    async def emit(message: LevelMessage | None) -> None:
        await socket.send_text('{"event":"ping"}' if message is None else message.text)

    with services.hub.listening(index_id, far_client(socket.scope)) as box:
        await pump(services, index_id, box, seen=seen, emit=emit)
