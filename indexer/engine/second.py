"""The second calculator: the same index, one token and one day at a time in plain Python, and how far the two agree.

It shares the rules' file and the records of what was known with the fast calculator, and no arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import takewhile
from math import isnan

from indexer.engine.history import RESUMPTION, REVIEWS, BasketEvent, IndexHistory, Rebalance, Settled
from indexer.engine.market import Market
from indexer.engine.second_rules import (
    DAY,
    EPOCH,
    HOUR,
    Date,
    Seen,
    calendar,
    members_at,
    target_weights,
    world_of,
)
from indexer.errors import MethodologyError, NotEnoughDataError
from indexer.methodology.spec import Methodology

TOLERANCE = 1e-9


@dataclass(slots=True)
class SecondIndex:
    """levels: (time_us, level) of each instant from the base on; units: (time_us, {slug: units}) of each change."""

    levels: list[tuple[int, float]] = field(default_factory=list)
    units: list[tuple[int, dict[str, float]]] = field(default_factory=list)


def second_index(
    market: Market, methodology: Methodology, *, settled: Settled | None = None, events: Sequence[BasketEvent] = ()
) -> SecondIndex:
    """Levels and units of an index, from the base on. Raises as `compute_index` does."""
    book = _Book(market.measured(methodology.weighting.metric), methodology)
    book.facts = list(settled.changes) if settled else []
    book.bars = [event for event in events if event.effect.value == "bar"]
    until = settled.until_us if settled else -1
    last = book.world.times[-1] if book.world.times else until
    dates = [
        date for date in takewhile(lambda date: date.effective <= last, calendar(methodology)) if date.effective > until
    ]
    acts = sorted((act for act in events if act.at_us > until and act not in book.bars), key=lambda act: act.at_us)
    for now, prices, old in zip(book.world.times, book.world.prices, book.world.old, strict=True):
        book.look(now, prices, old)
        if book.units:
            book.level()
        if now <= until:
            book.recall()
            continue
        if book.units:
            book.suspend()
        while acts and acts[0].at_us <= now:
            book.act(acts.pop(0))
        while dates and dates[0].effective <= now:
            book.review(dates.pop(0))
        while book.pending and book.pending[0][0] <= now:
            book.fix(book.pending.pop(0)[1])
    if not book.out.levels:
        raise NotEnoughDataError(f"index {methodology.id} has no base: too few eligible constituents at every date")
    return book.out


class _Book:
    """What is held at an instant, and what each thing that may happen then does to it. Columns stand for tokens."""

    def __init__(self, market: Market, methodology: Methodology) -> None:
        self.world, self.methodology, self.out, self.now = world_of(market), methodology, SecondIndex(), 0
        self.last, self.seen = [float("nan")] * len(market.lines), [0] * len(market.lines)  # prices, and of when
        self.old: set[int] = set()  # columns whose last price is not a rate of this instant
        self.units: dict[int, float] = {}
        self.members: set[int] = set()
        self.divisor = 0.0
        self.pending: list[tuple[int, float]] = []  # fixings to come: due, part
        self.start: dict[int, float] = {}
        self.target: dict[int, float] = {}
        self.supply: dict[int, float] = {}
        self.facts: list[Rebalance] = []  # settled changes to come
        self.bars: list[BasketEvent] = []  # decisions that keep a line out of reviews
        self.heavy = False  # too much weight carried at the last 00:00 UTC
        self.days = 0  # impaired levels of 00:00 UTC in a row
        self.spells: list[list[int]] = []  # begin and end of being impaired or suspended, us
        self.stopped: tuple[int, float] | None = None  # instant and level at which the index was suspended

    def look(self, now: int, prices: Sequence[float], old: Sequence[bool]) -> None:
        """The prices of an instant."""
        self.now = now
        for column, price in enumerate(prices):
            if not isnan(price):
                self.last[column], self.seen[column] = price, now
        self.old = {column for column, price in enumerate(prices) if isnan(price) or old[column]}

    def stale(self, column: int) -> bool:
        """Whether the last price is too old to be used, or was never there."""
        limit = self.methodology.missing.max_carry_hours * HOUR
        return isnan(self.last[column]) or self.now - self.seen[column] > limit

    def level(self) -> None:
        """The level of the basket held into this instant or begun at it, if there is one; what it says of health."""
        if self.stopped:
            return
        rules, worth = self.methodology.health, self.value(self.units)
        share = self.value({column: self.units[column] for column in self.units.keys() & self.old}) / worth
        midnight = self.now % DAY == 0
        if midnight:
            self.heavy = share > rules.max_carried_weight + TOLERANCE
            self.note()
            self.days = self.days + 1 if self.impaired() else 0
        if midnight or share <= 1 - rules.min_priced_weight + TOLERANCE:
            self.out.levels.append((self.now, worth / self.divisor))
        if midnight and self.days == rules.impaired_days:
            self.stopped = (self.now, worth / self.divisor)
            self.pending.clear()

    def impaired(self) -> bool:
        return self.heavy or len(self.units) < self.methodology.selection.min_constituents

    def note(self) -> None:
        """Begins or ends a spell by what is so now."""
        going = bool(self.spells) and len(self.spells[-1]) == 1
        if self.impaired() and not going:
            self.spells.append([self.now])
        elif going and not self.impaired():
            self.spells[-1].append(self.now)

    def wants_members(self, reference: int) -> bool:
        """Whether the index was impaired or suspended on the day of a reference date."""
        return any(spell[0] < reference + DAY and (len(spell) == 1 or spell[1] > reference) for spell in self.spells)

    def resume(self) -> None:
        """Levels begin again."""
        if self.stopped:
            self.stopped, self.heavy, self.days = None, False, 0
            self.spells[-1].append(self.now)

    def recall(self) -> None:
        """An instant of settled history: the changes that are facts."""
        while self.facts and self.facts[0].effective_us <= self.now:
            fact = self.facts.pop(0)
            held = {column: units for column, units in enumerate(fact.units_after.tolist()) if units > 0}
            begins = not self.out.units or (fact.kind == RESUMPTION and self.stopped)
            self.resume()
            self.members, self.divisor = set(held), fact.divisor_after
            self.hold(held)
            if begins:
                self.level()
            self.go_on(fact)

    def go_on(self, fact: Rebalance) -> None:
        """A fixing of a transition leaves its later fixings to come; any other change of basket but a removal ends
        it."""
        fixings = self.methodology.schedule.transition_fixings
        if fact.kind not in REVIEWS or fixings == 1:
            return
        effective = fact.reference_us + self.methodology.schedule.reference_days_before * DAY
        done = round((fact.effective_us - effective) / DAY)
        if not self.start or done == 0 or fact.decisions:
            self.start = dict(enumerate(fact.weight_drifted.tolist()))
            target = [
                max((after - (1 - 1 / fixings) * before) * fixings, 0.0)
                for before, after in zip(fact.weight_drifted.tolist(), fact.weight_target.tolist(), strict=True)
            ]
            weights = {column: weight for column, weight in enumerate(target) if weight >= 1e-12}
            self.target = {column: weight / sum(weights.values()) for column, weight in weights.items()}
            self.pending = [(effective + (n - 1) * DAY, n / fixings) for n in range(2, fixings + 1)]
            self.supply = {}
        self.pending = [fixing for fixing in self.pending if fixing[0] > fact.effective_us]
        self.members = set(self.target) & set(self.units)

    def act(self, event: BasketEvent) -> None:
        """A corporate action on what is held now; none when its line is not held or nothing would be left."""
        place = {line.slug: column for column, line in enumerate(self.world.lines)}
        column, into = place.get(event.slug), place.get(event.into)
        if self.stopped or column is None or column not in self.units:
            return
        if into is not None and self.stale(into):
            into = None
        units, kind, held = dict(self.units), event.effect.value, self.units[column]
        if kind == "scale":
            units[column] *= event.ratio
        elif kind != "add":
            del units[column]
            self.members.discard(column)
        if kind in ("absorb", "add") and into is not None:
            units[into] = units.get(into, 0.0) + held * event.ratio
            self.members.add(into)
        if not units:
            self.members.add(column)
            return
        worth = self.value(self.units)
        self.change(dict(sorted(units.items())))
        value = 0.0 if kind == "write_off" else event.value
        if value is not None:  # the difference to the last price is the holders', not the divisor's
            self.divisor *= worth / (worth - held * (self.last[column] - value))

    def suspend(self) -> None:
        """Constituents with too old a price leave, unless all would."""
        gone = {column for column in self.units if self.stale(column)}
        if gone and len(gone) < len(self.units) and not self.stopped:
            self.members -= gone
            self.change({column: amount for column, amount in self.units.items() if column not in gone})

    def review(self, date: Date) -> None:
        """One date: choose members, weigh them, and hold them from now on, unless it cannot be applied."""
        methodology, based = self.methodology, bool(self.units)
        reference = date.effective - methodology.schedule.reference_days_before * DAY
        anew = based and date.monthly and self.wants_members(reference)
        if not (anew or date.scheduled) or (self.stopped and not anew):
            return
        self.pending.clear()
        label = f"index {methodology.id} at {EPOCH + timedelta(microseconds=self.now)}"
        review = date.review or anew or not based
        for full in (True, False) if review and based and not self.stopped else (review,):
            members = self.usable(reference, full=full)
            if len(members) < methodology.selection.min_constituents:
                continue
            try:
                target = target_weights(self.world, methodology, members=members, label=label)
            except MethodologyError:
                if not based:
                    raise
                continue
            self.begin(date, members, target)
            return

    def begin(self, date: Date, members: dict[int, Seen], target: dict[int, float]) -> None:
        """Hold a target: by fixings, or at once where no basket is held into this instant."""
        at_once = not self.units or (self.stopped is not None and self.stopped[0] < self.now)
        fixings = 1 if at_once else self.methodology.schedule.transition_fixings
        self.start, self.target = self.weights(), target
        self.supply = {column: seen.supply for column, seen in members.items()}
        if at_once:
            level = self.stopped[1] if self.stopped else self.methodology.base_level
            self.divisor = (self.value(self.units) or self.scale(self.supply)) / level
        self.resume()
        self.members = set(members)
        self.pending = [(date.effective + (n - 1) * DAY, n / fixings) for n in range(2, fixings + 1)]
        self.fix(1 / fixings)
        if at_once:
            self.level()

    def usable(self, reference: int, *, full: bool) -> dict[int, Seen]:
        """The members at the reference date that still have a price at the effective instant."""
        members = members_at(
            self.world, self.methodology, reference=reference, incumbents=set(self.members), review=full
        )
        barred = {line.slug for line in self.world.lines if any(bar.bars(line.slug, self.now) for bar in self.bars)}
        return {
            column: seen
            for column, seen in members.items()
            if not self.stale(column) and self.world.lines[column].slug not in barred
        }

    def fix(self, part: float) -> None:
        """One fixing: weights moved `part` of the way from where they were to the target, as units at these prices."""
        mixed = {
            column: (1 - part) * self.start.get(column, 0.0) + part * self.target.get(column, 0.0)
            for column in self.start.keys() | self.target.keys()
        }
        held = self.members | (set(self.units) if part < 1 else set())
        mixed = {column: weight for column, weight in mixed.items() if column in held and weight > 0}
        total, scale = sum(mixed.values()), self.scale(self.supply or self.units)
        units = {column: weight / total * scale / self.last[column] for column, weight in sorted(mixed.items())}
        if part == 1:
            self.members &= set(units)
        self.change(units)

    def scale(self, supplies: dict[int, float]) -> float:
        """What the basket is sized to: its known supplies at these prices, else what is held, else the base level."""
        known = sum(self.last[column] * supply for column, supply in supplies.items() if not isnan(supply))
        return known or self.value(self.units) or self.methodology.base_level

    def change(self, units: dict[int, float]) -> None:
        """New units at the same level: D⁺ = D⁻ · ΣP·Q⁺ / ΣP·Q⁻."""
        if self.units:
            self.divisor *= self.value(units) / self.value(self.units)
        self.hold(units)

    def hold(self, units: dict[int, float]) -> None:
        self.units = units
        self.out.units.append((self.now, {self.world.lines[column].slug: amount for column, amount in units.items()}))
        self.note()

    def value(self, units: dict[int, float]) -> float:
        return sum(self.last[column] * amount for column, amount in units.items())

    def weights(self) -> dict[int, float]:
        total = self.value(self.units)
        return {column: self.last[column] * amount / total for column, amount in self.units.items()}


@dataclass(frozen=True, slots=True)
class Comparison:
    """max_relative over `count` levels; `first_us` is the first instant beyond the tolerance or of one side only."""

    count: int
    max_relative: float
    first_us: int | None
    fast: float | None
    second: float | None

    @property
    def agree(self) -> bool:
        """Whether every level agrees within the tolerance and neither side has one the other lacks."""
        return self.first_us is None


def compare(history: IndexHistory, second: SecondIndex) -> Comparison:
    """How far the fast history and the second calculator's are apart, level by level."""
    fast = dict(zip(history.times_us.tolist(), history.levels.tolist(), strict=True))
    slow = dict(second.levels)
    worst, first = 0.0, None
    for time_us in sorted(fast.keys() | slow.keys()):
        one, other = fast.get(time_us), slow.get(time_us)
        apart = float("inf") if one is None or other is None else abs(one - other) / abs(other)
        worst = max(worst, apart)
        if first is None and not apart <= TOLERANCE:
            first = time_us
    return Comparison(
        len(fast), worst, first, None if first is None else fast.get(first), None if first is None else slow.get(first)
    )
