"""Derivatives and the optional libraries through the battery."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
from battery import Sample, SourceBattery

from indexer.errors import ConfigError
from indexer.sources.base import Dataset, Parsed, RestSource
from indexer.sources.http import HttpClient

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


class TestCcxt(SourceBattery):
    name = "ccxt"
    samples = (
        Sample(
            Dataset.BARS,
            ("TAO/USDT",),
            "2025-01-27T00:00:00Z",
            "2025-01-27T03:00:00Z",
            "2025-01-27T03:00:00+00:00",
            2,
            "1h",
            "USDT",
            documented=b"[[1737936000000,400,410,395,405,12.5],[1737939600000,405,406,401,402,9]]",
            check=lambda parsed: np.testing.assert_array_equal(np.isnan(parsed.bars.volume_usd), True),  # type: ignore[union-attr]
        ),
    )

    async def test_without_the_library_it_says_what_to_install(self, source: RestSource) -> None:
        if importlib.util.find_spec("ccxt"):
            pytest.skip("the ccxt library is installed here")
        async with HttpClient() as http:
            with pytest.raises(ConfigError, match=r"pip install 'deai-index\[ccxt\]', or leave the source out"):
                await source.fetch(self.call(source, self.samples[0]), http)


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
    )

    async def test_without_the_library_it_says_what_to_install(self, source: RestSource) -> None:
        if importlib.util.find_spec("yfinance"):
            pytest.skip("the yfinance library is installed here")
        async with HttpClient() as http:
            with pytest.raises(ConfigError, match=r"pip install 'deai-index\[yfinance\]'"):
                await source.fetch(self.call(source, self.samples[0]), http)
