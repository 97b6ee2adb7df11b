"""The second reading of the methodology text, first half: who is in and with what weight, in plain Python.

Shares only the data classes with the fast path: no numpy, its own looking back, ranking and water-filling (by
bisection). It is meant to be read beside docs/methodology.md and to disagree where the fast path errs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from math import ceil, isnan, nan, sqrt
from statistics import median

from indexer.engine.market import VENUES, Line, Market, Status
from indexer.errors import MethodologyError
from indexer.methodology.spec import Caps, Eligibility, Methodology, Scheme, UnknownVolume, Weighting

DAY = 86_400_000_000
HOUR = 3_600_000_000
ROUNDING = 1e-12
LIMIT = 1e-9  # of weight, in comparisons with limits
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class World:
    """A market as plain lists: rows of prices, rows of day volumes and metrics, supplies as tuples."""

    lines: tuple[Line, ...]
    times: list[int]
    prices: list[list[float]]
    old: list[list[bool]]  # which prices are not rates of their instant
    days: list[int]
    volumes: list[list[float]]
    metrics: list[list[float]]
    active: list[list[float]]
    venues: list[list[float]]
    supplies: list[list[tuple[int, float, float, float, int]]]  # time, circulating, free float, total, source


@dataclass(frozen=True, slots=True)
class Seen:
    """What was known of one line at a reference date; NaN where not known."""

    price: float
    cap: float
    supply: float
    total: float
    adv: float
    metric: float
    share: float
    active: float
    venues: float
    outdated: bool  # a newcomer whose supply is older than a newcomer's may be


def world_of(market: Market) -> World:
    """The market in plain lists."""
    histories = [line.supply for line in market.lines]
    return World(
        market.lines, market.times_us.tolist(), market.prices.tolist(),
        (market.price_status >= Status.CARRIED).tolist(), market.day_us.tolist(), market.volume_usd.tolist(),
        [] if market.fundamental is None else market.fundamental.tolist(),
        [] if market.active_addresses is None else market.active_addresses.tolist(),
        market.metrics[VENUES].tolist() if VENUES in market.metrics else [],
        [list(zip(h.times_us.tolist(), h.circulating.tolist(), h.free_float.tolist(), h.total.tolist(),
                  h.source.tolist(), strict=True)) for h in histories],
    )  # fmt: skip


def members_at(
    world: World, methodology: Methodology, *, reference: int, incumbents: set[int], review: bool
) -> dict[int, Seen]:
    """The columns that are in at a reference date, with what is known of each."""
    rule = methodology.eligibility_at(EPOCH + timedelta(microseconds=reference))
    pool = sorted(incumbents)
    if review:
        by_name = len(methodology.universe.assets) > 0
        pool = [c for c, line in enumerate(world.lines) if by_name or reference >= line.candidate_from_us]
    seen = {
        column: _look(world, rule, column=column, reference=reference, incumbent=column in incumbents)
        for column in pool
    }
    if methodology.float_rules.bands:
        seen = {c: _banded(facts, world, methodology, column=c, reference=reference) for c, facts in seen.items()}
    measured = {
        c: facts for c, facts in seen.items() if _measurable(facts, rule, methodology, slug=world.lines[c].slug)
    }
    if not review:
        return measured
    passed = [
        column for column, facts in measured.items()
        if _passes(world, rule, facts=facts, column=column, reference=reference, incumbent=column in incumbents)
    ]  # fmt: skip
    order = sorted(passed, key=lambda column: (*_size_first(measured[column]), world.lines[column].slug))
    picks = methodology.selection
    chosen = order[: picks.entry_rank]
    between = order[picks.entry_rank : picks.exit_rank]
    for column in [c for c in between if c in incumbents] + [c for c in between if c not in incumbents]:
        if len(chosen) < picks.target:
            chosen.append(column)
    return {column: measured[column] for column in chosen}


def target_weights(world: World, methodology: Methodology, *, members: dict[int, Seen], label: str) -> dict[int, float]:
    """Capped weights of the members. Raises MethodologyError when the caps cannot hold for them."""
    weighting = methodology.weighting
    size = {column: _size(weighting, facts, slug=world.lines[column].slug) for column, facts in members.items()}
    total = sum(size.values())
    raw = {column: share / total for column, share in size.items()}
    if weighting.scheme is Scheme.FLOOR_PLUS_CAP:
        left = 1.0 - len(raw) * weighting.floor
        if left < -LIMIT:
            raise MethodologyError(f"{label}: the floors of {len(raw)} members are above 1")
        raw = {column: weighting.floor + max(left, 0.0) * share for column, share in raw.items()}
    return _capped(world, methodology.caps, raw=raw, label=label)


def _size(weighting: Weighting, facts: Seen, *, slug: str) -> float:
    """What the scheme weighs by."""
    scheme = weighting.scheme
    if scheme is Scheme.FIXED:
        return weighting.weights[slug]
    if scheme is Scheme.EQUAL:
        return 1.0
    if scheme is Scheme.LIQUIDITY:
        return facts.adv
    if scheme is Scheme.FUNDAMENTAL:
        return facts.metric
    return sqrt(facts.cap) if scheme is Scheme.SQRT_CAP else facts.cap


def _look(world: World, rule: Eligibility, *, column: int, reference: int, incumbent: bool) -> Seen:
    """Price, supply, volume and metric of one line, as known at the reference instant."""
    price = price_at(world, column, at=reference, max_age=rule.price_max_age_hours * HOUR)
    supply, total, true_at = supply_at(world, column, at=reference, max_age=rule.member_supply_max_age_days * DAY)
    window = _window(world, rule, reference=reference)
    volumes = [v for day in window if not isnan(v := world.volumes[day][column])]
    metrics = [m for day in window if world.metrics and not isnan(m := world.metrics[day][column])]
    adv = median(volumes) if len(volumes) >= rule.adv_min_days else nan
    active = [a for day in window if world.active and not isnan(a := world.active[day][column])]
    traded = [n for day in window if world.venues and not isnan(n := world.venues[day][column])]
    return Seen(
        price, price * supply, supply, total, adv, metrics[-1] if metrics else nan, supply / total,
        median(active) if len(active) >= rule.adv_min_days else nan,
        max(traded, default=0.0) if world.venues else world.lines[column].venues,
        not incumbent and reference - true_at > rule.supply_max_age_days * DAY,
    )  # fmt: skip


def _banded(facts: Seen, world: World, methodology: Methodology, *, column: int, reference: int) -> Seen:
    """The same line with a banded share of the total as its supply; none below all bands."""
    if isnan(facts.share):
        return facts

    def share_at(moment: int) -> float:
        rule = methodology.eligibility_at(EPOCH + timedelta(microseconds=moment))
        supply, total, _ = supply_at(world, column, at=moment, max_age=rule.member_supply_max_age_days * DAY)
        return min(supply / total, 1.0)  # NaN where either is

    supply = band_at(methodology, reference=reference, share_at=share_at) * facts.total or nan
    return replace(facts, supply=supply, cap=facts.cap / facts.supply * supply)


def _size_first(facts: Seen) -> tuple[float, float]:
    """The largest capitalisation first; lines without one after all others, the most traded first."""
    if isnan(facts.cap):
        return 0.0, 0.0 if isnan(facts.adv) else -facts.adv
    return -facts.cap, 0.0


def _measurable(facts: Seen, rule: Eligibility, methodology: Methodology, *, slug: str) -> bool:
    scheme = methodology.weighting.scheme
    without = scheme in (Scheme.EQUAL, Scheme.LIQUIDITY, Scheme.FUNDAMENTAL, Scheme.FIXED)
    without = without and not (methodology.float_rules.bands or rule.min_free_float or rule.min_atvr)
    if isnan(facts.price) or (isnan(facts.supply) and not (without and isnan(facts.share))):
        return False
    if facts.outdated and not without:
        return False
    if scheme is Scheme.FIXED:
        return slug in methodology.weighting.weights
    if scheme is Scheme.LIQUIDITY:
        return facts.adv > 0
    return scheme is not Scheme.FUNDAMENTAL or facts.metric > 0


def _passes(world: World, rule: Eligibility, *, facts: Seen, column: int, reference: int, incumbent: bool) -> bool:
    """Every eligibility test of the rule."""
    line = world.lines[column]
    migrated = line.successor_since_us is not None and line.successor_since_us <= reference
    history = rule.successor_min_history_days if migrated else rule.min_history_days
    forgiven = incumbent and rule.unknown_volume is UnknownVolume.KEEP_INCUMBENTS
    venues = rule.incumbent_min_venues if incumbent else rule.min_venues
    if reference - line.first_price_us < history * DAY or facts.venues < venues:
        return False
    if not isnan(facts.share) and facts.share < rule.min_free_float:
        return False
    if not _lively(facts, rule, forgiven=forgiven):
        return False
    if rule.min_median_adv_usd > 0 and not (forgiven if isnan(facts.adv) else facts.adv >= rule.min_median_adv_usd):
        return False
    if rule.min_atvr > 0:
        turnover = _turnover(world, rule, column=column, reference=reference)
        return forgiven if isnan(turnover) else turnover >= rule.min_atvr
    return True


def _lively(facts: Seen, rule: Eligibility, *, forgiven: bool) -> bool:
    """Whether enough addresses are active; not known is not enough for a newcomer."""
    if rule.min_active_addresses == 0:
        return True
    return forgiven if isnan(facts.active) else facts.active >= rule.min_active_addresses


def _turnover(world: World, rule: Eligibility, *, column: int, reference: int) -> float:
    """ATVR: 365 · median over days of (traded value / free-float capitalisation at the day's end)."""
    ratios = []
    for day in _window(world, rule, reference=reference):
        at = world.days[day]
        price = price_at(world, column, at=at, max_age=rule.price_max_age_hours * HOUR)
        supply, _, _ = supply_at(world, column, at=at, max_age=rule.member_supply_max_age_days * DAY)
        ratio = world.volumes[day][column] / (price * supply)
        if not isnan(ratio):
            ratios.append(ratio)
    return 365.0 * median(ratios) if len(ratios) >= rule.adv_min_days else nan


def _window(world: World, rule: Eligibility, *, reference: int) -> range:
    """The days that ended in (reference - window, reference]."""
    first = bisect_right(world.days, reference - rule.adv_window_days * DAY)
    return range(first, bisect_right(world.days, reference))


def price_at(world: World, column: int, *, at: int, max_age: int) -> float:
    """The last price at or before an instant, NaN when it is older than `max_age` or there is none."""
    row = bisect_right(world.times, at) - 1
    while row >= 0 and at - world.times[row] <= max_age:
        price = world.prices[row][column]
        if not isnan(price):
            return price
        row -= 1
    return nan


def supply_at(world: World, column: int, *, at: int, max_age: int) -> tuple[float, float, int]:
    """Supply (free float on chain, else reported, else imported), total supply, and when the supply was true.

    NaN where not known. Of imported figures the free float counts only where no circulating one is known.
    """
    known = [reading for reading in reversed(world.supplies[column]) if at - max_age <= reading[0] <= at]
    any_total = next((reading[3] for reading in known if reading[3] > 0), nan)
    for kind, place in ((0, 2), (1, 1), (2, 1), (2, 2)):
        own = [reading for reading in known if reading[4] == kind]
        figure = next((reading for reading in own if reading[place] > 0), None)
        if figure is not None:
            return figure[place], next((reading[3] for reading in own if reading[3] > 0), any_total), figure[0]
    return nan, any_total, at


def _capped(world: World, caps: Caps, *, raw: dict[int, float], label: str) -> dict[int, float]:
    """The weights λ·m held between floor and caps, a group above its cap with a smaller λ; Σ = 1."""
    lines = world.lines
    largest = min(raw, key=lambda column: (-raw[column], lines[column].slug))
    cap = dict.fromkeys(raw, 1.0 if caps.single is None else caps.single)
    if caps.largest is not None:
        cap[largest] = caps.largest
    cap |= {column: caps.per_asset[lines[column].slug] for column in raw if lines[column].slug in caps.per_asset}
    floor = caps.floor or 0.0
    key = {column: lines[column].sub_sector for column in raw}
    groups = {name: list(part) for name, part in groupby(sorted(raw, key=lambda c: key[c]), key=lambda c: key[c])}
    limit = {name: caps.per_group.get(name, 1.0 if caps.group is None else caps.group) for name in groups}
    room = sum(min(limit[name], sum(cap[c] for c in part)) for name, part in groups.items())
    crowded = any(len(part) * floor > limit[name] + LIMIT for name, part in groups.items())
    if caps.relax and floor * len(raw) <= 1 + LIMIT:
        _relax(cap, limit, groups=groups, floor=floor, named={c for c in raw if lines[c].slug in caps.per_asset})
        room, crowded = 1.0, False
    if room < 1 - LIMIT or floor * len(raw) > 1 + LIMIT or crowded or floor > min(cap.values()) + LIMIT:
        raise MethodologyError(f"{label}: the caps leave room for {room:.6g} of the index; check caps and floors")

    def inside(part: list[int], level: float) -> float:
        return sum(min(max(level * raw[c], floor), cap[c]) for c in part)

    def whole(level: float) -> float:
        return sum(min(limit[name], inside(part, level)) for name, part in groups.items())

    common = _level(whole, 1.0)
    out: dict[int, float] = {}
    for name, part in groups.items():
        capped = inside(part, common) > limit[name]
        level = _level(partial(inside, part), limit[name]) if capped else common
        out |= {c: min(max(level * raw[c], floor), cap[c]) for c in part}
    return out


def _relax(
    cap: dict[int, float], limit: dict[str, float], *, groups: dict[str, list[int]], floor: float, named: set[int]
) -> None:
    """Bounds of tokens, then of groups, raised in place to the least that holds all of the index."""
    for which in (cap.keys() - named, named):
        if which and sum(cap.values()) < 1 - LIMIT:
            level = min(_level(partial(_total_lifted, cap, which), 1.0), 1.0)
            cap.update({column: max(cap[column], level) for column in which})
    for name, part in groups.items():
        limit[name] = max(limit[name], floor * len(part))
    inside = {name: sum(cap[c] for c in part) for name, part in groups.items()}

    def room(level: float) -> float:
        return sum(min(max(bound, level), inside[name]) for name, bound in limit.items())

    if room(0.0) < 1 - LIMIT:
        level = _level(room, 1.0)
        limit.update({name: max(bound, level) for name, bound in limit.items()})


def _total_lifted(cap: dict[int, float], which: AbstractSet[int], level: float) -> float:
    return sum(max(bound, level) if column in which else bound for column, bound in cap.items())


def _level(total: Callable[[float], float], wanted: float) -> float:
    """The λ at which a rising total reaches what is wanted, by doubling and halving."""
    low, high = 0.0, 1.0
    for _ in range(1000):
        if total(high) >= wanted:
            break
        low, high = high, high * 2.0
    for _ in range(200):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        low, high = (middle, high) if total(middle) < wanted else (low, middle)
    return high


BUFFER = 0.02


def band_at(methodology: Methodology, *, reference: int, share_at: Callable[[int], float]) -> float:
    """The band (0, 0.2, 0.3 … 1) in force at a reference date, by all those before it; NaN while none was known.

    `share_at` gives the free float's share of the total at an instant in microseconds, NaN where not known.
    """
    band = nan
    for moment in references(methodology, reference):
        share = share_at(moment)
        if isnan(share):
            continue
        low, high = _edges(band)
        if isnan(band) or not low - BUFFER <= share <= high + BUFFER:
            band = _fresh(share)
    return band


def references(methodology: Methodology, last: int) -> Iterator[int]:
    """The reference instants of the base and of every date, in order, up to `last` (all in us)."""
    before = methodology.schedule.reference_days_before * DAY
    for date in calendar(methodology):
        if date.effective - before > last:
            return
        yield date.effective - before


@dataclass(frozen=True, slots=True)
class Date:
    """A date of the calendar (us): whether the schedule has it, reviews members then, and whether it is the first one
    of its month."""

    effective: int
    scheduled: bool
    review: bool
    monthly: bool


def calendar(methodology: Methodology) -> Iterator[Date]:
    """The base and every later date: those of the schedule, and the first one of each month that it leaves out."""
    schedule, base = methodology.schedule, methodology.base_date.astimezone(UTC)
    yield Date((base - EPOCH) // timedelta(microseconds=1), True, True, True)
    day = datetime(base.year, base.month, base.day, tzinfo=UTC)
    while True:
        day += timedelta(days=1)
        weekly = schedule.weekday is not None
        due = f"{day:%A}".lower() == schedule.weekday if weekly else day.day == schedule.effective_day
        first, scheduled = not weekly or day.day <= 7, day.month in schedule.rebalance_months
        if due and (scheduled or first):
            review = first and day.month in schedule.reconstitution_months
            yield Date((day - EPOCH) // timedelta(microseconds=1), scheduled, review, first)


def _fresh(share: float) -> float:
    if share < 0.15:
        return 0.0
    if share > 0.9 + ROUNDING:
        return 1.0
    return max(ceil(share * 10 - ROUNDING * 10) / 10, 0.2)


def _edges(band: float) -> tuple[float, float]:
    if isnan(band):
        return nan, nan
    lows = {0.0: 0.0, 0.2: 0.15, 1.0: 0.9}
    return lows.get(band, band - 0.1), 0.15 if band == 0.0 else band
