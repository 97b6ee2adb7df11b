"""Who is held from when to when: bases, reviews, transition fixings and suspensions on the rows of the clock.

Membership does not depend on weights, so it is walked first; weights are then made for all dates at once
(`basket.py`). Follows rules 2, 3, 6 and 7 of `indexer.engine`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from indexer.engine.eligibility import decide, dropped
from indexer.engine.history import (
    BasketEvent,
    Decision,
    Effect,
    PlacedEvent,
    Rebalance,
    Settled,
    Skipped,
    Unfinished,
    closed_ranges,
    last_row,
    rows_of,
    unfinished,
)
from indexer.engine.known import Inputs
from indexer.engine.market import Carried, Market
from indexer.engine.relaxation import Relaxation, relaxation
from indexer.engine.weights import infeasible
from indexer.errors import MethodologyError, NotEnoughDataError
from indexer.methodology.spec import Methodology, RebalanceDate, rebalance_dates
from indexer.times import DAY_US, iso, to_us


@dataclass(frozen=True, slots=True)
class Plan:
    """A scheduled date that is applied: `inputs_row` says what it was decided from, `members` are columns.

    A transition that was under way in settled history has no inputs, but its weights.
    """

    kind: str
    date: RebalanceDate
    inputs_row: int | None
    members: frozenset[int]
    decisions: tuple[Decision, ...]
    under_way: Unfinished | None = None
    relaxed: Relaxation | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One change of units at `row`: fixing `part` (0..1] of plan number `plan`, or removal of columns (plan None).

    `held` are the columns that may have units afterwards. A settled change or an event brings its own units.
    """

    row: int
    plan: int | None
    part: float
    held: frozenset[int]
    event: PlacedEvent | None = None
    settled: Rebalance | None = None


@dataclass(slots=True)
class Timeline:
    """Plans, changes and skipped dates in order; `suspended` are row ranges [start, end) in which no constituent
    has a price that is young enough."""

    plans: list[Plan] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    suspended: list[tuple[int, int]] = field(default_factory=list)


def schedule_of(methodology: Methodology, end_us: int) -> list[RebalanceDate]:
    """The dates at which the index may change, from its base date (always a reconstitution) to `end_us`."""
    base_us = to_us(methodology.base_date)
    before = methodology.schedule.reference_days_before * DAY_US
    base = RebalanceDate(reference_us=base_us - before, effective_us=base_us, reconstitution=True)
    if end_us <= base_us:
        return [base]
    later = rebalance_dates(methodology.schedule, base_us, end_us)
    return [base, *(date for date in later if date.effective_us > base_us)]


def walk(
    market: Market, methodology: Methodology, *, dates: Sequence[RebalanceDate], inputs: Inputs, carried: Carried,
    settled: Settled | None = None, events: Sequence[BasketEvent] = (),
) -> Timeline:  # fmt: skip
    """The whole timeline of an index over the market's clock; `inputs` has one row for each date.

    It goes on from `settled` history; `events` act in between. Raises NotEnoughDataError when at no date enough
    candidates are eligible to set a base.
    """
    walker = _Walker(market, methodology, inputs=inputs, carried=carried)
    walker.place(events, after_us=settled.until_us if settled else None)
    rows = np.searchsorted(market.times_us, [date.effective_us for date in dates], side="left").tolist()
    if settled:
        walker.settle(settled, until=rows[0] if rows else len(market.times_us))
    for number, (date, row) in enumerate(zip(dates, rows, strict=True)):
        if row == len(market.times_us):
            break
        until = rows[number + 1] if number + 1 < len(rows) else len(market.times_us)
        walker.review(number, date, row=row, until=until)
    if not walker.based:
        raise NotEnoughDataError(_no_base(market, methodology, dates=dates, best=walker.best))
    walker.advance(len(market.times_us) - 1)
    return walker.out


class _Walker:
    """Walks forward over the clock with the present holdings; only ever looks at rows up to where it stands."""

    def __init__(self, market: Market, methodology: Methodology, *, inputs: Inputs, carried: Carried) -> None:
        self.market, self.methodology, self.inputs, self.carried = market, methodology, inputs, carried
        self.out = Timeline()
        self.row = 0
        self.members: frozenset[int] = frozenset()
        self.held: frozenset[int] = frozenset()
        self.based = False
        self.events: list[tuple[int, BasketEvent]] = []
        self.bars: list[BasketEvent] = []
        self.best: tuple[int, int, tuple[Decision, ...]] | None = None  # date, members found, why: for the error

    def place(self, events: Sequence[BasketEvent], *, after_us: int | None) -> None:
        """Put events on the rows of the clock; those in settled history were applied then or never will be."""
        self.bars = [one for one in events if one.effect is Effect.BAR]
        acts = [one for one in events if one.effect is not Effect.BAR]
        later = sorted((one for one in acts if after_us is None or one.at_us > after_us), key=lambda one: one.at_us)
        rows = np.searchsorted(self.market.times_us, [one.at_us for one in later], side="left").tolist()
        self.events = [(row, one) for row, one in zip(rows, later, strict=True) if row < len(self.market.times_us)]

    def settle(self, settled: Settled, *, until: int) -> None:
        """Begin with published changes; a transition under way goes on up to the next scheduled date."""
        rows, last = rows_of(settled, self.market), last_row(settled, self.market)
        for row, change in zip(rows.tolist(), settled.changes, strict=True):
            held = frozenset(np.flatnonzero(change.units_after > 0).tolist())
            self.out.changes.append(Change(row, None, 1.0, held, settled=change))
            self.members = self.held = held
        self.out.suspended.extend(closed_ranges(rows, last, changes=settled.changes, carried=self.carried))
        self.row, self.based = last, True
        going = unfinished(settled, self.methodology)
        if going is not None:
            effective_us = going.reference_us + self.methodology.schedule.reference_days_before * DAY_US
            self.members = frozenset(np.flatnonzero(going.target > 0).tolist()) & self.held
            date = RebalanceDate(going.reference_us, effective_us, going.kind == "reconstitution")
            self.out.plans.append(Plan(going.kind, date, None, self.members, (), going))
            fixings = self.methodology.schedule.transition_fixings
            self._fix(self.members, row=last, until=until, fixings=fixings, first=going.done + 1)

    def review(self, number: int, date: RebalanceDate, *, row: int, until: int) -> None:
        """Apply one scheduled date at its row, fixings included, or record why it changes nothing."""
        based = self.based
        self.advance(row)
        review = date.reconstitution or not based
        members, decisions = self._choose(number, row=row, reconstitution=review)
        problem = self._problem(number, members, date=date)
        if problem and not based:
            if len(members) >= self.methodology.selection.min_constituents:
                raise MethodologyError(problem)
            if self.best is None or len(members) > self.best[1]:
                self.best = (date.effective_us, len(members), decisions)
            return
        if problem and review:
            review = False
            members, decisions = self._choose(number, row=row, reconstitution=False)
            unweighted = self._problem(number, members, date=date)
            problem = problem if unweighted else f"{problem}; members were not reviewed, only weights"
            self.out.skipped.append(Skipped(date.reference_us, date.effective_us, problem))
            if unweighted:
                return
        elif problem:
            self.out.skipped.append(Skipped(date.reference_us, date.effective_us, problem))
            return
        kind = ("reconstitution" if review else "rebalance") if based else "base"
        relaxed = relaxation(**self._basket(number, members, date=date)) if self.methodology.caps.relax else None
        self.out.plans.append(Plan(kind, date, number, members, decisions, relaxed=relaxed))
        self.based = True
        self._fix(members, row=row, until=until, fixings=self.methodology.schedule.transition_fixings if based else 1)

    def _basket(self, number: int, members: frozenset[int], *, date: RebalanceDate) -> dict[str, Any]:
        """What the weights of a date are made from, as arguments."""
        member = np.zeros((1, len(self.market.lines)), dtype=bool)
        member[0, list(members)] = True
        return {
            "methodology": self.methodology,
            "sizes": self.inputs.sizes([number]),
            "member": member,
            "slugs": self.market.slugs,
            "groups": tuple(line.sub_sector for line in self.market.lines),
            "label": f"index {self.methodology.id} at {iso(date.effective_us)}",
        }

    def _problem(self, number: int, members: frozenset[int], *, date: RebalanceDate) -> str | None:
        """Why these members cannot make a basket; None when they can."""
        label = f"index {self.methodology.id} at {iso(date.effective_us)}"
        needed = self.methodology.selection.min_constituents
        if len(members) < needed:
            return f"{label}: {len(members)} members can be held, {needed} are needed"
        basket = self._basket(number, members, date=date)
        if not self.methodology.caps.relax:
            return infeasible(**basket)
        try:
            relaxation(**basket)
        except MethodologyError as error:
            return str(error)
        return None

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
        place = {line.slug: column for column, line in enumerate(self.market.lines)}
        column, into = place.get(event.slug), place.get(event.into)
        if column is None or column not in self.held:
            return
        if into is not None and self.carried.stale_at(row, [into]):
            into = None
        joins = frozenset() if into is None or event.effect not in (Effect.ABSORB, Effect.ADD) else frozenset([into])
        stays = event.effect in (Effect.ADD, Effect.SCALE)
        held = (self.held if stays else self.held - {column}) | joins
        if not held:
            return
        self.held, self.members = held, (self.members if stays else self.members - {column}) | joins
        self.out.changes.append(Change(row, None, 1.0, held, event=PlacedEvent(event, column, into)))

    def suspend_through(self, last: int) -> None:
        """Take out, up to and including row `last`, every constituent whose price has become too old."""
        row, end = self.row + 1, len(self.market.times_us)
        while row <= last:
            ranges = {column: self.carried.next_stale(column, row) for column in self.held}
            first = min((start for start, _ in ranges.values()), default=end)
            if first > last:
                break
            gone = {column for column, (start, _) in ranges.items() if start == first}
            if gone == self.held:
                row = min(stop for _, stop in ranges.values())
                self.out.suspended.append((first, min(row, last + 1)))  # a review at `last` may bring new members
                continue
            self.held, self.members = self.held - gone, self.members - gone
            self.out.changes.append(Change(first, None, 1.0, self.held))
            row = first
        self.row = max(self.row, last)

    def _choose(self, number: int, *, row: int, reconstitution: bool) -> tuple[frozenset[int], tuple[Decision, ...]]:
        """Members by the inputs, less those without a usable price at the effective row."""
        lines = self.market.lines
        decisions = decide(
            self.inputs, number, lines=lines, methodology=self.methodology,
            incumbents=self.members, reconstitution=reconstitution,
        )  # fmt: skip
        column = {line.slug: place for place, line in enumerate(lines)}
        chosen = {column[one.slug] for one in decisions if one.member}
        late = {lines[place].slug for place in self.carried.stale_at(row, chosen)}
        hours = self.methodology.missing.max_carry_hours
        now = int(self.market.times_us[row])
        out = dict.fromkeys(late, f"no price within {hours} hours of the effective fixing {iso(now)}")
        out |= {one.slug: bar.reason for one in decisions for bar in self.bars if bar.bars(one.slug, now)}
        decisions = tuple(dropped(one, out[one.slug]) if one.slug in out else one for one in decisions)
        return frozenset(place for place in chosen if lines[place].slug not in out), decisions

    def _fix(self, members: frozenset[int], *, row: int, until: int, fixings: int, first: int = 1) -> None:
        """Record the fixings of the newest plan: the first at `row`, then one a day, none at or after `until`."""
        plan = len(self.out.plans) - 1
        start = self.out.plans[plan].date.effective_us
        self.row = max(self.row, row)
        for fixing in range(first, fixings + 1):
            at = row
            if fixing > 1:
                at = int(np.searchsorted(self.market.times_us, start + (fixing - 1) * DAY_US, side="left"))
                if at >= min(until, len(self.market.times_us)):
                    return
                self.advance(at)
                members &= self.members
            else:
                self.members = members
            if fixing == fixings:  # what came by an event meanwhile and is not in the target is a member no more
                self.held, self.members = members, self.members & members
            else:
                self.held |= members
            self.out.changes.append(Change(at, plan, fixing / fixings, self.held))


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
    (reason, times), *_ = Counter(one.reason for one in decisions if not one.member).most_common(1) or [("", 0)]
    return (
        f"index {methodology.id} has no base: {methodology.selection.min_constituents} eligible constituents are "
        f"needed at a scheduled date, at most {count} were found (at {iso(date_us)}; prices from {first} to {last}). "
        f"Commonest reason there, {times} of {len(decisions)} candidates: {reason}"
    )
