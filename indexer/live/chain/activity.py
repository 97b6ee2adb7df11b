"""A day of on-chain activity into the store: metrics for each network and token, their proof, what did not add up.

Every network has its own series (source `onchain:<chain>`); what adds up over networks is also given for the token
(source `onchain`), which is what an index may weigh by. The same address on two chains is two addresses. A day that
was read in part counts as done, so that one silent node does not hold up the others; what it lacks is owed and asked
for with the next days.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from indexer.errors import SourceUnavailable
from indexer.live.chain.snapshots import keep_proof
from indexer.live.context import Live
from indexer.live.quality_log import settle
from indexer.registry import Asset
from indexer.store.bars import read_metrics, write_metrics
from indexer.store.quality import read_open_quality
from indexer.store.rates import read_rate_before
from indexer.store.rows import MetricSeries, Written
from indexer.times import DAY_US, iso, to_us

if TYPE_CHECKING:
    from onchain.evm.activity import Activity, LegActivity
    from onchain.tokens import EventSum, Reading, Token

TOTAL: Final = "onchain"
ADDED: Final = (
    "transfers", "senders", "receivers", "active_addresses", "transfer_volume_tokens", "transfer_volume_usd",
    "mint_tokens", "burn_tokens",
)  # fmt: skip
"""Metrics that are the sum over a token's networks."""


def activity_series(slug: str, legs: Sequence[LegActivity], *, end_us: int) -> list[MetricSeries]:
    """The metrics of one asset for the day that ends at `end_us`: of each network that was read, and of the token.

    The token's are given only when every network that has transfer logs was read, because a part of a sum is not it.
    """
    figures = {leg.chain: dict(_figures(leg.activity)) for leg in legs if leg.activity is not None}
    made = [
        _metric(slug, name, f"{TOTAL}:{chain}", end_us, value)
        for chain, values in figures.items()
        for name, value in values.items()
    ]
    if figures and not any(failed(leg) for leg in legs):
        for name in ADDED:
            parts = [values[name] for values in figures.values() if name in values]
            if len(parts) == len(figures):
                made.append(_metric(slug, name, TOTAL, end_us, sum(parts)))
    return made


def failed(leg: LegActivity) -> bool:
    """Whether a network that has transfer logs could not be read (one of another family has none to read)."""
    return leg.activity is None and not leg.reason.endswith("has no Transfer logs")


def _figures(seen: Activity) -> Iterator[tuple[str, float]]:
    scale = 10.0**seen.decimals
    yield from ((name, float(getattr(seen, name))) for name in ADDED[:4])
    yield "transfer_volume_tokens", seen.volume_tokens
    if seen.volume_usd is not None:
        yield "transfer_volume_usd", seen.volume_usd
    yield "mint_tokens", seen.mint / scale
    yield "burn_tokens", seen.burn / scale
    if seen.identity_gap is not None:
        yield "supply_identity_gap_tokens", seen.identity_gap / scale
    yield "logs_confirmed_share", seen.checked
    if seen.concentration is not None:
        for name, value in asdict(seen.concentration).items():
            yield f"holders_{name}" if name in ("examined", "hhi") else f"holders_{name}_share", float(value)


def _metric(slug: str, name: str, source: str, end_us: int, value: float) -> MetricSeries:
    return MetricSeries(slug, name, source, np.array([end_us], np.int64), np.array([value], np.float64))


DAY: Final = timedelta(days=1)
BACK: Final = 3  # days; nodes without an archive do not keep state for longer anyway


def owed_days(live: Live, before: datetime, *, kind: str) -> list[tuple[datetime, tuple[str, ...]]]:
    """(end of the day, symbols) of the last `BACK` days before the one that ends at `before`, oldest first.

    Only tokens with an open entry of `kind` are owed anything; a day whose sum is stored is not.
    """
    unread = {row.subject.split(" ", 1)[0] for row in read_open_quality(live.store, (kind,))}
    slugs = {symbol: asset.slug for symbol, asset in live.assets().items() if asset.slug in unread}
    known = {slug: _days_of(live, slug, before) for slug in slugs.values()}
    ends = [before - back * DAY for back in range(BACK, 0, -1)]
    owed = [(end, tuple(symbol for symbol, slug in slugs.items() if to_us(end) not in known[slug])) for end in ends]
    return [(end, symbols) for end, symbols in owed if symbols]


def _days_of(live: Live, slug: str, before: datetime) -> set[int]:
    """Ends of the days whose transfers are stored for the token as a whole."""
    found = read_metrics(
        live.store, subject=slug, name="transfers", since_us=to_us(before - (BACK + 1) * DAY), until_us=to_us(before)
    )
    return {int(time) for one in found if one.source == TOTAL for time in one.time_us}


Progress = Callable[[str, str, int, int], None]  # symbol, chain, blocks done, blocks in all
KIND, IDENTITY, EVENTS = "onchain_activity", "onchain_identity", "onchain_events"


@dataclass(frozen=True, slots=True)
class NetworkActivity:
    """One network's day: counts, or the reason why there are none.

    `identity_gap` is in base units: 0 when whole, None where the supply of both ends could not be read.
    """

    symbol: str
    asset: str
    chain: str
    transfers: int | None
    active_addresses: int | None
    volume_tokens: float | None
    volume_usd: float | None
    identity_gap: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class ActivityReport:
    """The networks of a day and what was new among their metrics."""

    end: datetime
    ledgers: tuple[NetworkActivity, ...]
    written: Written

    @property
    def read(self) -> int:
        """How many networks were read."""
        return sum(one.transfers is not None for one in self.ledgers)


def read_activity_of_day(
    live: Live,
    run_id: int,
    *,
    end: datetime,
    symbols: Iterable[str] = (),
    progress: Progress | None = None,
) -> ActivityReport:
    """Read and store the activity of the 24 hours that end at `end`, of these symbols or all with transfer logs.

    Raises InputError for an unknown symbol. A network that fails, or a token whose reading takes too long, is in the
    report and in the quality log with its reason.
    """
    assets = live.chosen(tuple(symbols))
    live.asset_ids()
    seen: list[NetworkActivity] = []
    written = Written()
    for symbol, asset in assets.items():
        token = live.tokens[symbol]
        if not any(leg.chain in live.chains and live.chains[leg.chain].family == "evm" for leg in token.legs):
            continue
        legs, stored = _read_token(live, run_id, token, asset=asset, end=end, progress=progress)
        written += stored
        seen += [_said(symbol, asset.slug, leg) for leg in legs]
    _note(live, run_id, seen)
    return ActivityReport(end, tuple(seen), written)


def _read_token(
    live: Live, run_id: int, token: Token, *, asset: Asset, end: datetime, progress: Progress | None
) -> tuple[list[LegActivity], Written]:
    """One token's networks, read, stored and kept as proof."""
    end_us = to_us(end)
    priced = read_rate_before(live.store, asset.slug, end_us, max_age_us=DAY_US)
    legs = _read(live, token, end=end, price_usd=priced[0] if priced else None, progress=progress)
    series = activity_series(asset.slug, legs, end_us=end_us)
    if not series:
        return legs, Written()
    evidence: dict[str, Any] = {
        "symbol": token.symbol,
        "end": iso(end_us),
        "price_usd": priced[0] if priced else None,
        "price_at": iso(priced[1]) if priced else None,
        "legs": [asdict(leg) for leg in legs],
    }
    keep_proof(live, run_id, evidence, what=f"activity of {token.symbol} to {iso(end_us)}")
    return legs, write_metrics(live.store, run_id, series)


def _read(
    live: Live, token: Token, *, end: datetime, price_usd: float | None, progress: Progress | None
) -> list[LegActivity]:
    from onchain.evm.activity import LegActivity, read_legs

    upto = to_us(end) // 1_000_000
    tell = None if progress is None else lambda chain, done, total: progress(token.symbol, chain, done, total)
    try:
        return live.read_chains(
            lambda: read_legs(
                token,
                chains=live.chains,
                start=upto - int(DAY.total_seconds()),
                end=upto,
                price_usd=price_usd,
                confirm=live.confirm,
                progress=tell,
            ),
            within_s=live.scan_deadline_s,
            what=f"reading a day of {token.symbol}'s transfers",
        )
    except SourceUnavailable as error:
        return [LegActivity(leg.chain, leg.asset, leg.role, None, str(error)) for leg in token.legs]


def _said(symbol: str, slug: str, leg: LegActivity) -> NetworkActivity:
    seen = leg.activity
    return NetworkActivity(
        symbol=symbol,
        asset=slug,
        chain=leg.chain,
        transfers=seen.transfers if seen else None,
        active_addresses=seen.active_addresses if seen else None,
        volume_tokens=seen.volume_tokens if seen else None,
        volume_usd=seen.volume_usd if seen else None,
        identity_gap=seen.identity_gap if seen else None,
        reason=leg.reason if failed(leg) or seen is None else "",
    )


def _note(live: Live, run_id: int, seen: list[NetworkActivity]) -> None:
    """Open or close the entries of these networks: not read, or supply and transfers that do not agree."""
    subjects = {f"{one.asset} {one.chain}": one for one in seen if not one.reason.endswith("has no Transfer logs")}
    unread = {subject: one.reason for subject, one in subjects.items() if one.transfers is None}
    gaps = {
        subject: f"minted less burnt differs from the change of supply by {one.identity_gap} base units"
        for subject, one in subjects.items()
        if one.identity_gap
    }
    told = {subject for subject, one in subjects.items() if one.transfers is not None}
    for kind, now, scope in ((KIND, unread, set(subjects)), (IDENTITY, gaps, told)):
        settle(live, run_id, kind, now, concerns=scope.__contains__)


def read_events(live: Live, due: datetime, run_id: int, *, only: Collection[str] = ()) -> dict[str, Any]:
    """Sum what contracts' logs say of the day that ended at `due` (`EventSum`s of the rules), and of days owed; counts.

    Days owed are those of the last `BACK`, after the first one stored, that some event lacks. What could not be read of
    the last day is in the quality log and `owed`; `only` those are read where some are named.
    """
    assets = live.chosen()
    live.asset_ids()
    every = {event: asset.slug for symbol, asset in assets.items() for event in live.tokens[symbol].events}
    slugs = {event: slug for event, slug in every.items() if not only or f"{slug} {event.metric}" in only}
    unread: dict[str, str] = {}
    written = Written()
    for end in _days_without_events(live, slugs, due):
        readings = _read_events(live, list(slugs), end=end)
        evidence = {"end": iso(to_us(end)), "readings": [asdict(got) for _, got in readings]}
        keep_proof(live, run_id, evidence, what=f"activity by events to {iso(to_us(end))}")
        unread = {f"{slugs[event]} {event.metric}": got.reason for event, got in readings if got.amount is None}
        series = [
            _metric(slugs[event], event.metric, _source(event), to_us(end), got.amount / 10**event.decimals)
            for event, got in readings
            if got.amount is not None
        ]
        written += write_metrics(live.store, run_id, series)
    subjects = {f"{slug} {event.metric}" for event, slug in slugs.items()}
    settle(live, run_id, EVENTS, unread, concerns=subjects.__contains__)
    metrics = written.new + written.revised
    return {"events": len(subjects) - len(unread), "of": len(subjects), "metrics": metrics, "owed": sorted(unread)}


def _days_without_events(live: Live, slugs: Mapping[EventSum, str], due: datetime) -> list[datetime]:
    """The ends of the days to read up to `due`, in order: it alone where nothing is stored."""
    stored = [
        {
            int(time)
            for series in read_metrics(live.store, subject=slug, name=event.metric, until_us=to_us(due) + 1)
            if series.source == _source(event)
            for time in series.time_us
        }
        for event, slug in slugs.items()
    ]
    first = min((min(days) for days in stored if days), default=to_us(due))
    ends = [due - back * DAY for back in reversed(range(BACK))]
    return [end for end in ends if to_us(end) >= first and any(to_us(end) not in days for days in stored)]


def _read_events(live: Live, events: list[EventSum], *, end: datetime) -> list[tuple[EventSum, Reading]]:
    from onchain.evm.activity import read_event_sums
    from onchain.tokens import missing

    upto = to_us(end) // 1_000_000
    try:
        return live.read_chains(
            lambda: read_event_sums(
                events, chains=live.chains, start=upto - DAY_US // 1_000_000, end=upto, confirm=live.confirm
            ),
            within_s=live.scan_deadline_s,
            what=f"reading a day of {len(events)} events",
        )
    except SourceUnavailable as error:
        return [(event, missing(event.read(), str(error))) for event in events]


def _source(event: EventSum) -> str:
    return f"{TOTAL}:{event.chain}"
