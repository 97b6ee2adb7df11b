"""The one walk: stored bars → reference rates → market → index histories → published levels.

Everything is recomputed from the stored bars and only differences are written, so an update is idempotent, catches
late rows by itself and needs no state of its own. (A full recomputation of 24,000 hours takes a fraction of a second.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from indexer.assemble import LineFacts, LinePart, RateColumns, SupplyRow, VolumeColumns, assemble, daily_volumes
from indexer.assets import Registry
from indexer.clock import Clock
from indexer.engine.history import IndexHistory
from indexer.engine.level import compute_index
from indexer.engine.market import Market, Status
from indexer.errors import NotEnoughDataError
from indexer.importing import asset_rows
from indexer.methodology.spec import Methodology
from indexer.methodology.universe import universe_lines
from indexer.publish import publish
from indexer.rates import AssetRates, ListedBars, Place, compute_rates
from indexer.store.db import Store
from indexer.store.read import (
    count_levels,
    read_assets,
    read_bars,
    read_indices,
    read_levels,
    read_listings,
    read_rates,
    read_supplies,
)
from indexer.store.read_state import facts_mark
from indexer.store.records import BarSeries, ListingRow, RateSeries, Written
from indexer.store.write import finish_run, start_run, write_assets, write_rates
from indexer.times import INTERVAL_US, iso, to_us

Progress = Callable[[int, int], None]
SUPPLY_KINDS = ("circulating", "free_float", "total")


@dataclass(frozen=True, slots=True)
class IndexUpdate:
    """What an update made of one index. `new` counts levels written, revisions included."""

    index_id: str
    first: str
    last: str
    levels: int
    new: int
    level: float
    status: str


@dataclass(frozen=True, slots=True)
class UpdateReport:
    """`unchanged` when the stored facts were those of an earlier update; `not_started` says why an index has none."""

    unchanged: bool
    rates: Written
    indices: tuple[IndexUpdate, ...]
    not_started: Mapping[str, str]


def update(
    store: Store,
    *,
    registry: Registry,
    methodologies: Mapping[str, Methodology],
    clock: Clock,
    progress: Progress = lambda done, total: None,
    simulated: bool = False,
) -> UpdateReport:
    """Bring rates and levels up to date with the stored bars and supplies. Doing it twice writes nothing."""
    write_assets(store, asset_rows(registry))
    run_id = start_run(store, kind="update", key=_key(store, registry, methodologies), now=clock())
    if run_id is None:
        return UpdateReport(True, Written(), tuple(_stored(store)), {})
    steps = len(methodologies) + 2
    bars, listings = read_bars(store), read_listings(store)
    progress(1, steps)
    written = refresh_rates(store, run_id, bars=bars, listings=listings)
    market = load_market(store, registry, bars=bars, listings=listings)
    progress(2, steps)
    made: list[IndexUpdate] = []
    missing: dict[str, str] = {}
    for n, methodology in enumerate(methodologies.values()):
        part = narrowed(market, universe_lines(methodology.universe, registry))
        try:
            history = compute_index(part, methodology)
        except NotEnoughDataError as error:
            missing[methodology.id] = str(error)
        else:
            new = publish(
                store, run_id, history, market=part, methodology=methodology, now=clock(), simulated=simulated
            )
            made.append(_summary(methodology, history, new=new))
        progress(n + 3, steps)
    detail = {"levels": {one.index_id: one.new for one in made}, "rates": written.new + written.revised}
    finish_run(store, run_id, now=clock(), detail=detail)
    return UpdateReport(False, written, tuple(made), missing)


def refresh_rates(store: Store, run_id: int, *, bars: BarSeries, listings: Iterable[ListingRow]) -> Written:
    """Write the rates that differ from what is stored: new bars give new rates, corrected bars new revisions."""
    places = {
        int(row.id): Place(asset_id=int(row.asset_id), venue=row.venue, interval=row.interval)
        for row in listings
        if row.id is not None and row.asset_id is not None
    }
    listed = ListedBars(bars.listing_id, bars.time_us, bars.close, bars.volume_base)
    stored = read_rates(store)
    written = Written()
    for made in compute_rates(listed, places):
        fresh = _differing(made, stored)
        if len(fresh):
            written += write_rates(
                store,
                run_id,
                asset_id=np.full(len(fresh), made.asset_id, dtype=np.int64),
                time_us=made.time_us[fresh],
                rate=made.rate[fresh],
                status=made.status[fresh],
                method=made.method,
                verdicts=[made.verdicts[n] for n in fresh],
            )
    return written


def load_market(store: Store, registry: Registry, *, bars: BarSeries, listings: Iterable[ListingRow]) -> Market:
    """The market of every line that may be a constituent, from the stored rates, volumes and supplies."""
    ids = {asset.slug: int(asset.id) for asset in read_assets(store)}
    known = [row for row in listings if row.id is not None and row.asset_id is not None]
    rates = read_rates(store)
    return assemble(
        line_facts(registry, ids=ids, listings=known),
        RateColumns(rates.asset_id, rates.time_us, rates.rate, rates.status),
        volumes=_volumes(bars, known),
        supplies=_supplies(store, registry, ids=ids),
    )


def line_facts(registry: Registry, *, ids: Mapping[str, int], listings: Iterable[ListingRow]) -> list[LineFacts]:
    """The registry's lines with their tokens in succession; venues are those whose bars the store has."""
    venues: dict[str, set[str]] = {}
    for row in listings:
        if row.asset in registry.by_slug:  # else the registry was changed since: bars stay, nobody asks for them
            venues.setdefault(registry.by_slug[row.asset].line, set()).add(row.venue)
    facts = []
    for slug, tokens in registry.lines().items():
        starts = [None] + [
            next(to_us(s.effective) for s in registry.successions if s.from_ == old.slug and s.continues_line)
            for old in tokens[:-1]
        ]
        parts = tuple(
            LinePart(ids[token.slug], token.slug, token.line_ratio, starts[n], [*starts, None][n + 1])
            for n, token in enumerate(tokens)
            if token.slug in ids
        )
        facts.append(LineFacts(slug, tokens[-1].sub_sector, len(venues.get(slug, ())), parts))
    return facts


def narrowed(market: Market, slugs: Collection[str]) -> Market:
    """The same market with only these lines, on the instants at which any of them has a rate."""
    chosen = market.select(slugs)
    rows = np.isfinite(chosen.prices).any(axis=1)
    return replace(
        chosen,
        times_us=chosen.times_us[rows],
        prices=chosen.prices[rows],
        price_status=chosen.price_status[rows],
    )


def _differing(made: AssetRates, stored: RateSeries) -> np.ndarray:
    """Row numbers of rates that are not stored with the same value and status. `stored` is by asset, then time."""
    first, last = np.searchsorted(stored.asset_id, [made.asset_id, made.asset_id + 1])
    times, rate, status = stored.time_us[first:last], stored.rate[first:last], stored.status[first:last]
    if not len(times):
        return np.arange(len(made.time_us))
    slot = np.minimum(np.searchsorted(times, made.time_us), len(times) - 1)
    same = (times[slot] == made.time_us) & (rate[slot] == made.rate) & (status[slot] == made.status)
    return np.flatnonzero(~same)


def _volumes(bars: BarSeries, listings: list[ListingRow]) -> VolumeColumns:
    numbers = {venue: n for n, venue in enumerate(sorted({row.venue for row in listings}))}
    table = np.zeros((max((int(row.id or 0) for row in listings), default=0) + 1, 3), dtype=np.int64)
    for row in listings:
        table[int(row.id or 0)] = (int(row.asset_id or 0), numbers[row.venue], INTERVAL_US[row.interval])
    facts = table[bars.listing_id]
    return daily_volumes(
        facts[:, 0], facts[:, 1], interval_us=facts[:, 2], time_us=bars.time_us, volume_usd=bars.volume_usd
    )


def _supplies(store: Store, registry: Registry, *, ids: Mapping[str, int]) -> list[SupplyRow]:
    return [
        SupplyRow(
            asset_id=ids[row.asset],
            kind=row.kind,
            origin=row.origin,
            observed_us=to_us(row.observed_at),
            tokens=row.amount / 10 ** registry.by_slug[row.asset].decimals,
        )
        for row in read_supplies(store)
        if row.kind in SUPPLY_KINDS and row.asset in registry.by_slug
    ]


def _key(store: Store, registry: Registry, methodologies: Mapping[str, Methodology]) -> str:
    """The same key for the same facts and rules: computing again would give the same levels."""
    said = hashlib.sha256(facts_mark(store).encode())
    said.update(repr((registry.assets, registry.successions)).encode())
    for methodology in methodologies.values():
        said.update(f"{methodology.id}:{methodology.hash}".encode())
    return f"update:{said.hexdigest()}"


def _summary(methodology: Methodology, history: IndexHistory, *, new: int) -> IndexUpdate:
    return IndexUpdate(
        index_id=methodology.id,
        first=iso(int(history.times_us[0])),
        last=iso(int(history.times_us[-1])),
        levels=len(history.times_us),
        new=new,
        level=round(float(history.levels[-1]), methodology.decimals),
        status=Status(int(history.status[-1])).name.lower(),
    )


def _stored(store: Store) -> Iterable[IndexUpdate]:
    for row in read_indices(store):
        newest, oldest = read_levels(store, row.id, limit=1), read_levels(store, row.id)
        if len(newest):
            yield IndexUpdate(
                index_id=row.id,
                first=iso(int(oldest.times_us[0])),
                last=iso(int(newest.times_us[0])),
                levels=count_levels(store, row.id),
                new=0,
                level=float(newest.levels[0]),
                status=Status(int(newest.status[0])).name.lower(),
            )
