"""Who is in an index at a reference date, and why: tests, ranks and buffers, each answer with its reason.

Takes the inputs the engine gathered (only what was true by then), gives `Decision`s; weights come after.
docs/methodology.md: liquidity and turnover tests, free float, hysteresis for members already in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, fields, replace
from math import floor, isnan
from typing import Final

from indexer.engine.history import Decision
from indexer.engine.known import Inputs
from indexer.engine.market import Line
from indexer.methodology.spec import BY_CAP, Eligibility, Methodology, Scheme, Selection, UnknownVolume
from indexer.times import DAY_US, HOUR_US, from_us

NO_SUPPLY: Final = "no supply known"
SHORT: Final = (
    "median active addresses a day {:,.0f}, {:,} needed",
    "median daily volume ${:,.0f}, ${:,.0f} needed",
    "annual turnover {:.2%} of free-float cap, {:.2%} needed",
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One line at one reference date: the inputs as plain numbers, None where not known."""

    slug: str
    incumbent: bool
    venues: int
    history_days: float
    successor: bool
    price_age_hours: float | None
    supply: float | None
    supply_source: int | None
    total: float | None
    cap_usd: float | None
    adv_usd: float | None
    adv_days: int
    atvr: float | None
    atvr_days: int
    fundamental: float | None
    free_float: float | None = None
    active: float | None = None
    active_days: int = 0
    supply_us: int | None = None
    supply_stale_us: int | None = None
    supply_age_days: float = 0.0

    @property
    def share(self) -> float | None:
        """The free float's share of the total, before any band; None where not known."""
        if self.free_float is not None or self.supply is None or self.total is None:
            return self.free_float
        return self.supply / self.total


def decide(
    inputs: Inputs,
    row: int,
    *,
    lines: Sequence[Line],
    methodology: Methodology,
    incumbents: Set[int],
    reconstitution: bool,
) -> tuple[Decision, ...]:
    """A decision on every candidate at reference date `row` of the inputs, in the order of `lines`.

    A line that was not a candidate yet at that date gets none.
    `incumbents` are the columns of the present members. A reconstitution judges all lines; any other rebalance
    only the members, who stay while they can be measured.
    """
    reference_us = int(inputs.reference_us[row])
    rule = methodology.eligibility_at(from_us(reference_us))
    named = bool(methodology.universe.assets)
    columns = [n for n, line in enumerate(lines) if named or line.candidate_from_us <= reference_us]
    if not reconstitution:
        columns = sorted(incumbents)
    candidates = candidates_at(inputs, row, lines=lines, incumbents=incumbents, columns=columns)
    if not reconstitution:
        return tuple(_keep(one, rule, methodology=methodology) for one in candidates)
    failed = {
        one.slug: [*unmeasurable(one, rule, methodology=methodology)] or [*failures(one, rule)] for one in candidates
    }
    ranked = sorted(
        (one for one in candidates if not failed[one.slug]),
        key=lambda one: _rank(one, rule),
    )
    selected = {one.slug: decision for one, decision in zip(ranked, select(ranked, methodology.selection), strict=True)}
    return tuple(selected.get(one.slug) or _decision(one, "; ".join(failed[one.slug])) for one in candidates)


def _rank(one: Candidate, rule: Eligibility) -> tuple[float, float, str]:
    """By free-float capitalisation; those without one, where no supply is needed, come after, by traded value."""
    if one.cap_usd is None:
        return 0.0, -(one.adv_usd or 0.0) if one.adv_days >= rule.adv_min_days else 0.0, one.slug
    return -one.cap_usd, 0.0, one.slug


def candidates_at(
    inputs: Inputs, row: int, *, lines: Sequence[Line], incumbents: Set[int], columns: Sequence[int]
) -> list[Candidate]:
    """The inputs on the lines of some columns at one reference date, as plain numbers."""
    reference_us = int(inputs.reference_us[row])
    at = {part.name: getattr(inputs, part.name)[row].tolist() for part in fields(inputs)}
    sourced = [source >= 0 for source in at["supply_source"]]
    return [
        Candidate(
            slug=lines[n].slug,
            incumbent=n in incumbents,
            venues=at["venues"][n],
            history_days=(reference_us - lines[n].first_price_us) / DAY_US,
            successor=lines[n].successor_since_us is not None and (lines[n].successor_since_us or 0) <= reference_us,
            price_age_hours=None if isnan(at["price"][n]) else at["price_age_us"][n] / HOUR_US,
            supply=_number(at["supply"][n]),
            supply_source=at["supply_source"][n] if sourced[n] else None,
            total=_number(at["total"][n]),
            cap_usd=_number(at["price"][n] * at["supply"][n]),
            adv_usd=_number(at["adv_usd"][n]),
            adv_days=at["adv_days"][n],
            atvr=_number(at["atvr"][n]),
            atvr_days=at["atvr_days"][n],
            fundamental=_number(at["fundamental"][n]),
            free_float=_number(at["free_float"][n]),
            active=_number(at["active_addresses"][n]),
            active_days=at["active_days"][n],
            supply_us=at["supply_us"][n] if sourced[n] else None,
            supply_stale_us=at["supply_stale_us"][n] if sourced[n] else None,
            supply_age_days=(reference_us - at["supply_us"][n]) / DAY_US if sourced[n] else 0.0,
        )
        for n in columns
    ]


def unmeasurable(one: Candidate, rule: Eligibility, *, methodology: Methodology) -> Iterator[str]:
    """Why no weight can be worked out for a line; nothing when it can."""
    weighting, scheme = methodology.weighting, methodology.weighting.scheme
    if scheme is Scheme.FIXED and one.slug not in weighting.weights:
        yield "no weight of its own in weighting.weights"
    if one.price_age_hours is None:
        yield "no price known at the reference date"
    elif one.price_age_hours > rule.price_max_age_hours:
        yield f"last price is {one.price_age_hours:.1f} hours old, at most {rule.price_max_age_hours} allowed"
    if one.supply is None and one.free_float is not None:
        yield f"free float is {one.free_float:.2%} of total supply, below the lowest band"
    elif one.supply is None and methodology.needs_supply(rule):
        purpose = "weighting" if scheme in BY_CAP else "ranking"
        days = rule.member_supply_max_age_days
        yield f"{NO_SUPPLY} within {days} days of the reference date, needed for {purpose}"
    elif not one.incumbent and one.supply_age_days > rule.supply_max_age_days and methodology.needs_supply(rule):
        yield f"supply is {one.supply_age_days:.0f} days old, a newcomer's may be {rule.supply_max_age_days}"
    if scheme is Scheme.LIQUIDITY and not (one.adv_usd and one.adv_days >= rule.adv_min_days):
        yield f"volume known on {one.adv_days} days, {rule.adv_min_days} needed to weigh by liquidity"
    if scheme is Scheme.FUNDAMENTAL and not (one.fundamental and one.fundamental > 0):
        yield f"no positive metric known in the {rule.adv_window_days} days before the reference date"


def failures(one: Candidate, rule: Eligibility) -> Iterator[str]:
    """Every test of the rule that a line fails, with the numbers; nothing when it is eligible."""
    needed_days = rule.successor_min_history_days if one.successor else rule.min_history_days
    if one.history_days < needed_days:
        # Rounded down: 89.96 days are not 90.
        yield f"{floor(max(one.history_days, 0.0) * 10) / 10:.1f} days of history, {needed_days} needed"
    needed_venues = rule.incumbent_min_venues if one.incumbent else rule.min_venues
    if one.venues < needed_venues:
        yield f"qualified venues: {one.venues}, needed: {needed_venues}"
    if (share := one.share) is not None and share < rule.min_free_float:
        yield f"free float is {share:.2%} of total supply, {rule.min_free_float:.2%} needed"
    tests = (
        ("active addresses", one.active, one.active_days, rule.min_active_addresses),
        ("volume", one.adv_usd, one.adv_days, rule.min_median_adv_usd),
        ("turnover (volume over free-float cap)", one.atvr, one.atvr_days, rule.min_atvr),
    )
    for (what, value, days, least), short in zip(tests, SHORT, strict=True):
        if least > 0 and (value is None or days < rule.adv_min_days):
            yield from _unknown(one, rule, what=what, days=days)
        elif least > 0 and value is not None and value < least:
            yield short.format(value, least)


def select(ranked: Sequence[Candidate], selection: Selection) -> list[Decision]:
    """A decision on each eligible line, ascending by rank; the buffers in three steps.

    All within the entry rank are in; members within the exit rank stay, by rank, up to the target; when seats
    are left, the best newcomers within the exit rank fill them.
    """
    entry = {rank for rank in range(1, len(ranked) + 1) if rank <= selection.entry_rank}
    room = max(selection.target - len(entry), 0)
    buffered = [
        rank
        for rank, one in enumerate(ranked, 1)
        if selection.entry_rank < rank <= selection.exit_rank and one.incumbent
    ][:room]
    room -= len(buffered)
    filling = [
        rank
        for rank, one in enumerate(ranked, 1)
        if selection.entry_rank < rank <= selection.exit_rank and not one.incumbent
    ][:room]
    members = entry.union(buffered, filling)
    return [
        _decision(
            one, _place(one, rank, member=rank in members, selection=selection), rank=rank, member=rank in members
        )
        for rank, one in enumerate(ranked, 1)
    ]


def dropped(decision: Decision, reason: str) -> Decision:
    """The same decision turned to "out" for a reason that only showed at the effective instant."""
    return replace(decision, member=False, reason=reason)


def _place(one: Candidate, rank: int, *, member: bool, selection: Selection) -> str:
    """The reason for being in or out, as a place against the buffers."""
    who = "member" if one.incumbent else "newcomer"
    if rank <= selection.entry_rank:
        return f"{who} at rank {rank}, within entry rank {selection.entry_rank}"
    if rank > selection.exit_rank:
        return f"{who} at rank {rank}, beyond exit rank {selection.exit_rank}"
    if not member:
        return f"{who} at rank {rank}, beyond entry rank {selection.entry_rank} and all {selection.target} seats taken"
    if one.incumbent:
        return f"member at rank {rank}, kept by the buffer up to exit rank {selection.exit_rank}"
    return f"newcomer at rank {rank}, fills a free seat of {selection.target}"


def _unknown(one: Candidate, rule: Eligibility, *, what: str, days: int) -> Iterator[str]:
    if one.incumbent and rule.unknown_volume is UnknownVolume.KEEP_INCUMBENTS:
        return
    tail = "" if one.incumbent else "; a newcomer is not admitted without evidence"
    yield f"{what} known on {days} days of {rule.adv_window_days}, {rule.adv_min_days} needed{tail}"


def _keep(one: Candidate, rule: Eligibility, *, methodology: Methodology) -> Decision:
    """A member at a rebalance of weights: it stays while it can be measured."""
    reasons = list(unmeasurable(one, rule, methodology=methodology))
    return _decision(one, "; ".join(reasons) or "member; membership is not under review", member=not reasons)


def _decision(one: Candidate, reason: str, *, rank: int | None = None, member: bool = False) -> Decision:
    return Decision(
        one.slug, member, rank, reason, one.supply, one.supply_source, one.cap_usd,
        one.adv_usd, one.supply_us, one.supply_stale_us,
    )  # fmt: skip


def _number(value: float) -> float | None:
    return None if isnan(value) else value
