"""The next rebalance before it happens: members, weights, units, turnover and days to trade, at the last known prices.

From the reference date on nothing that decides can change any more; only prices still move the
units. It is computed by the engine itself, on the market with its last prices at the effective instant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from indexer.engine.history import BasketEvent, Decision, Rebalance, Settled
from indexer.engine.level import compute_index
from indexer.engine.market import Market, carry
from indexer.engine.timeline import schedule_of
from indexer.errors import NotEnoughDataError
from indexer.methodology.policy import Policy
from indexer.methodology.spec import Methodology, RebalanceDate
from indexer.times import DAY_US, HOUR_US, from_us, iso


@dataclass(frozen=True, slots=True)
class ProFormaItem:
    """One line: what is held now and will be, its share now and then, what must be traded of a notional, how long."""

    asset: str
    units_before: float
    units_after: float
    weight_now: float
    weight_target: float
    trade_usd: float
    median_adv_usd: float | None
    days_to_trade: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class ProForma:
    """The change to come. `turnover` is one-way; `days_to_trade` the longest of all lines, None when one is unknown."""

    index: str
    kind: str
    reference_at: datetime
    effective_at: datetime
    priced_at: datetime
    items: tuple[ProFormaItem, ...]
    entered: tuple[str, ...]
    left: tuple[str, ...]
    turnover: float
    notional_usd: float
    participation: float
    days_to_trade: float | None


def next_date(methodology: Methodology, after_us: int) -> RebalanceDate:
    """The first scheduled date that takes effect after an instant."""
    dates = schedule_of(methodology, after_us + 800 * DAY_US)
    upcoming = next((date for date in dates if date.scheduled and date.effective_us > after_us), None)
    if upcoming is None:
        raise NotEnoughDataError(f"index {methodology.id} has no scheduled date in the 800 days after {iso(after_us)}")
    return upcoming


def compute_pro_forma(
    market: Market,
    methodology: Methodology,
    *,
    settled: Settled,
    policy: Policy,
    events: Sequence[BasketEvent] = (),
    notional_usd: float | None = None,
) -> ProForma:
    """The pro-forma of the next scheduled date. Raises NotEnoughDataError before its reference date, or when the

    date will change nothing (the reason is said).
    """
    last = int(market.times_us[-1])
    date = next_date(methodology, last)
    if last < date.reference_us:
        raise NotEnoughDataError(
            f"the rebalance of {methodology.id} at {iso(date.effective_us)} is decided by what is known at "
            f"{iso(date.reference_us)}; prices are known to {iso(last)}. Ask again from then on"
        )
    history = compute_index(_with_instant(market, methodology, date=date), methodology, settled=settled, events=events)
    change = next((row for row in history.rebalances if row.reference_us == date.reference_us and row.decisions), None)
    if change is None:
        reason = next((row.reason for row in history.skipped if row.effective_us == date.effective_us), "no change")
        raise NotEnoughDataError(f"the date {iso(date.effective_us)} of {methodology.id} will change nothing: {reason}")
    notional = notional_usd or policy.notional_usd
    return _made(methodology, change, market=market, notional=notional, policy=policy)


def _with_instant(market: Market, methodology: Methodology, *, date: RebalanceDate) -> Market:
    """The market with the last known prices standing at the effective instant too."""
    used = carry(market, methodology.missing.max_carry_hours * HOUR_US)
    last = len(market.times_us) - 1
    stale = used.stale_at(last, range(len(market.lines)))
    prices = used.prices[last].copy()
    prices[sorted(stale)] = np.nan
    prices[prices == 0.0] = np.nan
    return replace(
        market,
        times_us=np.append(market.times_us, date.effective_us),
        prices=np.vstack([market.prices, prices]),
        price_status=np.vstack([market.price_status, market.price_status[last]]),
    )


def _made(methodology: Methodology, change: Rebalance, *, market: Market, notional: float, policy: Policy) -> ProForma:
    decided = {decision.slug: decision for decision in change.decisions}
    items = tuple(
        _item(change, n, slug=slug, decided=decided.get(slug), notional=notional, participation=policy.participation)
        for n, slug in enumerate(market.slugs)
        if change.units_before[n] or change.units_after[n]
    )
    days = [item.days_to_trade for item in items]
    return ProForma(
        index=methodology.id,
        kind=change.kind,
        reference_at=from_us(change.reference_us),
        effective_at=from_us(change.effective_us),
        priced_at=from_us(int(market.times_us[-1])),
        items=tuple(sorted(items, key=lambda item: (-item.weight_target, item.asset))),
        entered=tuple(item.asset for item in items if not item.units_before),
        left=tuple(item.asset for item in items if not item.units_after),
        turnover=change.turnover,
        notional_usd=notional,
        participation=policy.participation,
        days_to_trade=None if None in days else max((count for count in days if count is not None), default=0.0),
    )


def _item(
    change: Rebalance, n: int, *, slug: str, decided: Decision | None, notional: float, participation: float
) -> ProFormaItem:
    now, target = float(change.weight_drifted[n]), float(change.weight_target[n])
    trade = notional * abs(target - now)
    adv = decided.median_adv_usd if decided else None
    return ProFormaItem(
        asset=slug,
        units_before=float(change.units_before[n]),
        units_after=float(change.units_after[n]),
        weight_now=now,
        weight_target=target,
        trade_usd=trade,
        median_adv_usd=adv,
        days_to_trade=trade / (participation * adv) if adv else None,
        reason=decided.reason if decided else "",
    )
