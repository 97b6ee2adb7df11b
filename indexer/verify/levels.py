"""One index held against what it was computed from: every change of units and every level, old revisions too.

Place in the flow: `verify/store.py` runs it for each index. What was decided in a run is decided again from what was
known when that run started, on the history that was settled by then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from indexer.engine.history import REVIEWS, BasketEvent, IndexHistory, Rebalance, Settled
from indexer.engine.level import compute_index
from indexer.engine.market import STATUS_NAMES, Market
from indexer.engine.second import Comparison, compare, second_index
from indexer.errors import VerificationError
from indexer.levels.markets import load_market, narrowed
from indexer.levels.overrides import events_of, in_force
from indexer.levels.publish import candidates, same_levels
from indexer.levels.published import Versions, change_of, read_settled
from indexer.levels.rules import Rules
from indexer.methodology.load import load_methodology
from indexer.methodology.spec import Methodology
from indexer.registry import Registry
from indexer.store.db import Store
from indexer.store.levels import read_levels
from indexer.store.rebalancings import read_rebalancings
from indexer.store.rows import LevelRows, MethodologyRow, RebalancingRow
from indexer.store.runs import deciding_runs, fact_runs, restating_runs
from indexer.times import DAY_US, HOUR_US, from_us, iso, to_us

TOLERANCE = 1e-9
SAME = 1e-12
MARGIN_US = 31 * DAY_US  # of prices before the reference date of a review


@dataclass(frozen=True, slots=True)
class Found:
    """How many levels were looked at, the largest difference of the calculators, and the first problem."""

    levels: int
    max_difference: float
    problem: str


@dataclass
class Facts:
    """The store's facts as they were at several instants, read once for all indices."""

    store: Store
    registry: Registry
    rules: Rules
    versions: Mapping[int, MethodologyRow]
    _markets: dict[int, Market] = field(default_factory=dict)
    _runs: list[int] | None = None

    def market(self, as_of_us: int | None = None) -> Market:
        """The market by what was known at an instant, or by what is known now."""
        key = self.facts_known(as_of_us)
        if key not in self._markets:
            at = as_of_us if key >= 0 else None
            self._markets[key] = load_market(self.store, self.registry, effects=self.rules.supplies, as_of_us=at)
        return self._markets[key]

    def facts_known(self, as_of_us: int | None) -> int:
        """-1 when all facts were known by then, else how many runs of facts were; equal numbers, equal markets."""
        if self._runs is None:
            self._runs = fact_runs(self.store)
        if as_of_us is None or not self._runs or as_of_us >= self._runs[-1]:
            return -1
        return int(np.searchsorted(self._runs, as_of_us, side="right"))


class IndexCheck:
    """The checks of one index, run one after the other; the first problem ends them."""

    def __init__(self, facts: Facts, index_id: str) -> None:
        self.facts, self.store, self.index_id = facts, facts.store, index_id
        self.stored = read_levels(self.store, index_id)
        self.difference = 0.0

    def run(self) -> Found:
        """The verdict."""
        if not len(self.stored):
            return Found(0, 0.0, "")
        problem = self._baskets_and_levels()
        return Found(len(self.stored), self.difference, problem)

    def _baskets_and_levels(self) -> str:
        rows = read_rebalancings(self.store, self.index_id)
        runs = deciding_runs(self.store, self.index_id)
        groups: dict[int, list[RebalancingRow]] = {}
        for row in rows:
            groups.setdefault(runs[row.id][0], []).append(row)
        whole = len(groups) == 1 and self.facts.facts_known(next(iter(groups))) == -1
        for started_us, group in sorted(groups.items()):
            restated = bool(json.loads(runs[group[0].id][1]).get("rebuild"))
            problem = self._decided(started_us, group, restated=restated, whole=whole)
            if problem:
                return problem
        return ("" if whole else self._levels_now()) or self._superseded()

    def _decided(self, started_us: int, group: list[RebalancingRow], *, restated: bool, whole: bool) -> str:
        """Changes of units that one run decided, again from what was known then; with `whole` its levels too."""
        methodology = self._methodology(group[-1].methodology_id)
        market = self._market(methodology, None if whole else started_us)
        settled = None if restated or whole else read_settled(
            self.store, self.index_id, market=market, as_of_us=started_us - 1
        )  # fmt: skip
        events = self._events(started_us)
        if settled:
            shorter, cut = recent(settled, market, methodology)
            if not self._again(group, cut, methodology=methodology, settled=shorter, events=events)[0]:
                return ""
        problem, history = self._again(group, market, methodology=methodology, settled=settled, events=events)
        if problem or not whole:
            return problem
        return unlike_levels(self.stored, history, market=market, rules=self._rules(self.stored))

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

    def _levels_now(self) -> str:
        """Every latest level from the settled units and the official rates, by both calculators."""
        return self._levels(self.stored, as_of_us=None)

    def _superseded(self) -> str:
        """Every level that was restated later, from what was known just before that."""
        for started_us in restating_runs(self.store, self.index_id):
            before = read_levels(self.store, self.index_id, as_of_us=started_us - 1)
            problem = self._levels(before, as_of_us=started_us - 1) if len(before) else ""
            if problem:
                return f"as it was before {iso(started_us)}: {problem}"
        return ""

    def _levels(self, stored: LevelRows, *, as_of_us: int | None) -> str:
        rules = self._rules(stored)
        market = self._market(rules[int(stored.methodology_id[-1])], as_of_us).until(int(stored.times_us[-1]))
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
        row = self.facts.versions[version]
        rules = load_methodology(row.text, source=f"{row.index_id} {row.version}", registry=self.facts.registry)
        if rules.hash != row.hash:
            raise_changed(row)
        return rules

    def _market(self, methodology: Methodology, as_of_us: int | None) -> Market:
        return narrowed(self.facts.market(as_of_us), methodology, self.facts.registry)

    def _events(self, started_us: int) -> tuple[BasketEvent, ...]:
        overrides = in_force(self.store, now=from_us(started_us))
        return (*self.facts.rules.basket, *events_of(overrides, self.index_id))


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
    versions = Versions(
        numbers, {n: one.hash for n, one in rules.items()}, {n: one.decimals for n, one in rules.items()}
    )
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


def raise_changed(row: MethodologyRow) -> NoReturn:
    """Raises VerificationError: a stored methodology's text is not the one it was hashed from."""
    raise VerificationError(
        f"methodology_version {row.id} ({row.index_id} {row.version}): its text was changed after it was stored"
    )


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
