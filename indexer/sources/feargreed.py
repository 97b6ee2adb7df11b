"""The fear & greed index of alternative.me: one number a day, 0 (fear) to 100 (greed). No key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from indexer.errors import SourceCorrupt, SourceRefused
from indexer.sources.base import Ask, Call, Capabilities, Dataset, Parsed, RestSource, known
from indexer.sources.http import Answer
from indexer.sources.records import Reject, Series
from indexer.sources.rows import dict_in, json_of, number, stamps_us
from indexer.times import DAY_US

NAME = "fear_greed_0_100"


@dataclass(frozen=True)
class FearGreed(RestSource):
    """`/fng/`: {data: [{value, value_classification, timestamp s}, …]}, newest first; stamps are 00:00 UTC."""

    about: ClassVar[Capabilities] = known("feargreed")

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        if ask.dataset is not Dataset.SENTIMENT:
            return ()
        days = max(1, -(-(ask.now_us - ask.start_us) // DAY_US) + 1)  # it counts back from today only
        return (Call("feargreed", "/fng/", {"limit": str(days), "format": "json"}, ask, rows=ask.rows),)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        body = json_of(answer, "feargreed")
        data = body.get("data") if isinstance(body, dict) else None
        error = dict_in(dict_in(body).get("metadata")).get("error")
        if error:
            raise SourceRefused(f"feargreed answers: {error}")
        if not isinstance(data, list) or any(not isinstance(row, dict) for row in data):
            raise SourceCorrupt("feargreed answered without `data`")
        at = stamps_us(np.array([number(row.get("timestamp")) for row in data]), 1_000_000, name="feargreed")
        value = np.array([number(row.get("value")) for row in data])
        good = (at > 0) & (value >= 0.0) & (value <= 100.0) & (at <= answer.fetched_us)
        rejects = tuple(
            Reject("not a value of 0 to 100 at an instant", str(data[n])[:300], int(n)) for n in np.flatnonzero(~good)
        )
        asked = good & (at > call.ask.start_us) & (at <= call.ask.end_us)
        times, first = np.unique(at[asked], return_index=True)
        return Parsed(series=(Series("market", NAME, times, value[asked][first]),), rejects=rejects)
