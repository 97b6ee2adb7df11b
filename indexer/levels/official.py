"""Which of the computed rates become official, and what is said about the others.

Place in the flow: the first half of an update. Bars give rates; those that no published level depends on are
written at once, the others go by the restatement policy (`corrections.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

import numpy as np

from indexer.arrays import F64, I64
from indexer.engine.level import compute_index
from indexer.engine.market import Market
from indexer.errors import InputError, MethodologyError, NotEnoughDataError
from indexer.levels.corrections import Deferred, Effect, by_policy, deferred, effect_on, judge_rates
from indexer.levels.markets import narrowed
from indexer.levels.overrides import ValueOverride
from indexer.levels.published import read_settled
from indexer.methodology.policy import Policy
from indexer.methodology.spec import Methodology
from indexer.reference.rates import NEVER_US, AssetRates, ListedBars, Place, compute_rates, in_dollars, traded
from indexer.reference.rules import Method, RateFlag
from indexer.registry import Registry
from indexer.registry.records import AT_PAR, DOLLAR, QUOTES, SPOT
from indexer.store.administration import write_announcements
from indexer.store.assets import read_benchmarks
from indexer.store.bars import read_benchmark_bars
from indexer.store.db import Store
from indexer.store.levels import published_span, read_levels
from indexer.store.quality import write_quality
from indexer.store.rates import read_rates_by_method, write_rates
from indexer.store.rows import AnnouncementRow, BarSeries, ListingRow, QualityRow, RateSeries, Written
from indexer.times import DAY_US, from_us, iso

FOREVER_US = np.iinfo(np.int64).max
DEGRADED = 2
FIXED = tuple(str(method) for method in Method)


@dataclass(frozen=True, slots=True)
class Fresh:
    """Computed rates of one asset, the rows (M,) of them that differ from the official ones, and those (M,)."""

    rates: AssetRates
    rows: I64
    official: np.ndarray


@dataclass(frozen=True, slots=True)
class Computed:
    """The rates of every asset that has bars, and for each currency which bars wait for its rate of their instant.

    Up to `inherits_us` a rate may depend on bars before the first.
    """

    rates: list[AssetRates]
    waiting: tuple[str, ...]
    inherits_us: int


def computed_rates(
    store: Store,
    registry: Registry,
    *,
    bars: BarSeries,
    listings: Sequence[ListingRow],
    overrides: Sequence[ValueOverride] = (),
    since_us: int | None = None,
) -> Computed:
    """What the bars of a store's listings give, by what is known now; with `since_us` only from then on (the bars
    before it then only tell which later ones stand still).

    Where an asset's minutes were fixed, the fixing stands instead of the bars' rate; a value decided on by people
    stands in its window. Bars quoted in another currency than the dollar count where a benchmark, or the bars of that
    coin itself, have its rate of that instant.
    """
    places = {
        int(row.id): Place(int(row.asset_id), row.venue, row.interval, registry.market(row.venue))
        for row in listings
        if row.id is not None and row.asset_id is not None
    }
    quotes = {int(row.id): row.quote for row in listings if row.id is not None}
    live = traded(bars)
    live = live if since_us is None else live.rows(live.time_us >= since_us)
    coins = _coin_rates(live, listings, places)
    currencies = _both({name: (made.time_us, made.rate) for name, made in coins.items()}, currency_rates(store))
    listed, at_par = in_dollars(live, quotes, currencies)
    rates = over_bars(compute_rates(listed, places, at_par=at_par), stored_fixings(store, since_us=since_us))
    inherits_us = max((made.inherits_us for made in (*rates, *coins.values())), default=NEVER_US)
    return Computed([_overridden(made, overrides) for made in rates], _waiting(live, listed, quotes), inherits_us)


def _waiting(live: ListedBars, listed: ListedBars, quotes: Mapping[int, str]) -> tuple[str, ...]:
    """What is said of bars `live` that are not among those `listed` in dollars."""
    waiting: dict[str, list[int]] = {}
    for number, quote in quotes.items():
        if quote not in (DOLLAR, *AT_PAR):
            mine, priced = (bars.time_us[bars.listing_id == number] for bars in (live, listed))
            waiting.setdefault(quote, []).extend(np.setdiff1d(mine, priced).tolist())
    return tuple(
        f"{len(times):,} bars in {quote} wait for a {quote}/USD rate of their instants, "
        f"{iso(min(times))} to {iso(max(times))}"
        for quote, times in sorted(waiting.items())
        if times
    )


def currency_rates(store: Store) -> dict[str, tuple[I64, F64]]:
    """USD rates of quote currencies that are stored as benchmarks: EUR-USD, or EURUSD=X as Yahoo has it."""
    stored = {benchmark.symbol for benchmark in read_benchmarks(store)}
    rates: dict[str, tuple[I64, F64]] = {}
    for quote in sorted(QUOTES):
        symbol = next((name for name in (f"{quote}-USD", f"{quote}USD=X") if name in stored), None)
        if symbol is not None:
            days, hours = (read_benchmark_bars(store, symbol, interval=interval)[:2] for interval in ("1d", "1h"))
            rates |= _both({quote: days}, {quote: hours})
    return rates


def _both(first: Mapping[str, tuple[I64, F64]], second: Mapping[str, tuple[I64, F64]]) -> dict[str, tuple[I64, F64]]:
    """The rates of both by currency; of one instant the first."""
    joined = {}
    for name in first.keys() | second.keys():
        parts = [rates[name] for rates in (first, second) if name in rates]
        times, rows = np.unique(np.concatenate([part[0] for part in parts]), return_index=True)
        joined[name] = (times, np.concatenate([part[1] for part in parts])[rows])
    return joined


def _coin_rates(bars: ListedBars, listings: Sequence[ListingRow], places: Mapping[int, Place]) -> dict[str, AssetRates]:
    """USD rates of coins that others are quoted in (BTC, ETH), from their own bars in dollars."""
    wanted = {row.quote for row in listings} - {DOLLAR, *AT_PAR}
    mine = [row for row in listings if row.symbol.upper() in wanted and row.quote in (DOLLAR, *AT_PAR)]
    spot = [row.id for row in mine if row.id is not None and places[row.id].market == SPOT]
    chosen = np.isin(bars.listing_id, spot)
    if not chosen.any():
        return {}
    inner = bars.rows(chosen)
    names = {row.asset_id: row.symbol.upper() for row in mine}
    return {names[made.asset_id]: made for made in compute_rates(inner, places)}


def _overridden(made: AssetRates, overrides: Sequence[ValueOverride]) -> AssetRates:
    mine = [override for override in overrides if override.asset_id == made.asset_id]
    if not mine:
        return made
    rate, status, flags, verdicts = made.rate.copy(), made.status.copy(), made.flags.copy(), list(made.verdicts)
    for override in mine:
        rows = np.flatnonzero((made.time_us >= override.from_us) & (made.time_us < override.until_us))
        rate[rows], status[rows], flags[rows] = override.value, DEGRADED, 0
        for row in rows.tolist():
            verdicts[row] = json.dumps(
                {**json.loads(verdicts[row]), "override": override.number}, separators=(",", ":")
            )
    return replace(made, rate=rate, status=status, flags=flags, verdicts=verdicts)


def differing(made: AssetRates, stored: RateSeries) -> Fresh:
    """What of an asset's rates is not official with the same value, status and market, spot or perpetual. `stored` is
    by asset, then time."""
    first, last = np.searchsorted(stored.asset_id, [made.asset_id, made.asset_id + 1])
    times, rate, status = stored.time_us[first:last], stored.rate[first:last], stored.status[first:last]
    if not len(times):
        rows = np.arange(len(made.time_us))
        return Fresh(made, rows, np.full(len(rows), np.nan))
    slot = np.minimum(np.searchsorted(times, made.time_us), len(times) - 1)
    known = times[slot] == made.time_us
    same = known & (rate[slot] == made.rate) & (status[slot] == made.status)
    same &= (stored.flags[first:last][slot] & RateFlag.PERPETUAL) == (made.flags & RateFlag.PERPETUAL)
    rows = np.flatnonzero(~same)
    return Fresh(made, rows, np.where(known[rows], rate[slot[rows]], np.nan))


def write_fresh(store: Store, run_id: int, fresh: Sequence[Fresh]) -> Written:
    """Makes differing rates official."""
    parts = [(part.rates, part.rows) for part in fresh if len(part.rows)]
    if not parts:
        return Written()

    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(rates, name)[rows] for rates, rows in parts])

    return write_rates(
        store,
        run_id,
        asset_id=np.repeat([rates.asset_id for rates, _ in parts], [len(rows) for _, rows in parts]),
        **{name: column(name) for name in ("time_us", "rate", "status", "flags")},
        method=[rates.method for rates, rows in parts for _ in rows],
        verdicts=[rates.verdicts[row] for rates, rows in parts for row in rows.tolist()],
    )


def columns_of(rates: Sequence[AssetRates]) -> RateSeries:
    """Computed rates as one set of columns."""
    if not rates:
        ids, numbers = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int8)
        return RateSeries(ids, ids, np.empty(0), numbers, numbers)
    return RateSeries(
        np.concatenate([np.full(len(series.time_us), series.asset_id, dtype=np.int64) for series in rates]),
        np.concatenate([series.time_us for series in rates]),
        np.concatenate([series.rate for series in rates]),
        np.concatenate([series.status for series in rates]),
        np.concatenate([series.flags for series in rates]),
    )


def reaches_back(store: Store, fresh: Sequence[Fresh], *, methodologies: Iterable[Methodology]) -> bool:
    """Whether any differing rate lies at or before a published instant."""
    spans = [span for methodology in methodologies if (span := published_span(store, methodology.id)) is not None]
    newest = max((span[1] for span in spans), default=None)
    return newest is not None and any(len(part.rows) and part.rates.time_us[part.rows[0]] <= newest for part in fresh)


def effects_on_published(
    store: Store,
    registry: Registry,
    *,
    methodologies: Iterable[Methodology],
    official: Market,
    corrected: Market,
) -> list[Effect]:
    """What the corrected market would do to the published levels of each index, its baskets being settled.

    An index that does not hold defers no correction: why it does not is told where its levels are computed.
    """
    effects = []
    for methodology in methodologies:
        with suppress(MethodologyError, InputError, NotEnoughDataError):
            effect = _effect_on_published(store, registry, methodology, official=official, corrected=corrected)
            effects += [] if effect is None else [effect]
    return effects


def _effect_on_published(
    store: Store, registry: Registry, methodology: Methodology, *, official: Market, corrected: Market
) -> Effect | None:
    """The effect on one index, None while nothing of it is published."""
    before, after = (narrowed(market, methodology, registry) for market in (official, corrected))
    settled = read_settled(store, methodology.id, market=before)
    if settled is None:
        return None
    before, after = before.until(settled.until_us), after.until(settled.until_us)
    same = read_settled(store, methodology.id, market=after)
    rows = read_levels(store, methodology.id)
    return effect_on(
        (before, compute_index(before, methodology, settled=settled)),
        (after, compute_index(after, methodology, settled=same)),
        methodology=methodology,
        times_us=rows.times_us,
        published_at_us=rows.published_at_us,
    )


def settle_rates(
    store: Store,
    run_id: int,
    *,
    fresh: Sequence[Fresh],
    effects: Sequence[Effect],
    lines: Mapping[int, tuple[str, str]],
    policy: Policy,
    now_us: int,
) -> tuple[Written, list[Deferred]]:
    """Writes the rates that the policy lets in and logs the rest. `lines` names asset and line of each asset id."""
    written, logged = Written(), []
    for part in fresh:
        asset, line = lines[part.rates.asset_id]
        times = part.rates.time_us[part.rows]
        following = np.append(part.rates.time_us, FOREVER_US)[part.rows + 1]
        verdict = judge_rates(line, times, next_us=following, effects=effects)
        applied = by_policy(verdict, threshold=policy.threshold, now_us=now_us, window_us=policy.window_days * DAY_US)
        written += write_fresh(store, run_id, [replace(part, rows=part.rows[applied])])
        entry = deferred(
            asset,
            times,
            verdict=verdict,
            applied=applied,
            official=part.official,
            corrected=part.rates.rate[part.rows],
            threshold=policy.threshold,
        )
        if entry is not None:
            logged.append(entry)
    _log(store, run_id, entries=logged, policy=policy, now_us=now_us)
    return written, logged


def _log(store: Store, run_id: int, *, entries: Sequence[Deferred], policy: Policy, now_us: int) -> None:
    """The data-quality log and the announcements tell of every correction that was not applied, once."""
    if not entries:
        return
    details = [json.dumps({**asdict(entry), "threshold": policy.threshold}) for entry in entries]
    write_quality(
        store,
        run_id,
        [
            QualityRow("correction_deferred", entry.asset, from_us(entry.first_us), from_us(entry.last_us), detail)
            for entry, detail in zip(entries, details, strict=True)
        ],
    )
    write_announcements(
        store,
        run_id,
        [
            AnnouncementRow(
                key=f"deferred:{entry.asset}:{entry.first_us}:{entry.last_us}:{entry.corrected!r}",
                kind="deferred",
                title=_reason(entry, policy),
                published_at=from_us(now_us),
                detail=detail,
            )
            for entry, detail in zip(entries, details, strict=True)
        ],
    )


def _reason(entry: Deferred, policy: Policy) -> str:
    what = f"{entry.count} correction{'s' if entry.count > 1 else ''} of {entry.asset} from {iso(entry.first_us)}"
    if entry.too_late:
        return f"{what} not applied: published more than {policy.window_days} days ago (largest move {entry.move:.2%})"
    return f"{what} not applied: largest move of a level {entry.move:.3%}, {policy.threshold:.2%} needed"


def over_bars(made: Iterable[AssetRates], fixings: Mapping[int, AssetRates]) -> list[AssetRates]:
    """The rates of bars with the fixings in their place; an asset that has fixings only is there too.

    A fixing is finer evidence of the same venues; bars under it are kept as evidence and for volumes.
    """
    of_bars = {rates.asset_id: rates for rates in made}
    both = {asset: _over(rates, fixings[asset]) if asset in fixings else rates for asset, rates in of_bars.items()}
    return [rates for _, rates in sorted(({**fixings, **both}).items())]


def _over(made: AssetRates, fixed: AssetRates) -> AssetRates:
    times = np.concatenate([fixed.time_us, made.time_us])
    _, rows = np.unique(times, return_index=True)  # of equal instants the first: the fixing
    texts = [*fixed.verdicts, *made.verdicts]
    return replace(
        made,
        time_us=times[rows],
        rate=np.concatenate([fixed.rate, made.rate])[rows],
        status=np.concatenate([fixed.status, made.status])[rows].astype(np.int8),
        verdicts=[texts[row] for row in rows.tolist()],
        flags=np.concatenate([fixed.flags, made.flags])[rows],
    )


def stored_fixings(store: Store, *, since_us: int | None = None) -> dict[int, AssetRates]:
    """The fixings in a store (from an instant on), by asset."""
    series = read_rates_by_method(store, FIXED, since_us=since_us)
    edges = np.flatnonzero(np.diff(series.asset_id)) + 1
    parts = np.split(np.arange(len(series.asset_id)), edges)
    texts = series.verdicts or []
    fixings = {}
    for rows in parts:
        if len(rows):
            asset, verdicts = int(series.asset_id[rows[0]]), [texts[row] for row in rows.tolist()]
            rates = (series.time_us[rows], series.rate[rows], series.status[rows])
            fixings[asset] = AssetRates(asset, *rates, verdicts, FIXED[0], series.flags[rows])
    return fixings
