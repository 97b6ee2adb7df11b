"""Aggregators, equities, macro, sentiment, derivatives and the optional extras through the battery."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import orjson
import pytest
from battery import Sample, SourceBattery

from indexer.errors import ConfigError, SourceCorrupt, SourceRefused, SourceUnavailable
from indexer.http import HttpClient
from indexer.sources.base import Dataset, Parsed, RestSource
from indexer.sources.coingecko import CoinGecko
from indexer.sources.yahoo import SYMBOLS
from indexer.times import DAY_US, iso


def check_daily(parsed: Parsed) -> None:
    assert parsed.bars is not None
    # a value stamped 00:00 of the 16th is the close of the 15th; the trailing "now" point is left out
    assert iso(int(parsed.bars.time_us[0])) == "2021-02-16T00:00:00Z"
    assert parsed.bars.close[0] == 47898.487027633135
    assert np.isnan(parsed.bars.open).all()
    assert np.isfinite(parsed.bars.volume_usd).all()


def check_hourly(parsed: Parsed) -> None:
    assert parsed.bars is not None
    assert (np.diff(parsed.bars.time_us) % 3_600_000_000 == 0).all()
    assert np.isnan(parsed.bars.volume_usd).all()  # rolling 24 h volumes are not an hour's


def check_supply(parsed: Parsed) -> None:
    assert {s.kind: s.tokens for s in parsed.supplies} == {"circulating": 19675987, "total": 21000000, "max": 21000000}
    assert iso(parsed.supplies[0].observed_us) == "2024-04-07T16:49:31.736000Z"


class TestCoinGecko(SourceBattery):
    name = "coingecko"
    samples = (
        Sample(
            Dataset.BARS,
            ("bitcoin",),
            "2021-02-15T00:00:00Z",
            "2021-05-16T00:00:00Z",
            "2021-05-16T00:00:00+00:00",
            89,
            "1d",
            recorded="coingecko/market_chart_bitcoin_90d_daily.json",
            check=check_daily,
        ),
        Sample(
            Dataset.BARS,
            ("bitcoin",),
            "2021-04-15T00:00:00Z",
            "2021-05-16T00:00:00Z",
            "2021-05-16T00:00:00+00:00",
            647,
            "1h",
            recorded="coingecko/market_chart_bitcoin_30d_hourly.json",
            check=check_hourly,
        ),
        Sample(
            Dataset.BARS,
            ("bitcoin",),
            "2024-03-30T00:00:00Z",
            "2024-04-02T00:00:00Z",
            "2024-04-02T00:00:00+00:00",
            2,
            "1d",
            recorded="coingecko/market_chart_range_2024_netlib.json",
        ),
        Sample(
            Dataset.SUPPLY,
            ("bitcoin",),
            "2024-04-07T00:00:00Z",
            "2024-04-08T00:00:00Z",
            "2024-04-08T00:00:00+00:00",
            3,
            recorded="coingecko/coins_markets_2024_netlib.json",
            check=check_supply,
        ),
    )

    def test_the_365_day_wall_is_declared_and_said(self, source: RestSource) -> None:
        ask = replace(self.samples[0].ask(), start_us=self.samples[0].ask().now_us - 900 * DAY_US)
        calls = source.calls(ask)
        assert calls[0].ask.start_us >= ask.now_us - 365 * DAY_US
        body = b'{"error":{"status":{"error_code":10012,"error_message":"exceeds the allowed time range"}}}'
        with pytest.raises(SourceRefused, match="serves the last 365 days without a paid plan; older bars come from"):
            source.parse(calls[0], self.samples[0].answer(body))

    @pytest.mark.parametrize(
        ("file", "error", "words"),
        [
            ("coins_markets_bitcoin_http422_1.json", SourceRefused, "Missing parameter vs_currency"),
            ("history_bitcoin_30-12-2017_http422_1.json", SourceRefused, "Missing parameter date"),
            ("ohlc_bitcoin_7d_http500_1.json", SourceUnavailable, "Internal Server Error"),
        ],
    )
    def test_recorded_error_bodies(self, source: RestSource, file: str, error: type[Exception], words: str) -> None:
        sample = replace(self.samples[0], recorded=f"coingecko/{file}")
        with pytest.raises(error, match=words):
            source.parse(self.call(source, self.samples[0]), sample.answer())

    def test_a_look_alike_with_the_same_ticker_is_refused(self, source: RestSource) -> None:
        sample = self.samples[3]
        rows = orjson.loads(sample.body())
        twin = {**rows[0], "id": "bitcoin-2", "circulating_supply": 1.0}
        parsed = source.parse(self.call(source, sample), sample.answer(orjson.dumps([twin, *rows])))
        assert {s.symbol for s in parsed.supplies} == {"bitcoin"}
        assert [r.reason for r in parsed.rejects] == ["not an asked id"]

    def test_a_key_raises_the_limit_and_goes_into_a_header_only(self) -> None:
        keyed, keyless = CoinGecko(key="CG-1"), CoinGecko()
        assert (keyed.limit, keyless.limit) == ("coingecko-demo", "coingecko")
        assert keyed.headers() == {"x-cg-demo-api-key": "CG-1"}
        assert keyless.headers() == {}

    def test_one_call_holds_250_supplies(self, source: RestSource) -> None:
        ids = tuple(f"coin-{n}" for n in range(501))
        calls = source.calls(replace(self.samples[3].ask(), symbols=ids))
        assert [call.rows for call in calls] == [250, 250, 1]


CHART = b"""{"coins":{"base:0x0b3e328455c4059EEb9e3f84b5543F74E24e7E1b":{"symbol":"VIRTUAL","confidence":0.99,
"prices":[{"timestamp":1737936012,"price":2.5},{"timestamp":1737939588,"price":2.6},{"timestamp":1737943210,"price":2.7}]}}}"""


class TestDefiLlama(SourceBattery):
    name = "defillama"
    samples = (
        Sample(
            Dataset.QUOTES,
            ("coingecko:chainlink", "coingecko:arbitrum"),
            "2025-07-20T00:00:00Z",
            "2025-07-22T00:00:00Z",
            "2025-07-22T00:00:00+00:00",
            2,
            recorded="defillama/prices_current_coingecko_arbitrum_coingecko_chainlink.json",
            check=lambda parsed: np.testing.assert_equal({q.confidence for q in parsed.quotes}, {0.99}),
        ),
        Sample(
            Dataset.QUOTES,
            ("solana:DtR4D9FtVoTX2569gaL837ZgrB6wNjj6tkmnX9Rdk9B2",),
            "2025-10-15T00:00:00Z",
            "2025-10-17T00:00:00Z",
            "2025-10-17T00:00:00+00:00",
            1,
            recorded="defillama/prices_current_solana_DtR4D9FtVoTX2569gaL837ZgrB6wNjj6tkmnX9Rdk9B2.json",
        ),
        Sample(
            Dataset.BARS,
            ("base:0x0b3e328455c4059eeb9e3f84b5543f74e24e7e1b",),
            "2025-01-26T23:00:00Z",
            "2025-01-27T02:00:00Z",
            "2025-01-27T03:00:00+00:00",
            3,
            documented=CHART,
            check=lambda parsed: np.testing.assert_array_equal(parsed.bars.close, [2.5, 2.6, 2.7]),  # type: ignore[union-attr]
        ),
    )

    def test_identity_is_the_contract_and_base58_keeps_its_case(self, source: RestSource) -> None:
        sample = self.samples[1]
        call = self.call(source, sample)
        other = sample.body().replace(b"DtR4D9", b"dtR4D9")
        parsed = source.parse(call, sample.answer(other))
        assert parsed.quotes == ()
        assert [r.reason for r in parsed.rejects] == ["not an asked contract"]

    def test_low_confidence_is_refused(self, source: RestSource) -> None:
        for sample in (self.samples[1], self.samples[2]):
            doubtful = sample.body().replace(b"0.99", b"0.55")
            parsed = source.parse(self.call(source, sample), sample.answer(doubtful))
            assert [r.reason for r in parsed.rejects] == ["confidence below 0.9"]
            assert parsed.bars is None

    def test_a_chart_of_another_contract_is_refused(self, source: RestSource) -> None:
        sample = self.samples[2]
        with pytest.raises(SourceCorrupt, match="defillama answered for base:0xFF"):
            source.parse(self.call(source, sample), sample.answer(sample.body().replace(b"0x0b", b"0xFF")))


COINMETRICS = b"""{"data":[{"asset":"tao_bittensor","time":"2025-01-25T00:00:00.000000000Z","ReferenceRateUSD":"420.5"},
{"asset":"tao_bittensor","time":"2025-01-26T00:00:00.000000000Z","ReferenceRateUSD":"431.25"},
{"asset":"tao_bittensor","time":"2025-01-27T00:00:00.000000000Z","ReferenceRateUSD":null}]}"""


class TestCoinMetrics(SourceBattery):
    name = "coinmetrics"
    samples = (
        Sample(
            Dataset.BARS,
            ("tao_bittensor",),
            "2025-01-24T00:00:00Z",
            "2025-01-27T00:00:00Z",
            "2025-01-27T01:00:00+00:00",
            2,
            "1d",
            documented=COINMETRICS,
            check=lambda parsed: np.testing.assert_array_equal(parsed.bars.close, [420.5, 431.25]),  # type: ignore[union-attr]
        ),
    )

    def test_it_is_opt_in_and_says_why(self, source: RestSource) -> None:
        assert source.capabilities.opt_in
        assert source.capabilities.licence == "non-commercial"

    def test_another_asset_and_pages_are_refused(self, source: RestSource) -> None:
        sample = self.samples[0]
        call = self.call(source, sample)
        parsed = source.parse(call, sample.answer(COINMETRICS.replace(b"tao_bittensor", b"tao")))
        assert parsed.bars is not None
        assert (len(parsed.bars), len(parsed.rejects)) == (0, 3)
        with pytest.raises(SourceCorrupt, match="split tao_bittensor into pages"):
            source.parse(call, sample.answer(COINMETRICS[:-1] + b',"next_page_token":"x"}'))
        with pytest.raises(SourceRefused, match="coinmetrics answers bad_parameter: no"):
            source.parse(call, sample.answer(b'{"error":{"type":"bad_parameter","message":"no"}}'))


def check_aapl(parsed: Parsed) -> None:
    bars = parsed.benchmark
    assert bars is not None
    assert iso(int(bars.time_us[0])) == "2020-01-02T21:00:00Z"  # the stamp is 14:30Z, the close is 16:00 New York
    assert (bars.close[0], bars.adjusted_close[0]) == (75.0875015258789, 72.71607208251953)
    assert bars.price_basis == "unadjusted_for_dividends"


def check_dst(parsed: Parsed) -> None:
    assert parsed.benchmark is not None
    closes = [iso(int(t))[11:16] for t in parsed.benchmark.time_us]
    assert set(closes) == {"20:00", "21:00"}  # summer and winter time
    assert closes == sorted(closes)


HOURLY = b"""{"chart":{"result":[{"meta":{"symbol":"NVDA","instrumentType":"EQUITY",
"exchangeTimezoneName":"America/New_York"},
"timestamp":[1737988200,1737991800,1737995400,1737999000,1738002600,1738006200,1738009800,1738011600],"indicators":{"quote":[{
"close":[124.1,122.5,null,119.9,118.2,117.5,118.4,118.42],"volume":[1,2,3,4,5,6,7,0]}]}}],"error":null}}"""


class TestYahoo(SourceBattery):
    name = "yahoo"
    samples = (
        Sample(
            Dataset.BENCHMARK,
            ("AAPL",),
            "2020-01-01T00:00:00Z",
            "2020-01-04T00:00:00Z",
            "2020-01-04T00:00:00+00:00",
            1,
            "1d",
            recorded="yahoo/v8_chart-AAPL-2020-01-01-to-2020-01-03.json",
            check=check_aapl,
        ),
        Sample(
            Dataset.BENCHMARK,
            ("AAPL",),
            "2020-08-30T00:00:00Z",
            "2020-11-08T00:00:00Z",
            "2020-11-08T00:00:00+00:00",
            49,
            "1d",
            recorded="yahoo/v8_chart-AAPL-2020-08-31-to-2020-11-07.json",
            check=check_dst,
        ),
        Sample(
            Dataset.BENCHMARK,
            ("QQQ",),
            "2020-01-01T00:00:00Z",
            "2020-01-04T00:00:00Z",
            "2020-01-04T00:00:00+00:00",
            1,
            "1d",
            recorded="yahoo/v8_chart-QQQ-2020-01-01-to-2020-01-03.json",
        ),
        Sample(
            Dataset.BENCHMARK,
            ("GC=F",),
            "2020-01-01T00:00:00Z",
            "2020-01-04T00:00:00Z",
            "2020-01-04T00:00:00+00:00",
            1,
            "1d",
            recorded="yahoo/v8_chart-GC_F-2020-01-01-to-2020-01-03.json",
            check=lambda parsed: np.testing.assert_equal(
                parsed.benchmark.price_basis,  # type: ignore[union-attr]
                "continuous_front_month_future",
            ),
        ),
        Sample(
            Dataset.BENCHMARK,
            ("AAPL",),
            "2025-02-01T00:00:00Z",
            "2025-02-02T00:00:00Z",
            "2025-02-03T00:00:00+00:00",
            0,
            "1h",
            recorded="yahoo/v8_chart-AAPL-2025-02-01-to-2025-02-02-includePrePost-false-interval-1m.json",
        ),
        Sample(
            Dataset.BENCHMARK,
            ("NVDA",),
            "2025-01-27T00:00:00Z",
            "2025-01-28T00:00:00Z",
            "2025-01-28T00:00:00+00:00",
            6,
            "1h",
            documented=HOURLY,
        ),
    )

    def test_the_last_hour_of_a_session_ends_with_it(self, source: RestSource) -> None:
        sample = self.samples[-1]
        bars = source.parse(self.call(source, sample), sample.answer()).benchmark
        assert bars is not None
        assert iso(int(bars.time_us[0])) == "2025-01-27T15:30:00Z"
        assert iso(int(bars.time_us[-1])) == "2025-01-27T21:00:00Z"
        assert np.isnan(bars.adjusted_close).all()

    def test_an_open_session_is_not_a_close(self, source: RestSource) -> None:
        sample = self.samples[0]
        parsed = source.parse(self.call(source, sample), sample.answer(fetched="2020-01-02T20:59:00+00:00"))
        assert parsed.benchmark is not None
        assert (len(parsed.benchmark), parsed.open_rows) == (0, 1)

    def test_another_symbol_and_its_errors(self, source: RestSource) -> None:
        sample = self.samples[0]
        call = self.call(source, sample)
        with pytest.raises(SourceCorrupt, match="yahoo answered for MSFT when asked AAPL"):
            source.parse(call, sample.answer(sample.body().replace(b'"AAPL"', b'"MSFT"')))
        body = b'{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found"}}}'
        with pytest.raises(SourceRefused, match="yahoo answers Not Found: No data found"):
            source.parse(call, sample.answer(body))

    def test_the_benchmarks_are_named_and_hours_reach_two_years(self, source: RestSource) -> None:
        assert {"QQQ", "^NDX", "NQ=F", "NVDA", "SMH", "SOXX", "^VIX"} <= set(SYMBOLS)
        sample = self.samples[-1]
        ask = replace(sample.ask(), start_us=sample.ask().now_us - 800 * DAY_US)
        calls = source.calls(ask)
        assert calls[0].ask.start_us >= ask.now_us - 729 * DAY_US
        assert all(call.ask.end_us - call.ask.start_us <= 60 * DAY_US for call in calls)


FRED = (
    b"observation_date,SP500\n2024-12-24,6040.04\n2024-12-25,.\n2024-12-26,6037.59\n2024-12-27,\n2024-12-30,5906.94\n"
)


def check_fred(parsed: Parsed) -> None:
    assert parsed.benchmark is not None
    assert parsed.benchmark.close.tolist() == [6040.04, 6037.59, 5906.94]
    assert iso(int(parsed.benchmark.time_us[0])) == "2024-12-24T18:00:00Z"  # an early close
    assert parsed.rejects == ()  # "." and empty are missing, not wrong


class TestFred(SourceBattery):
    name = "fred"
    samples = (
        Sample(
            Dataset.BENCHMARK,
            ("SP500",),
            "2024-12-01T00:00:00Z",
            "2025-01-01T00:00:00Z",
            "2025-01-02T00:00:00+00:00",
            3,
            "1d",
            documented=FRED,
            check=check_fred,
        ),
        Sample(
            Dataset.BENCHMARK,
            ("DFF",),
            "2024-12-01T00:00:00Z",
            "2025-01-01T00:00:00Z",
            "2025-01-02T00:00:00+00:00",
            2,
            "1d",
            documented=b"DATE,DFF\n2024-12-24,4.33\n2024-12-25,4.33\n",
        ),
    )

    def test_wrong_headers_series_and_rows(self, source: RestSource) -> None:
        sample = self.samples[0]
        call = self.call(source, sample)
        with pytest.raises(SourceCorrupt, match="fred answered for NASDAQ100 when asked SP500"):
            source.parse(call, sample.answer(FRED.replace(b"SP500", b"NASDAQ100")))
        with pytest.raises(SourceCorrupt, match="without the header observation_date,SP500"):
            source.parse(call, sample.answer(b"a,b\n1,2\n"))
        parsed = source.parse(call, sample.answer(FRED + b"soon,1\n2024-12-31,n/a\n2024-12-31,-5\n"))
        assert [r.reason for r in parsed.rejects] == [
            "row is not a date and a value",
            "value is not a finite positive number",
            "value is not a finite positive number",
        ]


class TestFearGreed(SourceBattery):
    name = "feargreed"
    samples = (
        Sample(
            Dataset.SENTIMENT,
            ("market",),
            "2025-01-25T00:00:00Z",
            "2025-01-28T00:00:00Z",
            "2025-01-27T12:00:00+00:00",
            2,
            "1d",
            documented=b'{"name":"Fear and Greed Index","data":[{"value":"71","value_classification":"Greed",'
            b'"timestamp":"1737936000","time_until_update":"40000"},{"value":"74","value_classification":"Greed",'
            b'"timestamp":"1737849600"}],"metadata":{"error":null}}',
            check=lambda parsed: np.testing.assert_array_equal(parsed.series[0].value, [74, 71]),
        ),
    )

    def test_values_outside_0_to_100_are_refused(self, source: RestSource) -> None:
        sample = self.samples[0]
        body = sample.body().replace(b'"71"', b'"171"')
        parsed = source.parse(self.call(source, sample), sample.answer(body))
        assert [r.reason for r in parsed.rejects] == ["not a value of 0 to 100 at an instant"]


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
