"""Daily equities without Yahoo through the battery: Cboe's public files, Nasdaq's quote API."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from battery import Sample, SourceBattery

from indexer.errors import SourceRefused
from indexer.sources.base import Dataset, Parsed, RestSource
from indexer.times import iso


def check_closes(parsed: Parsed) -> None:
    bars = parsed.benchmark
    assert bars is not None
    assert [iso(int(t)) for t in bars.time_us] == ["2025-01-24T21:00:00Z", "2025-01-27T21:00:00Z"]
    assert bars.close.tolist() == [529.63, 514.21]
    assert bars.volume.tolist() == [35256200.0, 79012300.0]
    assert np.isnan(bars.adjusted_close).all()
    assert bars.price_basis == "unadjusted_for_dividends"


def cboe(*rows: dict[str, str]) -> bytes:
    return json.dumps({"symbol": "QQQ", "timestamp": "2025-01-28 01:00:00", "data": rows}).encode()


FRIDAY = {"date": "2025-01-24", "open": "531.0", "high": "532.1", "low": "528.0", "close": "529.63"}
MONDAY = {"date": "2025-01-27", "open": "510.0", "high": "518.0", "low": "509.0", "close": "514.21"}


class TestCboe(SourceBattery):
    name = "cboe"
    samples = (
        Sample(
            Dataset.BENCHMARK,
            ("QQQ",),
            "2025-01-24T00:00:00Z",
            "2025-01-28T00:00:00Z",
            "2025-01-28T01:00:00+00:00",
            2,
            "1d",
            documented=cboe({**FRIDAY, "volume": "35256200.0"}, {**MONDAY, "volume": "79012300.0"}),
            check=check_closes,
        ),
    )

    @pytest.mark.parametrize(("symbol", "name"), [("^NDX", "_NDX"), ("^VIX", "_VIX"), ("NVDA", "NVDA")])
    def test_indices_have_names_of_their_own(self, source: RestSource, symbol: str, name: str) -> None:
        (call,) = source.calls(replace(self.samples[0].ask(), symbols=(symbol,)))
        assert call.path.endswith(f"/{name}.json")

    def test_a_session_with_two_closes_is_not_taken(self, source: RestSource) -> None:
        sample = self.samples[0]
        body = cboe(FRIDAY, MONDAY, {**MONDAY, "close": "515.0"})
        parsed = source.parse(self.call(source, sample), sample.answer(body))
        assert parsed.benchmark is not None
        assert parsed.benchmark.close.tolist() == [529.63]
        assert [reject.reason for reject in parsed.rejects] == ["contradicting rows for one session"]


def nasdaq(*rows: dict[str, str]) -> bytes:
    table = {"asOf": None, "headers": {}, "rows": list(rows) or None}
    status = {"rCode": 200, "bCodeMessage": None, "developerMessage": None}
    data = {"symbol": "QQQ", "totalRecords": len(rows), "tradesTable": table}
    return json.dumps({"data": data, "message": None, "status": status}).encode()


class TestNasdaq(SourceBattery):
    name = "nasdaq"
    samples = (
        Sample(
            Dataset.BENCHMARK,
            ("QQQ",),
            "2025-01-24T00:00:00Z",
            "2025-01-28T00:00:00Z",
            "2025-01-28T01:00:00+00:00",
            2,
            "1d",
            documented=nasdaq(
                {"date": "01/27/2025", "close": "$514.21", "volume": "79,012,300", "open": "$510.00"},
                {"date": "01/24/2025", "close": "529.63", "volume": "35,256,200", "open": "531.00"},
            ),
            check=check_closes,
        ),
    )

    def test_it_is_asked_as_a_browser_and_by_class(self, source: RestSource) -> None:
        ask = self.samples[0].ask()
        (fund,), (stock,) = source.calls(ask), source.calls(replace(ask, symbols=("NVDA",)))
        assert (fund.params["assetclass"], stock.params["assetclass"]) == ("etf", "stocks")
        assert source.headers()["user-agent"].startswith("Mozilla/5.0")
        for symbol in ("^NDX", "NQ=F"):
            assert source.calls(replace(ask, symbols=(symbol,))) == ()

    def test_an_unknown_symbol_is_a_refusal_in_its_words(self, source: RestSource) -> None:
        sample = self.samples[0]
        words = [{"code": 1001, "errorMessage": "Symbol not exists."}]
        body = json.dumps({"data": None, "status": {"rCode": 400, "bCodeMessage": words}}).encode()
        with pytest.raises(SourceRefused, match=r"nasdaq has no QQQ: Symbol not exists\."):
            source.parse(self.call(source, sample), sample.answer(body))
