"""The servers that `bench_api` compares, one to a process: `python -m benchmarks.api_server KIND STORE PORT_FILE`.

Kinds: ours (the application), static (a Starlette Response of the same bytes), model (FastAPI response_model over
one object for each row, the usual way to write such a route).
"""

from __future__ import annotations

import gc
import socket
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from api.answers.encode import as_rows, json_bytes
from api.app import create_app
from api.routes.levels import level_columns
from indexer.store.db import Store, open_store
from indexer.store.drafts import draft
from indexer.store.levels import LevelPage, read_level_page
from indexer.times import DAY_US, from_us

ADDRESS = "/v1/indices/deai/levels?limit=3650"


class Row(BaseModel):
    time: datetime
    level: float
    status: str
    carried_weight: float


class Answer(BaseModel):
    index: str
    data: list[Row]


def page(store: Store) -> LevelPage:
    """The 3,650 daily levels that every server sends."""
    return read_level_page(store, "deai", start_us=None, end_us=None, step_us=DAY_US, as_of_us=None, limit=3650)


def as_model(found: LevelPage) -> Answer:
    """The page as one pydantic object for each row."""
    columns = (found.times_us.tolist(), found.levels.tolist(), found.carried_weight.tolist())
    rows = [
        Row(time=from_us(time), level=level, status="final", carried_weight=carried)
        for time, level, carried in zip(*columns, strict=True)
    ]
    return Answer(index="deai", data=rows)


def static(store: Store) -> Starlette:
    """The bytes of our own answer as a constant: what a Python server can do at best."""
    found = page(store)
    head = {"index": "deai", "simulated": False, "interval": "1d", "shape": "rows", "count": len(found)}
    body = json_bytes({**head, "next": None, "next_url": None, "data": as_rows(level_columns(found))})

    async def send(request: object) -> Response:
        return Response(body, media_type="application/json")

    return Starlette(routes=[Route("/{path:path}", send)])


def model(store: Store) -> FastAPI:
    """The usual way: objects through a response model."""
    app = FastAPI()

    @app.get("/v1/indices/deai/levels", response_model=Answer)
    def levels() -> Answer:
        return as_model(page(store))

    return app


def main() -> None:
    """Serve one kind on a free port, whose number is written to a file when it listens."""
    kind, path, port_file = sys.argv[1:4]
    store = open_store(f"sqlite:///{path}")
    makers: dict[str, Callable[[Store], Any]] = {"ours": create_app, "static": static, "model": model}
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    with draft(Path(port_file)) as part:  # whole or not at all: who waits for the file reads it at once
        part.write_text(str(listener.getsockname()[1]), encoding="ascii")
    if kind == "ours":
        gc.freeze()  # as `deai serve` does
    config = uvicorn.Config(makers[kind](store), log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
