"""Who is held from when to when: bases, reviews, transition fixings, suspensions and spells on the rows of the clock.

Follows rules 2 to 8 of `indexer.engine`. Units are made as the walk goes on, because the health of the index, which
decides what comes next, is by weight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from indexer.arrays import F64
from indexer.engine.eligibility import Reviews
from indexer.engine.health import Watch
from indexer.engine.history import (
    RESUMPTION,
    BasketEvent,
    Decision,
    Effect,
    Irregular,
    PlacedEvent,
    Rebalance,
    Settled,
    chain_divisors,
    drifted_weights,
    last_row,
    rows_of,
    unfinished,
    units_after,
    units_of,
    value_of,
)
from indexer.engine.known import Inputs
from indexer.engine.market import Carried, Market
from indexer.engine.weights import relaxation, target_weights
from indexer.errors import MethodologyError, NotEnoughDataError
from indexer.methodology.spec import Methodology, RebalanceDate, rebalance_dates
from indexer.times import DAY_US, from_us, iso, to_us


@dataclass(frozen=True, slots=True)
class Plan:
    """A scheduled date that is applied: target weights (N,), and the supplies (N,) that units are sized to.

    A transition that was under way in settled history is sized to what is held: `supply` is None.
    """

    kind: str
    date: RebalanceDate
    weights: F64
    supply: F64 | None
    members: frozenset[int]
    decisions: tuple[Decision, ...]


Choice = tuple[frozenset[int], tuple[Decision, ...]]  # members, and the decision on every line


@dataclass(frozen=True, slots=True)
class Change:
    """New units (N,) after `row`: a fixing of plan number `plan`, a settled change, an event, or else a removal.

    `divisor` is stated where it does not follow from an unchanged level.
    """

    row: int
    units: F64
    plan: int | None = None
    event: PlacedEvent | None = None
    settled: Rebalance | None = None
    divisor: float = np.nan


@dataclass(slots=True)
class Timeline:
    """Plans, changes, skipped and relaxed dates in order, and the health found on the way."""

    watch: Watch
    plans: list[Plan] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    skipped: list[Irregular] = field(default_factory=list)
    relaxed: list[Irregular] = field(default_factory=list)

    def kind_of(self, change: Change) -> str:
        """The kind of a change, as its record has it."""
        if change.settled is not None:
            return change.settled.kind
        if change.plan is not None:
            return self.plans[change.plan].kind
        return "suspension" if change.event is None else "event"

    def divisors(self, prices: F64, *, base_level: float) -> F64:
        """The divisor (K,) after each change, at carried prices (T, N)."""
        at = prices[[change.row for change in self.changes]]
        leaving = at.copy()
        for number, change in enumerate(self.changes):
            if change.event and change.event.event.exit_value is not None:
                leaving[number, change.event.column] = change.event.event.exit_value
        return chain_divisors(
            at,
            np.array([change.units for change in self.changes]),
            base_level=base_level,
            stated=np.array([change.divisor for change in self.changes]),
            leaving=leaving,
        )


def schedule_of(methodology: Methodology, end_us: int) -> list[RebalanceDate]:
    """The dates at which the index may change, from its base date (always a reconstitution) to `end_us`; those not
    scheduled are for an impaired index."""
    base_us = to_us(methodology.base_date)
    before = methodology.schedule.reference_days_before * DAY_US
    base = RebalanceDate(reference_us=base_us - before, effective_us=base_us, reconstitution=True)
    if end_us <= base_us:
        return [base]
    later = rebalance_dates(methodology.schedule, base_us, end_us, every_month=True)
    return [base, *(date for date in later if date.effective_us > base_us)]


def walk(
    market: Market, methodology: Methodology, *, dates: Sequence[RebalanceDate], inputs: Inputs, carried: Carried,
    settled: Settled | None = None, events: Sequence[BasketEvent] = (),
) -> Timeline:  # fmt: skip
    """The whole timeline of an index over the market's clock; `inputs` has one row for each date.

    It goes on from `settled` history; `events` act in between. Raises NotEnoughDataError when at no date enough
    candidates are eligible to set a base.
    """
    walker = _Walker(market, methodology, dates=dates, inputs=inputs, carried=carried)
    walker.place(events, after_us=settled.until_us if settled else None)
    ends = [*walker.rows, len(market.times_us)]
    if settled:
        walker.settle(settled, until=ends[0])
    walker.foresee()
    for number, date in enumerate(dates):
        if ends[number] == len(market.times_us):
            break
        walker.review(number, date, row=ends[number], until=ends[number + 1])
    if not walker.based:
        raise NotEnoughDataError(_no_base(market, methodology, dates=dates, best=walker.best))
    walker.advance(len(market.times_us) - 1)
    return walker.out


class _Walker:
    """Walks forward over the clock with the present holdings; only ever looks at rows up to where it stands."""

    def __init__(
        self, market: Market, methodology: Methodology, *,
        dates: Sequence[RebalanceDate], inputs: Inputs, carried: Carried,
    ) -> None:  # fmt: skip
        self.market, self.methodology, self.inputs, self.carried = market, methodology, inputs, carried
        self.dates, self.place_of = dates, {line.slug: column for column, line in enumerate(market.lines)}
        self.rows = np.searchsorted(market.times_us, [date.effective_us for date in dates], side="left").tolist()
        references = [date.reference_us for date in dates]
        rules = [methodology.eligibility_at(from_us(us)) for us in references]
        self.reviews = Reviews(
            inputs, rules=rules, lines=market.lines, methodology=methodology, reference_us=references
        )
        self.choices: dict[tuple[int, frozenset[int], bool], Choice] = {}
        self.weights: dict[tuple[int, frozenset[int]], F64] = {}
        self.watch = Watch(market, methodology, carried=carried)
        self.out = Timeline(self.watch)
        self.row = 0
        self.members: frozenset[int] = frozenset()
        self.held: frozenset[int] = frozenset()
        self.units = np.zeros(len(market.lines))
        self.base_level = methodology.base_level
        self.based = False
        self.events: list[tuple[int, BasketEvent]] = []
        self.bars: list[BasketEvent] = []
        self.best: tuple[int, int, tuple[Decision, ...]] | None = None  # date, members found, why: for the error

    def place(self, events: Sequence[BasketEvent], *, after_us: int | None) -> None:
        """Put events on the rows of the clock; those in settled history were applied then or never will be."""
        self.bars = [event for event in events if event.effect is Effect.BAR]
        acts = [event for event in events if event.effect is not Effect.BAR]
        later = sorted((act for act in acts if after_us is None or act.at_us > after_us), key=lambda act: act.at_us)
        rows = np.searchsorted(self.market.times_us, [event.at_us for event in later], side="left").tolist()
        self.events = [(row, event) for row, event in zip(rows, later, strict=True) if row < len(self.market.times_us)]

    def settle(self, settled: Settled, *, until: int) -> None:
        """Begin with published changes; a transition under way goes on up to the next scheduled date."""
        rows, last = rows_of(settled, self.market), last_row(settled, self.market)
        self.base_level = settled.changes[0].level
        if settled.impaired is not None:
            spell, days = settled.impaired
            self.watch.go_on(spell, days, units=settled.changes[0].units_after)
        for row, change in zip(rows.tolist(), settled.changes, strict=True):
            self._reach(row)
            self._hold(Change(row, change.units_after, settled=change, divisor=change.divisor_after))
            self.members = self.held
        self.watch.judge(last)
        self.row = last
        going = unfinished(settled, self.methodology)
        if going is not None and not self.watch.suspended:
            effective_us = going.reference_us + self.methodology.schedule.reference_days_before * DAY_US
            self.members = frozenset(np.flatnonzero(going.target > 0).tolist()) & self.held
            date = RebalanceDate(going.reference_us, effective_us, going.kind == "reconstitution")
            self.out.plans.append(Plan(going.kind, date, going.target, None, self.members, ()))
            self._fix(row=last, until=until, start=going.start, first=going.done + 1)

    def review(self, number: int, date: RebalanceDate, *, row: int, until: int) -> None:
        """Apply one scheduled date at its row, fixings included, or record why it changes nothing."""
        self.advance(row)
        anew = self.based and self.watch.wants_members(date)
        if not (anew or date.scheduled) or (self.watch.suspended and not anew):
            return
        review = date.reconstitution or anew or not self.based
        members, decisions = self._choose(number, self.members, full=review)
        weights, said = self._weigh(number, members, date=date)
        if weights is None and not self.based:
            if len(members) >= self.methodology.selection.min_constituents:
                raise MethodologyError(said)
            if self.best is None or len(members) > self.best[1]:
                self.best = (date.effective_us, len(members), decisions)
            return
        if weights is None and review and not self.watch.suspended:
            review, problem = False, said
            members, decisions = self._choose(number, self.members, full=False)
            weights, said = self._weigh(number, members, date=date)
            problem = problem if weights is None else f"{problem}; members were not reviewed, only weights"
            self.out.skipped.append(Irregular(date.reference_us, date.effective_us, problem))
        elif weights is None:
            self.out.skipped.append(Irregular(date.reference_us, date.effective_us, said))
        if weights is not None:
            if said:
                self.out.relaxed.append(Irregular(date.reference_us, date.effective_us, said))
            kind = self._kind(row, review=review)
            supply = self.inputs.supply[number]
            self.out.plans.append(Plan(kind, date, weights, supply, members, decisions))
            self._begin(row=row, until=until)

    def _kind(self, row: int, *, review: bool) -> str:
        if not self.based:
            return "base"
        if self.watch.suspended_at not in (None, row):  # a review at the very instant of the last level keeps it alive
            return RESUMPTION
        return "reconstitution" if review else "rebalance"

    def _begin(self, *, row: int, until: int) -> None:
        """Hold the newest plan: at once at a base and a resumption, else by fixings."""
        plan = self.out.plans[-1]
        if plan.kind not in ("base", RESUMPTION):
            self._reach(row)
            self._fix(row=row, until=until)
            return
        units = self._units(plan, plan.weights, row=row)
        divisor = np.nan if not self.based else value_of(units, self.carried.prices[row]) / self._last_level()
        self._reach(row)
        self.members, self.row = plan.members, max(self.row, row)
        self._hold(Change(row, units, len(self.out.plans) - 1, divisor=divisor))

    def _last_level(self) -> float:
        """The level at which a suspended index stands."""
        prices = self.carried.prices
        divisor = self.out.divisors(prices, base_level=self.base_level)[-1]
        return value_of(self.units, prices[self.watch.suspended_at or 0]) / float(divisor)

    def _reach(self, row: int) -> None:
        """Come to a change at `row`: what was held is judged up to it, unless a basket begins there."""
        if not self.based:
            self.watch.row, self.based = row, True
            return
        self.watch.judge(row)
        self.watch.resume(row)

    def _hold(self, change: Change) -> None:
        self.out.changes.append(change)
        self.units = change.units
        self.held = frozenset(np.flatnonzero(self.units).tolist())
        self.watch.hold(self.units, row=change.row)

    def foresee(self) -> None:
        """Weigh the members of all dates at once, as they will be if no event and no gap comes in between."""
        members, based, needed = self.members, self.based, self.methodology.selection.min_constituents
        baskets: list[tuple[int, frozenset[int]]] = []
        for number, date in enumerate(self.dates):
            if self.rows[number] == len(self.market.times_us) or not date.scheduled:
                continue
            chosen, _ = self._choose(number, members, full=date.reconstitution or not based)
            if len(chosen) >= needed:
                members, based = chosen, True
                baskets.append((number, chosen))
        if baskets:
            with suppress(MethodologyError):  # then each is weighed, or not, where the walk comes to it
                weights = target_weights(self.methodology, **self._basket(baskets))
                self.weights = dict(zip(baskets, weights, strict=True))

    def _basket(self, baskets: Sequence[tuple[int, frozenset[int]]]) -> dict[str, Any]:
        """What weights of the members (K, N) at each of some dates are made from."""
        member = np.zeros((len(baskets), len(self.market.lines)), dtype=np.bool_)
        for row, (_, members) in enumerate(baskets):
            member[row, list(members)] = True
        sizes, groups = (
            self.inputs.sizes([number for number, _ in baskets]),
            [line.sub_sector for line in self.market.lines],
        )
        return {"sizes": sizes, "member": member, "slugs": self.market.slugs, "groups": groups}

    def _weigh(self, number: int, members: frozenset[int], *, date: RebalanceDate) -> tuple[F64 | None, str]:
        """Target weights (N,) of the members and how far caps were raised for them; or None and why there are none."""
        label = f"index {self.methodology.id} at {iso(date.effective_us)}"
        needed, basket = self.methodology.selection.min_constituents, (number, members)
        if len(members) < needed:
            return None, f"{label}: {len(members)} members can be held, {needed} are needed"
        if basket in self.weights:
            return self.weights[basket], ""
        asked = self._basket([basket])
        try:
            return target_weights(self.methodology, **asked, labels=[label])[0], ""
        except MethodologyError as error:
            if not self.methodology.caps.relax:
                return None, str(error)
        try:
            return relaxation(self.methodology, **asked, label=label)
        except MethodologyError as error:
            return None, str(error)

    def _units(self, plan: Plan, weights: F64, *, row: int) -> F64:
        sizes = self.units if plan.supply is None else np.where(plan.weights > 0, plan.supply, 0.0)
        return units_of(
            weights, self.carried.prices[row],
            sizes=sizes, before=self.units, base_value=self.methodology.base_level,
        )  # fmt: skip

    def advance(self, last: int) -> None:
        """Let events and suspensions act, in order, up to and including row `last`."""
        while self.events and self.events[0][0] <= last:
            row, event = self.events.pop(0)
            if self.based:
                self.suspend_through(row)
                self._apply(event, row=row)
        if self.based:
            self.suspend_through(last)

    def _apply(self, event: BasketEvent, *, row: int) -> None:
        """An event on what is held now; without its line in the basket, or if nothing would be left, none."""
        column, into = self.place_of.get(event.slug), self.place_of.get(event.into)
        if self.watch.suspended or column is None or column not in self.held:
            return
        if into is not None and self.carried.stale_at(row, [into]):
            into = None
        joins = frozenset() if into is None or event.effect not in (Effect.ABSORB, Effect.ADD) else frozenset([into])
        stays = event.effect in (Effect.ADD, Effect.SCALE)
        if not ((self.held if stays else self.held - {column}) | joins):
            return
        self.members = (self.members if stays else self.members - {column}) | joins
        placed = PlacedEvent(event, column, into)
        self._hold(Change(row, units_after(placed, self.units), event=placed))

    def suspend_through(self, last: int) -> None:
        """Take out, up to and including row `last`, every constituent whose price has become too old."""
        row, end = self.row + 1, len(self.market.times_us)
        while row <= last and not self.watch.suspended:
            holed = self.held.intersection(self.carried.columns.tolist())
            ranges = {column: self.carried.next_stale(column, row) for column in holed}
            first = min((start for start, _ in ranges.values()), default=end)
            if first > last:
                break
            gone = {column for column, (start, _) in ranges.items() if start == first}
            if gone == self.held:
                row = min(stop for _, stop in ranges.values())
                continue
            self.watch.judge(first)
            if not self.watch.suspended:
                self.members -= gone
                units = self.units.copy()
                units[list(gone)] = 0.0
                self._hold(Change(first, units))
            row = first
        self.watch.judge(last)
        self.row = max(self.row, last)

    def _choose(self, number: int, incumbents: frozenset[int], *, full: bool) -> Choice:
        """Members by the inputs, less those without a usable price at the effective row, with every decision."""
        key = (number, incumbents, full)
        if key not in self.choices:
            self.choices[key] = self._choice(number, incumbents, full=full)
        return self.choices[key]

    def _choice(self, number: int, incumbents: frozenset[int], *, full: bool) -> Choice:
        row, hours = self.rows[number], self.methodology.missing.max_carry_hours
        decisions = self.reviews.decide(number, incumbents=incumbents, reconstitution=full)
        chosen = [self.place_of[choice.slug] for choice in decisions if choice.member]
        now = int(self.market.times_us[row])
        late = f"no price within {hours} hours of the effective fixing {iso(now)}"
        out = {self.market.lines[place].slug: late for place in self.carried.stale_at(row, chosen)}
        out |= {choice.slug: bar.reason for choice in decisions for bar in self.bars if bar.bars(choice.slug, now)}
        if out:
            decisions = tuple(
                choice._replace(member=False, reason=out[choice.slug]) if choice.slug in out else choice
                for choice in decisions
            )
            chosen = [place for place in chosen if self.market.lines[place].slug not in out]
        return frozenset(chosen), decisions

    def _fix(self, *, row: int, until: int, start: F64 | None = None, first: int = 1) -> None:
        """Hold the newest plan by fixings from the weights `start` (N,), else those held: the first at `row`, then one
        a day, none at or after `until`."""
        number, plan = len(self.out.plans) - 1, self.out.plans[-1]
        members, fixings = plan.members, self.methodology.schedule.transition_fixings
        start = drifted_weights(self.units, self.carried.prices[row]) if start is None else start
        self.row = max(self.row, row)
        for fixing in range(first, fixings + 1):
            at = row
            if fixing > 1:
                due = plan.date.effective_us + (fixing - 1) * DAY_US
                at = int(np.searchsorted(self.market.times_us, due, side="left"))
                if at >= min(until, len(self.market.times_us)):
                    return
                self.advance(at)
                if self.watch.suspended:
                    return
                members &= self.members
            else:
                self.members = members
            part, held = fixing / fixings, self.held | members
            if fixing == fixings:  # what came by an event meanwhile and is not in the target is a member no more
                part, held, self.members = 1.0, members, self.members & members
            mixed = plan.weights if part == 1.0 else (1.0 - part) * start + part * plan.weights
            weights = np.zeros(len(mixed))
            weights[list(held)] = mixed[list(held)]
            self._hold(Change(at, self._units(plan, weights, row=at), number))


def _no_base(
    market: Market,
    methodology: Methodology,
    *,
    dates: Sequence[RebalanceDate],
    best: tuple[int, int, tuple[Decision, ...]] | None,
) -> str:
    """Why there is no base: what there is, what is needed, and the commonest reason for being out."""
    first, last = iso(int(market.times_us[0])), iso(int(market.times_us[-1]))
    if best is None:
        return (
            f"index {methodology.id} has no base: its base date {iso(dates[0].effective_us)} is after the last "
            f"price ({last}); import later prices or set an earlier base date"
        )
    date_us, count, decisions = best
    (reason, times), *_ = Counter(line.reason for line in decisions if not line.member).most_common(1) or [("", 0)]
    return (
        f"index {methodology.id} has no base: {methodology.selection.min_constituents} eligible constituents are "
        f"needed at a scheduled date, at most {count} were found (at {iso(date_us)}; prices from {first} to {last}). "
        f"Commonest reason there, {times} of {len(decisions)} candidates: {reason}"
    )
