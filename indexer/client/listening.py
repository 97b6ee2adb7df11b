"""Server-sent events → levels, across broken connections: each comes once, none is missed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson

from indexer.client.asking import Asker, pause
from indexer.client.decode import record
from indexer.client.models import LevelEvent
from indexer.errors import DeaiError, SourceCorrupt, SourceUnavailable


class Listening:
    """One stream of an index."""

    def __init__(self, asker: Asker, path: str) -> None:
        self.asker = asker
        self.path = path

    async def events(self, after: str | None) -> AsyncGenerator[LevelEvent, None]:
        """Levels for as long as the caller takes them.

        A connection that was made and broke is made again at once, then with pauses; one that cannot be made
        `attempts` times in a row raises SourceUnavailable. A refusal is raised as it is.
        """
        failures = 0
        async with self.asker.watching():
            while True:
                try:
                    async with aclosing(self._connected(after)) as levels:
                        async for level in levels:
                            failures, after = 0, level.id
                            yield level
                except DeaiError as error:
                    failures += 1
                    if not error.retryable or failures >= self.asker.patience.attempts:
                        raise
                await pause(self.asker.patience.reconnect * min(failures, 5))

    async def _connected(self, after: str | None) -> AsyncGenerator[LevelEvent, None]:
        params = {"after": after} if after else {}
        fields: dict[str, str] = {}
        async with self.asker.events(self.path, params) as lines:
            async for line in lines:
                if line:
                    name, _, value = line.partition(":")
                    fields[name] = value.removeprefix(" ")
                elif fields.get("event") == "level":
                    yield self._level(fields)
                    fields = {}
                else:
                    fields = {}
        raise SourceUnavailable(f"{self.asker.base}{self.path} ended the stream")

    def _level(self, fields: dict[str, str]) -> LevelEvent:
        try:
            data = {**orjson.loads(fields["data"]), "id": fields["id"]}
        except (KeyError, ValueError, TypeError):
            raise SourceCorrupt(f"{self.path} sent an event without id or data: {fields}") from None
        return record(LevelEvent, data, where=self.path)
