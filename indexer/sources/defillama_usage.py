"""DefiLlama: what a network earns and holds, a day at a time: fees, DEX volume and value locked, in USD. No key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np

from indexer.errors import SourceCorrupt
from indexer.sources.base import Ask, Call, Capabilities, Dataset, History, Kind, Licence, Parsed, RestSource, Stamp
from indexer.sources.http import Answer
from indexer.sources.records import Reject, Series
from indexer.sources.rows import json_of, number, stamps_us
from indexer.times import DAY_US

NAME: Final = "defillama-usage"
# the registry's identifier → the path of its history, and what the metric is called
PATHS: Final = {
    "defillama_fees": ("/summary/fees/{id}", "fees_usd"),
    "defillama_dexs": ("/summary/dexs/{id}", "dex_volume_usd"),
    "defillama_chain": ("/v2/historicalChainTvl/{id}", "tvl_usd"),
}


@dataclass(frozen=True)
class DefiLlamaUsage(RestSource):
    """Whole histories of days: [[s, USD], …], of value locked [{date s, tvl}, …]. A stamp is the day's 00:00 UTC.

    A symbol is `identifier:name`, e.g. `defillama_fees:akash-network`. Records carry the day's end; the day that
    is not over yet is left out, as DefiLlama goes on counting it.
    """

    about: ClassVar[Capabilities] = Capabilities(
        name=NAME,
        title="DefiLlama fees, volumes and value locked",
        kind=Kind.AGGREGATOR,
        base_url="https://api.llama.fi",
        datasets=frozenset({Dataset.USAGE}),
        stamp=Stamp.BAR_OPEN,
        licence=Licence.COMMERCIAL_OK,
        docs="https://defillama.com/docs/api",
        loses="what the networks earn",
        history={"1d": History(max_rows=10_000)},
        notes="an estimate of its adapters; revised without notice",
    )

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        if ask.dataset is not Dataset.USAGE:
            return ()
        provider, _, name = ask.symbol.partition(":")
        path, metric = PATHS.get(provider, PATHS["defillama_fees"])
        params = {} if metric == "tvl_usd" else {"excludeTotalDataChartBreakdown": "true"}
        return (Call(NAME, path.format(id=name), params, ask, rows=ask.rows),)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        body = json_of(answer, NAME)
        rows = body.get("totalDataChart") if isinstance(body, dict) else body
        if not isinstance(rows, list):
            raise SourceCorrupt(f"{NAME} answered without a history of days")
        metric = PATHS.get(call.ask.symbol.partition(":")[0], PATHS["defillama_fees"])[1]
        pairs = [_pair(row) for row in rows]
        day = stamps_us(np.array([at for at, _ in pairs]), 1_000_000, name=NAME)
        value = np.array([usd for _, usd in pairs])
        end = day + DAY_US
        good = (day > 0) & (day % DAY_US == 0) & (end <= answer.fetched_us) & np.isfinite(value) & (value >= 0.0)
        late = (day > 0) & (end > answer.fetched_us)
        rejects = tuple(
            Reject("not an amount of USD of a whole day", str(rows[n])[:300], int(n))
            for n in np.flatnonzero(~good & ~late)
        )
        asked = good & (end > call.ask.start_us) & (end <= call.ask.end_us)
        times, first = np.unique(end[asked], return_index=True)
        return Parsed(series=(Series(call.ask.symbol, metric, times, value[asked][first]),), rejects=rejects)


def _pair(row: Any) -> tuple[float, float]:
    """(seconds, USD) of a row, NaN where it has none."""
    if isinstance(row, dict):
        return number(row.get("date")), number(row.get("tvl"))
    if isinstance(row, list) and len(row) == 2:
        return number(row[0]), number(row[1])
    return float("nan"), float("nan")
