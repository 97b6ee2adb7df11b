"""`Client` and `AsyncClient` of a local store too: the API called in this process, without a socket or a server.

Each request runs the application as a task of the event loop; bodies come as they are sent, so that streams work too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from indexer.client import blocking, reading
from indexer.client.asking import Asker, Patience
from indexer.config import Settings
from indexer.errors import ConfigError, NotFoundError
from indexer.store.db import Store, file_of, open_store

BASE = "http://127.0.0.1"
ENDED: dict[str, Any] = {"type": "ended"}
Where = str | Path | Store


class Anywhere:
    """What makes a client take a store for a server."""

    def __init__(
        self, where: Where = reading.LOCAL_SERVER, *, key: str | None = None, patience: Patience = Patience()
    ) -> None:
        if isinstance(where, str) and where.startswith(("http://", "https://")):
            asker = Asker(where, key=key, patience=patience)
        elif key is not None:
            raise ConfigError("A key is for a server; a local store is read by whoever may read its file")
        else:
            asker = open_local(where).asker(patience)
        super().__init__(asker)  # type: ignore[call-arg]  # of the client beside it


class AsyncClient(Anywhere, reading.AsyncClient):
    """Reads a server (`http://…`) or a local store (a file, a folder, `sqlite:///…`, `postgresql://…`, a `Store`)."""


class Client(Anywhere, blocking.Client):
    """Reads a server or a local store, as `AsyncClient` does, without await. Close it, or use it in `with`.

    `Client()` reads http://127.0.0.1:8000, `Client("https://…", key=…)` another server, `Client("var")` the store in
    a folder, `Client("postgresql://…")` one in PostgreSQL.
    """


def local_url(where: str | Path) -> str:
    """The store's URL: a database URL as it is, a file, or `deai.sqlite` in a folder.

    Raises NotFoundError when there is no such file: reading does not make a store.
    """
    text = str(where)
    if "://" in text and not text.startswith("sqlite:"):
        return text
    path = file_of(text) if text.startswith("sqlite:") else Path(text).expanduser()
    path = path / "deai.sqlite" if path.is_dir() else path
    if not path.is_file():
        raise NotFoundError(
            f"There is no store at {path}; `deai import FILE` makes one, or give the address of a server"
        )
    return f"sqlite:///{path}"


class LocalTransport(httpx2.AsyncBaseTransport):
    """Puts requests to an application in this process. Closing it closes `store`, when one is given."""

    def __init__(self, app: Any, *, store: Store | None = None) -> None:
        self.app = app
        self.store = store

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response to a request; its body is read from the running application."""
        call = _Call(request, self.app)
        head = await call.messages.get()
        if head["type"] != "http.response.start":
            await call.aclose()
            raise httpx2.ReadError("the API ended without an answer", request=request)
        return httpx2.Response(head["status"], headers=head["headers"], stream=call, request=request)

    def asker(self, patience: Patience) -> Asker:
        """What asks this application."""
        return Asker(BASE, patience=patience, transport=self, watching=self.watching)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Looks for new levels for as long as the block lasts, as a server does all the time."""
        from api.stream import watch

        services = self.app.state.services
        task = asyncio.create_task(watch(services))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            services.cache.publish(None)  # nobody looks any more: answers must not be kept

    async def aclose(self) -> None:
        """Closes the store that is its own."""
        if self.store is not None:
            self.store.close()


def open_local(where: str | Path | Store) -> LocalTransport:
    """The transport to a store that is open, or to the one at a path or database URL, which it closes at its end."""
    from api.app import create_app

    store = where if isinstance(where, Store) else open_store(local_url(where))
    folder = store.path.parent if store.path else Path("var")
    # Not from the environment: a reader needs none of the settings of a server.
    app = create_app(store, settings=Settings.model_construct(data_dir=folder))
    return LocalTransport(app, store=None if store is where else store)


class _Call(httpx2.AsyncByteStream):
    """One request as the application sees it, and its messages as they come."""

    def __init__(self, request: httpx2.Request, app: Any) -> None:
        url = request.url
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": url.path,
            "raw_path": url.raw_path.partition(b"?")[0],
            "query_string": url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 80),
        }
        self.body: bytes | None = request.content
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue(maxsize=16)
        self.gone = asyncio.Event()
        self.task = asyncio.create_task(self._run(app))

    async def _run(self, app: Any) -> None:
        try:
            await app(self.scope, self._receive, self.messages.put)
        except Exception:
            await self.messages.put(ENDED)  # the application has logged why; the client sees the answer end
            raise
        await self.messages.put(ENDED)

    async def _receive(self) -> dict[str, Any]:
        if self.body is None:
            await self.gone.wait()
            return {"type": "http.disconnect"}
        body, self.body = self.body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (message := await self.messages.get())["type"] == "http.response.body":
            if message.get("body"):
                yield message["body"]
            if not message.get("more_body"):
                return
        raise httpx2.ReadError("the API broke off within its answer")

    async def aclose(self) -> None:
        """The client is gone: the application hears of it and is ended."""
        self.gone.set()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
