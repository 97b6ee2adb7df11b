"""The constituents' share of a stated universe by market value: supplies where they are known, else stated values.

A token whose supply nobody read may have a market value that a vendor stated. It is brought to the instant asked for
by our own reference rate, as if the supply had not changed since, for at most 100 days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from indexer.errors import NotEnoughDataError, NotFoundError
from indexer.store.db import Store
from indexer.store.read import read_assets, read_metrics, read_supplies
from indexer.store.records import ConstituentRow
from indexer.studies.series import Series, last_known, token_series
from indexer.times import DAY_US, from_us, to_us

UNIVERSE = ("btc", "eth", "sol")
SUPPLY_ORDER = ("circulating", "free_float", "total")
MAX_AGE_US = 100 * DAY_US
MARKET_CAP = "market_cap_usd"


@dataclass(frozen=True, slots=True)
class UniverseShare:
    """The constituents' market value over that of a stated universe (the constituents and `others`).

    `stated` names those whose value rests on a vendor's statement instead of a supply, with its source and day.
    """

    others: tuple[str, ...]
    members_usd: float | None
    universe_usd: float | None
    share: float | None
    reason: str | None
    stated: tuple[str, ...] = ()


def universe_share(store: Store, held: Sequence[ConstituentRow], *, others: Sequence[str], at_us: int) -> UniverseShare:
    """The constituents' share of a universe by market value; None, with the reason, where a value is not known.

    Supply is the newest reading at or before the instant and at most 100 days old: circulating, else free float,
    else total; without one, the newest stated market value of the same age, moved by the reference rate since.
    """
    supplies = _supplies(store, at_us)
    stated: list[str] = []
    own = {row.asset: _value(store, row.asset, supplies, at_us=at_us, stated=stated) for row in held}
    rest = {slug: _value(store, slug, supplies, at_us=at_us, stated=stated) for slug in others}
    missing = [slug for slug, value in (own | rest).items() if value is None]
    mine = None if any(value is None for value in own.values()) else sum(filter(None, own.values()))
    if missing or mine is None:
        said = f"no supply or market value of the last 100 days, or no rate, is known of {', '.join(missing)}"
        return UniverseShare(tuple(others), mine, None, None, said)
    whole = mine + sum(value for slug, value in rest.items() if value is not None and slug not in own)
    return UniverseShare(tuple(others), mine, whole, mine / whole, None, tuple(stated))


def _supplies(store: Store, at_us: int) -> dict[str, float]:
    """Tokens in circulation by asset, as last read before the instant."""
    assets = {asset.slug: asset for asset in read_assets(store)}
    best: dict[str, tuple[int, int, float]] = {}
    for row in read_supplies(store):
        observed = to_us(row.observed_at)
        if row.kind in SUPPLY_ORDER and at_us - MAX_AGE_US <= observed <= at_us:
            rank = -SUPPLY_ORDER.index(row.kind)
            found = (rank, observed, row.amount / 10 ** assets[row.asset].decimals)
            best[row.asset] = max(best.get(row.asset, found), found)
    amounts = {slug: found[2] for slug, found in best.items()}
    for asset in assets.values():
        # Before a migration the whole line is its one predecessor.
        before = [one for one in assets.values() if one.line == asset.slug != one.slug]
        if asset.slug not in amounts and len(before) == 1 and before[0].slug in amounts:
            amounts[asset.slug] = amounts[before[0].slug] * before[0].line_ratio
    return amounts


def _value(store: Store, asset: str, supplies: Mapping[str, float], *, at_us: int, stated: list[str]) -> float | None:
    """USD market value of an asset; what rests on a statement is added to `stated`."""
    try:
        rates = token_series(store, asset)
    except (NotEnoughDataError, NotFoundError):
        return None
    price = _rate(rates, at_us)
    if price is None:
        return None
    if asset in supplies:
        return supplies[asset] * price
    newest = [
        (int(one.time_us[-1]), one.source, float(one.value[-1]))
        for one in read_metrics(store, subject=asset, name=MARKET_CAP, since_us=at_us - MAX_AGE_US, until_us=at_us + 1)
        if len(one.time_us)
    ]
    if not newest:
        return None
    then_us, source, value = max(newest)
    then = _rate(rates, then_us)
    if then is None:
        return None
    stated.append(f"{asset} ({source}, {from_us(then_us):%Y-%m-%d})")
    return value * price / then


def _rate(rates: Series, at_us: int) -> float | None:
    value = float(last_known(rates, np.array([at_us], dtype=np.int64))[0][0])
    return value if np.isfinite(value) else None
