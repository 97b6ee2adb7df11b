"""A day of on-chain activity into the store: metrics for each ledger and token, evidence, and what did not add up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from indexer.errors import SourceUnavailable
from indexer.live.chain.activity_series import activity_series, failed
from indexer.live.chain.context import ChainWork
from indexer.live.chain.proofs import keep
from indexer.live.quality_log import settle
from indexer.registry import Asset
from indexer.store.read_onchain import read_rate_before
from indexer.store.records import Written
from indexer.store.write import write_metrics
from indexer.times import DAY_US, iso, to_us

if TYPE_CHECKING:
    from onchain.metrics import LegActivity
    from onchain.tokens import Token

Progress = Callable[[str, str, int, int], None]  # symbol, chain, blocks done, blocks in all
KIND, IDENTITY = "onchain_activity", "onchain_identity"
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class LedgerActivity:
    """One ledger's day: counts, or the reason why there are none. `identity_gap` is in base units, 0 when whole."""

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
    """The ledgers of a day and what was new among their metrics."""

    end: datetime
    ledgers: tuple[LedgerActivity, ...]
    written: Written

    @property
    def read(self) -> int:
        """How many ledgers were read."""
        return sum(one.transfers is not None for one in self.ledgers)


def read_activity_of_day(
    work: ChainWork,
    run_id: int,
    *,
    end: datetime,
    symbols: Iterable[str] = (),
    progress: Progress | None = None,
) -> ActivityReport:
    """Read and store the activity of the 24 hours that end at `end`, of these symbols or all with transfer logs.

    Raises InputError for an unknown symbol. A ledger that fails, or a token whose reading takes too long, is in the
    report and in the ledger with its reason.
    """
    assets = work.chosen(tuple(symbols))
    work.register()
    seen: list[LedgerActivity] = []
    written = Written()
    for symbol, asset in assets.items():
        token = work.tokens[symbol]
        if not any(leg.chain in work.chains and work.chains[leg.chain].family == "evm" for leg in token.legs):
            continue
        legs, stored = _one(work, run_id, token, asset=asset, end=end, progress=progress)
        written += stored
        seen += [_said(symbol, asset.slug, leg) for leg in legs]
    _note(work, run_id, seen)
    return ActivityReport(end, tuple(seen), written)


def _one(
    work: ChainWork, run_id: int, token: Token, *, asset: Asset, end: datetime, progress: Progress | None
) -> tuple[list[LegActivity], Written]:
    """One token's ledgers, read, stored and kept as evidence."""
    end_us = to_us(end)
    priced = read_rate_before(work.store, asset.slug, end_us, max_age_us=DAY_US)
    legs = _read(work, token, end=end, price_usd=priced[0] if priced else None, progress=progress)
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
    keep(work, run_id, evidence, what=f"activity of {token.symbol} to {iso(end_us)}")
    return legs, write_metrics(work.store, run_id, series)


def _read(
    work: ChainWork, token: Token, *, end: datetime, price_usd: float | None, progress: Progress | None
) -> list[LegActivity]:
    from onchain.metrics import LegActivity, read_legs

    upto = to_us(end) // 1_000_000
    tell = None if progress is None else lambda chain, done, total: progress(token.symbol, chain, done, total)
    try:
        return work.waiting.run(
            lambda: read_legs(
                token,
                chains=work.chains,
                start=upto - int(DAY.total_seconds()),
                end=upto,
                price_usd=price_usd,
                confirm=work.confirm,
                progress=tell,
            ),
            within_s=work.scan_deadline_s,
            what=f"reading a day of {token.symbol}'s transfers",
        )
    except SourceUnavailable as error:
        return [LegActivity(leg.chain, leg.asset, leg.role, None, str(error)) for leg in token.legs]


def _said(symbol: str, slug: str, leg: LegActivity) -> LedgerActivity:
    seen = leg.activity
    return LedgerActivity(
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


def _note(work: ChainWork, run_id: int, seen: list[LedgerActivity]) -> None:
    """Open or close what the ledger says of these ledgers: not read, or supply and transfers that do not agree."""
    subjects = {f"{one.asset} {one.chain}": one for one in seen if not one.reason.endswith("has no Transfer logs")}
    unread = {subject: one.reason for subject, one in subjects.items() if one.transfers is None}
    gaps = {
        subject: f"minted less burnt differs from the change of supply by {one.identity_gap} base units"
        for subject, one in subjects.items()
        if one.identity_gap
    }
    told = {subject for subject, one in subjects.items() if one.transfers is not None}
    for kind, now, scope in ((KIND, unread, set(subjects)), (IDENTITY, gaps, told)):
        settle(work.store, run_id, kind=kind, now=now, at=work.clock(), concerns=scope.__contains__)
