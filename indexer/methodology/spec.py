"""A methodology as data: the validated, frozen form of one index's TOML file.

`load.py` reads it from text by these annotations (and refuses what does not hold); the engine only ever sees this
form. Shares and caps are fractions (0.20 is 20 %); durations carry their unit in the name; dates are aware UTC.
docs/methodology.md explains the rules; each rule's reason stands beside it in the TOML.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from indexer.errors import MethodologyError, did_you_mean
from indexer.registry import Asset, Registry
from indexer.registry.records import STATUSES
from indexer.times import DAY_US, from_us, iso, to_us
from onchain.strict_toml import (
    COMPUTED,
    Ascending,
    Flag,
    Instant,
    Number,
    Text,
    Texts,
    Whole,
    matching,
    member_of,
    one_of,
)

# A key that came later: while it has its default it is not part of the hash, so older files keep theirs.
LATER = {"later": True}


WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Month = Annotated[Whole, Field(ge=1, le=12)]
Months = Annotated[tuple[Month, ...], Field(min_length=1), Ascending]
Days = Annotated[Whole, Field(ge=0, le=3650)]
DaysOfAge = Annotated[Whole, Field(ge=1, le=3650)]
DaysOfWindow = Annotated[Whole, Field(ge=1, le=365)]
Count = Annotated[Whole, Field(ge=1, le=500)]
Venues = Annotated[Whole, Field(ge=1, le=50)]
Amount = Annotated[Number, Field(ge=0, le=1e300)]
Share = Annotated[Number, Field(ge=0, le=1)]


def _bound(share: float) -> float:
    if share == 0.0:
        raise ValueError("0 leaves no weight; leave the key out for no bound")
    return share


Statuses = Annotated[tuple[Annotated[str, one_of(STATUSES)], ...], Field(min_length=1)]
Bound = Annotated[Share, AfterValidator(_bound)]


class Scheme(StrEnum):
    """How members are weighted before caps."""

    FREE_FLOAT_CAP = "free_float_cap"
    SQRT_CAP = "sqrt_cap"
    EQUAL = "equal"
    FLOOR_PLUS_CAP = "floor_plus_cap"
    LIQUIDITY = "liquidity"
    FUNDAMENTAL = "fundamental"
    FIXED = "fixed"


# Schemes that weigh by a capitalisation, which a supply is needed for.
BY_CAP = frozenset({Scheme.FREE_FLOAT_CAP, Scheme.SQRT_CAP, Scheme.FLOOR_PLUS_CAP})


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

    assets: Texts = ()
    sub_sectors: Texts = ()
    exclude: Texts = ()
    statuses: Statuses = (
        "core",
        "watch",
        "special",
        "legacy",
    )


@dataclass(frozen=True, slots=True)
class Schedule:
    """Monthly or weekly rebalances (weights) and, in `reconstitution_months`, reconstitutions (membership).

    Effective at 00:00 UTC on `effective_day` of the month, or with `weekday` every week on that day, whose first one
    in a month may be a reconstitution; decided from what was known at 00:00 UTC
    `reference_days_before` days earlier. `transition_fixings` spreads a change over k daily fixings.
    """

    rebalance_months: Months = tuple(range(1, 13))
    reconstitution_months: Months = (1, 4, 7, 10)
    # Days 29 to 31 are refused: not every month has them.
    effective_day: Annotated[Whole, Field(ge=1, le=28)] = 1
    reference_days_before: Annotated[Whole, Field(ge=1, le=31)] = 5
    transition_fixings: Annotated[Whole, Field(ge=1, le=27)] = 1
    weekday: Annotated[str, one_of(WEEKDAYS)] | None = field(default=None, metadata=LATER)

    def days(self, year: int, month: int) -> range:
        """The days of a month on which a change may take effect, whether or not the month is one of its months."""
        if self.weekday is None:
            return range(self.effective_day, self.effective_day + 1)
        begins, count = monthrange(year, month)
        return range(1 + (WEEKDAYS.index(self.weekday) - begins) % 7, count + 1, 7)


@dataclass(frozen=True, slots=True)
class Eligibility:
    """The tests a candidate passes at a reference date; the last one with `effective_from` <= it applies."""

    effective_from: Instant
    min_history_days: Days = 90
    successor_min_history_days: Days = 30
    min_median_adv_usd: Amount = 1_000_000.0
    adv_window_days: DaysOfWindow = 30
    adv_min_days: DaysOfWindow = 15
    min_atvr: Amount = 0.05
    min_free_float: Share = 0.15
    min_venues: Venues = 2
    incumbent_min_venues: Venues = 1
    supply_max_age_days: DaysOfAge = 400
    price_max_age_hours: Annotated[Whole, Field(ge=1, le=8760)] = 48
    unknown_volume: Annotated[UnknownVolume, member_of(UnknownVolume)] = UnknownVolume.KEEP_INCUMBENTS
    incumbent_supply_max_age_days: DaysOfAge | None = field(default=None, metadata=LATER)
    min_active_addresses: Annotated[Whole, Field(ge=0, le=1_000_000_000)] = field(default=0, metadata=LATER)
    reason: str = ""

    @property
    def member_supply_max_age_days(self) -> int:
        """How old a member's supply may be: `incumbent_supply_max_age_days`, else as a newcomer's."""
        return self.incumbent_supply_max_age_days or self.supply_max_age_days


@dataclass(frozen=True, slots=True)
class Selection:
    """How many, with buffers: newcomers enter at rank <= entry, incumbents stay until rank > exit."""

    target: Count = 20
    entry_rank: Count = 17
    exit_rank: Count = 23
    min_constituents: Count = 5


@dataclass(frozen=True, slots=True)
class Weighting:
    """Scheme and its parameters. `floor` is used by floor_plus_cap; `metric` names a fundamental metric; `weights` (by
    slug, they sum to 1) are those of a fixed basket, which drifts between rebalances."""

    scheme: Annotated[Scheme, member_of(Scheme)] = Scheme.FREE_FLOAT_CAP
    floor: Share = 0.0
    metric: str = ""
    weights: Mapping[str, Bound] = field(default_factory=dict, metadata=LATER)


@dataclass(frozen=True, slots=True)
class Caps:
    """Upper and lower bounds of weight at a rebalance; None means no bound.

    `single` holds for every asset unless `per_asset` (by slug) says otherwise; `largest` replaces `single`
    for the largest asset alone; `group` holds for each sub-sector unless `per_group` says otherwise. With `relax`
    bounds that the members of a date cannot meet are raised for that date instead of leaving it out.
    """

    single: Bound | None = None
    largest: Bound | None = None
    floor: Bound | None = None
    group: Bound | None = None
    per_asset: Mapping[str, Share] = field(default_factory=dict)
    per_group: Mapping[str, Share] = field(default_factory=dict)
    relax: Flag = field(default=False, metadata=LATER)


@dataclass(frozen=True, slots=True)
class FloatRules:
    """How a free float becomes the supply that is weighed by. With `bands` it is a banded share of the total.

    Under 15 % nothing, up to 20 % a fifth, then up to the next tenth, over 90 % all; a band
    stays while the share is within two points of it.
    """

    bands: Flag = False


@dataclass(frozen=True, slots=True)
class Missing:
    """How long a last price may stand in for a missing one before the constituent is suspended."""

    max_carry_hours: Annotated[Whole, Field(ge=0, le=8760)] = 168


@dataclass(frozen=True, slots=True)
class PerpetualFallback:
    """From when until when (not included) a price of perpetual futures may stand where no spot bar of an instant
    exists."""

    effective_from: Instant
    until: Instant
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """Which instants have a level, how good it is, and when an index that loses its members stops having any.

    Shares are of weight. An instant other than 00:00 UTC has a level when at least `min_priced_weight` has a rate of
    that instant. A level is final when nothing is carried and at least `final_weight` has rates of that quality.
    Impaired: fewer than `selection.min_constituents`, or more than `max_carried_weight` carried at 00:00 UTC; after
    `impaired_days` such days in a row the index is suspended.
    """

    max_carried_weight: Share = 0.25
    impaired_days: Annotated[Whole, Field(ge=1, le=3650)] = 14
    min_priced_weight: Share = 0.75
    final_weight: Bound = 0.90


@dataclass(frozen=True, slots=True)
class Methodology:
    """One index, complete. `hash` is the SHA-256 of the canonical content: any change of a rule changes it.

    `reason` says what this version changed. `source` says which file it came from and `text` is that file, for the
    audit trail; none of the three is part of the rules.
    """

    id: Annotated[Text, matching("[a-z0-9]+(-[a-z0-9]+)*", "lower-case letters, digits and hyphens, e.g. my-index")]
    name: Text
    version: Annotated[Text, matching("[0-9]+[.][0-9]+[.][0-9]+", "three numbers, e.g. 1.0.0")]
    base_date: Instant
    effective_from: Instant
    description: str = ""
    reason: str = ""
    base_level: Annotated[Number, Field(ge=1e-9, le=1e300)] = 1000.0
    decimals: Annotated[Whole, Field(ge=0, le=10)] = 6
    universe: Universe = Universe()
    schedule: Schedule = Schedule()
    eligibility: tuple[Eligibility, ...] = ()
    selection: Selection = Selection()
    weighting: Weighting = Weighting()
    caps: Caps = Caps()
    missing: Missing = Missing()
    perpetual_fallback: tuple[PerpetualFallback, ...] = field(default=(), metadata=LATER)
    health: Health = field(default=Health(), metadata=LATER)
    float_rules: Annotated[FloatRules, Field(alias="float")] = field(default=FloatRules(), metadata=LATER)
    hash: str = field(default="", metadata=COMPUTED)
    source: str = field(default="", metadata=COMPUTED)
    text: str = field(default="", repr=False, compare=False, metadata=COMPUTED)

    def needs_supply(self, rule: Eligibility) -> bool:
        """Whether a supply enters at all: by the scheme, by bands, or by a threshold of eligibility."""
        thresholds = rule.min_free_float > 0 or rule.min_atvr > 0
        return self.weighting.scheme in BY_CAP or self.float_rules.bands or thresholds

    @property
    def perpetual_windows(self) -> tuple[tuple[int, int], ...]:
        """From and until, in microseconds, of each dated rule that lets a perpetual stand in."""
        return tuple((to_us(rule.effective_from), to_us(rule.until)) for rule in self.perpetual_fallback)

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

    A reconstitution may change members and weights, any other rebalance only weights. `monthly` is the first date of
    a month; one that is not `scheduled` is of use to an impaired index only, whose members are then chosen anew.
    """

    reference_us: int
    effective_us: int
    reconstitution: bool
    monthly: bool = True
    scheduled: bool = True


def rebalance_dates(
    schedule: Schedule, start_us: int, end_us: int, *, every_month: bool = False
) -> list[RebalanceDate]:
    """The changes effective from `start_us` to `end_us`, both included, ascending; with `every_month` also the first
    date of each month that is not one of the schedule's.

    Raises MethodologyError for an effective day that not every month has, or an end before the start.
    """
    if not 1 <= schedule.effective_day <= LAST_DAY_OF_EVERY_MONTH:
        raise MethodologyError(
            f"schedule.effective_day: {schedule.effective_day} is not a day of every month; give 1 to 28"
        )
    if end_us < start_us:
        raise MethodologyError(f"the calendar from {iso(start_us)} to {iso(end_us)} ends before it starts; swap them")
    first, last = from_us(start_us), from_us(end_us)
    before_us = schedule.reference_days_before * DAY_US
    dates = []
    for month_count in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
        year, month = month_count // 12, month_count % 12 + 1
        days = schedule.days(year, month)
        scheduled = month in schedule.rebalance_months
        for day in days if scheduled else days[: int(every_month)]:
            effective_us = to_us(datetime(year, month, day, tzinfo=UTC))
            monthly = day == days[0]
            review = monthly and month in schedule.reconstitution_months
            if start_us <= effective_us <= end_us:
                dates.append(RebalanceDate(effective_us - before_us, effective_us, review, monthly, scheduled))
    return dates


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
