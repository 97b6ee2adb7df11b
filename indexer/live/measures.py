"""What is neither price nor supply, into the metrics: stress of the markets by the hour, use of networks by the day.

These numbers are shown and studied; they never enter a price. A perpetual is taken under the venue's own name of the
spot market that the registry maps at that same venue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np

from indexer.live.asking import Question, Reply, ask_all, exchanges_of, keep_replies, series_of
from indexer.live.context import Live
from indexer.live.mapping import base_and_quote, ids_at, venue_mappings
from indexer.registry import Registry
from indexer.sources.base import Ask, Dataset, Source
from indexer.sources.derivatives import contract_sizes
from indexer.sources.records import Liquidations, hourly_liquidations
from indexer.sources.registry import PERPETUALS, build_sources
from indexer.sources.usage import USAGE as SERVICES
from indexer.store.bars import read_metrics, write_metrics
from indexer.store.db import Store
from indexer.store.rows import MetricSeries, Written
from indexer.store.runs import last_run_before
from indexer.times import DAY_US, HOUR_US, parse_instant, to_us

STRESS, USAGE = "stress", "usage"
FIRST_US: Final = 7 * DAY_US
USED_SINCE_US: Final = parse_instant("2022-10-01T00:00:00Z")  # a quarter before the base date
AGAIN_US: Final = 8 * HOUR_US  # funding is paid every eight hours; open interest comes late
NUMBERS: Final = (Dataset.FUNDING, Dataset.OPEN_INTEREST)
NAMES: Final = {Dataset.FUNDING: "funding_rate", Dataset.OPEN_INTEREST: "open_interest"}  # how their metrics begin


def read_stress(live: Live, due: datetime, run_id: int) -> Mapping[str, Any]:
    """Write what is new; the counts. Raises SourceUnavailable when no source answered.

    Funding and open interest are asked from the newest value stored, so that hours that a source failed come later.
    """
    end_us = to_us(due)
    newest = _newest(live, end_us - FIRST_US)
    replies = ask_all(live, list(_questions(live, newest, _fresh_us(live.store, due), end_us)))
    written = write_measures(live.store, run_id, replies, due=due)
    down = keep_replies(live, run_id, replies, what="any measure of stress")
    return {"values": written.new + written.revised, "failed_sources": sorted(down)}


def write_measures(store: Store, run_id: int, replies: Sequence[Reply], *, due: datetime) -> Written:
    """Write what replies brought that is new or differs."""
    orders = _liquidations(replies, _fresh_us(store, due), to_us(due))
    return write_metrics(store, run_id, [*series_of(replies), *orders])


def _fresh_us(store: Store, due: datetime) -> int:
    """From when on orders count: the list of them is capped, so an hour read again would look smaller."""
    last = last_run_before(store, STRESS, due)
    done_us = to_us(last.due_at) if last is not None and last.due_at is not None else to_us(due) - FIRST_US
    return max(done_us, to_us(due) - DAY_US)


def _newest(live: Live, since_us: int) -> dict[tuple[str, str, Dataset], int]:
    """The newest instant stored since then, by asset, source and kind of number."""
    return {
        (one.subject, one.source, dataset): int(one.time_us[-1])
        for one in read_metrics(live.store, since_us=since_us)
        for dataset, begins in NAMES.items()
        if one.name.startswith(begins)
    }


def _questions(
    live: Live, newest: Mapping[tuple[str, str, Dataset], int], fresh_us: int, end_us: int
) -> Iterator[Question]:
    swaps = live.sources.get("okx-derivatives")
    end = to_us(live.clock())
    sizes = live.upstream.run(lambda http: contract_sizes(swaps, http, now_us=end)) if swaps else {}
    for row in venue_mappings(live.registry, _spot(live)):
        source = PERPETUALS[row.source].source
        symbol = perpetual(row.source, row.symbol)
        size = sizes.get(symbol, float("nan")) if row.source == "okx" else float("nan")
        datasets = live.sources[source].capabilities.datasets
        for dataset in (*NUMBERS, Dataset.LIQUIDATIONS):
            if dataset is Dataset.LIQUIDATIONS and not np.isfinite(size):
                continue  # an order's size in contracts says nothing without the contract's size
            if dataset in datasets:
                known = newest.get((row.asset, source, dataset), 0)
                begin = fresh_us if dataset is Dataset.LIQUIDATIONS else max(known - AGAIN_US, end_us - FIRST_US)
                ask = Ask(dataset, (symbol,), begin, end_us, end_us, "1h", contract_size=size)
                yield Question(row.asset, source, ask)
    yield Question(
        "market", "feargreed", Ask(Dataset.SENTIMENT, ("market",), end_us - 8 * DAY_US, end_us, end_us, "1d")
    )


def _spot(live: Live) -> dict[str, Source]:
    """The spot venues whose derivatives are in use: only their names and kinds matter here, nobody asks them."""
    every = build_sources(only=tuple(PERPETUALS))
    return {venue: every[venue] for venue, swaps in PERPETUALS.items() if swaps.source in live.sources}


def perpetual(venue: str, symbol: str) -> str:
    """The venue's perpetual swap on the base of its own spot symbol, settled in USDT."""
    return PERPETUALS[venue].symbol.format(base=base_and_quote(symbol)[0])


def _liquidations(replies: Sequence[Reply], start_us: int, end_us: int) -> Iterator[MetricSeries]:
    """Totals per whole hour and their long share, by asset and over all; lower bounds where a venue caps its list."""
    by_asset: dict[str, list[Liquidations]] = {}
    for subject, _, _, parsed in exchanges_of(replies):
        if parsed.liquidations is not None:
            by_asset.setdefault(subject, []).append(parsed.liquidations)
    everything = [part for parts in by_asset.values() for part in parts]
    for subject, parts in (*by_asset.items(), ("market", everything)):
        hours = hourly_liquidations(parts)
        whole = (hours.time_us - HOUR_US >= start_us) & (hours.time_us <= end_us)
        if whole.any():
            for name in ("long_usd", "short_usd", "long_share"):
                values, at = getattr(hours, name)[whole], hours.time_us[whole]
                yield MetricSeries(subject, f"liquidations_{name}", "okx-derivatives", at, values)


def read_usage(live: Live, due: datetime, run_id: int) -> Mapping[str, Any]:
    """Write what networks earn, hold and do, where new or revised; the counts.

    The services give whole histories and revise them, so all is asked each day. Raises SourceUnavailable when none was
    answered.
    """
    now_us = to_us(live.clock())
    questions = [
        Question(asset, source, Ask(Dataset.USAGE, (symbol,), USED_SINCE_US, to_us(due), now_us, "1d"))
        for source in live.sources
        for asset, symbol in _symbols(source, live.registry)
    ]
    replies = ask_all(live, questions)
    series = series_of(replies)
    written = write_metrics(live.store, run_id, series)
    down = keep_replies(live, run_id, replies, what="any network's usage")
    return {"values": written.new + written.revised, "series": len(series), "failed_sources": sorted(down)}


def _symbols(source: str, registry: Registry) -> Iterator[tuple[str, str]]:
    """The assets and symbols that a service is asked for; none of a source that is no service of usage."""
    service = SERVICES.services.get(source)
    for name, series in service.series.items() if service else ():
        if not series.asset:
            yield from ((asset.slug, f"{name}:{known}") for known, asset in ids_at(registry, name).items())
        elif series.asset in registry.by_slug:
            yield series.asset, f"{name}:{series.asset}"
