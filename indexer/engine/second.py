"""The second calculator: the same index, one token and one day at a time in plain Python, and how far the two agree.

It shares the rules' file and the records of what was known with the fast calculator, and no arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import takewhile
from math import isnan

from indexer.engine.history import REVIEWS, BasketEvent, IndexHistory, Rebalance, Settled
from indexer.engine.market import Market
from indexer.engine.second_rules import DAY, EPOCH, HOUR, Seen, World, members_at, scheduled, target_weights, world_of
from indexer.errors import MethodologyError, NotEnoughDataError
from indexer.methodology.spec import Methodology


@dataclass(slots=True)
class SecondIndex:
    """levels: (time_us, level) of each instant from the base on; units: (time_us, {slug: units}) of each change."""

    levels: list[tuple[int, float]] = field(default_factory=list)
    units: list[tuple[int, dict[str, float]]] = field(default_factory=list)


@dataclass(slots=True)
class _Book:
    """What is held now: units and members by column, last prices and when they were seen, a transition under way."""

    last: list[float]
    seen: list[int]
    units: dict[int, float] = field(default_factory=dict)
    members: set[int] = field(default_factory=set)
    divisor: float = 0.0
    pending: list[tuple[int, float]] = field(default_factory=list)  # due, part
    start: dict[int, float] = field(default_factory=dict)
    target: dict[int, float] = field(default_factory=dict)
    supply: dict[int, float] = field(default_factory=dict)
    facts: list[Rebalance] = field(default_factory=list)  # settled changes to come
    bars: list[BasketEvent] = field(default_factory=list)  # decisions that keep a line out of reviews


def second_index(
    market: Market, methodology: Methodology, *, settled: Settled | None = None, events: Sequence[BasketEvent] = ()
) -> SecondIndex:
    """Levels and units of an index, from the base on. Raises as `compute_index` does."""
    world = world_of(market.measured(methodology.weighting.metric))
    book = _Book([float("nan")] * len(world.lines), [0] * len(world.lines))
    book.facts = list(settled.changes) if settled else []
    out = SecondIndex()
    until = settled.until_us if settled else -1
    dates = [one for one in _dates(methodology, world.times[-1]) if one[1] > until] if world.times else []
    book.bars = [one for one in events if one.effect.value == "bar"]
    acts = sorted((one for one in events if one.at_us > until and one not in book.bars), key=lambda one: one.at_us)
    carry = methodology.missing.max_carry_hours * HOUR
    for now, prices in zip(world.times, world.prices, strict=True):
        for column, price in enumerate(prices):
            if not isnan(price):
                book.last[column], book.seen[column] = price, now
        if now <= until:
            _recall(book, out, world=world, methodology=methodology, now=now)
            continue
        if book.units:
            _suspend(book, out, world=world, now=now, carry=carry)
        while acts and acts[0].at_us <= now:
            _act(book, out, world=world, event=acts.pop(0), now=now, carry=carry)
        while dates and dates[0][1] <= now:
            reference, _, review = dates.pop(0)
            book.pending.clear()
            _review(book, out, world=world, methodology=methodology, now=now, reference=reference, review=review)
        while book.pending and book.pending[0][0] <= now:
            _fix(book, out, world=world, methodology=methodology, now=now, part=book.pending.pop(0)[1])
        if book.units and (not out.levels or out.levels[-1][0] != now):
            out.levels.append((now, _value(book, book.units) / book.divisor))
    if not out.levels:
        raise NotEnoughDataError(f"index {methodology.id} has no base: too few eligible constituents at every date")
    return out


def _recall(book: _Book, out: SecondIndex, *, world: World, methodology: Methodology, now: int) -> None:
    """An instant of settled history: the level of the basket held into it, then the changes that are facts."""
    if book.units:
        out.levels.append((now, _value(book, book.units) / book.divisor))
    while book.facts and book.facts[0].effective_us <= now:
        fact = book.facts.pop(0)
        held = {column: units for column, units in enumerate(fact.units_after.tolist()) if units > 0}
        book.units, book.members, book.divisor = held, set(held), fact.divisor_after
        out.units.append((now, {world.lines[column].slug: amount for column, amount in held.items()}))
        if len(out.units) == 1:
            out.levels.append((now, fact.level))
        _go_on(book, fact, methodology=methodology)


def _go_on(book: _Book, fact: Rebalance, *, methodology: Methodology) -> None:
    """A fixing of a transition leaves its later fixings to come; any other change of basket but a removal ends it."""
    fixings = methodology.schedule.transition_fixings
    if fact.kind not in REVIEWS or fixings == 1:
        return
    effective = fact.reference_us + methodology.schedule.reference_days_before * DAY
    done = round((fact.effective_us - effective) / DAY)
    if not book.start or done == 0 or fact.decisions:
        book.start = dict(enumerate(fact.weight_drifted.tolist()))
        target = [
            max((after - (1 - 1 / fixings) * before) * fixings, 0.0)
            for before, after in zip(fact.weight_drifted.tolist(), fact.weight_target.tolist(), strict=True)
        ]
        kept = {column: weight for column, weight in enumerate(target) if weight >= 1e-12}
        book.target = {column: weight / sum(kept.values()) for column, weight in kept.items()}
        book.pending = [(effective + (n - 1) * DAY, n / fixings) for n in range(2, fixings + 1)]
        book.supply = {}
    book.pending = [one for one in book.pending if one[0] > fact.effective_us]
    book.members = set(book.target) & set(book.units)


def _act(book: _Book, out: SecondIndex, *, world: World, event: BasketEvent, now: int, carry: int) -> None:
    """A corporate action on what is held now; none when its line is not held or nothing would be left."""
    place = {line.slug: column for column, line in enumerate(world.lines)}
    column, into = place.get(event.slug), place.get(event.into)
    if column is None or column not in book.units:
        return
    if into is not None and (isnan(book.last[into]) or now - book.seen[into] > carry):
        into = None
    units, kind, divisor = dict(book.units), event.effect.value, book.divisor
    if kind == "scale":
        units[column] *= event.ratio
    elif kind != "add":
        del units[column]
        book.members.discard(column)
    if kind in ("absorb", "add") and into is not None:
        units[into] = units.get(into, 0.0) + book.units[column] * event.ratio
        book.members.add(into)
    if not units:
        book.members.add(column)
        return
    _change(book, out, world=world, now=now, units=dict(sorted(units.items())))
    if kind == "write_off":
        book.divisor = divisor  # the loss is the holders', not the divisor's


def _suspend(book: _Book, out: SecondIndex, *, world: World, now: int, carry: int) -> None:
    """The level of the basket held into this instant; then constituents with too old a price leave."""
    out.levels.append((now, _value(book, book.units) / book.divisor))
    gone = {column for column in book.units if now - book.seen[column] > carry}
    if gone and len(gone) < len(book.units):
        book.members -= gone
        _change(book, out, world=world, now=now, units={c: u for c, u in book.units.items() if c not in gone})


def _review(
    book: _Book, out: SecondIndex, *, world: World, methodology: Methodology, now: int, reference: int, review: bool
) -> None:
    """One scheduled date: choose members, weigh them, and hold them from now on, unless it cannot be applied."""
    based = bool(book.units)
    label = f"index {methodology.id} at {EPOCH + timedelta(microseconds=now)}"
    for full in (True, False) if review and based else (review or not based,):
        members = _usable(book, world, methodology=methodology, now=now, reference=reference, full=full)
        if len(members) < methodology.selection.min_constituents:
            continue
        try:
            target = target_weights(world, methodology, members=members, label=label)
        except MethodologyError:
            if not based:
                raise
            continue
        if not based:
            book.divisor = (
                _scale(book, {c: one.supply for c, one in members.items()}, methodology) / methodology.base_level
            )
        fixings = methodology.schedule.transition_fixings if based else 1
        effective = reference + methodology.schedule.reference_days_before * DAY
        book.start, book.target = _weights(book), target
        book.supply = {column: one.supply for column, one in members.items()}
        book.members = set(members)
        book.pending = [(effective + (n - 1) * DAY, n / fixings) for n in range(2, fixings + 1)]
        _fix(book, out, world=world, methodology=methodology, now=now, part=1 / fixings)
        return


def _usable(
    book: _Book, world: World, *, methodology: Methodology, now: int, reference: int, full: bool
) -> dict[int, Seen]:
    """The members at the reference date that still have a price at the effective instant."""
    found = members_at(world, methodology, reference=reference, incumbents=set(book.members), review=full)
    limit = methodology.missing.max_carry_hours * HOUR
    return {
        column: one for column, one in found.items()
        if not isnan(book.last[column]) and now - book.seen[column] <= limit
        and not any(bar.bars(world.lines[column].slug, now) for bar in book.bars)
    }  # fmt: skip


def _fix(book: _Book, out: SecondIndex, *, world: World, methodology: Methodology, now: int, part: float) -> None:
    """One fixing: weights moved `part` of the way from where they were to the target, as units at these prices."""
    mixed = {
        column: (1 - part) * book.start.get(column, 0.0) + part * book.target.get(column, 0.0)
        for column in book.start.keys() | book.target.keys()
    }
    held = book.members | (set(book.units) if part < 1 else set())
    mixed = {column: weight for column, weight in mixed.items() if column in held and weight > 0}
    total = sum(mixed.values())
    scale = _scale(book, book.supply or book.units, methodology)
    units = {column: weight / total * scale / book.last[column] for column, weight in sorted(mixed.items())}
    if part == 1:
        book.members &= set(units)
    _change(book, out, world=world, now=now, units=units)


def _scale(book: _Book, supplies: dict[int, float], methodology: Methodology) -> float:
    """What the basket is sized to: its known supplies at these prices, else what is held, else the base level."""
    known = sum(book.last[column] * supply for column, supply in supplies.items() if not isnan(supply))
    return known or _value(book, book.units) or methodology.base_level


def _change(book: _Book, out: SecondIndex, *, world: World, now: int, units: dict[int, float]) -> None:
    """New units at the same level: D⁺ = D⁻ · ΣP·Q⁺ / ΣP·Q⁻."""
    if book.units:
        book.divisor *= _value(book, units) / _value(book, book.units)
    book.units = units
    out.units.append((now, {world.lines[column].slug: amount for column, amount in units.items()}))


def _value(book: _Book, units: dict[int, float]) -> float:
    last = book.last
    return sum(last[column] * amount for column, amount in units.items())


def _weights(book: _Book) -> dict[int, float]:
    total = _value(book, book.units)
    return {column: book.last[column] * amount / total for column, amount in book.units.items()}


def _dates(methodology: Methodology, last: int) -> list[tuple[int, int, bool]]:
    """(reference, effective, reconstitution) of the base and of every scheduled date after it, up to `last`."""
    before = methodology.schedule.reference_days_before * DAY
    base, *later = takewhile(lambda date: date[0] <= max(last, _base(methodology)), scheduled(methodology))
    return [(effective - before, effective, review) for effective, review in (base, *later)]


def _base(methodology: Methodology) -> int:
    return (methodology.base_date - EPOCH) // timedelta(microseconds=1)


TOLERANCE = 1e-9


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


def compare(history: IndexHistory, second: SecondIndex, *, tolerance: float = TOLERANCE) -> Comparison:
    """How far the fast history and the second calculator's are apart, level by level."""
    fast = dict(zip(history.times_us.tolist(), history.levels.tolist(), strict=True))
    slow = dict(second.levels)
    worst, first = 0.0, None
    for time_us in sorted(fast.keys() | slow.keys()):
        one, other = fast.get(time_us), slow.get(time_us)
        apart = float("inf") if one is None or other is None else abs(one - other) / abs(other)
        worst = max(worst, apart)
        if first is None and not apart <= tolerance:
            first = time_us
    return Comparison(
        len(fast), worst, first, None if first is None else fast.get(first), None if first is None else slow.get(first)
    )
