"""Plain questions for levels and streams, answered without the framework.

Its routing and injection cost more than an answer, and each message of a stream would go through all its layers.

Place in the flow: the edge asks here after the hot cache. What is not plain (another address or format, a parameter
that is unknown, given twice or does not hold, any error) is left to the route, which gives the same answers.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from api.answers.params import MAX_LIMIT, Interval, Shape, to_instant
from api.routes.levels import level_query, levels_answer
from api.routes.stream import stream_of
from indexer.errors import DeaiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response
    from starlette.types import Scope

    from api.answers.deps import Services

ADDRESS = re.compile(r"/v1/indices/([a-z0-9-]{1,64})/(levels|stream)")
COUNT = re.compile(r"[1-9][0-9]{0,4}")


def _count(text: str) -> int:
    if not COUNT.fullmatch(text) or int(text) > MAX_LIMIT:
        raise ValueError(text)
    return int(text)


PARAMETERS: dict[str, Callable[[str], Any]] = {
    "start": to_instant,
    "end": to_instant,
    "interval": Interval,
    "limit": _count,
    "last": _count,
    "shape": Shape,
}


class Direct:
    """Answers what is plain, with the services of one application."""

    def __init__(self, services: Services) -> None:
        self.services = services

    async def __call__(self, scope: Scope, path: str) -> Response | None:
        """The answer to a GET of this path (below the root path), or None to ask the route."""
        found = ADDRESS.fullmatch(path)
        if found is None:
            return None
        index_id, noun = found.groups()
        try:
            return await (self._levels(scope, index_id) if noun == "levels" else self._stream(scope, index_id))
        except (KeyError, ValueError, DeaiError):
            return None

    async def _levels(self, scope: Scope, index_id: str) -> Response | None:
        if any(name == b"accept" and b"csv" in value for name, value in scope["headers"]):
            return None
        given = parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, strict_parsing=True)
        asked = {name: PARAMETERS[name](text) for name, text in given}
        if len(asked) < len(given):
            return None
        shape = asked.pop("shape", Shape.ROWS)
        query = await level_query(**asked)
        return await asyncio.to_thread(levels_answer, Request(scope), self.services, index_id, asked=query, shape=shape)

    async def _stream(self, scope: Scope, index_id: str) -> Response | None:
        if scope["query_string"]:
            return None
        known = [value.decode("latin-1") for name, value in scope["headers"] if name == b"last-event-id"]
        return await stream_of(self.services, scope, index_id, known=known[-1] if known else None)
