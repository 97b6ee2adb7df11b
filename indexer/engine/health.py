"""The health of an index as its walk goes on: impaired, suspended, and which instants have a level. Pure.

A level is judged by the basket that it is made of. An index is impaired while fewer constituents are held than its
rules ask for, or from a 00:00 UTC level with too much carried weight to the next one without; after so many impaired
00:00 UTC levels in a row it is suspended: that level is its last until a reconstitution can be made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from indexer.arrays import F64, I64, Bools
from indexer.engine.market import Carried, Market, Status
from indexer.methodology.spec import Methodology, RebalanceDate
from indexer.times import DAY_US

WEIGHT = 1e-9
"""How far a share of weight may miss a limit by rounding alone."""

IMPAIRED, SUSPENDED = "impaired", "suspended"


@dataclass(frozen=True, slots=True)
class Spell:
    """A stretch in which an index was impaired or suspended, and why; `end_us` is None while it goes on.

    An impaired index has levels. The level at `start_us` of a suspension is the last one; the next one is at `end_us`.
    """

    kind: str
    start_us: int
    end_us: int | None
    reason: str


def absent(market: Market, carried: Carried, *, start: int, stop: int, held: I64) -> Bools:
    """Which prices of rows [start, stop) of the columns `held` are not rates of their instant, but older ones."""
    out: Bools = market.price_status[start:stop, held] >= Status.CARRIED
    places = np.flatnonzero(np.isin(carried.columns, held))
    if len(places):
        out[:, np.searchsorted(held, carried.columns[places])] |= carried.missing[start:stop, places]
    return out


class Watch:
    """What is found while a walk goes forward: `impaired` and `silent` rows (T,), spells, and the present state."""

    def __init__(self, market: Market, methodology: Methodology, *, carried: Carried) -> None:
        self.market, self.carried, self.rules = market, carried, methodology.health
        self.minimum = methodology.selection.min_constituents
        self.impaired = np.zeros(len(market.times_us), dtype=np.bool_)
        self.silent = np.zeros(len(market.times_us), dtype=np.bool_)
        self.spells: list[Spell] = []
        self.suspended_at: int | None = None  # the row of the last level while suspended
        self.row = 0  # the first row that is not judged yet
        self._units = np.zeros(len(market.lines))
        self._held = np.zeros(0, dtype=np.int64)
        self._heavy = False
        self._days = 0

    @property
    def suspended(self) -> bool:
        """Whether there are no levels now."""
        return self.suspended_at is not None

    def go_on(self, spell: Spell, days: int, *, units: F64) -> None:
        """Begin within a spell, with these units (N,) held; by its weight, where their number is enough."""
        self.spells, self._days = [spell], days
        self._heavy = bool(np.count_nonzero(units) >= self.minimum)

    def hold(self, units: F64, *, row: int) -> None:
        """The index holds these units (N,) after `row`; rows up to it have been judged."""
        self._units, self._held = units, np.flatnonzero(units)
        self._turn(row)

    def judge(self, last: int) -> None:
        """Judge the rows up to and including `last` by what is held."""
        rows = slice(self.row, last + 1)
        if self.suspended:
            self.silent[rows] = True
        elif self.row <= last:
            self._judge(rows)
        self.row = max(self.row, last + 1)

    def resume(self, row: int) -> None:
        """A new basket begins at `row`, whose level is its first one."""
        if self.suspended_at is None:
            return
        spell = self.spells.pop()
        if self.suspended_at < row:
            self.spells.append(replace(spell, end_us=int(self.market.times_us[row])))
            self.silent[row], self.row = False, row
        self.suspended_at, self._heavy, self._days = None, False, 0

    def wants_members(self, date: RebalanceDate) -> bool:
        """Whether a date is to choose members because the index was impaired on the day of its reference."""
        day_end = date.reference_us + DAY_US
        return date.monthly and any(
            spell.start_us < day_end and (spell.end_us is None or spell.end_us > date.reference_us)
            for spell in self.spells
        )

    def _judge(self, rows: slice) -> None:
        times = self.market.times_us[rows]
        few = self._few()
        if self.carried.complete and not (few or self._heavy or self._days):
            return
        missing = absent(self.market, self.carried, start=rows.start, stop=rows.stop, held=self._held)
        if not (few or self._heavy or missing.any()):
            self._days = 0 if (times % DAY_US == 0).any() else self._days
            return
        value = self.carried.prices[rows][:, self._held] * self._units[self._held]
        share = np.where(missing, value, 0.0).sum(axis=1) / value.sum(axis=1)
        midnight = times % DAY_US == 0
        self.silent[rows] = ~midnight & (share > 1.0 - self.rules.min_priced_weight + WEIGHT)
        begin = rows.start
        for place in np.flatnonzero(midnight).tolist():
            row = rows.start + place
            self.impaired[begin:row] = few or self._heavy
            self._heavy = bool(share[place] > self.rules.max_carried_weight + WEIGHT)
            self._turn(row)
            self.impaired[row] = few or self._heavy
            self._days = self._days + 1 if self.impaired[row] else 0
            begin = row + 1
            if self._days == self.rules.impaired_days:
                self._suspend(row)
                self.silent[begin : rows.stop] = True
                return
        self.impaired[begin : rows.stop] = few or self._heavy

    def _few(self) -> bool:
        return len(self._held) < self.minimum

    def _turn(self, row: int) -> None:
        """Open, lengthen or close the present spell by what is so after a row."""
        at = int(self.market.times_us[row])
        causes = []
        if self._few():
            causes.append(f"fewer constituents than the {self.minimum} that are needed")
        if self._heavy:
            causes.append(f"more than {self.rules.max_carried_weight:.0%} of the weight carried at 00:00 UTC")
        if not causes and self.spells and self.spells[-1].end_us is None:
            self.spells[-1] = replace(self.spells[-1], end_us=at)
        elif causes and not (self.spells and self.spells[-1].end_us is None):
            self.spells.append(Spell(IMPAIRED, at, None, " and ".join(causes)))
        elif causes:
            known = self.spells[-1].reason
            new = [cause for cause in causes if cause not in known]
            self.spells[-1] = replace(self.spells[-1], reason=" and ".join([known, *new]))

    def _suspend(self, row: int) -> None:
        at = int(self.market.times_us[row])
        impaired = self.spells[-1]
        self.spells[-1] = replace(impaired, end_us=at)
        reason = f"impaired on {self.rules.impaired_days} days in a row: {impaired.reason}"
        self.spells.append(Spell(SUSPENDED, at, None, reason))
        self.suspended_at = row
