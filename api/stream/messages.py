"""A published level as a message with an id that orders it, and its two encodings on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api.answers.encode import to_json
from api.answers.wire import status_name
from indexer.errors import InputError
from indexer.store.db import Store
from indexer.store.read import read_index, read_latest_level, read_levels
from indexer.store.records import LevelRows
from indexer.times import from_us

MAX_REPLAY = 1000
PING = b": ping\n\n"
RETRY = b"retry: 5000\n\n"

Key = tuple[int, int]


@dataclass(frozen=True, slots=True)
class LevelMessage:
    """A level with its key (instant, revision): later keys are newer. Encoded once, however many listen.

    `event` is the server-sent event, `text` the WebSocket frame; `id` is the key as clients send it back.
    """

    key: Key
    id: str
    event: bytes
    text: str


def message_of(key: Key, data: dict[str, Any]) -> LevelMessage:
    """The message for a level."""
    name = f"{key[0]}.{key[1]}"
    event = b"event: level\nid: " + name.encode() + b"\ndata: " + to_json(data) + b"\n\n"
    return LevelMessage(key, name, event, to_json({"event": "level", "id": name, "data": data}).decode())


def parse_id(text: str) -> Key:
    """The key of a Last-Event-ID. Raises InputError on anything we did not send."""
    time, _, revision = text.strip().partition(".")
    if not (text.isascii() and time.isdigit() and revision.isdigit() and len(time) <= 18 and len(revision) <= 9):
        raise InputError(f'Last-Event-ID "{text[:40]}" is not one of ours; leave it out to begin with the newest level')
    return int(time), int(revision)


def newest_message(store: Store, index_id: str) -> LevelMessage | None:
    """The newest level of an index, or None while it has none. Raises NotFoundError for an unknown index."""
    rows = read_latest_level(store, index_id)
    return None if rows is None else _messages(store, index_id, rows)[-1]


def missed_messages(store: Store, index_id: str, after: Key) -> list[LevelMessage]:
    """What was published after a key, oldest first, at most the newest 1,000; a correction of that level included."""
    rows = read_levels(store, index_id, start_us=after[0], limit=MAX_REPLAY)
    return [message for message in _messages(store, index_id, rows) if message.key > after]


def _messages(store: Store, index_id: str, rows: LevelRows) -> list[LevelMessage]:
    simulated = read_index(store, index_id).simulated
    return [
        message_of(
            (int(rows.times_us[n]), int(rows.revision[n])),
            {
                "index": index_id,
                "simulated": simulated,
                "time": from_us(int(rows.times_us[n])),
                "level": float(rows.levels[n]),
                "status": status_name(int(rows.status[n])),
                "carried_weight": float(rows.carried_weight[n]),
                "revision": int(rows.revision[n]),
                "published_at": from_us(int(rows.published_at_us[n])),
            },
        )
        for n in range(len(rows))
    ]
