"""Derivatives and the optional libraries through the battery."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from battery import Sample, SourceBattery

from indexer.errors import ConfigError, SourceUnavailable
from indexer.sources.base import Dataset, Parsed, RestSource
from indexer.sources.http import HttpClient
from indexer.times import iso

ORDERS = b"""{"code":"0","msg":"","data":[{"instId":"TAO-USDT-SWAP","instFamily":"TAO-USDT","instType":"SWAP",
"details":[{"bkLoss":"0","bkPx":"400","ccy":"","posSide":"long","side":"sell","sz":"3","ts":"1737940000000"},
{"bkLoss":"0","bkPx":"410","ccy":"","posSide":"short","side":"buy","sz":"1","ts":"1737941000000"},
{"bkLoss":"0","bkPx":"405","ccy":"","posSide":"net","side":"sell","sz":"2","ts":"1737945000000"}]},
{"instId":"TAO-USD-SWAP","details":[{"bkPx":"1","posSide":"long","side":"sell","sz":"999","ts":"1737940000000"}]}]}"""


def check_orders(parsed: Parsed) -> None:
    assert parsed.liquidations is not None
    assert parsed.liquidations.long.tolist() == [True, False, True]
    np.testing.assert_allclose(parsed.liquidations.usd, [120.0, 41.0, 81.0])  # contracts × 0.1 TAO × price


class TestOkxDerivatives(SourceBattery):
    name = "okx-derivatives"
    samples = (
        Sample(
            Dataset.LIQUIDATIONS,
            ("TAO-USDT-SWAP",),
            "2025-01-27T00:00:00Z",
            "2025-01-27T06:00:00Z",
            "2025-01-27T06:00:00+00:00",
            3,
            documented=ORDERS,
            contract_size=0.1,
            check=check_orders,
        ),
        Sample(
            Dataset.FUNDING,
            ("TAO-USDT-SWAP",),
            "2025-01-26T00:00:00Z",
            "2025-01-27T06:00:00Z",
            "2025-01-27T06:00:00+00:00",
            2,
            documented=b'{"code":"0","msg":"","data":[{"instId":"TAO-USDT-SWAP","instType":"SWAP","fundingRate":"0.0001",'
            b'"realizedRate":"0.00011","fundingTime":"1737936000000"},{"instId":"TAO-USDT-SWAP","fundingRate":"0.0002",'
            b'"realizedRate":"","fundingTime":"1737907200000"}]}',
            check=lambda parsed: np.testing.assert_array_equal(parsed.series[0].value, [0.0002, 0.00011]),
        ),
        Sample(
            Dataset.OPEN_INTEREST,
            ("TAO-USDT-SWAP",),
            "2025-01-26T22:00:00Z",
            "2025-01-27T01:00:00Z",
            "2025-01-27T06:00:00+00:00",
            2,
            documented=b'{"code":"0","msg":"","data":[["1737936000000","100","10","4000.5"],["1737932400000","90","9","3600"]]}',
            check=lambda parsed: np.testing.assert_array_equal(parsed.series[0].value, [3600, 4000.5]),
        ),
    )

    def test_without_the_contract_size_no_dollars_are_invented(self, source: RestSource) -> None:
        sample = replace(self.samples[0], contract_size=float("nan"))
        parsed = source.parse(self.call(source, sample), sample.answer())
        assert parsed.liquidations is None
        assert [r.reason for r in parsed.rejects] == ["contract size is not known"]


class TestBybitDerivatives(SourceBattery):
    name = "bybit-derivatives"
    samples = (
        Sample(
            Dataset.FUNDING,
            ("TAOUSDT",),
            "2025-01-26T00:00:00Z",
            "2025-01-27T06:00:00Z",
            "2025-01-27T06:00:00+00:00",
            2,
            documented=b'{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[{"symbol":"TAOUSDT",'
            b'"fundingRate":"-0.0001","fundingRateTimestamp":"1737936000000"},{"symbol":"TAOUSDT",'
            b'"fundingRate":"0.0001","fundingRateTimestamp":"1737907200000"}]},"time":1737957600000}',
            check=lambda parsed: np.testing.assert_array_equal(parsed.series[0].value, [0.0001, -0.0001]),
        ),
        Sample(
            Dataset.OPEN_INTEREST,
            ("TAOUSDT",),
            "2025-01-26T22:00:00Z",
            "2025-01-27T01:00:00Z",
            "2025-01-27T06:00:00+00:00",
            1,
            documented=b'{"retCode":0,"result":{"symbol":"TAOUSDT","category":"linear","list":[{"openInterest":"461.5",'
            b'"timestamp":"1737936000000"}],"nextPageCursor":""},"time":1737957600000}',
        ),
    )


class TestBinanceDerivatives(SourceBattery):
    name = "binance-derivatives"
    samples = (
        Sample(
            Dataset.FUNDING,
            ("TAOUSDT",),
            "2025-01-26T00:00:00Z",
            "2025-01-27T06:00:00Z",
            "2025-01-27T06:00:00+00:00",
            1,
            documented=b'[{"symbol":"TAOUSDT","fundingTime":1737936000000,"fundingRate":"0.00010000","markPrice":"401.1"}]',
        ),
        Sample(
            Dataset.OPEN_INTEREST,
            ("TAOUSDT",),
            "2025-01-26T22:00:00Z",
            "2025-01-27T01:00:00Z",
            "2025-01-27T06:00:00+00:00",
            1,
            documented=b'[{"symbol":"TAOUSDT","sumOpenInterest":"20403.6","sumOpenInterestValue":"8150000.7",'
            b'"timestamp":1737936000000}]',
        ),
    )

    def test_it_claims_no_liquidations(self, source: RestSource) -> None:
        assert Dataset.LIQUIDATIONS not in source.capabilities.datasets


def check_gate(parsed: Parsed) -> None:
    (quote,) = parsed.quotes
    assert (quote.symbol, quote.price, quote.quote) == ("gate:TAO/USDT", 405.5, "USDT")
    assert quote.observed_us == 1_737_946_799_000_000
    assert [reject.row for reject in parsed.rejects] == ["gate:NEAR/USDT"]


class TestCcxt(SourceBattery):
    name = "ccxt"
    samples = (
        Sample(
            Dataset.QUOTES,
            ("gate:TAO/USDT", "gate:NEAR/USDT"),
            "2025-01-27T00:00:00Z",
            "2025-01-27T03:00:00Z",
            "2025-01-27T03:00:00+00:00",
            1,
            documented=b'{"TAO/USDT":{"last":405.5,"timestamp":1737946799000,"quoteVolume":9e6},"NEAR/USDT":{"last":null}}',
            check=check_gate,
        ),
    )

    async def test_without_the_library_it_says_what_to_install(self, source: RestSource) -> None:
        if importlib.util.find_spec("ccxt"):
            pytest.skip("the ccxt library is installed here")
        async with HttpClient() as http:
            with pytest.raises(ConfigError, match=r"pip install 'deai-index\[ccxt\]', or leave the source out"):
                await source.fetch(self.call(source, self.samples[0]), http)

    def test_one_call_a_venue(self, source: RestSource) -> None:
        ask = replace(self.samples[0].ask(), symbols=("gate:TAO/USDT", "kucoin:TAO/USDT", "gate:NEAR/USDT"))
        calls = source.calls(ask)
        assert [(call.path, call.ask.symbols) for call in calls] == [
            ("gate/fetch_tickers", ("gate:TAO/USDT", "gate:NEAR/USDT")),
            ("kucoin/fetch_tickers", ("kucoin:TAO/USDT",)),
        ]

    async def test_the_library_is_asked_for_the_pairs_and_answers_for_no_other(
        self, source: RestSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A module of the library's name, as installed: what `fetch` asks of it and keeps."""
        (tmp_path / "ccxt.py").write_text(
            "class BaseError(Exception): pass\nclass NetworkError(BaseError): pass\n"
            "class gate:\n    def __init__(self, options): pass\n    def fetch_tickers(self, pairs):\n"
            "        one = {'last': 405.5, 'timestamp': 1737946799000, 'quoteVolume': 9e6, 'info': {}}\n"
            "        return {pair: one for pair in [*pairs, 'OTHER/USDT']}\n"
            "class kucoin(gate):\n    def fetch_tickers(self, pairs): raise NetworkError('slow')\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        sys.modules.pop("ccxt", None)  # monkeypatch would put the stand-in back
        (call, other) = source.calls(replace(self.samples[0].ask(), symbols=("gate:TAO/USDT", "kucoin:TAO/USDT")))
        async with HttpClient() as http:
            answer = await source.fetch(call, http)
            assert orjson.loads(answer.body).keys() == {"TAO/USDT"}
            with pytest.raises(SourceUnavailable, match="ccxt kucoin: slow"):
                await source.fetch(other, http)
        sys.modules.pop("ccxt", None)  # monkeypatch would put the stand-in back


def check_hours(parsed: Parsed) -> None:
    assert parsed.benchmark is not None
    # the last bar of the day begins 20:30 UTC and ends with the session, 21:00
    assert [iso(int(at)) for at in parsed.benchmark.time_us] == ["2025-01-27T20:30:00Z", "2025-01-27T21:00:00Z"]
    assert np.isnan(parsed.benchmark.adjusted_close).all()


class TestYFinance(SourceBattery):
    name = "yfinance"
    samples = (
        Sample(
            Dataset.BENCHMARK,
            ("NVDA",),
            "2025-01-23T00:00:00Z",
            "2025-01-28T00:00:00Z",
            "2025-01-28T00:00:00+00:00",
            2,
            "1d",
            documented=b"[[1737694800.0,142.62,142.59,234657400],[1737954000.0,118.42,118.40,818830900]]",
        ),
        Sample(
            Dataset.BENCHMARK,
            ("NVDA",),
            "2025-01-27T00:00:00Z",
            "2025-01-28T00:00:00Z",
            "2025-01-28T00:00:00+00:00",
            2,
            documented=b"[[1738006200.0,120.1,null,91000000],[1738009800.0,118.4,null,88000000]]",
            check=check_hours,
        ),
    )

    async def test_without_the_library_it_says_what_to_install(self, source: RestSource) -> None:
        if importlib.util.find_spec("yfinance"):
            pytest.skip("the yfinance library is installed here")
        async with HttpClient() as http:
            with pytest.raises(ConfigError, match=r"pip install 'deai-index\[yfinance\]'"):
                await source.fetch(self.call(source, self.samples[0]), http)
