"""Coin Metrics community: reference rates as a cross-check. Non-commercial licence, so only when opted in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from indexer.errors import InputError, SourceCorrupt, SourceRefused
from indexer.sources.base import Ask, Call, Capabilities, Dataset, Parsed, RestSource, known
from indexer.sources.http import Answer
from indexer.sources.records import Reject
from indexer.sources.rows import bars_of_points, json_of
from indexer.times import INTERVAL_US, iso, parse_instant

METRIC: Final = "ReferenceRateUSD"


@dataclass(frozen=True)
class CoinMetrics(RestSource):
    """`timeseries/asset-metrics`: ReferenceRateUSD, true at its stamp (a daily one is the 00:00 fixing).

    Ids are its own: TAO is `tao_bittensor`, never `tao`.
    """

    about: ClassVar[Capabilities] = known("coinmetrics")

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        return self.paged(ask, self._metrics) if ask.dataset is Dataset.BARS else ()

    @staticmethod
    def _metrics(ask: Ask) -> Call:
        params = {
            "assets": ask.symbol,
            "metrics": METRIC,
            "frequency": ask.interval,
            "start_time": iso(ask.start_us + INTERVAL_US[ask.interval]),
            "end_time": iso(ask.end_us),
            "page_size": "10000",
        }
        return Call("coinmetrics", "/timeseries/asset-metrics", params, ask, rows=ask.rows)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        body = json_of(answer, "coinmetrics")
        if isinstance(body, dict) and isinstance(body.get("error"), dict):
            error = body["error"]
            raise SourceRefused(f"coinmetrics answers {error.get('type')}: {error.get('message')}")
        data = body.get("data") if isinstance(body, dict) else None
        if not isinstance(data, list):
            raise SourceCorrupt("coinmetrics answered without `data`")
        if isinstance(body, dict) and body.get("next_page_token"):
            raise SourceCorrupt(f"coinmetrics split {call.ask.symbol} into pages although one was asked")
        points: list[list[object]] = []
        rejects: list[Reject] = []
        for at, row in enumerate(data):
            if not isinstance(row, dict) or row.get("asset") != call.ask.symbol:
                rejects.append(Reject("not an asked id", str(row)[:300], at))
                continue
            try:
                points.append([parse_instant(str(row.get("time"))) / 1000, row.get(METRIC)])
            except InputError:
                rejects.append(Reject("stamp is not an instant", str(row)[:300], at))
        parsed = bars_of_points(points, call, fetched_us=answer.fetched_us)
        return Parsed(bars=parsed.bars, rejects=(*rejects, *parsed.rejects), open_rows=parsed.open_rows)
