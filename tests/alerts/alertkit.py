"""A store whose levels are published one by one, a receiver on a real socket, and a process that is killed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from indexer.alerts.rules import Alerts, parse_alerts
from indexer.store.db import Store, open_store
from indexer.store.indices import write_index, write_methodology
from indexer.store.levels import read_latest_level, write_levels
from indexer.store.runs import finish_run, start_run
from indexer.times import HOUR_US, from_us, to_us

START = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="


def new_store(path: Path) -> Store:
    """A migrated store with an index that has no levels yet."""
    store = open_store(f"sqlite:///{path / 'deai.sqlite'}")
    store.migrate()
    rules = write_methodology(store, index_id="deai", version="1", hash="0" * 64, text_="", loaded_at=START)
    write_index(store, index_id="deai", name="DeAI", description="", methodology_id=rules, simulated=False)
    return store


def publish(store: Store, levels: Sequence[float], *, status: Sequence[int] = ()) -> datetime:
    """Levels of the hours after the newest one, as one run; the instant of the last."""
    newest = read_latest_level(store, "deai")
    first = to_us(START) if newest is None else int(newest.times_us[-1]) + HOUR_US
    times = first + HOUR_US * np.arange(len(levels))
    last = from_us(int(times[-1]))
    run = start_run(store, kind="update", key=f"update:{last}", now=last)
    assert run is not None
    blank = [bytes(32)] * len(levels)
    write_levels(
        store, run, index_id="deai", methodology_id=1, times_us=times, levels=np.array(levels, dtype=np.float64),
        status=np.array(status or [0] * len(levels), dtype=np.int8), carried_weight=np.zeros(len(levels)),
        inputs_hash=blank, prev_hash=blank, hash=blank, published_at_us=times,
    )  # fmt: skip
    finish_run(store, run, now=last)
    return last


@dataclass
class Receiver:
    """What came in, and how the next requests are answered: (status, headers), then 204 for ever."""

    url: str = ""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.requests if "webhook-id" in headers]

    @property
    def chats(self) -> list[bytes]:
        return [body for headers, body in self.requests if "webhook-id" not in headers]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a loopback port until the block ends."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
            status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            receiver.came.set()

        def log_message(self, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


def rules(text: str, receiver: Receiver | None = None, *, chat: bool = False) -> Alerts:
    """These rules, with a webhook to the receiver, and a chat service (JSON) there too."""
    url = receiver.url if receiver else "https://example.org"
    hook = f'[[target]]\nname = "hook"\nurl = "{url}/hook"\nsecret = "{SECRET}"\n'
    json = f'[[target]]\nname = "chat"\nurl = "{url.replace("http", "json")}/chat"\n' if chat else ""
    return parse_alerts(text + hook + json, source="alerts.toml")
