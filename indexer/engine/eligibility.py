"""Who is in an index at a reference date, and why: tests, ranks and buffers, each answer with its reason.

Takes the inputs the engine gathered (only what was true by then), gives `Decision`s; weights come after.
docs/methodology.md: liquidity and turnover tests, free float, hysteresis for members already in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from math import floor
from typing import Any, Final

import numpy as np

from indexer.arrays import F64, I8, I64, Bools
from indexer.engine.history import Decision
from indexer.engine.known import Inputs
from indexer.engine.market import Line
from indexer.methodology.spec import BY_CAP, Eligibility, Methodology, Scheme, Selection, UnknownVolume
from indexer.times import DAY_US, HOUR_US

NO_SUPPLY: Final = "no supply known"
KEEPS: Final = "member; membership is not under review"

Tests = Iterator[tuple[Bools, Callable[[], str]]]
"""Of each test where it fails, and its reason in words, to be asked of a single line only."""


def unmeasurable(
    x: Inputs, rule: Eligibility, *, slugs: Sequence[str] | str, member: Bools, methodology: Methodology
) -> Tests:
    """Why no weight can be worked out, for inputs of any one shape whose columns are the lines `slugs`; `member` says
    which are of present members."""
    scheme, needed = methodology.weighting.scheme, methodology.needs_supply(rule)
    unknown, supply, hours = np.isnan(x.price), np.isnan(x.supply), x.price_age_us / HOUR_US
    if scheme is Scheme.FIXED:
        listed = np.isin(slugs, list(methodology.weighting.weights))
        yield ~listed, lambda: "no weight of its own in weighting.weights"
    yield unknown, lambda: "no price known at the reference date"
    yield (
        ~unknown & (hours > rule.price_max_age_hours),
        lambda: f"last price is {hours:.1f} hours old, at most {rule.price_max_age_hours} allowed",
    )
    below = supply & ~np.isnan(x.free_float)
    yield below, lambda: f"free float is {x.free_float:.2%} of total supply, below the lowest band"
    if needed:
        days, purpose = rule.member_supply_max_age_days, "weighting" if scheme in BY_CAP else "ranking"
        yield (
            supply & ~below,
            lambda: f"{NO_SUPPLY} within {days} days of the reference date, needed for {purpose}",
        )
        yield (
            ~supply & ~member & (x.supply_age_days > rule.supply_max_age_days),
            lambda: f"supply is {x.supply_age_days:.0f} days old, a newcomer's may be {rule.supply_max_age_days}",
        )
    if scheme is Scheme.LIQUIDITY:
        yield (
            ~((x.adv_usd > 0) & (x.adv_days >= rule.adv_min_days)),
            lambda: f"volume known on {x.adv_days} days, {rule.adv_min_days} needed to weigh by liquidity",
        )
    if scheme is Scheme.FUNDAMENTAL:
        yield (
            ~(x.fundamental > 0),
            lambda: f"no positive metric known in the {rule.adv_window_days} days before the reference date",
        )


def failures(x: Inputs, rule: Eligibility, *, member: Bools) -> Tests:
    """Every test of the rule, for inputs of any one shape; `member` says which are of present members."""
    history = np.where(x.successor, rule.successor_min_history_days, rule.min_history_days)
    venues = np.where(member, rule.incumbent_min_venues, rule.min_venues)
    yield (
        x.history_us / DAY_US < history,
        # Rounded down: 89.96 days are not 90.
        lambda: f"{max(floor(float(x.history_us) / DAY_US * 10), 0) / 10:.1f} days of history, {history} needed",
    )
    yield x.venues < venues, lambda: f"qualified venues: {x.venues}, needed: {venues}"
    yield (
        x.free_float < rule.min_free_float,
        lambda: f"free float is {x.free_float:.2%} of total supply, {rule.min_free_float:.2%} needed",
    )
    active, adv, atvr = rule.min_active_addresses, rule.min_median_adv_usd, rule.min_atvr
    yield from _measured(
        "active addresses", x.active_addresses, x.active_days, active, rule=rule, member=member,
        short=lambda: f"median active addresses a day {x.active_addresses:,.0f}, {active:,} needed",
    )  # fmt: skip
    yield from _measured(
        "volume", x.adv_usd, x.adv_days, adv, rule=rule, member=member,
        short=lambda: f"median daily volume ${x.adv_usd:,.0f}, ${adv:,.0f} needed",
    )  # fmt: skip
    yield from _measured(
        "turnover (volume over free-float cap)", x.atvr, x.atvr_days, atvr, rule=rule, member=member,
        short=lambda: f"annual turnover {x.atvr:.2%} of free-float cap, {atvr:.2%} needed",
    )  # fmt: skip


def _measured(
    what: str, value: F64, days: Any, least: float, *, rule: Eligibility, member: Bools, short: Callable[[], str]
) -> Tests:
    """A median over days of evidence: without enough of them a newcomer fails, and a member where the rule says so."""
    if least <= 0:
        return
    unknown = np.isnan(value) | (days < rule.adv_min_days)
    tail = "" if np.all(member) else "; a newcomer is not admitted without evidence"
    forgiven = member & (rule.unknown_volume is UnknownVolume.KEEP_INCUMBENTS)
    yield (
        unknown & ~forgiven,
        lambda: f"{what} known on {days} days of {rule.adv_window_days}, {rule.adv_min_days} needed{tail}",
    )
    yield ~unknown & (value < least), short


class Reviews:
    """What can be decided at each of K reference dates (rows), whoever is a member by then: all is tested at once,
    and words are found for the lines that fail."""

    def __init__(
        self, inputs: Inputs, *, rules: Sequence[Eligibility], lines: Sequence[Line], methodology: Methodology,
        reference_us: Sequence[int],
    ) -> None:  # fmt: skip
        self.inputs, self.rules, self.methodology = inputs, rules, methodology
        self.slugs = [line.slug for line in lines]
        shape = inputs.price.shape
        fails = np.zeros((2, 2, *shape), dtype=np.bool_)  # not measurable, or failing; newcomers, members
        traded = np.zeros(shape)
        role = np.array([False, True])[:, None, None]
        for rule in dict.fromkeys(rules):
            rows = np.flatnonzero([rule == other for other in rules])
            x = inputs.at(rows)
            for kind, tests in enumerate(self._tests(x, rule, slugs=self.slugs, member=role)):
                for failed, _ in tests:
                    fails[kind][:, rows] |= failed
            traded[rows] = np.where(x.adv_days >= rule.adv_min_days, np.nan_to_num(x.adv_usd), 0.0)
        self.fails = [fails[0].tolist(), (fails[0] | fails[1]).tolist()]
        # By free-float capitalisation; those without one, where no supply is needed, come after, by traded value.
        cap = inputs.cap_usd
        names = np.argsort(np.argsort(self.slugs))
        unsized = np.isnan(cap)
        keys = (np.broadcast_to(names, shape), np.where(unsized, -traded, 0.0), np.where(unsized, 0.0, -cap))
        self.order = np.lexsort(keys).tolist()
        since = [0 if methodology.universe.assets else line.candidate_from_us for line in lines]
        self.candidates = [[n for n, at in enumerate(since) if at <= us] for us in reference_us]
        sourced = inputs.supply_source >= 0
        columns = (
            _or_none(inputs.supply, ~np.isnan(inputs.supply)), _or_none(inputs.supply_source, sourced),
            _or_none(cap, ~unsized), _or_none(inputs.adv_usd, ~np.isnan(inputs.adv_usd)),
            _or_none(inputs.supply_us, sourced), _or_none(inputs.supply_stale_us, sourced),
        )  # fmt: skip
        self.known = [list(zip(*row, strict=True)) for row in zip(*columns, strict=True)]

    def decide(self, row: int, *, incumbents: Set[int], reconstitution: bool) -> tuple[Decision, ...]:
        """A decision on every candidate at a reference date, in the order of the lines.

        A line that was not a candidate yet at that date gets none. `incumbents` are the columns of the present members.
        A reconstitution judges all lines; any other rebalance only the members, who stay while they can be measured.
        """
        columns = self.candidates[row] if reconstitution else sorted(incumbents)
        newcomers, members = (self.fails[reconstitution][role][row] for role in (False, True))
        failed = {n for n in columns if (members if n in incumbents else newcomers)[n]}
        words = {n: (False, None, self._why(row, n, member=n in incumbents, full=reconstitution)) for n in failed}
        if reconstitution:
            judged = set(columns) - failed
            ranked = [n for n in self.order[row] if n in judged]
            places = select([n in incumbents for n in ranked], self.methodology.selection)
            words |= {
                n: (member, rank, text) for rank, (n, (member, text)) in enumerate(zip(ranked, places, strict=True), 1)
            }
        known, keeps = self.known[row], (True, None, KEEPS)
        return tuple(Decision._make((self.slugs[n], *words.get(n, keeps), *known[n])) for n in columns)

    def _tests(self, x: Inputs, rule: Eligibility, *, slugs: Sequence[str] | str, member: Bools) -> tuple[Tests, Tests]:
        first = unmeasurable(x, rule, slugs=slugs, member=member, methodology=self.methodology)
        return first, failures(x, rule, member=member)

    def _why(self, row: int, column: int, *, member: bool, full: bool) -> str:
        x, slug = self.inputs.at((row, column)), self.slugs[column]
        for tests in self._tests(x, self.rules[row], slugs=slug, member=np.array(member))[: 1 + full]:
            if reasons := [reason() for failed, reason in tests if failed]:
                return "; ".join(reasons)
        return ""


def _or_none(values: F64 | I8 | I64, known: Bools) -> list[list[Any]]:
    objects = values.astype(object)
    objects[~known] = None
    rows: list[list[Any]] = objects.tolist()
    return rows


def select(incumbent: Sequence[bool], selection: Selection) -> list[tuple[bool, str]]:
    """Whether each eligible line is in and why, ascending by rank; the buffers in three steps.

    All within the entry rank are in; members within the exit rank stay, by rank, up to the target; when seats
    are left, the best newcomers within the exit rank fill them.
    """
    entry, last, target = selection.entry_rank, selection.exit_rank, selection.target
    between = range(entry, min(last, len(incumbent)))
    waiting = [n for n in between if incumbent[n]] + [n for n in between if not incumbent[n]]
    seated = set(waiting[: max(target - min(entry, len(incumbent)), 0)])
    places = []
    for n, inside in enumerate(incumbent):
        who, rank = "member" if inside else "newcomer", n + 1
        if rank <= entry:
            places.append((True, f"{who} at rank {rank}, within entry rank {entry}"))
        elif rank > last:
            places.append((False, f"{who} at rank {rank}, beyond exit rank {last}"))
        elif n not in seated:
            full = f"beyond entry rank {entry} and all {target} seats taken"
            places.append((False, f"{who} at rank {rank}, {full}"))
        elif inside:
            places.append((True, f"{who} at rank {rank}, kept by the buffer up to exit rank {last}"))
        else:
            places.append((True, f"{who} at rank {rank}, fills a free seat of {target}"))
    return places
