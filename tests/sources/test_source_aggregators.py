"""Aggregators through the battery: CoinGecko, DefiLlama, Coin Metrics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import orjson
import pytest
from battery import Sample, SourceBattery

from indexer.errors import SourceCorrupt, SourceRefused, SourceUnavailable
from indexer.sources.base import Dataset, Parsed, RestSource
from indexer.sources.coingecko import CoinGecko
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
            4,  # three supplies and the price
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
        assert [len(call.ask.symbols) for call in calls] == [250, 250, 1]


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
            check=lambda parsed: np.testing.assert_equal(
                {q.symbol for q in parsed.quotes}, {"coingecko:chainlink", "coingecko:arbitrum"}
            ),
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
