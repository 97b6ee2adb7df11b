"""OKX spot: candles (100 a call, newest first, each saying whether it is closed) and tickers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from indexer.errors import SourceCorrupt, SourceRefused, SourceUnavailable
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
    rows_of,
)
from indexer.sources.http import Answer
from indexer.sources.records import Quote
from indexer.sources.rows import bars_of_rows, json_of, quote_of
from indexer.times import INTERVAL_US

_EVERY = History(max_rows=100)
_BAR: Final = {"1m": "1m", "1h": "1H", "1d": "1Dutc"}  # plain 1D would close at 16:00 UTC
_RECENT_BARS: Final = 1_400  # `candles` holds the newest 1,440 without the delay of the history
_BUSY_CODES: Final = {"50001", "50004", "50011", "50013", "50026", "50061"}


@dataclass(frozen=True)
class Okx(RestSource):
    """Candles: rows of [open ms, o, h, l, c, base volume, volume in quote, volume in quote, closed "1"/"0"]."""

    about: ClassVar[Capabilities] = Capabilities(
        name="okx",
        title="OKX spot",
        kind=Kind.VENUE,
        base_url="https://www.okx.com",
        datasets=frozenset({Dataset.BARS, Dataset.QUOTES}),
        stamp=Stamp.BAR_OPEN,
        licence=Licence.COMMERCIAL_OK,
        fixing=True,
        docs="https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-candlesticks-history",
        loses="a deep USDT market of most constituents",
        history={"1m": _EVERY, "1h": _EVERY, "1d": _EVERY},
        notes="quoted in USDT",
    )

    def calls(self, ask: Ask) -> tuple[Call, ...]:
        if ask.dataset is Dataset.QUOTES:
            return (Call("okx", "/api/v5/market/ticker", {"instId": ask.symbol}, ask),)
        return self.paged(ask, self._candles) if ask.dataset is Dataset.BARS else ()

    @staticmethod
    def _candles(ask: Ask) -> Call:
        params = {
            "instId": ask.symbol,
            "bar": _BAR[ask.interval],
            "after": str(ask.end_us // 1000),  # opens before this,
            "before": str(ask.start_us // 1000 - 1),  # and after this: both exclusive
            "limit": "100",
        }
        recent = ask.start_us >= ask.now_us - _RECENT_BARS * INTERVAL_US[ask.interval]
        path = "/api/v5/market/candles" if recent else "/api/v5/market/history-candles"
        return Call("okx", path, params, ask, rows=rows_of(ask))

    def parse(self, call: Call, answer: Answer) -> Parsed:
        data = okx_data(answer)
        if call.ask.dataset is Dataset.QUOTES:
            return Parsed(quotes=(_quote(call, data, answer.fetched_us),))
        closed = [row for row in data if not (isinstance(row, list) and len(row) > 8 and row[8] == "0")]
        parsed = bars_of_rows(closed, call, fetched_us=answer.fetched_us, columns=(0, 1, 2, 3, 4, 5, 7), unit_us=1000)
        return Parsed(bars=parsed.bars, rejects=parsed.rejects, open_rows=parsed.open_rows + len(data) - len(closed))


def okx_data(answer: Answer) -> list[Any]:
    """The `data` of an OKX answer. Raises the error that its code means ("0" is success)."""
    body = json_of(answer, "okx")
    if not isinstance(body, dict) or "code" not in body:
        raise SourceCorrupt("okx answered without its usual envelope")
    code = str(body["code"])
    if code != "0":
        text = f"okx answers {code}: {body.get('msg', '')}"
        raise SourceUnavailable(text) if code in _BUSY_CODES else SourceRefused(text)
    data = body.get("data")
    if not isinstance(data, list):
        raise SourceCorrupt("okx answered success without data")
    return data


def _quote(call: Call, data: list[Any], fetched_us: int) -> Quote:
    if not data or not isinstance(data[0], dict) or data[0].get("instId") != call.ask.symbol:
        raise SourceCorrupt(f"okx answered no ticker for {call.ask.symbol}")
    row = data[0]
    return quote_of(
        call, price=row.get("last"), stamp=row.get("ts"), volume_24h=row.get("volCcy24h"), fetched_us=fetched_us
    )
