"""One day with every fault on it, collected and rated over real sockets, without store or scheduler.

What it adds to the days of `tests/live/test_live_days.py` (the whole way to levels): the verdict and the note of every
kind of fault at its own venue, minute by minute, and the same rates when the day is lived again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pytest
from fault_server import Fault, FaultServer
from fault_world import VENUES, minute_world

from indexer.live.asking import Reply, exchanges_of
from indexer.live.collect import collect_bars
from indexer.reference.fixing import Memory, fixing_rates, minute_cube
from indexer.reference.rules import RateStatus, Verdict
from indexer.sources.base import Mapped
from indexer.sources.http import HostLimit, HttpClient, Timeouts, reason_of
from indexer.sources.registry import build_sources
from indexer.times import HOUR_US, MINUTE_US, from_us, parse_instant

ASSETS = ("FET", "NEAR", "GRT")
DAY = parse_instant("2025-01-27")
FREE = {name: HostLimit(100_000, 100_000, "test") for name in VENUES}
FAST = Timeouts(connect=1.0, read=1.0, total=1.0, patience=0.01, attempts=2, first_wait=0.001)


def at(hour: int, minute: int = 0) -> int:
    return DAY + hour * HOUR_US + minute * MINUTE_US


def hour_fault(provider: str, kind: str, hour: int, **more: float | str) -> Fault:
    """A fault during the fixing at this hour only."""
    return Fault(provider, kind, at(hour) - MINUTE_US, at(hour) + MINUTE_US, **more)  # type: ignore[arg-type]


def script() -> list[Fault]:
    """What goes wrong when (the hour is that of the fixing)."""
    return [
        hour_fault("binance", "429", 1),
        hour_fault("okx", "429-silent", 2),
        hour_fault("binance", "418", 3),
        hour_fault("binance", "451", 4),
        hour_fault("bybit", "403", 4),
        hour_fault("coinbase", "500", 5),
        hour_fault("kraken", "timeout", 6),
        hour_fault("okx", "drip", 7),
        hour_fault("bybit", "cut", 8),
        hour_fault("coinbase", "html", 9),
        hour_fault("binance", "empty", 9),
        hour_fault("okx", "empty-list", 10),
        hour_fault("binance", "shuffled", 11),
        hour_fault("binance", "other-unit", 12),
        hour_fault("kraken", "other-unit", 12),
        hour_fault("bybit", "future", 13),
        Fault("okx", "scale", at(13), at(14), factor=1.30),  # one venue +30 % for an hour,
        Fault("okx", "scale", at(14), at(15), factor=1.06),  # back at +6 %: outside θ,
        Fault("okx", "scale", at(15), at(16), factor=1.04),  # at +4 %: inside θ, not inside θ/2, then home
        Fault("coinbase", "frozen", at(16), at(17)),
        Fault("bybit", "scale", at(17, 30), at(17, 31), factor=100.0),
        hour_fault("binance", "nan", 19),
        hour_fault("kraken", "stranger", 20),
        hour_fault("bybit", "stranger", 20),
        *(hour_fault(venue, "drop", 21) for venue in ("binance", "okx", "bybit")),  # two honest venues remain
        *(hour_fault(venue, "500", 22) for venue in ("binance", "okx", "bybit", "kraken")),  # one remains
        *(hour_fault(venue, "html", 23) for venue in VENUES),  # none remains
    ]


def mappings() -> list[Mapped]:
    rows = []
    for asset in ASSETS:
        rows += [
            Mapped(asset, "binance", f"{asset}USDT", "USDT"),
            Mapped(asset, "coinbase", f"{asset}-USD"),
            Mapped(asset, "kraken", f"{asset}USD"),
            Mapped(asset, "okx", f"{asset}-USDT", "USDT"),
            Mapped(asset, "bybit", f"{asset}USDT", "USDT"),
        ]
    return [*rows, Mapped("USDT", "coinbase", "USDT-USD"), Mapped("USDT", "kraken", "USDTUSD")]


@dataclass
class Hour:
    level: float
    statuses: list[RateStatus]
    verdicts: dict[str, Verdict]
    notes: list[tuple[str, str]]
    rates: np.ndarray


def notes(replies: Sequence[Reply]) -> list[tuple[str, str]]:
    """What sources said that failed, and why rows were refused."""
    errors = [(reply.question.source, reason_of(reply.error)) for reply in replies if reply.error is not None]
    exchanges = exchanges_of(replies)
    return errors + [(call.source, row.reason) for _, call, _, parsed in exchanges for row in parsed.rejects]


async def live_through(faults: list[Fault], hours_of_day: int = 24) -> list[Hour]:
    """Hourly fixings against the server; the index is the mean of the rates relative to 00:00."""
    now = at(0)
    server = FaultServer(minute_world(ASSETS), lambda: now, faults)
    hours: list[Hour] = []
    memory: Memory | None = None
    base: np.ndarray | None = None
    async with (
        server.running(),
        HttpClient(
            timeouts=FAST,
            limits=FREE,
            clock=lambda: from_us(now),
            monotonic=lambda: now / 1e6,
        ) as http,
    ):
        sources = build_sources(base_url=server.root)
        for hour in range(hours_of_day):
            now = at(hour)
            got = await collect_bars(mappings(), sources, http, at_us=now, last_rates={})
            prices, values = minute_cube([got.bars.get(asset, {}) for asset in ASSETS], VENUES, at_us=now)
            fixing = fixing_rates(prices, values, memory=memory)
            memory = fixing.memory(seconds_to_next=3600)
            base = fixing.rate if base is None else base
            hours.append(
                Hour(
                    float((fixing.rate / base).mean() * 1000),
                    [RateStatus(int(s)) for s in fixing.status],
                    {venue: Verdict(int(fixing.verdicts[0, v])) for v, venue in enumerate(VENUES)},
                    notes(got.replies),
                    fixing.rate,
                )
            )
    return hours


@pytest.fixture(scope="module")
def two_days() -> tuple[list[Hour], list[Hour]]:
    return asyncio.run(live_through([])), asyncio.run(live_through(script()))


def test_the_fault_free_day_is_final_throughout(two_days: tuple[list[Hour], list[Hour]]) -> None:
    clean, _ = two_days
    assert {status for hour in clean for status in hour.statuses} == {RateStatus.FINAL}
    assert not [note for hour in clean for note in hour.notes]


def test_faults_move_the_mean_of_the_rates_by_less_than_a_basis_point(
    two_days: tuple[list[Hour], list[Hour]], capsys: pytest.CaptureFixture[str]
) -> None:
    clean, faulty = two_days
    lines = []
    for number, (good, bad) in enumerate(zip(clean, faulty, strict=True)):
        off_bps = (bad.level / good.level - 1.0) * 1e4
        words = " ".join(f"{venue}:{verdict.name.lower()}" for venue, verdict in bad.verdicts.items() if verdict)
        lines.append(f"{number:02d}:00 {bad.level:9.3f} {off_bps:+7.3f} bp {bad.statuses[0].name:10} {words}")
        if bad.statuses[0] in (RateStatus.FINAL, RateStatus.INDICATIVE):
            assert abs(off_bps) < 1.0, lines[-1]
    with capsys.disabled():
        print("\nfixing     level    off by     status     what was not used", *lines, sep="\n")


def test_a_rates_status_counts_its_honest_venues(two_days: tuple[list[Hour], list[Hour]]) -> None:
    clean, faulty = two_days
    for hour in faulty:
        used = sum(verdict is Verdict.USED for verdict in hour.verdicts.values())
        expected = {0: "CARRIED", 1: "DEGRADED", 2: "INDICATIVE"}.get(used, "FINAL")
        assert hour.statuses[0].name == expected
    assert faulty[21].statuses[0] is RateStatus.INDICATIVE
    assert faulty[22].statuses[0] is RateStatus.DEGRADED
    assert faulty[23].statuses[0] is RateStatus.CARRIED
    np.testing.assert_array_equal(faulty[23].rates, faulty[22].rates)  # carried: the last rate, not a new one
    assert abs(faulty[22].level / clean[22].level - 1) < 3e-4  # one venue alone: its own noise, said to be degraded


def test_every_fault_leaves_its_verdict_and_its_note(two_days: tuple[list[Hour], list[Hour]]) -> None:
    _, faulty = two_days
    expected = {
        1: ("binance", Verdict.NO_DATA, "asks us to slow down for 3600 s"),
        2: ("okx", Verdict.NO_DATA, "asks us to slow down"),
        3: ("binance", Verdict.NO_DATA, "has banned this address for a while for 120 s"),
        4: ("binance", Verdict.NO_DATA, "does not serve this region"),
        5: ("coinbase", Verdict.NO_DATA, "is failing (HTTP 500)"),
        6: ("kraken", Verdict.NO_DATA, "did not answer in time"),
        7: ("okx", Verdict.NO_DATA, "did not answer in time"),
        8: ("bybit", Verdict.NO_DATA, "could not be reached or broke off"),
        9: ("coinbase", Verdict.NO_DATA, "a web page instead of json"),
        12: ("binance", Verdict.NO_DATA, "are not in the promised unit"),
        13: ("bybit", Verdict.USED, "stamp lies in the future"),
        19: ("binance", Verdict.USED, "close is not a finite positive number"),
        20: ("kraken", Verdict.NO_DATA, "when asked"),
    }
    for hour, (venue, verdict, words) in expected.items():
        assert faulty[hour].verdicts[venue] is verdict, (hour, venue)
        assert any(words in text and venue == source for source, text in faulty[hour].notes), (hour, words)
    assert faulty[10].verdicts["okx"] is Verdict.NO_DATA
    assert faulty[11].verdicts["binance"] is Verdict.USED  # shuffled and doubled rows are put right
    assert [faulty[h].verdicts["okx"].name for h in (14, 15, 16, 17)] == ["OUTLIER", "OUTLIER", "OUTLIER", "USED"]
    assert faulty[17].verdicts["coinbase"] is Verdict.STALE
    assert faulty[18].verdicts["bybit"] is Verdict.USED  # one minute at 100× is refused, the venue stays


def test_the_day_is_the_same_when_lived_again(two_days: tuple[list[Hour], list[Hour]]) -> None:
    _, faulty = two_days
    again = asyncio.run(live_through(script(), 6))
    np.testing.assert_array_equal([hour.level for hour in again], [hour.level for hour in faulty[:6]])


def test_day_starts_where_the_data_says() -> None:
    assert from_us(DAY) == datetime.fromisoformat("2025-01-27T00:00:00+00:00")
