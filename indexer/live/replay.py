"""A fixing computed again from its manifest: archived answers, the memory of the one before, the rules of the day.

The same code as on the day reads the same bytes, so the rates must be the same to the last bit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from indexer.errors import InputError, SourceUnavailable
from indexer.live.collect import Collected, collect_bars
from indexer.live.fixing import KIND, Fixed, compute
from indexer.live.memory import from_plain
from indexer.reference.rules import FixingRules, Method
from indexer.sources.base import Ask, Call, Capabilities, Mapped, Parsed, Source
from indexer.sources.http import Answer, HttpClient
from indexer.sources.registry import REGISTRY
from indexer.store.archive import Archive
from indexer.times import from_us


@dataclass(frozen=True, slots=True)
class Archived:
    """A source that answers from the archive. What was not answered then is not answered now."""

    source: Source
    archive: Archive
    exchanges: Mapping[tuple[str, str], Mapping[str, Any]]

    @property
    def capabilities(self) -> Capabilities:
        return self.source.capabilities

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        return self.source.calls(ask)

    async def fetch(self, call: Call, http: HttpClient) -> Answer:
        kept = self.exchanges.get(_key(call.path, call.params))
        if kept is None:
            raise SourceUnavailable(f"{call.source} did not answer {call.path} then; the archive holds no answer")
        body = self.archive.get(str(kept["sha256"]))
        return Answer(str(kept["url"]), int(kept["status"]), {}, body, from_us(int(kept["fetched_us"])))

    def parse(self, call: Call, answer: Answer) -> Parsed:
        return self.source.parse(call, answer)


@dataclass(frozen=True, slots=True)
class Refixed:
    """A fixing computed again, with what it was computed from: rows asked for, minutes, sources."""

    fixed: Fixed
    rows: tuple[Mapped, ...]
    got: Collected
    sources: Mapping[str, Source]
    rules: FixingRules


def replay_fixing(archive: Archive, manifest: str) -> Refixed:
    """The fixing whose manifest has this hash, computed again with no network and no clock.

    Raises NotFoundError or VerificationError when bytes are gone or damaged, InputError for another kind of manifest.
    """
    record = orjson.loads(archive.get(manifest))
    if record.get("kind") != KIND:
        raise InputError(f"{manifest[:12]}… is not the manifest of a fixing but of {record.get('kind')!r}")
    asked = [Mapped(**row) for row in record["mapped"]]
    quotes = {row.quote for row in asked}
    before = from_plain(record["before"])
    sources: dict[str, Source] = {
        name: Archived(
            REGISTRY[name](),
            archive,
            {_key(one["path"], one["params"]): one for one in record["exchanges"] if one["source"] == name},
        )
        for name in {row.source for row in asked}
    }

    async def collected() -> Collected:
        async with HttpClient() as http:  # never used: Archived asks nobody
            return await collect_bars(asked, sources, http, at_us=record["at_us"], last_rates=before.last_rates())

    got = asyncio.run(collected())
    rows = tuple(row for row in asked if row.asset not in quotes)
    then = {"pair_theta": record["rules"]["theta"], "aligned": False, **record["rules"]}  # neither was there at first
    rules = FixingRules(**{**then, "method": Method(then["method"])})
    fixed = compute(rows, got.bars, memory=before, at_us=record["at_us"], rules=rules)
    return Refixed(fixed, rows, got, sources, rules)


def _key(path: str, params: Mapping[str, str]) -> tuple[str, str]:
    return path, orjson.dumps(dict(params), option=orjson.OPT_SORT_KEYS).decode()
