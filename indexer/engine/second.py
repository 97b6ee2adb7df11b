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
    World,
    calendar,
    members_at,
    target_weights,
    world_of,
)
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
    old: set[int] = field(default_factory=set)  # columns whose last price is not a rate of this instant
    units: dict[int, float] = field(default_factory=dict)
    members: set[int] = field(default_factory=set)
    divisor: float = 0.0
    pending: list[tuple[int, float]] = field(default_factory=list)  # due, part
    start: dict[int, float] = field(default_factory=dict)
    target: dict[int, float] = field(default_factory=dict)
    supply: dict[int, float] = field(default_factory=dict)
    facts: list[Rebalance] = field(default_factory=list)  # settled changes to come
    bars: list[BasketEvent] = field(default_factory=list)  # decisions that keep a line out of reviews
    heavy: bool = False  # too much weight carried at the last 00:00 UTC
    days: int = 0  # impaired levels of 00:00 UTC in a row
    spells: list[list[int]] = field(default_factory=list)  # begin and end of being impaired or suspended, us
    stopped: tuple[int, float] | None = None  # instant and level at which the index was suspended


def second_index(
    market: Market, methodology: Methodology, *, settled: Settled | None = None, events: Sequence[BasketEvent] = ()
) -> SecondIndex:
    """Levels and units of an index, from the base on. Raises as `compute_index` does."""
    world = world_of(market.measured(methodology.weighting.metric))
    book = _Book([float("nan")] * len(world.lines), [0] * len(world.lines))
    book.facts = list(settled.changes) if settled else []
    out = SecondIndex()
    until = settled.until_us if settled else -1
    dates = [date for date in _dates(methodology, world.times[-1]) if date.effective > until] if world.times else []
    book.bars = [event for event in events if event.effect.value == "bar"]
    acts = sorted((act for act in events if act.at_us > until and act not in book.bars), key=lambda act: act.at_us)
    carry = methodology.missing.max_carry_hours * HOUR
    for now, prices, old in zip(world.times, world.prices, world.old, strict=True):
        for column, price in enumerate(prices):
            if not isnan(price):
                book.last[column], book.seen[column] = price, now
        book.old = {column for column, price in enumerate(prices) if isnan(price) or old[column]}
        if book.units:
            _level(book, out, methodology=methodology, now=now)
        if now <= until:
            _recall(book, out, world=world, methodology=methodology, now=now)
            continue
        if book.units:
            _suspend(book, out, world=world, methodology=methodology, now=now, carry=carry)
        while acts and acts[0].at_us <= now:
            _act(book, out, world=world, methodology=methodology, event=acts.pop(0), now=now, carry=carry)
        while dates and dates[0].effective <= now:
            _review(book, out, world=world, methodology=methodology, now=now, date=dates.pop(0))
        while book.pending and book.pending[0][0] <= now:
            _fix(book, out, world=world, methodology=methodology, now=now, part=book.pending.pop(0)[1])
    if not out.levels:
        raise NotEnoughDataError(f"index {methodology.id} has no base: too few eligible constituents at every date")
    return out


def _level(book: _Book, out: SecondIndex, *, methodology: Methodology, now: int) -> None:
    """The level of the basket held into this instant or begun at it, if there is one, and what it says of health."""
    if book.stopped:
        return
    rules, worth = methodology.health, _value(book, book.units)
    share = _value(book, {column: book.units[column] for column in book.units.keys() & book.old}) / worth
    midnight = now % DAY == 0
    if midnight:
        book.heavy = share > rules.max_carried_weight + TOLERANCE
        _note(book, methodology, now=now)
        book.days = book.days + 1 if _impaired(book, methodology) else 0
    if midnight or share <= 1 - rules.min_priced_weight + TOLERANCE:
        out.levels.append((now, worth / book.divisor))
    if midnight and book.days == rules.impaired_days:
        book.stopped = (now, worth / book.divisor)
        book.pending.clear()


def _impaired(book: _Book, methodology: Methodology) -> bool:
    return book.heavy or len(book.units) < methodology.selection.min_constituents


def _note(book: _Book, methodology: Methodology, *, now: int) -> None:
    """Begins or ends a spell by what is so now."""
    going = bool(book.spells) and len(book.spells[-1]) == 1
    if _impaired(book, methodology) and not going:
        book.spells.append([now])
    elif going and not _impaired(book, methodology):
        book.spells[-1].append(now)


def _wants_members(book: _Book, reference: int) -> bool:
    """Whether the index was impaired or suspended on the day of a reference date."""
    return any(spell[0] < reference + DAY and (len(spell) == 1 or spell[1] > reference) for spell in book.spells)


def _resume(book: _Book, methodology: Methodology, *, now: int) -> None:
    """Levels begin again."""
    if book.stopped:
        book.stopped, book.heavy, book.days = None, False, 0
        book.spells[-1].append(now)


def _recall(book: _Book, out: SecondIndex, *, world: World, methodology: Methodology, now: int) -> None:
    """An instant of settled history: the changes that are facts."""
    while book.facts and book.facts[0].effective_us <= now:
        fact = book.facts.pop(0)
        held = {column: units for column, units in enumerate(fact.units_after.tolist()) if units > 0}
        begins = not out.units or (fact.kind == RESUMPTION and book.stopped)
        _resume(book, methodology, now=now)
        book.units, book.members, book.divisor = held, set(held), fact.divisor_after
        out.units.append((now, {world.lines[column].slug: amount for column, amount in held.items()}))
        _note(book, methodology, now=now)
        if begins:
            _level(book, out, methodology=methodology, now=now)
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
        weights = {column: weight for column, weight in enumerate(target) if weight >= 1e-12}
        book.target = {column: weight / sum(weights.values()) for column, weight in weights.items()}
        book.pending = [(effective + (n - 1) * DAY, n / fixings) for n in range(2, fixings + 1)]
        book.supply = {}
    book.pending = [fixing for fixing in book.pending if fixing[0] > fact.effective_us]
    book.members = set(book.target) & set(book.units)


def _act(
    book: _Book, out: SecondIndex, *, world: World, methodology: Methodology, event: BasketEvent, now: int, carry: int
) -> None:
    """A corporate action on what is held now; none when its line is not held or nothing would be left."""
    place = {line.slug: column for column, line in enumerate(world.lines)}
    column, into = place.get(event.slug), place.get(event.into)
    if book.stopped or column is None or column not in book.units:
        return
    if into is not None and (isnan(book.last[into]) or now - book.seen[into] > carry):
        into = None
    units, kind, held = dict(book.units), event.effect.value, book.units[column]
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
    worth = _value(book, book.units)
    _change(book, out, world=world, methodology=methodology, now=now, units=dict(sorted(units.items())))
    value = 0.0 if kind == "write_off" else event.value
    if value is not None:  # the difference to the last price is the holders', not the divisor's
        book.divisor *= worth / (worth - held * (book.last[column] - value))


def _suspend(book: _Book, out: SecondIndex, *, world: World, methodology: Methodology, now: int, carry: int) -> None:
    """Constituents with too old a price leave, unless all would."""
    gone = {column for column in book.units if now - book.seen[column] > carry}
    if gone and len(gone) < len(book.units) and not book.stopped:
        book.members -= gone
        rest = {column: amount for column, amount in book.units.items() if column not in gone}
        _change(book, out, world=world, methodology=methodology, now=now, units=rest)


def _review(book: _Book, out: SecondIndex, *, world: World, methodology: Methodology, now: int, date: Date) -> None:
    """One date: choose members, weigh them, and hold them from now on, unless it cannot be applied."""
    based, reference = bool(book.units), date.effective - methodology.schedule.reference_days_before * DAY
    anew = based and date.monthly and _wants_members(book, reference)
    if not (anew or date.scheduled) or (book.stopped and not anew):
        return
    book.pending.clear()
    silent = book.stopped is not None and book.stopped[0] < now
    label = f"index {methodology.id} at {EPOCH + timedelta(microseconds=now)}"
    review = date.review or anew or not based
    for full in (True, False) if review and based and not book.stopped else (review,):
        members = _usable(book, world, methodology=methodology, now=now, reference=reference, full=full)
        if len(members) < methodology.selection.min_constituents:
            continue
        try:
            target = target_weights(world, methodology, members=members, label=label)
        except MethodologyError:
            if not based:
                raise
            continue
        at_once = not based or silent
        fixings = 1 if at_once else methodology.schedule.transition_fixings
        book.start, book.target = _weights(book), target
        book.supply = {column: seen.supply for column, seen in members.items()}
        if at_once:
            level = book.stopped[1] if book.stopped else methodology.base_level
            book.divisor = (_value(book, book.units) or _scale(book, book.supply, methodology)) / level
        _resume(book, methodology, now=now)
        book.members = set(members)
        book.pending = [(date.effective + (n - 1) * DAY, n / fixings) for n in range(2, fixings + 1)]
        _fix(book, out, world=world, methodology=methodology, now=now, part=1 / fixings)
        if at_once:
            _level(book, out, methodology=methodology, now=now)
        return


def _usable(
    book: _Book, world: World, *, methodology: Methodology, now: int, reference: int, full: bool
) -> dict[int, Seen]:
    """The members at the reference date that still have a price at the effective instant."""
    members = members_at(world, methodology, reference=reference, incumbents=set(book.members), review=full)
    limit = methodology.missing.max_carry_hours * HOUR
    return {
        column: seen for column, seen in members.items()
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
    _change(book, out, world=world, methodology=methodology, now=now, units=units)


def _scale(book: _Book, supplies: dict[int, float], methodology: Methodology) -> float:
    """What the basket is sized to: its known supplies at these prices, else what is held, else the base level."""
    known = sum(book.last[column] * supply for column, supply in supplies.items() if not isnan(supply))
    return known or _value(book, book.units) or methodology.base_level


def _change(
    book: _Book, out: SecondIndex, *, world: World, methodology: Methodology, now: int, units: dict[int, float]
) -> None:
    """New units at the same level: D⁺ = D⁻ · ΣP·Q⁺ / ΣP·Q⁻."""
    if book.units:
        book.divisor *= _value(book, units) / _value(book, book.units)
    book.units = units
    out.units.append((now, {world.lines[column].slug: amount for column, amount in units.items()}))
    _note(book, methodology, now=now)


def _value(book: _Book, units: dict[int, float]) -> float:
    last = book.last
    return sum(last[column] * amount for column, amount in units.items())


def _weights(book: _Book) -> dict[int, float]:
    total = _value(book, book.units)
    return {column: book.last[column] * amount / total for column, amount in book.units.items()}


def _dates(methodology: Methodology, last: int) -> list[Date]:
    """The base and every later date, up to `last`."""
    base, *later = takewhile(lambda date: date.effective <= max(last, _base(methodology)), calendar(methodology))
    return [base, *later]


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
