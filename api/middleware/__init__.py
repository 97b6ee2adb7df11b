"""What every request passes before the routes: identity, limits, keys, cache, headers. Plain ASGI, one idea a class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HttpMiddleware(ABC):
    """Passes on what is not HTTP; a subclass says in `http` what happens to a request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return (self.http if scope["type"] == "http" else self.app)(scope, receive, send)

    @abstractmethod
    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request, mostly by `self.app`."""


def path_of(scope: Mapping[str, Any]) -> str:
    """The path of a request below the one that the application is served at."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def at_start(send: Send, change: Callable[[Message], None]) -> Send:
    """`send` that first lets `change` see to the message which begins an answer."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            change(message)
        await send(message)

    return sending
