"""What one connection may take of the server before there is a request: size and time of its head, and how many.

The parser knows no bounds: one header of 300 MB took 373 MB of memory. Refused here, before anything is kept of it.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.middleware.limits import LOOPBACK, Limits

TOO_LARGE = b"431 Request Header Fields Too Large"
TOO_SLOW = b"408 Request Timeout"
TOO_MANY = b"429 Too Many Requests"


class Bounded(HttpToolsProtocol):
    """Counts the bytes of a head and the seconds that it takes, and the connections of each address."""

    limits: ClassVar[Limits]
    trusted: ClassVar[tuple[str, ...]]
    head_bytes = 0
    reads_head = True
    slow: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if address and not address.startswith(LOOPBACK) and address not in self.trusted:
            peers = (getattr(other, "client", None) for other in self.connections)
            same = sum(peer is not None and peer[0] == address for peer in peers)
            if same > self.limits.connections:
                self.refuse(TOO_MANY)
                return
        self.wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.head_bytes += len(data)
        super().data_received(data)
        if self.reads_head and self.head_bytes > self.limits.max_head:
            self.refuse(TOO_LARGE)

    def on_message_begin(self) -> None:
        self.reads_head, self.head_bytes = True, 0
        self.wait_for_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.reads_head = False
        self.stop_waiting()
        super().on_headers_complete()

    def wait_for_head(self) -> None:
        """Ends the connection when its next head is not here in time."""
        self.stop_waiting()
        self.slow = self.loop.call_later(self.limits.head_s, self.refuse, TOO_SLOW)

    def stop_waiting(self) -> None:
        """The head is here, or nobody will send it any more."""
        if self.slow is not None:
            self.slow.cancel()
            self.slow = None

    def refuse(self, status: bytes) -> None:
        """Says why and closes."""
        self.stop_waiting()
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()


def bounded(limits: Limits, *, trusted: tuple[str, ...] = ()) -> type[HttpToolsProtocol]:
    """The protocol of a server with these limits. Proxies that are trusted, and this machine, connect freely."""
    return type("BoundedByLimits", (Bounded,), {"limits": limits, "trusted": trusted})
