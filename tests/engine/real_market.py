"""The real price and supply files as a `Market`, for tests; skips loudly where they are not there."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from indexer.engine.market import Line, Market, SupplyHistory, SupplySource
from indexer.registry import load_registry
from indexer.times import DAY_US, HOUR_US, to_us

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"

# symbol -> asset; the files' symbols are the registry's slugs in capitals
ASSETS = {asset.slug.upper(): asset for asset in load_registry().assets if asset.status != "reference"}


def need(name: str) -> Path:
    """The path of a data file, or a skip that says what is missing."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"real market data not found: {path.name} is looked for in ../shared/data")
    return path


@cache
def daily() -> pd.DataFrame:
    """Daily closes and volumes as in the file, `at_us` = the end of the day."""
    frame = pd.read_csv(need("tokens_daily.csv.gz"))
    frame["at_us"] = _us(frame["date"]) + DAY_US
    return frame


def _us(text: pd.Series) -> np.ndarray:
    return pd.to_datetime(text, utc=True).dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)


def _supply(slugs: list[str]) -> dict[str, SupplyHistory]:
    frame = pd.read_csv(need("supply_history.csv"))
    frame = frame[frame["symbol"].isin(ASSETS)].assign(line=lambda f: f["symbol"].map(lambda s: ASSETS[s].line))
    frame["at_us"] = _us(frame["date"])
    out = {}
    for slug in slugs:
        part = frame[(frame["line"] == slug) & (frame["symbol"] != "RNDR")] if slug == "render" else frame
        part = part[part["line"] == slug]
        if slug == "render":  # the two tickers disagree by a third: RNDR until RENDER has observations
            older = frame[(frame["symbol"] == "RNDR") & (frame["at_us"] < part["at_us"].min())]
            part = pd.concat([older, part])
        part = part.sort_values("at_us")
        unknown = np.full(len(part), np.nan)
        out[slug] = SupplyHistory(
            part["at_us"].to_numpy(),
            part["circulating_supply_tokens"].to_numpy(dtype=np.float64),
            unknown, unknown, np.full(len(part), SupplySource.IMPORTED, dtype=np.int8),
        )  # fmt: skip
    return out


def _wide(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    frame = frame[frame["symbol"].isin(ASSETS)].assign(line=lambda f: f["symbol"].map(lambda s: ASSETS[s].line))
    if column == "close":
        frame["close"] /= frame["symbol"].map(lambda s: ASSETS[s].line_ratio)
    frame = frame.sort_values("symbol", key=lambda s: s.map(lambda one: ASSETS[one].slug != ASSETS[one].line))
    return frame.groupby(["at_us", "line"])[column].first().unstack()  # the successor's own row where both trade


@cache
def market(*, hourly: bool) -> Market:
    """All lines from 2021 on: daily instants, and hourly ones from 2023 when asked."""
    days = daily()
    prices = _wide(days, "close")
    if hourly:
        hours = pd.read_csv(need("tokens_hourly.csv.gz"), usecols=["timestamp", "symbol", "close"])
        hours["at_us"] = _us(hours["timestamp"]) + HOUR_US
        wide = _wide(hours, "close")
        prices = wide.combine_first(prices[prices.index <= wide.index[-1]])
    volumes = _wide(days[days["volume_kind"] != "vendor_24h_all_exchanges"], "volume_usd")
    slugs = sorted(prices.columns[prices.notna().any()])
    volumes = volumes.reindex(columns=slugs)
    supply = _supply(slugs)
    sector = {asset.slug: asset.sub_sector for asset in ASSETS.values()}
    first = {slug: int(prices[slug].first_valid_index()) for slug in slugs}
    since = {asset.slug: asset.candidate_from for asset in ASSETS.values()}
    lines = tuple(
        Line(
            slug, sector[slug], first[slug], 1, supply[slug], candidate_from_us=to_us(since[slug]) if since[slug] else 0
        )
        for slug in slugs
    )
    values = np.ascontiguousarray(prices[slugs].to_numpy())
    return Market(
        prices.index.to_numpy(), values, np.zeros(values.shape, dtype=np.int8), lines,
        volumes.index.to_numpy(), volumes.to_numpy(dtype=np.float64),
    )  # fmt: skip
