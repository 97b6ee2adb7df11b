"""A real uvicorn on a loopback port, in a thread of the test process, with a bounded start and stop."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from api.app import end_streams
from api.middleware.limits import Limits, bounded


@dataclass(frozen=True)
class Live:
    """A running application, its address, and its event loop for calls from the test."""

    app: FastAPI
    url: str
    port: int
    loop: asyncio.AbstractEventLoop


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.loop = asyncio.get_running_loop()
        self.ready.set()


@contextmanager
def serve(app: FastAPI, *, limits: Limits = Limits()) -> Iterator[Live]:
    """Serves the application until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    port = listener.getsockname()[1]
    config = uvicorn.Config(app, http=bounded(limits), log_level="error", access_log=False, proxy_headers=False)
    server = _Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    if not server.ready.wait(20):
        raise RuntimeError("the server did not start within 20 s")
    assert server.loop is not None
    try:
        yield Live(app, f"http://127.0.0.1:{port}", port, server.loop)
    finally:
        server.loop.call_soon_threadsafe(end_streams, app)
        server.should_exit = True
        thread.join(20)
        listener.close()
    if thread.is_alive():
        raise RuntimeError("the server did not stop within 20 s")
