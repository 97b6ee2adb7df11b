"""A methodology as data: the validated, frozen form of one index's TOML file.

`load.py` makes it from text (and refuses what does not hold); the engine only ever sees this form.
Shares and caps are fractions (0.20 is 20 %); durations carry their unit in the name; dates are aware UTC.
Rules and parameters follow METHODOLOGY §2; each rule's reason stands beside it in the TOML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from indexer.errors import MethodologyError, did_you_mean
from indexer.registry import Asset, Registry
from indexer.times import DAY_US, from_us, iso, to_us

# A key that came later: while it has its default it is not part of the hash, so older files keep theirs.
LATER = {"later": True}


class Scheme(StrEnum):
    """How members are weighted before caps."""

    FREE_FLOAT_CAP = "free_float_cap"
    SQRT_CAP = "sqrt_cap"
    EQUAL = "equal"
    FLOOR_PLUS_CAP = "floor_plus_cap"
    LIQUIDITY = "liquidity"
    FUNDAMENTAL = "fundamental"


# What `weighting.metric` may name: daily figures that are comparable between tokens.
INDEX_METRICS = (
    "active_addresses",
    "transfers",
    "senders",
    "receivers",
    "transfer_volume_usd",
    "fees_usd",
    "revenue_usd",
    "tvl_usd",
)


class UnknownVolume(StrEnum):
    """What a liquidity rule says when no volume is known: a newcomer is never admitted without evidence."""

    KEEP_INCUMBENTS = "keep_incumbents"
    EXCLUDE = "exclude"


@dataclass(frozen=True, slots=True)
class Universe:
    """Which assets may be considered. `assets` (slugs) wins over `sub_sectors`; both empty means the registry.

    `statuses` (of the registry) holds where `assets` does not name them; a reference asset must be named.
    """

    assets: tuple[str, ...] = ()
    sub_sectors: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ("core", "watch", "special", "legacy")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Monthly rebalances (weights) and, in `reconstitution_months`, reconstitutions (membership).

    Effective at 00:00 UTC on `effective_day` of the month; decided from what was known at 00:00 UTC
    `reference_days_before` days earlier. `transition_fixings` spreads a change over k daily fixings.
    """

    rebalance_months: tuple[int, ...] = tuple(range(1, 13))
    reconstitution_months: tuple[int, ...] = (1, 4, 7, 10)
    effective_day: int = 1
    reference_days_before: int = 5
    transition_fixings: int = 1


@dataclass(frozen=True, slots=True)
class Eligibility:
    """The tests a candidate passes at a reference date; the last one with `effective_from` <= it applies."""

    effective_from: datetime
    min_history_days: int = 90
    successor_min_history_days: int = 30
    min_median_adv_usd: float = 1_000_000.0
    adv_window_days: int = 30
    adv_min_days: int = 15
    min_atvr: float = 0.05
    min_free_float: float = 0.15
    min_venues: int = 2
    incumbent_min_venues: int = 1
    supply_max_age_days: int = 400
    price_max_age_hours: int = 48
    unknown_volume: UnknownVolume = UnknownVolume.KEEP_INCUMBENTS
    min_active_addresses: int = field(default=0, metadata=LATER)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """How many, with buffers: newcomers enter at rank <= entry, incumbents stay until rank > exit."""

    target: int = 20
    entry_rank: int = 17
    exit_rank: int = 23
    min_constituents: int = 5


@dataclass(frozen=True, slots=True)
class Weighting:
    """Scheme and its parameters. `floor` is used by floor_plus_cap; `metric` names a fundamental metric."""

    scheme: Scheme = Scheme.FREE_FLOAT_CAP
    floor: float = 0.0
    metric: str = ""


@dataclass(frozen=True, slots=True)
class Caps:
    """Upper and lower bounds of weight at a rebalance; None means no bound.

    `single` holds for every asset unless `per_asset` (by slug) says otherwise; `largest` replaces `single`
    for the largest asset alone; `group` holds for each sub-sector unless `per_group` says otherwise.
    """

    single: float | None = None
    largest: float | None = None
    floor: float | None = None
    group: float | None = None
    per_asset: Mapping[str, float] = field(default_factory=dict)
    per_group: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FloatRules:
    """How a free float becomes the supply that is weighed by. With `bands` it is a banded share of the total.

    METHODOLOGY §2.5: under 15 % nothing, up to 20 % a fifth, then up to the next tenth, over 90 % all; a band
    stays while the share is within two points of it.
    """

    bands: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """How long a last price may stand in for a missing one before the constituent is suspended."""

    max_carry_hours: int = 168


@dataclass(frozen=True, slots=True)
class Methodology:
    """One index, complete. `hash` is the SHA-256 of the canonical content: any change of a rule changes it.

    `source` says which file it came from and `text` is that file, kept as evidence; neither is part of the rules.
    """

    id: str
    name: str
    version: str
    description: str
    base_date: datetime
    base_level: float
    decimals: int
    effective_from: datetime
    universe: Universe
    schedule: Schedule
    eligibility: tuple[Eligibility, ...]
    selection: Selection
    weighting: Weighting
    caps: Caps
    missing: Missing
    hash: str
    float_rules: FloatRules = field(default=FloatRules(), metadata=LATER)
    source: str = ""
    text: str = field(default="", repr=False, compare=False)

    def eligibility_at(self, reference: datetime) -> Eligibility:
        """The eligibility rules in force at a reference date (the first ones before any takes effect)."""
        return next(
            (rule for rule in reversed(self.eligibility) if rule.effective_from <= reference),
            self.eligibility[0],
        )


LAST_DAY_OF_EVERY_MONTH = 28


@dataclass(frozen=True, slots=True)
class RebalanceDate:
    """One change: decided from what was known at `reference_us`, in force from `effective_us` (00:00 UTC).

    A reconstitution may change members and weights, any other rebalance only weights.
    """

    reference_us: int
    effective_us: int
    reconstitution: bool


def rebalance_dates(schedule: Schedule, start_us: int, end_us: int) -> list[RebalanceDate]:
    """The changes effective from `start_us` to `end_us`, both included, ascending.

    Raises MethodologyError for an effective day that not every month has, or an end before the start.
    """
    if not 1 <= schedule.effective_day <= LAST_DAY_OF_EVERY_MONTH:
        raise MethodologyError(
            f"schedule.effective_day: {schedule.effective_day} is not a day of every month; give 1 to 28"
        )
    if end_us < start_us:
        raise MethodologyError(f"the calendar from {iso(start_us)} to {iso(end_us)} ends before it starts; swap them")
    first, last = from_us(start_us), from_us(end_us)
    found = []
    for month_count in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
        year, month = divmod(month_count, 12)
        effective_us = to_us(datetime(year, month + 1, schedule.effective_day, tzinfo=UTC))
        if month + 1 in schedule.rebalance_months and start_us <= effective_us <= end_us:
            found.append(
                RebalanceDate(
                    reference_us=effective_us - schedule.reference_days_before * DAY_US,
                    effective_us=effective_us,
                    reconstitution=month + 1 in schedule.reconstitution_months,
                )
            )
    return found


def universe_lines(universe: Universe, registry: Registry) -> tuple[str, ...]:
    """The line slugs of the universe, in the registry's order, each once.

    A token that became another one (RNDR, now RENDER) is in when it or its successor is; unknown names are left
    out here and reported by `unknown_names`.
    """
    chosen = {asset.line for asset in registry.assets if _in(asset, universe)}
    excluded = {registry.by_slug[slug].line for slug in universe.exclude if slug in registry.by_slug}
    return tuple(line for line in registry.lines() if line in chosen and line not in excluded)


def unknown_names(universe: Universe, registry: Registry) -> list[str]:
    """Every name in the universe that the registry does not have, as a message with its place in the file."""
    slugs, sub_sectors = list(registry.by_slug), list(registry.sub_sectors)
    problems = [
        f'universe.{key}: there is no asset "{name}" in the registry.{did_you_mean(name, slugs)}'
        for key, names in (("assets", universe.assets), ("exclude", universe.exclude))
        for name in names
        if name not in registry.by_slug
    ]
    problems += [
        f'universe.sub_sectors: there is no sub-sector "{name}".{did_you_mean(name, sub_sectors)}'
        for name in universe.sub_sectors
        if name not in registry.sub_sectors
    ]
    return problems


def _in(asset: Asset, universe: Universe) -> bool:
    if universe.assets:
        return asset.slug in universe.assets
    fits = not universe.sub_sectors or asset.sub_sector in universe.sub_sectors
    return fits and asset.status in universe.statuses
