"""Are the official rates those that the bars give? Where they are not, a logged decision must say so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from indexer.levels.fixings import stored_fixings
from indexer.levels.official import computed_rates, currency_rates, differing
from indexer.levels.overrides import ValueOverride
from indexer.registry import Registry
from indexer.store.db import Store
from indexer.store.read import read_assets, read_quality, read_rates
from indexer.store.rows import BarSeries, ListingRow
from indexer.times import iso, to_us


def rates_problem(
    store: Store,
    registry: Registry,
    *,
    bars: BarSeries,
    listings: Iterable[ListingRow],
    overrides: Sequence[ValueOverride] = (),
) -> str:
    """The first official rate that neither the bars nor a decision give, in words; '' when there is none."""
    stored = read_rates(store)
    slugs = {int(asset.id): asset.slug for asset in read_assets(store)}
    logged: dict[str, list[tuple[int, int]]] = {}
    for row in read_quality(store, kind="correction_deferred"):
        logged.setdefault(row.subject, []).append((to_us(row.opened_at), to_us(row.closed_at or row.opened_at)))
    made = computed_rates(
        bars,
        listings,
        market=registry.market,
        overrides=overrides,
        fixings=stored_fixings(store),
        currencies=currency_rates(store),
    )
    for one in made:
        fresh = differing(one, stored)
        times = one.time_us[fresh.rows]
        told = np.zeros(len(times), dtype=np.bool_)
        for first, last in logged.get(slugs[one.asset_id], []):
            told |= (times >= first) & (times <= last)
        if not told.all():
            n = int(np.flatnonzero(~told)[0])
            official = "no official rate" if np.isnan(fresh.official[n]) else f"official {fresh.official[n]!r}"
            return (
                f"rate of {slugs[one.asset_id]} at {iso(int(times[n]))}: {official}, the bars give "
                f"{float(one.rate[fresh.rows[n]])!r}; run `deai update`"
            )
    known = {one.asset_id: one.time_us for one in made}
    for asset_id in np.unique(stored.asset_id).tolist():
        first, last = np.searchsorted(stored.asset_id, [asset_id, asset_id + 1])
        lost = np.setdiff1d(stored.time_us[first:last], known.get(asset_id, np.zeros(0, dtype=np.int64)))
        if len(lost):
            return f"rate of {slugs[asset_id]} at {iso(int(lost[0]))}: there is no bar that it could be from"
    return ""
