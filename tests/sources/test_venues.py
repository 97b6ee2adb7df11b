"""The five venues through the battery, with their own error bodies and row faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import orjson
import pytest
from battery import Sample, SourceBattery, rows_battery

from indexer.errors import SourceCorrupt, SourceRefused, SourceUnavailable
from indexer.sources.base import Dataset, Parsed, RestSource
from indexer.sources.records import Bars
from indexer.sources.venues import same_pair
from indexer.times import DAY_US, iso


def bars_of(parsed: Parsed) -> Bars:
    assert parsed.bars is not None
    return parsed.bars


def states(*expected: str) -> Callable[[Parsed], None]:
    """A check that the pairs of a list have these states, in its order."""

    def check(parsed: Parsed) -> None:
        assert [one.state for one in parsed.instruments] == list(expected)
        assert parsed.instruments[0].base == "BTC"

    return check


def listed(body: object, *expected: str) -> Sample:
    """A venue's list of pairs, written from its documentation."""
    return Sample(
        Dataset.INSTRUMENTS, (), "2025-01-26T00:00:00Z", "2025-01-27T00:00:00Z", "2025-01-27T00:00:00+00:00",
        len(expected), documented=orjson.dumps(body), check=states(*expected),
    )  # fmt: skip


def check_binance(parsed: Parsed) -> None:
    bars = bars_of(parsed)
    assert iso(int(bars.time_us[0])) == "2021-10-22T23:04:00Z"  # opened 23:03, stamped with the open
    assert (bars.open[0], bars.high[0], bars.low[0], bars.close[0]) == (60685.22, 60729.84, 60670.90, 60719.27)
    assert (bars.volume_base[0], bars.volume_usd[0], bars.quote) == (21.63272, 1313200.0134041, "USDT")


class TestBinance(SourceBattery):
    name = "binance"
    samples = (
        Sample(
            Dataset.BARS,
            ("BTCUSDT",),
            "2021-10-22T23:00:00Z",
            "2021-10-22T23:30:00Z",
            "2021-10-23T00:00:00+00:00",
            10,
            "1m",
            "USDT",
            recorded="binance/spot_klines_BTCUSDT_1m.json",
            check=check_binance,
        ),
        Sample(
            Dataset.QUOTES,
            ("FETUSDT",),
            "2025-01-26T00:00:00Z",
            "2025-01-27T00:00:00Z",
            "2025-01-27T00:00:00+00:00",
            1,
            documented=b'[{"symbol":"FETUSDT","price":"1.12"},{"symbol":"FETCUSDT","price":"9"}]',
        ),
        listed(
            {
                "timezone": "UTC",
                "symbols": [
                    {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT"},
                    {"symbol": "NMRUSDT", "status": "BREAK", "baseAsset": "NMR", "quoteAsset": "USDT"},
                    {
                        "symbol": "FETUSDC",
                        "status": "TRADING",
                        "baseAsset": "FET",
                        "quoteAsset": "USDC",
                        "isSpotTradingAllowed": True,
                    },
                ],
            },
            "trading",
            "closed",
            "trading",
        ),
    )

    def test_rows(self, source: RestSource) -> None:
        def write(rows: list[list[float]]) -> bytes:
            return orjson.dumps([[int(r[0]), *map(str, r[1:6]), 0, str(r[5] * r[4]), 1, "0", "0", "0"] for r in rows])

        rows_battery(source, "1m", write, unit_us=1000)

    def test_error_bodies(self, source: RestSource) -> None:
        sample = self.samples[0]
        call = self.call(source, sample)
        with pytest.raises(SourceRefused, match=r"binance answers -1121: Invalid symbol\."):
            source.parse(call, sample.answer(b'{"code":-1121,"msg":"Invalid symbol."}'))
        with pytest.raises(SourceUnavailable, match="-1003"):
            source.parse(call, sample.answer(b'{"code":-1003,"msg":"Too many requests."}'))


def check_coinbase(parsed: Parsed) -> None:
    bars = bars_of(parsed)
    assert iso(int(bars.time_us[0])) == "2018-02-01T00:01:00Z"  # it came newest first
    row = (bars.low[-1], bars.high[-1], bars.open[-1], bars.close[-1], bars.volume_base[-1])
    assert row == (10106, 10120.21, 10106.01, 10120.21, 2.85107455)
    assert bars.volume_usd[-1] == pytest.approx(2.85107455 * (10106 + 10120.21 + 10120.21) / 3)


class TestCoinbase(SourceBattery):
    name = "coinbase"
    samples = (
        Sample(
            Dataset.BARS,
            ("BTC-USD",),
            "2018-02-01T00:00:00Z",
            "2018-02-01T01:00:00Z",
            "2018-02-01T02:00:00+00:00",
            10,
            "1m",
            recorded="coinbase/candles_exchange_BTC-USD_1m.json",
            check=check_coinbase,
        ),
        Sample(
            Dataset.QUOTES,
            ("FET-USD",),
            "2025-01-26T00:00:00Z",
            "2025-01-27T00:00:00Z",
            "2025-01-27T00:00:00+00:00",
            1,
            documented=b'{"trade_id":1,"price":"1.12","size":"5","time":"2025-01-26T23:59:58.1Z","volume":"10"}',
        ),
        listed(
            [
                {
                    "id": "BTC-USD",
                    "base_currency": "BTC",
                    "quote_currency": "USD",
                    "status": "online",
                    "status_message": "",
                    "trading_disabled": False,
                },
                {
                    "id": "NMR-USD",
                    "base_currency": "NMR",
                    "quote_currency": "USD",
                    "status": "delisted",
                    "trading_disabled": True,
                },
                {
                    "id": "OCEAN-USD",
                    "base_currency": "OCEAN",
                    "quote_currency": "USD",
                    "status": "online",
                    "limit_only": True,
                },
            ],
            "trading",
            "closed",
            "ending",
        ),
    )

    def test_rows(self, source: RestSource) -> None:
        def write(rows: list[list[float]]) -> bytes:
            return orjson.dumps([[int(r[0]), r[3], r[2], r[1], r[4], r[5]] for r in rows[::-1]])

        rows_battery(source, "1h", write, unit_us=1_000_000)

    def test_at_most_300_rows_a_call_with_both_ends_inclusive(self, source: RestSource) -> None:
        ask = self.samples[0].ask()
        params = source.calls(ask)[0].params
        assert (params["granularity"], params["start"], params["end"]) == (
            "60",
            "2018-02-01T00:00:00Z",
            "2018-02-01T00:59:00Z",
        )

    def test_error_body(self, source: RestSource) -> None:
        sample = self.samples[0]
        with pytest.raises(SourceRefused, match="coinbase answers: NotFound"):
            source.parse(self.call(source, sample), sample.answer(b'{"message":"NotFound"}'))


def check_kraken(parsed: Parsed) -> None:
    bars = bars_of(parsed)
    assert bars.volume_base[0] == 0.0  # a minute without a trade repeats the price and says volume 0
    assert bars.volume_usd[2] == pytest.approx(0.00032101 * 106038.3)
    assert parsed.open_rows == 0


def check_kraken_open(parsed: Parsed) -> None:
    assert parsed.open_rows == 1  # the last row is always the open bar


class TestKraken(SourceBattery):
    name = "kraken"
    samples = (
        Sample(
            Dataset.BARS,
            ("XBTUSDT",),
            "2025-11-10T00:00:00Z",
            "2025-11-11T01:00:00Z",
            "2025-11-11T01:00:00+00:00",
            721,
            "1m",
            "USDT",
            recorded="kraken/OHLC_XBTUSDT_1m.json",
            check=check_kraken,
        ),
        Sample(
            Dataset.BARS,
            ("XBTUSDT",),
            "2025-11-10T00:00:00Z",
            "2025-11-11T00:30:00Z",
            "2025-11-11T00:17:30+00:00",
            720,
            "1m",
            "USDT",
            recorded="kraken/OHLC_XBTUSDT_1m.json",
            check=check_kraken_open,
        ),
        Sample(
            Dataset.BARS,
            ("XBTUSD",),
            "2017-08-10T00:00:00Z",
            "2017-08-12T00:00:00Z",
            "2017-08-12T00:00:00+00:00",
            720,
            "1m",
            recorded="kraken/OHLC_XXBTZUSD_1m.json",
        ),
        Sample(
            Dataset.BARS,
            ("XBT/USD",),
            "2023-07-06T00:00:00Z",
            "2023-07-07T00:00:00Z",
            "2023-07-07T00:00:00+00:00",
            4,
            "1m",
            recorded="kraken/OHLC_XXBTZUSD_doc.json",
        ),
        Sample(
            Dataset.QUOTES,
            ("TAOUSD",),
            "2025-01-26T00:00:00Z",
            "2025-01-27T00:00:00Z",
            "2025-01-27T00:00:00+00:00",
            1,
            documented=b'{"error":[],"result":{"TAOUSD":{"c":["401.2","0.5"],"v":["10","20"],"p":["1","2"]}}}',
        ),
        listed(
            {
                "error": [],
                "result": {
                    "XXBTZUSD": {
                        "altname": "XBTUSD",
                        "wsname": "XBT/USD",
                        "base": "XXBT",
                        "quote": "ZUSD",
                        "status": "online",
                    },
                    "LPTUSD": {"altname": "LPTUSD", "wsname": "LPT/USD", "status": "reduce_only"},
                    "OCEANUSD": {"altname": "OCEANUSD", "wsname": "OCEAN/USD", "status": "cancel_only"},
                },
            },
            "trading",
            "ending",
            "ending",
        ),
    )

    def test_rows(self, source: RestSource) -> None:
        def write(rows: list[list[float]]) -> bytes:
            out = [[int(r[0]), *map(str, r[1:5]), str(r[4]), str(r[5]), 3] for r in rows]
            return orjson.dumps({"error": [], "result": {"SYM": out, "last": 0}})

        rows_battery(source, "1m", write, unit_us=1_000_000)

    def test_error_bodies_and_other_pairs(self, source: RestSource) -> None:
        sample = self.samples[0]
        call = self.call(source, sample)
        with pytest.raises(SourceRefused, match="kraken answers: EQuery:Unknown asset pair"):
            source.parse(call, sample.answer(b'{"error":["EQuery:Unknown asset pair"]}'))
        with pytest.raises(SourceUnavailable, match="EAPI:Rate limit exceeded"):
            source.parse(call, sample.answer(b'{"error":["EAPI:Rate limit exceeded"]}'))
        with pytest.raises(SourceCorrupt, match="kraken answered for ADAUSDT when asked XBTUSDT"):
            source.parse(call, sample.answer(b'{"error":[],"result":{"ADAUSDT":[],"last":1}}'))

    def test_only_the_last_720_are_asked_for(self, source: RestSource) -> None:
        calls = source.calls(self.samples[0].ask())
        assert len(calls) == 1
        assert calls[0].ask.rows == 720

    @pytest.mark.parametrize(
        ("answered", "asked", "same"),
        [
            ("XXBTZUSD", "XBTUSD", True),
            ("XXBTZUSD", "XBT/USD", True),
            ("XETHXXBT", "ETHXBT", True),
            ("TAOUSD", "TAO/USD", True),
            ("XXBTZEUR", "XBTUSD", False),
            ("TAOEUR", "TAOUSD", False),
            ("XTZUSD", "TZUSD", False),
        ],
    )
    def test_spelling(self, answered: str, asked: str, same: bool) -> None:
        assert same_pair(answered, asked) is same


def check_okx(parsed: Parsed) -> None:
    bars = bars_of(parsed)
    assert [iso(int(t)) for t in bars.time_us] == ["2025-05-12T23:54:00Z", "2025-05-12T23:55:00Z"]
    assert bars.close.tolist() == [102806.1, 102820.4]
    assert bars.volume_usd[1] == 1069603.34883


class TestOkx(SourceBattery):
    name = "okx"
    samples = (
        Sample(
            Dataset.BARS,
            ("BTC-USDT",),
            "2025-05-12T23:00:00Z",
            "2025-05-13T00:00:00Z",
            "2025-05-13T01:00:00+00:00",
            2,
            "1m",
            "USDT",
            recorded="okx/candles_full.json",
            check=check_okx,
        ),
        Sample(
            Dataset.QUOTES,
            ("FET-USDT",),
            "2025-01-26T00:00:00Z",
            "2025-01-27T00:00:00Z",
            "2025-01-27T00:00:00+00:00",
            1,
            documented=b'{"code":"0","msg":"","data":[{"instType":"SPOT","instId":"FET-USDT","last":"1.12",'
            b'"volCcy24h":"12345","ts":"1737935999000"}]}',
        ),
        listed(
            {
                "code": "0",
                "msg": "",
                "data": [
                    {"instId": "BTC-USDT", "baseCcy": "BTC", "quoteCcy": "USDT", "state": "live", "expTime": ""},
                    {"instId": "NMR-USDT", "baseCcy": "NMR", "quoteCcy": "USDT", "state": "suspend", "expTime": ""},
                    {
                        "instId": "GOAT-USDT",
                        "baseCcy": "GOAT",
                        "quoteCcy": "USDT",
                        "state": "live",
                        "expTime": "1738569600000",
                    },
                ],
            },
            "trading",
            "closed",
            "ending",
        ),
    )

    def test_rows(self, source: RestSource) -> None:
        def write(rows: list[list[float]]) -> bytes:
            data = [[str(int(r[0])), *map(str, r[1:6]), "1", str(r[5] * r[4]), "1"] for r in rows[::-1]]
            return orjson.dumps({"code": "0", "msg": "", "data": data})

        rows_battery(source, "1h", write, unit_us=1000)

    def test_a_bar_it_calls_open_is_left_out_even_if_its_hour_is_over(self, source: RestSource) -> None:
        sample = self.samples[0]
        body = orjson.loads(sample.body())
        body["data"][0][8] = "0"
        parsed = source.parse(self.call(source, sample), sample.answer(orjson.dumps(body)))
        assert (len(bars_of(parsed)), parsed.open_rows) == (1, 1)

    def test_error_bodies(self, source: RestSource) -> None:
        sample = self.samples[0]
        call = self.call(source, sample)
        with pytest.raises(SourceRefused, match="okx answers 51001: Instrument ID does not exist"):
            source.parse(call, sample.answer(b'{"code":"51001","msg":"Instrument ID does not exist","data":[]}'))
        with pytest.raises(SourceUnavailable, match="okx answers 50011"):
            source.parse(call, sample.answer(b'{"code":"50011","msg":"Too Many Requests","data":[]}'))

    def test_recent_bars_come_from_the_path_without_delay(self, source: RestSource) -> None:
        ask = self.samples[0].ask()
        assert source.calls(ask)[0].path == "/api/v5/market/candles"
        past = replace(ask, now_us=ask.now_us + 2 * DAY_US)
        assert source.calls(past)[0].path == "/api/v5/market/history-candles"

    def test_a_day_closes_at_midnight_utc(self, source: RestSource) -> None:
        sample = self.samples[0]
        assert source.calls(replace(sample.ask(), interval="1d"))[0].params["bar"] == "1Dutc"


BYBIT = b"""{"retCode":0,"retMsg":"OK","result":{"category":"spot","symbol":"FETUSDT","list":[
["1737936060000","1.2100","1.2150","1.2090","1.2140","15000.5","18210.6"],
["1737936000000","1.2080","1.2110","1.2070","1.2100","9000","10890"]]},"retExtInfo":{},"time":1737936200000}"""


class TestBybit(SourceBattery):
    name = "bybit"
    samples = (
        Sample(
            Dataset.BARS,
            ("FETUSDT",),
            "2025-01-27T00:00:00Z",
            "2025-01-27T00:10:00Z",
            "2025-01-27T01:00:00+00:00",
            2,
            "1m",
            "USDT",
            documented=BYBIT,
            check=lambda parsed: np.testing.assert_array_equal(bars_of(parsed).volume_usd, [10890, 18210.6]),
        ),
        Sample(
            Dataset.QUOTES,
            ("FETUSDT",),
            "2025-01-26T00:00:00Z",
            "2025-01-27T00:00:00Z",
            "2025-01-27T00:00:00+00:00",
            1,
            documented=b'{"retCode":0,"retMsg":"OK","result":{"category":"spot","list":[{"symbol":"FETUSDT",'
            b'"lastPrice":"1.12","turnover24h":"5"}]},"time":1737935999000}',
        ),
        listed(
            {
                "retCode": 0,
                "retMsg": "OK",
                "result": {
                    "category": "spot",
                    "list": [
                        {"symbol": "BTCUSDT", "baseCoin": "BTC", "quoteCoin": "USDT", "status": "Trading"},
                        {"symbol": "NMRUSDT", "baseCoin": "NMR", "quoteCoin": "USDT", "status": "Closed"},
                    ],
                },
                "time": 1737936000000,
            },
            "trading",
            "closed",
        ),
    )

    def test_rows(self, source: RestSource) -> None:
        def write(rows: list[list[float]]) -> bytes:
            out = [[str(int(r[0])), *map(str, r[1:6]), str(r[5] * r[4])] for r in rows[::-1]]
            return orjson.dumps({"retCode": 0, "result": {"symbol": "SYM", "list": out}, "time": 1})

        rows_battery(source, "1m", write, unit_us=1000)

    def test_error_bodies(self, source: RestSource) -> None:
        sample = self.samples[0]
        call = self.call(source, sample)
        with pytest.raises(SourceRefused, match="bybit answers 10001: Not supported symbols"):
            source.parse(call, sample.answer(b'{"retCode":10001,"retMsg":"Not supported symbols","result":{}}'))
        with pytest.raises(SourceUnavailable, match="10006"):
            source.parse(call, sample.answer(b'{"retCode":10006,"retMsg":"Too many visits!"}'))
        with pytest.raises(SourceCorrupt, match="bybit answered for NEARUSDT when asked FETUSDT"):
            source.parse(call, sample.answer(BYBIT.replace(b"FETUSDT", b"NEARUSDT")))
