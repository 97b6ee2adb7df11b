"""Pool and oracle prices beside our reference rate: divergence into the quality log, depth as metrics.

A check on the rate, never its source. The reference is the newest stored rate that every chain has settled past, and
the pools are read at its own instant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Final

import numpy as np

from indexer.live.context import Live
from indexer.live.quality_log import settle
from indexer.registry import Asset
from indexer.store.bars import write_metrics
from indexer.store.rates import read_rate_before
from indexer.store.rows import MetricSeries
from indexer.times import HOUR_US, MINUTE_US, from_us, iso, to_us

if TYPE_CHECKING:
    from onchain.evm.prices import PriceCheck
    from onchain.rpc.pin import Pinner

DIVERGENCE, REFUSED = "onchain_divergence", "onchain_price"
SETTLED_US: Final = 30 * MINUTE_US  # every chain read here has settled that far back
OLDEST_US: Final = 2 * HOUR_US
# What pools are quoted in, by our own rates; a stable coin is taken at its face value, here and only for this check.
QUOTES: Final = {"WETH": "eth", "WSOL": "sol", "WBTC": "btc"}
FACE_VALUE: Final = {"USDC": 1.0, "USDT": 1.0}
TOLERANCE_BPS: Final = 200.0


def check_prices(
    live: Live,
    run_id: int,
    *,
    symbols: Iterable[str] = (),
    at: datetime | None = None,
    tolerance_bps: float = TOLERANCE_BPS,
) -> tuple[list[PriceCheck], list[str]]:
    """(every pool mean and feed against our rate at its own instant, the symbols without a rate to hold against).

    The rate is at or before `at` (half an hour ago if None). Raises InputError for an unknown symbol. A price that is
    refused is in the log with its reason.
    """
    assets = live.chosen(tuple(symbols))
    live.asset_ids()
    latest_us = to_us(live.clock()) - SETTLED_US if at is None else to_us(at)
    known = {symbol: _rate(live, asset.slug, latest_us) for symbol, asset in assets.items()}
    rates = {symbol: rate for symbol, rate in known.items() if rate is not None}
    read = _read(live, rates, tolerance_bps=tolerance_bps)
    for symbol, checks in read.items():
        asset, at_us = assets[symbol], rates[symbol][1]
        write_metrics(live.store, run_id, list(_series(asset, checks, at_us=at_us)))
        _note(live, run_id, asset, checks, at_us=at_us)
    return list(chain.from_iterable(read.values())), [symbol for symbol, rate in known.items() if rate is None]


def _rate(live: Live, slug: str, at_us: int) -> tuple[float, int] | None:
    return read_rate_before(live.store, slug, at_us, max_age_us=OLDEST_US)


def _read(live: Live, rates: Mapping[str, tuple[float, int]], *, tolerance_bps: float) -> dict[str, list[PriceCheck]]:
    """Every check of every token; those of one token that take too long are given up, the others go on."""
    from onchain.evm.prices import PriceCheck, pinners_of, read_checks

    async def one(pinners: Mapping[str, Pinner], check: PriceCheck, at_us: int) -> list[PriceCheck]:
        token, quotes = live.tokens[check.symbol], _quotes(live, at_us)
        try:
            async with asyncio.timeout(live.deadline_s):
                return await read_checks(pinners, token, check, quote_usd=quotes, at=at_us // 1_000_000)
        except TimeoutError:
            reason = f"checking the price of {check.symbol} took longer than {live.deadline_s:g} s and was given up"
            return [replace(check, reason=reason)]

    async def every() -> dict[str, list[PriceCheck]]:
        async with pinners_of(live.chains, confirm=live.confirm) as pinners:
            return {
                symbol: await one(pinners, PriceCheck(symbol, rate, tolerance_bps), at_us)
                for symbol, (rate, at_us) in rates.items()
            }

    longest = (len(rates) + 1) * live.deadline_s
    return live.read_chains(every, within_s=longest, what=f"checking the prices of {len(rates)} tokens")


def _quotes(live: Live, at_us: int) -> dict[str, float]:
    rates = {name: _rate(live, slug, at_us) for name, slug in QUOTES.items()}
    return {**FACE_VALUE, **{name: rate[0] for name, rate in rates.items() if rate is not None}}


def _series(asset: Asset, checks: Iterable[PriceCheck], *, at_us: int) -> Iterator[MetricSeries]:
    """Price, divergence, and what it would cost to move the price, for each pool or feed that gave one."""
    for one in checks:
        if one.price_usd is None:
            continue
        prefix = {"univ3_twap": "twap", "univ2_spot": "pool_spot", "chainlink": "feed"}[one.kind]
        values = {
            f"{prefix}_usd": one.price_usd,
            f"{prefix}_divergence_bps": one.divergence_bps,
            f"{prefix}_move_5pct_cost_usd": one.cost_to_move_usd,
            "pool_liquidity_usd": one.liquidity_usd,
        }
        for name, value in values.items():
            if value is not None and np.isfinite(value):
                where = f"onchain:{one.chain}:{one.address.lower()}"
                yield MetricSeries(asset.slug, name, where, np.array([at_us], np.int64), np.array([value], np.float64))


def _note(live: Live, run_id: int, asset: Asset, checks: list[PriceCheck], *, at_us: int) -> None:
    """Open or close this asset's entries: a price beyond tolerance, a price that was refused."""
    at = from_us(at_us)
    apart = {
        _subject(asset, one): (
            f"{one.kind} {one.price_usd:.6g} USD, our rate {one.reference_usd:.6g} USD at {iso(at_us)}: "
            f"{one.divergence_bps:+.0f} bp"
        )
        for one in checks
        if one.beyond
    }
    refused = {_subject(asset, one): one.reason for one in checks if one.price_usd is None}
    for kind, now in ((DIVERGENCE, apart), (REFUSED, refused)):
        mine = f"{asset.slug} "
        settle(live, run_id, kind, now, concerns=lambda subject: subject.startswith(mine), at=at)  # noqa: B023 - called before the loop goes on


def _subject(asset: Asset, one: PriceCheck) -> str:
    return f"{asset.slug} {one.kind} {one.chain} {one.address}".strip()
