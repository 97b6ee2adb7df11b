"""What an update has to say beside levels: reviews that were skipped or relaxed, spells of bad health, pro-formas,
changes that took effect, supplies that jumped. Said once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

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


def announcements(
    market: Market,
    methodology: Methodology,
    *,
    history: IndexHistory,
    settled: Settled | None,
    policy: Policy,
    events: Sequence[BasketEvent],
    now: datetime,
) -> list[AnnouncementRow]:
    """What is to be said of one index after an update. Back history is not news: only what is of these days is."""
    now_us, last_us = to_us(now), int(market.times_us[-1])
    if now_us - last_us > FRESH_DAYS * DAY_US:
        return []
    known = set() if settled is None else {id(change) for change in settled.changes}
    new = [change for change in history.rebalances if id(change) not in known]
    fresh = [change for change in new if now_us - change.effective_us <= FRESH_DAYS * DAY_US]
    out = [_effective(methodology, change, market=market, now=now) for change in fresh]
    out += _pro_forma(market, methodology, history=history, policy=policy, events=events, now=now)
    out += _supply_shocks(market, methodology, history=history, policy=policy, now=now)
    return out


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


def exits(
    market: Market,
    methodology: Methodology,
    *,
    history: IndexHistory,
    settled: Settled | None,
    events: Sequence[BasketEvent],
    now: datetime,
) -> list[AnnouncementRow]:
    """Who left between reviews, at what, and what that choice is worth to the level."""
    known = set() if settled is None else {id(change) for change in settled.changes}
    changes = [row for row in history.rebalances if row.kind in ("suspension", "event") and id(row) not in known]
    if not changes:
        return []
    prices = carry(market, methodology.missing.max_carry_hours * HOUR_US).prices
    out = []
    for change in changes:
        at = iso(change.effective_us)
        for column in np.flatnonzero((change.units_before > 0) & (change.units_after == 0)).tolist():
            slug, weight = market.slugs[column], float(change.weight_drifted[column])
            reasons = {decision.reason for decision in change.decisions if decision.slug == slug}
            event = next((event for event in events if event.slug == slug and event.reason in reasons), None)
            how, detail = _terms(market, change, column=column, event=event, prices=prices)
            detail |= {"asset": slug, "price": float(change.prices[column]), "weight": weight}
            out.append(
                AnnouncementRow(
                    key=f"exit:{methodology.id}:{slug}:{at}",
                    kind="exit",
                    title=f"{slug} leaves {methodology.id} at {at} {how}",
                    published_at=now,
                    index_id=methodology.id,
                    effective_at=from_us(change.effective_us),
                    detail=json.dumps(detail),
                )
            )
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


def _effective(methodology: Methodology, change: Rebalance, *, market: Market, now: datetime) -> AnnouncementRow:
    pairs = list(zip(market.slugs, change.units_before.tolist(), change.units_after.tolist(), strict=True))
    entered = [slug for slug, before, after in pairs if after and not before]
    left = [slug for slug, before, after in pairs if before and not after]
    changes = f"in: {', '.join(entered) or 'none'}; out: {', '.join(left) or 'none'}; turnover {change.turnover:.2%}"
    reasons = {decision.slug: decision.reason for decision in change.decisions if decision.slug in (*entered, *left)}
    return AnnouncementRow(
        key=f"effective:{methodology.id}:{change.kind}:{change.effective_us}",
        kind="effective",
        title=f"{methodology.id}: {change.kind} in effect at {iso(change.effective_us)}; {changes}",
        published_at=now,
        index_id=methodology.id,
        effective_at=from_us(change.effective_us),
        detail=json.dumps({"entered": entered, "left": left, "turnover": change.turnover, "reasons": reasons}),
    )


def _pro_forma(
    market: Market,
    methodology: Methodology,
    *,
    history: IndexHistory,
    policy: Policy,
    events: Sequence[BasketEvent],
    now: datetime,
) -> list[AnnouncementRow]:
    last_us = int(market.times_us[-1])
    date = next_date(methodology, last_us)
    if last_us < date.reference_us:
        return []
    try:
        pro_forma = compute_pro_forma(
            market, methodology, settled=Settled(history.rebalances, last_us), policy=policy, events=events
        )
    except NotEnoughDataError:
        return []
    return [
        AnnouncementRow(
            key=f"proforma:{methodology.id}:{date.effective_us}",
            kind="proforma",
            title=f"{methodology.id}: pro-forma of the {pro_forma.kind} at {iso(date.effective_us)}; "
            f"turnover {pro_forma.turnover:.2%} at prices of {iso(to_us(pro_forma.priced_at))}",
            published_at=now,
            index_id=methodology.id,
            effective_at=pro_forma.effective_at,
            detail=json.dumps(to_json(pro_forma)),
        )
    ]


def _supply_shocks(
    market: Market, methodology: Methodology, *, history: IndexHistory, policy: Policy, now: datetime
) -> list[AnnouncementRow]:
    """Constituents whose supply has changed beyond the emergency threshold since they were weighed.

    Where another origin took over since, the step is that of a definition, which the data-quality log tells.
    """
    review = next((change for change in reversed(history.rebalances) if any(d.supply for d in change.decisions)), None)
    if review is None:
        return []
    weighed = {decision.slug: decision.supply for decision in review.decisions if decision.supply}
    rule = methodology.eligibility_at(now)
    at = np.array([review.reference_us, int(market.times_us[-1])])
    out = []
    for n, line in enumerate(market.lines):
        before = weighed.get(line.slug)
        if not before or not history.rebalances[-1].units_after[n]:
            continue
        then, found = supply_as_of(line.supply, at, max_age_us=rule.member_supply_max_age_days * DAY_US).tokens.tolist()
        changed = [seam.at_us for seam in seams(line.supply)]
        if any(seam_us > review.reference_us for seam_us in changed):
            continue
        before = then if changed else before  # it may have been weighed by what the new origin has replaced since
        change = found / before - 1.0
        if abs(change) > policy.emergency_supply_change:
            out.append(
                AnnouncementRow(
                    key=f"supply:{methodology.id}:{line.slug}:{review.effective_us}:{found:.6g}",
                    kind="supply_shock",
                    title=f"{line.slug}: supply {change:+.2%} since {methodology.id} weighed it; "
                    f"{policy.emergency_supply_change:.0%} is the threshold of an emergency change (log an event)",
                    published_at=now,
                    index_id=methodology.id,
                    detail=json.dumps({"asset": line.slug, "weighed": before, "now": found, "change": change}),
                )
            )
    return out
