"""Which of the computed rates become official, by the restatement policy, and what is said about the others.

A rate that no published level depends on becomes official at once. One that published levels depend on does so only
when it moves one of them by more than the threshold; then exactly the levels that depend on it get a new revision.
Otherwise the official rate stays and the correction is logged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

import numpy as np

from indexer.arrays import F64, I64, Bools
from indexer.engine.history import IndexHistory
from indexer.engine.level import compute_index
from indexer.engine.market import Market, carry
from indexer.errors import InputError, MethodologyError, NotEnoughDataError
from indexer.levels.markets import narrowed
from indexer.levels.published import read_settled
from indexer.methodology.policy import Policy
from indexer.methodology.spec import Methodology
from indexer.reference.rates import ListedBars, Place, RateSeries, compute_rates, in_dollars, joined, traded
from indexer.reference.rules import Method, RateFlag, RateStatus
from indexer.registry import Registry
from indexer.registry.records import AT_PAR, DOLLAR, QUOTES, SPOT
from indexer.store.administration import write_announcements
from indexer.store.assets import read_benchmarks
from indexer.store.bars import read_benchmark_bars
from indexer.store.db import Store
from indexer.store.levels import published_span, read_levels
from indexer.store.quality import write_quality
from indexer.store.rates import read_rates, write_rates
from indexer.store.rows import AnnouncementRow, BarSeries, ListingRow, OverrideRow, QualityRow, Written
from indexer.times import DAY_US, HOUR_US, from_us, iso, to_us


@dataclass(frozen=True, slots=True)
class Effect:
    """What differing rates do to one index's published instants: `move` (K,) relative, `touched` (K, N) by line."""

    times_us: I64
    move: F64
    touched: Bools
    slugs: tuple[str, ...]
    published_at_us: I64


@dataclass(slots=True)
class Verdict:
    """For each differing rate: whether published levels depend on it, the largest move, and when they were out."""

    depends: Bools
    move: F64
    published_us: I64


def effect_on(
    official: tuple[Market, IndexHistory],
    corrected: tuple[Market, IndexHistory],
    *,
    methodology: Methodology,
    times_us: I64,
    published_at_us: I64,
) -> Effect:
    """How published levels of one index would differ under the corrected rates; both histories are settled alike."""
    (market0, history0), (market1, history1) = official, corrected
    both = np.isin(times_us, history0.times_us) & np.isin(times_us, history1.times_us)
    times_us, published_at_us = times_us[both], published_at_us[both]
    row0, row1 = (np.searchsorted(market.times_us, times_us) for market in (market0, market1))
    at0, at1 = (np.searchsorted(history.times_us, times_us) for history in (history0, history1))
    hours = methodology.missing.max_carry_hours * HOUR_US
    pick = [market1.slugs.index(slug) for slug in market0.slugs]
    used0, used1 = carry(market0, hours).prices[row0], carry(market1, hours).prices[row1][:, pick]
    differs = (used0 != used1) | (market0.price_status[row0] != market1.price_status[row1][:, pick])
    held = _held(history0, times_us, lines=len(market0.lines))
    return Effect(
        times_us=times_us,
        move=np.abs(history1.levels[at1] / history0.levels[at0] - 1.0),
        touched=differs & held,
        slugs=market0.slugs,
        published_at_us=published_at_us,
    )


def _held(history: IndexHistory, times_us: I64, *, lines: int) -> Bools:
    """Which lines the level of each instant was computed from (K, N)."""
    begins = np.array([change.begins_us for change in history.rebalances], dtype=np.int64)
    units = np.array([change.units_after > 0 for change in history.rebalances])
    basket = np.searchsorted(begins, times_us, side="right") - 1
    held: Bools = units[basket].reshape(len(times_us), lines)
    return held


def judge_rates(line: str, times_us: I64, *, next_us: I64, effects: Sequence[Effect]) -> Verdict:
    """The verdict on one line's differing rates at `times_us` (M,), each in use until `next_us` (M,)."""
    verdict = Verdict(
        depends=np.zeros(len(times_us), dtype=np.bool_),
        move=np.zeros(len(times_us)),
        published_us=np.full(len(times_us), np.iinfo(np.int64).max),
    )
    for effect in effects:
        if line not in effect.slugs:
            continue
        touched = effect.touched[:, effect.slugs.index(line)]
        first, last = np.searchsorted(effect.times_us, [times_us, next_us])
        verdict.depends |= _largest(touched.astype(np.float64), first, last=last) > 0
        np.maximum(verdict.move, _largest(np.where(touched, effect.move, 0.0), first, last=last), out=verdict.move)
        earliest = -_largest(np.where(touched, -effect.published_at_us.astype(np.float64), -np.inf), first, last=last)
        known = np.isfinite(earliest)
        verdict.published_us[known] = np.minimum(verdict.published_us[known], earliest[known].astype(np.int64))
    return verdict


def _largest(values: F64, first: I64, *, last: I64) -> F64:
    """The largest of values[first:last] for each pair; 0 (or -inf where values may be) for an empty span."""
    empty = -np.inf if len(values) and np.isneginf(values).any() else 0.0
    padded = np.append(values, empty)
    pairs = np.stack([first, last], axis=1).ravel()
    largest: F64 = np.maximum.reduceat(padded, np.minimum(pairs, len(values)))[::2] if len(pairs) else np.zeros(0)
    return np.where(last > first, largest, empty)


def by_policy(verdict: Verdict, *, threshold: float, now_us: int, window_us: int) -> Bools:
    """Which differing rates become official: those nothing depends on, and those beyond the threshold in time."""
    recent = now_us - verdict.published_us <= window_us
    applied: Bools = ~verdict.depends | ((verdict.move > threshold) & recent)
    return applied


@dataclass(frozen=True, slots=True)
class Deferred:
    """Corrections of one token that were logged and not applied: where, how many, the largest move of a level."""

    asset: str
    first_us: int
    last_us: int
    count: int
    move: float
    official: float | None
    corrected: float
    too_late: bool


def deferred(
    asset: str, times_us: I64, *, verdict: Verdict, applied: Bools, official: F64, corrected: F64, threshold: float
) -> Deferred | None:
    """The log entry for what was not applied, None when all was. `official` is NaN where there was no rate."""
    rows = np.flatnonzero(~applied)
    if not len(rows):
        return None
    worst = int(rows[np.argmax(verdict.move[rows])])
    was = float(official[worst])
    return Deferred(
        asset=asset,
        first_us=int(times_us[rows[0]]),
        last_us=int(times_us[rows[-1]]),
        count=len(rows),
        move=float(verdict.move[worst]),
        official=None if np.isnan(was) else was,
        corrected=float(corrected[worst]),
        too_late=bool(verdict.move[worst] > threshold),
    )


FOREVER_US = np.iinfo(np.int64).max
FIXED = tuple(str(method) for method in Method)


@dataclass(frozen=True, slots=True)
class Fresh:
    """Computed rates, the rows (M,) of them that differ from the official ones, and those (M,), NaN for none."""

    rates: RateSeries
    rows: I64
    official: F64

    def following_us(self) -> I64:
        """The instant (M,) up to which each differing rate is in use: that of the asset's next one."""
        times = np.append(self.rates.time_us[1:], FOREVER_US)
        times[np.flatnonzero(np.diff(self.rates.asset_id))] = FOREVER_US
        return times[self.rows]


@dataclass(frozen=True, slots=True)
class Computed:
    """The rates of every asset that has bars, and for each currency which bars wait for its rate of their instant.

    Up to `inherits_us` a rate may depend on bars before the first.
    """

    rates: RateSeries
    waiting: tuple[str, ...]
    inherits_us: int


def computed_rates(
    store: Store,
    registry: Registry,
    *,
    bars: BarSeries,
    listings: Sequence[ListingRow],
    overrides: Sequence[OverrideRow] = (),
    since_us: int | None = None,
    asset_id: int | None = None,
) -> Computed:
    """What the bars of a store's listings and the fixings (of one asset, or all) give, by what is known now.

    With `since_us` only from then on: the bars before it then only tell which later ones stand still.

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
    coins, coins_us = _coin_rates(live, listings, places)
    listed, at_par = in_dollars(live, quotes, _both(coins, currency_rates(store)))
    of_bars, bars_us = compute_rates(listed, places, at_par=at_par)
    # A fixing is finer evidence of the same venues; bars under it are kept as evidence and for volumes.
    rates = joined([read_rates(store, methods=FIXED, since_us=since_us, asset_id=asset_id, evidence=True), of_bars])
    return Computed(
        _overridden(rates, overrides, ids={row.asset: row.asset_id for row in listings}),
        _waiting(live, listed, quotes),
        max(coins_us, bars_us),
    )


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


def _coin_rates(
    bars: ListedBars, listings: Sequence[ListingRow], places: Mapping[int, Place]
) -> tuple[dict[str, tuple[I64, F64]], int]:
    """USD rates of coins that others are quoted in (BTC, ETH), from their own bars in dollars, and up to when they
    depend on earlier bars."""
    wanted = {row.quote for row in listings} - {DOLLAR, *AT_PAR}
    mine = [row for row in listings if row.symbol.upper() in wanted and row.quote in (DOLLAR, *AT_PAR)]
    spot = [row.id for row in mine if row.id is not None and places[row.id].market == SPOT]
    rates, inherits_us = compute_rates(bars.rows(np.isin(bars.listing_id, spot)), places)
    parts = {row.symbol.upper(): rates.of(row.asset_id or 0) for row in mine}
    return {name: (rates.time_us[part], rates.rate[part]) for name, part in parts.items()}, inherits_us


def _overridden(made: RateSeries, overrides: Sequence[OverrideRow], *, ids: Mapping[str, int | None]) -> RateSeries:
    overrides = [row for row in overrides if row.kind == "value" and row.asset in ids]
    if not overrides:
        return made
    rate, status, flags, verdicts = made.rate.copy(), made.status.copy(), made.flags.copy(), list(made.verdicts or ())
    for one in overrides:
        within = (made.time_us >= to_us(one.starts_at)) & (made.time_us < to_us(one.expires_at))
        within &= made.asset_id == ids[one.asset]
        rate[within], status[within], flags[within] = json.loads(one.detail)["value"], RateStatus.DEGRADED, 0
        for row in np.flatnonzero(within).tolist():
            verdicts[row] = json.dumps({**json.loads(verdicts[row]), "override": one.id}, separators=(",", ":"))
    return replace(made, rate=rate, status=status, flags=flags, verdicts=verdicts)


def differing(made: RateSeries, stored: RateSeries) -> Fresh:
    """What of computed rates is not official with the same value, status and market, spot or perpetual."""
    official, same = np.full(len(made.rate), np.nan), np.zeros(len(made.rate), dtype=np.bool_)
    for asset_id in np.unique(made.asset_id).tolist():
        mine, theirs = made.of(asset_id), stored.of(asset_id)
        times = stored.time_us[theirs]
        slot = np.searchsorted(times, made.time_us[mine])
        at = np.flatnonzero(np.append(times, FOREVER_US)[slot] == made.time_us[mine])
        row, old = mine.start + at, theirs.start + slot[at]
        official[row] = stored.rate[old]
        same[row] = (stored.rate[old] == made.rate[row]) & (stored.status[old] == made.status[row])
        same[row] &= ((stored.flags[old] ^ made.flags[row]) & RateFlag.PERPETUAL) == 0
    rows = np.flatnonzero(~same)
    return Fresh(made, rows, official[rows])


def write_fresh(store: Store, run_id: int, fresh: Fresh) -> Written:
    """Makes differing rates official."""
    if not len(fresh.rows):
        return Written()
    rates = fresh.rates.rows(fresh.rows)
    return write_rates(store, run_id, **{name: getattr(rates, name) for name in rates.__dataclass_fields__})


def reaches_back(store: Store, fresh: Fresh, *, methodologies: Iterable[Methodology]) -> bool:
    """Whether any differing rate lies at or before a published instant."""
    spans = [span for methodology in methodologies if (span := published_span(store, methodology.id)) is not None]
    newest = max((span[1] for span in spans), default=None)
    return newest is not None and bool((fresh.rates.time_us[fresh.rows] <= newest).any())


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
    fresh: Fresh,
    effects: Sequence[Effect],
    lines: Mapping[int, tuple[str, str]],
    policy: Policy,
    now_us: int,
) -> tuple[Written, list[Deferred]]:
    """Writes the rates that the policy lets in and logs the rest. `lines` names asset and line of each asset id."""
    logged, applied = [], np.zeros(len(fresh.rows), dtype=np.bool_)
    following = fresh.following_us()
    ids = fresh.rates.asset_id[fresh.rows]
    for asset_id in np.unique(ids).tolist():
        (asset, line), part = lines[asset_id], np.flatnonzero(ids == asset_id)
        rows, times = fresh.rows[part], fresh.rates.time_us[fresh.rows[part]]
        verdict = judge_rates(line, times, next_us=following[part], effects=effects)
        applied[part] = by_policy(
            verdict, threshold=policy.threshold, now_us=now_us, window_us=policy.window_days * DAY_US
        )
        entry = deferred(
            asset,
            times,
            verdict=verdict,
            applied=applied[part],
            official=fresh.official[part],
            corrected=fresh.rates.rate[rows],
            threshold=policy.threshold,
        )
        if entry is not None:
            logged.append(entry)
    written = write_fresh(store, run_id, replace(fresh, rows=fresh.rows[applied]))
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
