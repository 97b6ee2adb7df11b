"""What an update has to say beside levels: reviews that were skipped or relaxed, spells of bad health, pro-formas,
changes that took effect, supplies that jumped. Said once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from indexer.arrays import F64, to_json
from indexer.engine.health import SUSPENDED
from indexer.engine.history import BasketEvent, IndexHistory, Rebalance, Settled
from indexer.engine.known import seams, supply_as_of
from indexer.engine.market import Market, carry
from indexer.errors import NotEnoughDataError
from indexer.levels.proforma import compute_pro_forma, next_date
from indexer.methodology.policy import Policy
from indexer.methodology.spec import Methodology
from indexer.store.indices import LATE
from indexer.store.rows import AnnouncementRow, NoteRow
from indexer.times import DAY_US, HOUR_US, from_us, iso, to_us

FRESH_DAYS = 3


@dataclass(frozen=True, slots=True)
class News:
    """What is to be said of one index after an update: its history, and what of it was `settled` before."""

    market: Market
    methodology: Methodology
    history: IndexHistory
    settled: Settled | None
    events: Sequence[BasketEvent]
    policy: Policy
    now: datetime

    def all(self) -> list[AnnouncementRow]:
        """Who left between reviews, whenever that was; and what is of these days: back history is not news."""
        out = list(self.exits())
        now_us = to_us(self.now)
        if now_us - int(self.market.times_us[-1]) <= FRESH_DAYS * DAY_US:
            fresh = (one for one in self._changes() if now_us - one.effective_us <= FRESH_DAYS * DAY_US)
            out += [*map(self._effective, fresh), *self._pro_forma(), *self._supply_shocks()]
        return out

    def exits(self) -> Iterator[AnnouncementRow]:
        """Who left between reviews, at what, and what that choice is worth to the level."""
        changes = [change for change in self._changes() if change.kind in ("suspension", "event")]
        if not changes:
            return
        prices = carry(self.market, self.methodology.missing.max_carry_hours * HOUR_US).prices
        for change in changes:
            at = iso(change.effective_us)
            for column in np.flatnonzero((change.units_before > 0) & (change.units_after == 0)).tolist():
                slug, weight = self.market.slugs[column], float(change.weight_drifted[column])
                reasons = {decision.reason for decision in change.decisions if decision.slug == slug}
                event = next((one for one in self.events if one.slug == slug and one.reason in reasons), None)
                how, detail = _terms(self.market, change, column=column, event=event, prices=prices)
                detail |= {"asset": slug, "price": float(change.prices[column]), "weight": weight}
                title = f"{slug} leaves {self.methodology.id} at {at} {how}"
                yield self._row("exit", f"{slug}:{at}", title, detail, at_us=change.effective_us)

    def _changes(self) -> list[Rebalance]:
        """The changes of the basket that are new."""
        known = set() if self.settled is None else {id(change) for change in self.settled.changes}
        return [change for change in self.history.rebalances if id(change) not in known]

    def _row(self, kind: str, key: str, title: str, detail: Any, *, at_us: int | None = None) -> AnnouncementRow:
        at, name = None if at_us is None else from_us(at_us), self.methodology.id
        short = "supply" if kind == "supply_shock" else kind
        return AnnouncementRow(f"{short}:{name}:{key}", kind, title, self.now, name, at, json.dumps(detail))

    def _effective(self, change: Rebalance) -> AnnouncementRow:
        pairs = list(zip(self.market.slugs, change.units_before.tolist(), change.units_after.tolist(), strict=True))
        entered = [slug for slug, before, after in pairs if after and not before]
        left = [slug for slug, before, after in pairs if before and not after]
        moves = f"in: {', '.join(entered) or 'none'}; out: {', '.join(left) or 'none'}; turnover {change.turnover:.2%}"
        reasons = {one.slug: one.reason for one in change.decisions if one.slug in (*entered, *left)}
        title = f"{self.methodology.id}: {change.kind} in effect at {iso(change.effective_us)}; {moves}"
        detail = {"entered": entered, "left": left, "turnover": change.turnover, "reasons": reasons}
        key = f"{change.kind}:{change.effective_us}"
        return self._row("effective", key, title, detail, at_us=change.effective_us)

    def _pro_forma(self) -> Iterator[AnnouncementRow]:
        last_us, name = int(self.market.times_us[-1]), self.methodology.id
        date = next_date(self.methodology, last_us)
        if last_us < date.reference_us:
            return
        settled = Settled(self.history.rebalances, last_us)
        try:
            coming = compute_pro_forma(
                self.market, self.methodology, settled=settled, policy=self.policy, events=self.events
            )
        except NotEnoughDataError:
            return
        title = (
            f"{name}: pro-forma of the {coming.kind} at {iso(date.effective_us)}; turnover {coming.turnover:.2%} at "
            f"prices of {iso(to_us(coming.priced_at))}"
        )
        yield self._row("proforma", str(date.effective_us), title, to_json(coming), at_us=to_us(coming.effective_at))

    def _supply_shocks(self) -> Iterator[AnnouncementRow]:
        """Constituents whose supply has changed beyond the emergency threshold since they were weighed.

        Where another origin took over since, the step is that of a definition, which the data-quality log tells.
        """
        changes, threshold = self.history.rebalances, self.policy.emergency_supply_change
        review = next((one for one in reversed(changes) if any(d.supply for d in one.decisions)), None)
        if review is None:
            return
        weighed = {decision.slug: decision.supply for decision in review.decisions if decision.supply}
        max_age_us = self.methodology.eligibility_at(self.now).member_supply_max_age_days * DAY_US
        at = np.array([review.reference_us, int(self.market.times_us[-1])])
        for n, line in enumerate(self.market.lines):
            before = weighed.get(line.slug)
            if not before or not changes[-1].units_after[n]:
                continue
            then, latest = supply_as_of(line.supply, at, max_age_us=max_age_us).tokens.tolist()
            changed = [seam.at_us for seam in seams(line.supply)]
            if any(seam_us > review.reference_us for seam_us in changed):
                continue
            before = then if changed else before  # it may have been weighed by what the new origin has replaced since
            change = latest / before - 1.0
            if abs(change) > threshold:
                title = (
                    f"{line.slug}: supply {change:+.2%} since {self.methodology.id} weighed it; {threshold:.0%} is the "
                    "threshold of an emergency change (log an event)"
                )
                detail = {"asset": line.slug, "weighed": before, "now": latest, "change": change}
                yield self._row("supply_shock", f"{line.slug}:{review.effective_us}:{latest:.6g}", title, detail)


def notes_of(history: IndexHistory) -> list[NoteRow]:
    """The reviews that were not applied as scheduled and the spells of a history, as the store keeps them."""
    reviews = [("skipped", review) for review in history.skipped] + [("relaxed", review) for review in history.relaxed]
    return [
        *(
            NoteRow(kind, from_us(review.effective_us), None, from_us(review.reference_us), review.reason)
            for kind, review in reviews
        ),
        *(
            NoteRow(
                spell.kind, from_us(spell.start_us), None if spell.end_us is None else from_us(spell.end_us), None,
                spell.reason,
            )
            for spell in history.spells
        ),
    ]  # fmt: skip


TITLES = {
    LATE: "{reason}",
    "skipped": "{index}: the review of {start} changed nothing as scheduled: {reason}",
    "relaxed": "{index}: caps raised for the review of {start}: {reason}",
    "impaired": "{index} is impaired since {start}: {reason}",
    "suspended": "{index} is suspended, its last level is that of {start}: {reason}",
}


def announced(index_id: str, notes: Sequence[NoteRow], *, now: datetime) -> list[AnnouncementRow]:
    """What is told of new notes: that a spell began, and that it ended. Of back history too: it is told once."""
    out = []
    stopped = {note.start_at for note in notes if note.kind == SUSPENDED}
    for note in notes:
        start = iso(to_us(note.start_at))
        title = TITLES[note.kind].format(index=index_id, start=start, reason=note.reason)
        detail = json.dumps({"since": start, "reason": note.reason})
        key = f"{note.kind}:{index_id}:{start}"
        out.append(AnnouncementRow(key, note.kind, title, now, index_id, note.start_at, detail))
        if note.end_at is not None and note.end_at not in stopped:
            ended = f"{index_id} is {note.kind} no more from {iso(to_us(note.end_at))} on (since {start})"
            out.append(AnnouncementRow(f"{key}:end", note.kind, ended, now, index_id, note.end_at, detail))
    return out


def _terms(
    market: Market, change: Rebalance, *, column: int, event: BasketEvent | None, prices: F64
) -> tuple[str, dict[str, float | str]]:
    """At what a constituent leaves, in words, and what that is worth against the other choice there was.

    A merger's successor is held against the last traded price, a stated value against it too, and that price against
    the way that the others went since it was made; `prices` (T, N) are carried.
    """
    row = int(np.searchsorted(market.times_us, change.effective_us))
    last = int(np.flatnonzero(np.isfinite(market.prices[: row + 1, column]))[-1])
    price, weight = float(change.prices[column]), float(change.weight_drifted[column])
    traded = f"its last traded price, {price:.6g} of {iso(int(market.times_us[last]))}"
    into = market.slugs.index(event.into) if event and event.into in market.slugs else None
    if event and into is not None and change.units_after[into] > change.units_before[into]:
        gap = event.ratio * float(change.prices[into]) / price - 1.0
        return (
            f"for {event.ratio:.6g} {event.into} each, with {weight:.1%} of the weight; that is worth {gap:+.2%} of "
            f"{traded}, and the divisor takes the difference, {weight * gap:+.2%} of the level",
            {"into": event.into, "ratio": event.ratio, "worth": weight * gap},
        )
    if event and event.exit_value is not None:
        worth = weight * (event.exit_value / price - 1.0)
        return (
            f"at the stated value {event.exit_value:.6g}, with {weight:.1%} of the weight; the level moves by "
            f"{worth:+.2%} against {traded}",
            {"value": event.exit_value, "worth": worth},
        )
    stays = change.units_before * (change.units_after > 0)
    others = float(prices[row] @ stays) / float(prices[last] @ stays) - 1.0 if stays.any() else 0.0
    return (
        f"at {traded}, with {weight:.1%} of the weight; had it moved like the others since then, the level would "
        f"differ by {weight * others:+.2%}, were it worth nothing by {-weight:.2%}",
        {"others_since": others, "worth": weight * others},
    )
