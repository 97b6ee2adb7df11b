"""OKX perpetuals: funding, open interest and public liquidation orders, no key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from indexer.errors import SourceCorrupt
from indexer.sources.base import (
    Ask,
    Call,
    Capabilities,
    Dataset,
    History,
    Kind,
    Licence,
    Parsed,
    RestSource,
    Stamp,
    every,
    rows_of,
)
from indexer.sources.http import Answer
from indexer.sources.okx import okx_data
from indexer.sources.records import Liquidations, Reject
from indexer.sources.rows import list_in, number, stamps_us
from indexer.sources.stress import series_of
from indexer.times import HOUR_US


@dataclass(frozen=True)
class OkxDerivatives(RestSource):
    """Symbols are swap ids such as TAO-USDT-SWAP. Liquidations need `contract_size`: sizes come in contracts."""

    about: ClassVar[Capabilities] = Capabilities(
        name="okx-derivatives",
        title="OKX perpetual swaps",
        kind=Kind.DERIVATIVES,
        base_url="https://www.okx.com",
        datasets=frozenset({Dataset.FUNDING, Dataset.OPEN_INTEREST, Dataset.LIQUIDATIONS}),
        stamp=Stamp.INSTANT,
        licence=Licence.COMMERCIAL_OK,
        fixing=False,
        docs="https://www.okx.com/docs-v5/en/#public-data-rest-api-get-liquidation-orders",
        loses="the only keyless liquidation orders by REST, and with them the long share of stress",
        history={"1h": History(max_rows=100, depth_days=60)},
        limit="okx",
        notes="funding reaches about three months back; liquidations about a day, the newest 100 a call",
    )

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        match ask.dataset:
            case Dataset.FUNDING:
                return tuple(self._funding(window) for window in every(ask, 100 * HOUR_US))
            case Dataset.OPEN_INTEREST:
                return self.paged(ask, self._open_interest)
            case Dataset.LIQUIDATIONS:
                return (self._liquidations(ask),)
        return ()

    @staticmethod
    def _funding(ask: Ask) -> Call:
        params = {
            "instId": ask.symbol,
            "before": str(ask.start_us // 1000),
            "after": str(ask.end_us // 1000 + 1),
            "limit": "100",
        }
        return Call("okx-derivatives", "/api/v5/public/funding-rate-history", params, ask, cost=2)

    @staticmethod
    def _open_interest(ask: Ask) -> Call:
        params = {
            "instId": ask.symbol,
            "period": "1H",
            "begin": str(ask.start_us // 1000),
            "end": str(ask.end_us // 1000),
            "limit": "100",
        }
        path = "/api/v5/rubik/stat/contracts/open-interest-history"
        return Call("okx-derivatives", path, params, ask, rows=rows_of(ask), cost=4)

    @staticmethod
    def _liquidations(ask: Ask) -> Call:
        params = {
            "instType": "SWAP",
            "instFamily": ask.symbol.removesuffix("-SWAP"),
            "state": "filled",
            "after": str(ask.end_us // 1000 + 1),
            "limit": "100",
        }
        return Call("okx-derivatives", "/api/v5/public/liquidation-orders", params, ask, rows=100, cost=1)

    def parse(self, call: Call, answer: Answer) -> Parsed:
        data = okx_data(answer)
        if call.ask.dataset is Dataset.FUNDING:
            rows = [[row.get("fundingTime"), _realized(row)] for row in _of_symbol(data, call)]
            return series_of("funding_rate", rows, call, fetched_us=answer.fetched_us)
        if call.ask.dataset is Dataset.OPEN_INTEREST:
            if any(not isinstance(row, list) or len(row) < 4 for row in data):
                raise SourceCorrupt("okx answered open interest that is not rows of four")
            return series_of(
                "open_interest_usd", [[row[0], row[3]] for row in data], call, fetched_us=answer.fetched_us
            )
        return _orders(data, call, answer.fetched_us)


def _realized(row: dict[str, Any]) -> Any:
    """The rate that was paid, where given; the announced one otherwise."""
    return row.get("realizedRate") or row.get("fundingRate")


def _of_symbol(data: list[Any], call: Call) -> list[dict[str, Any]]:
    rows = [row for row in data if isinstance(row, dict) and row.get("instId") == call.ask.symbol]
    if len(rows) != len(data):
        raise SourceCorrupt(f"okx answered for other instruments than {call.ask.symbol}")
    return rows


def _orders(data: list[Any], call: Call, fetched_us: int) -> Parsed:
    """Orders of the asked swap: a sell order closes longs. `bkPx` is the bankruptcy price of the position."""
    if not np.isfinite(call.ask.contract_size):
        return Parsed(rejects=(Reject("contract size is not known", call.ask.symbol),))
    details = [
        detail
        for entry in data
        if isinstance(entry, dict) and entry.get("instId") == call.ask.symbol
        for detail in list_in(entry.get("details"))
        if isinstance(detail, dict)
    ]
    at = stamps_us(np.array([number(d.get("ts")) for d in details]), 1000, name="okx")
    usd = np.array([number(d.get("sz")) * number(d.get("bkPx")) for d in details]) * call.ask.contract_size
    long = np.array([_closes_long(d) for d in details], dtype=object)
    known = np.array([side is not None for side in long], dtype=np.bool_)
    good = (at > 0) & (at <= fetched_us) & np.isfinite(usd) & (usd > 0.0) & known
    rejects = tuple(
        Reject("not a sized and sided order at an instant", str(details[n])[:300], int(n))
        for n in np.flatnonzero(~good).tolist()
    )
    asked = good & (at > call.ask.start_us) & (at <= call.ask.end_us)
    order = np.flatnonzero(asked)[np.argsort(at[asked], kind="stable")]
    found = Liquidations(call.ask.symbol, at[order], long[order].astype(np.bool_), usd[order])
    return Parsed(liquidations=found, rejects=rejects)


def _closes_long(detail: dict[str, Any]) -> bool | None:
    """Whether the closed position was long: by its side, else by the order's; None when neither is said."""
    if detail.get("posSide") in ("long", "short"):
        return bool(detail["posSide"] == "long")
    if detail.get("side") in ("buy", "sell"):
        return bool(detail["side"] == "sell")
    return None
