"""Protocols of other people's tools, one file each, over the answers that REST and the client give.

A file here renames and reshapes an answer; it computes nothing, so that a number is the same in every tool.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import Response

from api.answers.problems import refusal_of
from indexer.errors import DeaiError
from indexer.store.rows import IndexRow


def title_of(row: IndexRow) -> str:
    """The name of an index as other tools show it, with the word `simulated` where its prices are invented."""
    return f"{row.name} (simulated)" if row.simulated else row.name


def refusing_by(shape: Callable[[int, str], Response]) -> type[APIRoute]:
    """The class of routes whose refusals have another protocol's shape, made of a status and a sentence."""

    class Route(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler = super().get_route_handler()

            async def handle(request: Request) -> Response:
                try:
                    return await handler(request)
                except (DeaiError, RequestValidationError) as error:
                    return shape(*refusal_of(error))

            return handle

    return Route
