"""Plain questions for levels, answered without the framework: its routing and injection cost more than the answer.

Place in the flow: the edge asks here after the hot cache. What is not plain (another address or format, a parameter
that is unknown, given twice or does not hold, any error) is left to the route, which gives the same answers.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from api.params import MAX_LIMIT, Interval, Shape, to_instant
from api.routes.levels import level_query, levels_answer
from indexer.errors import DeaiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response
    from starlette.types import Scope

    from api.deps import Services

ADDRESS = re.compile(r"/v1/indices/([a-z0-9-]{1,64})/levels")
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
        if found is None or any(name == b"accept" and b"csv" in value for name, value in scope["headers"]):
            return None
        try:
            given = parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, strict_parsing=True)
            asked = {name: PARAMETERS[name](text) for name, text in given}
            if len(asked) < len(given):
                return None
            shape = asked.pop("shape", Shape.ROWS)
            query = await level_query(**asked)
            return await asyncio.to_thread(
                levels_answer, Request(scope), self.services, found[1], asked=query, shape=shape
            )
        except (KeyError, ValueError, DeaiError):
            return None
