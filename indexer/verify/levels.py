"""One index held against what it was computed from: every change of units and every level, old revisions too.

What was decided in a run is decided again from what was known when that run started, on the history settled by then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from indexer.engine.history import REVIEWS, BasketEvent, IndexHistory, Rebalance, Settled
from indexer.engine.level import compute_index
from indexer.engine.market import STATUS_NAMES, Market
from indexer.engine.second import Comparison, compare, second_index
from indexer.errors import MethodologyError, VerificationError
from indexer.levels.markets import narrowed
from indexer.levels.publish import candidates, same_levels
from indexer.levels.published import Versions, change_of, read_settled
from indexer.levels.rules import Rules, events_of, in_force
from indexer.methodology.load import load_methodology
from indexer.methodology.spec import Methodology
from indexer.registry import Registry
from indexer.store.db import Store
from indexer.store.levels import read_levels
from indexer.store.rebalancings import read_rebalancings
from indexer.store.rows import LevelRows, MethodologyRow, RebalancingRow
from indexer.store.runs import deciding_runs, restating_runs
from indexer.times import DAY_US, HOUR_US, from_us, iso, to_us

TOLERANCE = 1e-9
SAME = 1e-12
MARGIN_US = 31 * DAY_US  # of prices before the reference date of a review


Step = tuple[int | None, Callable[[Market], str]]


class IndexCheck:
    """The checks of one index, each on the market by what was known at an instant; `problem` is the first one."""

    def __init__(
        self, store: Store, registry: Registry, rules: Rules, *, versions: Mapping[int, MethodologyRow], index_id: str
    ) -> None:
        self.store, self.registry, self.rules, self.index_id = store, registry, rules, index_id
        self.versions = versions
        self.difference, self.problem = 0.0, ""

    def steps(self, knows_all: Callable[[int], bool]) -> list[Step]:
        """The checks with the instant (us) by whose knowledge the market is that each is given; None is now.

        `knows_all` tells of an instant whether nothing was learnt since.
        """
        stored = read_levels(self.store, self.index_id)
        if not len(stored):
            return []
        runs = deciding_runs(self.store, self.index_id)
        groups: dict[int, list[RebalancingRow]] = {}
        for row in read_rebalancings(self.store, self.index_id):
            groups.setdefault(runs[row.id][0], []).append(row)
        if len(groups) == 1 and knows_all(next(iter(groups))):
            [(started_us, group)] = groups.items()
            steps: list[Step] = [(None, partial(self._all_at_once, stored=stored, started_us=started_us, group=group))]
        else:
            decided = sorted(groups.items())
            steps = [(at, partial(self._decided, started_us=at, group=group, run=runs[group[0].id][1]))
                     for at, group in decided]  # fmt: skip
            steps.append((None, partial(self._levels, stored=stored, as_of_us=None)))
        restated = restating_runs(self.store, self.index_id)
        return [*steps, *((at - 1, partial(self._superseded, as_of_us=at - 1)) for at in restated)]

    def look(self, step: Callable[[Market], str], market: Market) -> None:
        """Takes one check, unless there is a problem already. Rules that do not hold any more are this index's one."""
        if not self.problem:
            try:
                self.problem = step(market)
            except MethodologyError as error:
                self.problem = f"its rules do not hold: {error}"

    def _all_at_once(self, market: Market, *, stored: LevelRows, started_us: int, group: list[RebalancingRow]) -> str:
        """The changes of the one run there was, and its levels."""
        methodology = self._methodology(group[-1].methodology_id)
        market = narrowed(market, methodology, self.registry)
        events = self._events(started_us)
        problem, history = self._again(group, market, methodology=methodology, settled=None, events=events)
        return problem or unlike_levels(stored, history, market=market, rules=self._rules(stored))

    def _decided(self, market: Market, *, started_us: int, group: list[RebalancingRow], run: str) -> str:
        """Changes of units that one run (its detail) decided, again from what was known then."""
        methodology = self._methodology(group[-1].methodology_id)
        market = narrowed(market, methodology, self.registry)
        events = self._events(started_us)
        settled = None
        if not json.loads(run).get("rebuild"):
            settled = read_settled(self.store, self.index_id, market=market, as_of_us=started_us - 1)
        if settled:
            shorter, cut = recent(settled, market, methodology)
            if not self._again(group, cut, methodology=methodology, settled=shorter, events=events)[0]:
                return ""
        return self._again(group, market, methodology=methodology, settled=settled, events=events)[0]

    def _again(
        self,
        group: list[RebalancingRow],
        market: Market,
        *,
        methodology: Methodology,
        settled: Settled | None,
        events: tuple[BasketEvent, ...],
    ) -> tuple[str, IndexHistory]:
        """The changes decided again by both calculators: what is not as stored, and the history."""
        history = compute_index(market, methodology, settled=settled, events=events)
        against = compare(history, second_index(market, methodology, settled=settled, events=events))
        problem = disagreement(against) or _unlike(group, history, market=market, settled=settled)
        if not problem:
            self.difference = max(self.difference, against.max_relative)
        return problem, history

    def _superseded(self, market: Market, *, as_of_us: int) -> str:
        """Every level that was restated later, from what was known just before that."""
        before = read_levels(self.store, self.index_id, as_of_us=as_of_us)
        problem = self._levels(market, stored=before, as_of_us=as_of_us) if len(before) else ""
        return problem and f"as it was before {iso(as_of_us + 1)}: {problem}"

    def _levels(self, market: Market, *, stored: LevelRows, as_of_us: int | None) -> str:
        """Levels from the settled units and the official rates, by both calculators."""
        rules = self._rules(stored)
        market = narrowed(market, rules[int(stored.methodology_id[-1])], self.registry)
        market = market.until(int(stored.times_us[-1]))
        settled = read_settled(self.store, self.index_id, market=market, as_of_us=as_of_us)
        if settled is None:
            return "no change of units is stored for its levels"
        difference, problem = levels_problem(stored, market=market, settled=settled, rules=rules)
        self.difference = max(self.difference, difference)
        return problem

    def _rules(self, stored: LevelRows) -> dict[int, Methodology]:
        """The rules that levels were published under, by the number of their version."""
        return {number: self._methodology(number) for number in np.unique(stored.methodology_id).tolist()}

    def _methodology(self, version: int) -> Methodology:
        row = self.versions[version]
        rules = load_methodology(row.text, source=f"{row.index_id} {row.version}", registry=self.registry)
        if rules.hash != row.hash:
            raise VerificationError(
                f"methodology_version {row.id} ({row.index_id} {row.version}): its text was changed after it was stored"
            )
        return rules

    def _events(self, started_us: int) -> tuple[BasketEvent, ...]:
        overrides = in_force(self.store, now=from_us(started_us))
        return (*self.rules.basket, *events_of(overrides, self.index_id))


def levels_problem(
    stored: LevelRows, *, market: Market, settled: Settled, rules: Mapping[int, Methodology]
) -> tuple[float, str]:
    """The largest relative difference of the calculators, and the first level that units and rates do not give.

    `rules` are by the number of the version that a level was published under; no problem is ''.
    """
    methodology = rules[int(stored.methodology_id[-1])]
    history = compute_index(market, methodology, settled=settled)
    against = compare(history, second_index(market, methodology, settled=settled))
    problem = disagreement(against) or unlike_levels(stored, history, market=market, rules=rules)
    return against.max_relative, problem


def disagreement(against: Comparison) -> str:
    """Where the calculators differ by more than rounding, in words, or ''."""
    if against.max_relative <= TOLERANCE:
        return ""
    return f"the second calculator differs by {against.max_relative:.3g} at {iso(against.first_us or 0)}"


def unlike_levels(stored: LevelRows, history: IndexHistory, *, market: Market, rules: Mapping[int, Methodology]) -> str:
    """The first stored level that is not the history's, in words, or ''.

    Where earlier rules had a level and the present ones have none, it stays as it was published.
    """
    own = np.isin(stored.times_us, history.times_us) | (stored.methodology_id == stored.methodology_id[-1])
    stored = stored.rows(np.flatnonzero(own))
    if not np.array_equal(stored.times_us, history.times_us):
        return f"{len(stored)} levels are stored, recomputing gives {len(history.times_us)}; run `deai update`"
    numbers = stored.methodology_id
    versions = Versions(numbers, {n: (one.hash, one.decimals) for n, one in rules.items()})
    again = candidates(history, market, methodology=rules[int(numbers[-1])], versions=versions)
    every = np.arange(len(stored))
    wrong = np.flatnonzero(~same_levels(stored, again, slots=every, rows=every))
    if not len(wrong):
        return ""
    n = int(wrong[0])
    when = iso(int(again.times_us[n]))
    if stored.levels[n] == again.levels[n] and stored.status[n] == again.status[n]:
        return f"{when}: an input of this level is not what it was when it was published"
    before, now = (f"{rows.levels[n]} ({STATUS_NAMES[rows.status[n]]})" for rows in (stored, again))
    return f"{when}: stored {before}, recomputed {now} ({len(wrong)} levels differ)"


def recent(settled: Settled, market: Market, methodology: Methodology) -> tuple[Settled, Market]:
    """The changes of the last review (all its fixings) and later ones, and the market from long enough before.

    Enough to decide what came next, instead of walking all the years before it. What it leaves out cannot matter but
    where a whole basket had no price for longer than a price is carried: there the whole history is walked.
    """
    changes = settled.changes
    reviews = [n for n, one in enumerate(changes) if one.kind in REVIEWS]
    if not reviews:
        return settled, market
    reference = changes[reviews[-1]].reference_us
    first = next(n for n in reviews if changes[n].reference_us == reference)
    carried = methodology.missing.max_carry_hours * HOUR_US
    row = int(np.searchsorted(market.times_us, reference - carried - MARGIN_US))
    return Settled(changes[first:], settled.until_us), market.rows(slice(row, None))


def _unlike(group: list[RebalancingRow], history: IndexHistory, *, market: Market, settled: Settled | None) -> str:
    """The first stored change that is not what the run's facts give, or one that they give and is not stored."""
    published = {id(change) for change in settled.changes} if settled else set()
    recomputed = {(one.effective_us, one.kind): one for one in history.rebalances if id(one) not in published}
    for row in group:
        one = recomputed.get((to_us(row.effective_at), row.kind))
        if one is None:
            return f"{row.kind} of {iso(to_us(row.effective_at))}: recomputing from what was known then gives none"
        difference = _difference(row, one, market=market)
        if difference:
            return f"{row.kind} of {iso(to_us(row.effective_at))}: {difference}"
    return ""


def _difference(row: RebalancingRow, one: Rebalance, *, market: Market) -> str:
    stored = change_of(row)
    for name in ("divisor_before", "divisor_after", "level"):
        theirs, mine = getattr(stored, name), getattr(one, name)
        if not np.isclose(theirs, mine, rtol=SAME, atol=0.0):
            return f"stored {name} {theirs!r}, recomputed {mine!r}"
    place = {slug: column for column, slug in enumerate(market.slugs)}
    for n, item in enumerate(row.items):
        for name in ("units_before", "units_after", "weight_target", "weight_drifted"):
            theirs = float(getattr(stored, name)[n])
            mine = float(getattr(one, name)[place[item.asset]]) if item.asset in place else 0.0
            if not np.isclose(theirs, mine, rtol=SAME, atol=1e-15):
                return f"{item.asset}: stored {name} {theirs!r}, recomputed {mine!r}"
    return ""
