"""Equities, macro and sentiment through the battery: Yahoo, FRED, fear & greed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from battery import Sample, SourceBattery

from indexer.errors import SourceCorrupt, SourceRefused
from indexer.sources.base import Dataset, Parsed, RestSource
from indexer.times import DAY_US, iso, parse_instant


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

    def test_hours_reach_two_years(self, source: RestSource) -> None:
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
            "close is not a finite positive number",
            "close is not a finite positive number",
        ]


class TestDefiLlamaUsage(SourceBattery):
    name = "defillama-usage"
    samples = (
        Sample(
            Dataset.USAGE,
            ("defillama_fees:akash-network",),
            "2025-01-24T00:00:00Z",
            "2025-01-27T00:00:00Z",
            "2025-01-26T12:00:00+00:00",
            2,
            "1d",
            documented=b'{"id":"1","name":"Akash Network","total24h":9100,"totalDataChart":'
            b"[[1737590400,7000],[1737676800,8400],[1737763200,9100.5],[1737849600,300]]}",
            check=lambda parsed: (
                np.testing.assert_array_equal(parsed.series[0].value, [8400, 9100.5]),
                np.testing.assert_array_equal(
                    parsed.series[0].time_us,
                    [parse_instant("2025-01-25T00:00:00Z"), parse_instant("2025-01-26T00:00:00Z")],
                ),
            ),
        ),
        Sample(
            Dataset.USAGE,
            ("defillama_chain:near",),
            "2025-01-24T00:00:00Z",
            "2025-01-27T00:00:00Z",
            "2025-01-26T12:00:00+00:00",
            1,
            "1d",
            documented=b'[{"date":1737676800,"tvl":240000000.25},{"date":1737763200,"tvl":-1}]',
            check=lambda parsed: (
                np.testing.assert_array_equal(parsed.series[0].value, [240000000.25]),
                np.testing.assert_equal([r.reason for r in parsed.rejects], ["not an amount of a whole day"]),
            ),
        ),
    )


def days_of(symbol: str, body: bytes, count: int, expected: dict[str, list[float]]) -> Sample:
    """Two whole days to 2025-01-26 and the one that runs, in a service's shape; running totals need the day before."""

    def check(parsed) -> None:
        for series in parsed.series:
            np.testing.assert_allclose(series.value, expected[series.name])

    span = ("2025-01-24T00:00:00Z", "2025-01-27T00:00:00Z", "2025-01-26T12:00:00+00:00")
    return Sample(Dataset.USAGE, (symbol,), *span, count, "1d", documented=body, check=check)


class TestAkashConsole(SourceBattery):
    name = "akash-console"
    samples = (
        days_of(
            "spend_akt:akt",
            b'{"currentValue":1,"compareValue":2,"snapshots":[{"date":"2025-01-24T00:00:00.000Z","value":2500000},'
            b'{"date":"2025-01-25T00:00:00.000Z","value":3000000},{"date":"2025-01-26T00:00:00.000Z","value":1}]}',
            2,
            {"spend_tokens": [2.5, 3.0]},
        ),
    )


class TestNearBlocks(SourceBattery):
    name = "nearblocks"
    samples = (
        days_of(
            "near_charts:near",
            b'{"charts":[{"date":"2025-01-24","txns":"7000000","txn_fee":"4200000000000000000000000000",'
            b'"txn_fee_usd":"21000.5","active_accounts":"3100000"},{"date":"2025-01-25","txns":"7100000",'
            b'"txn_fee":null,"txn_fee_usd":"22000","active_accounts":"3200000"}]}',
            7,
            {
                "transactions": [7e6, 7.1e6],
                "fees_usd": [21000.5, 22000],
                "fees_tokens": [4200.0],
                "active_accounts": [3.1e6, 3.2e6],
            },
        ),
    )


class TestIcDashboard(SourceBattery):
    name = "ic-dashboard"
    samples = (
        days_of(
            "daily_stats:icp",
            b'{"daily_stats":[{"day":"2025-01-25","total_cycle_burn_till_date":"9000000000000150",'
            b'"icp_burned_total":"300500000000","governance_total_locked_e8s":"25000000000000000",'
            b'"average_transactions_per_second":"5200.5","unique_accounts_per_day":"11000"},'
            b'{"day":"2025-01-24","total_cycle_burn_till_date":"9000000000000000","icp_burned_total":"300000000000",'
            b'"governance_total_locked_e8s":"24900000000000000","average_transactions_per_second":"5100",'
            b'"unique_accounts_per_day":"10000"}]}',
            8,
            {
                "cycles_burnt": [150.0],
                "burnt_tokens": [5.0],
                "staked_tokens": [2.49e8, 2.5e8],
                "transactions_per_second": [5100, 5200.5],
                "active_accounts": [10000, 11000],
            },
        ),
    )


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
        assert [r.reason for r in parsed.rejects] == ["not a finite value at a past instant"]
