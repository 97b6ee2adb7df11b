"""Series planned to limits, both ends and the middle; and walked over sockets, each call with its own retry."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from fault_server import Fault, FaultServer
from fault_world import hour_world
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import SourceCorrupt
from indexer.live import walk as walking
from indexer.live.plan import NONE, join_near, least_seconds, missing_ranges, series_of
from indexer.live.walk import NOTHING, Outcome, Piece, Role, Series, Walk
from indexer.sources.base import Mapped, Source
from indexer.sources.http import HostLimit, HttpClient, Timeouts
from indexer.sources.registry import build_sources
from indexer.times import DAY_US, HOUR_US, from_us, iso, parse_instant

NOW = parse_instant("2025-01-01T00:00:00Z")
BINANCE, COINBASE = Mapped("fet", "binance", "FETUSDT", "USDT"), Mapped("fet", "coinbase", "FET-USD")
KRAKEN = Mapped("fet", "kraken", "FETUSD")
QUICK = Timeouts(connect=1, read=5, total=5, patience=0, attempts=2, first_wait=0.001)
FREE = {name: HostLimit(1e6, 1e6, "test") for name in ("binance", "coinbase", "kraken")}


def series(row: Mapped, start: str, end: str, *, have: np.ndarray = NONE, now_us: int = NOW) -> Series:
    source = build_sources()[row.source]
    begin, stop = parse_instant(start), parse_instant(end)
    return series_of(row, source, "1h", start_us=begin, end_us=stop, now_us=now_us, have=have)


def hours(start: str, end: str) -> np.ndarray:
    """The closes in (start, end]."""
    return np.arange(parse_instant(start) + HOUR_US, parse_instant(end) + 1, HOUR_US)


def test_both_ends_and_the_middle_are_missing() -> None:
    have = np.concatenate([hours("2024-01-02", "2024-01-03"), hours("2024-01-04", "2024-01-05")])
    gaps = missing_ranges(have, "1h", start_us=parse_instant("2024-01-01"), end_us=parse_instant("2024-01-06"))
    assert [(iso(a)[:10], iso(b)[:10]) for a, b in gaps] == [
        ("2024-01-01", "2024-01-02"),
        ("2024-01-03", "2024-01-04"),
        ("2024-01-05", "2024-01-06"),
    ]


@given(st.sets(st.integers(1, 60)), st.integers(0, 30), st.integers(31, 60))
def test_missing_ranges_are_exactly_what_is_not_there(have: set[int], start: int, end: int) -> None:
    times = np.array(sorted(have), dtype=np.int64) * HOUR_US
    gaps = missing_ranges(times, "1h", start_us=start * HOUR_US, end_us=end * HOUR_US)
    covered = {h for a, b in gaps for h in range(a // HOUR_US + 1, b // HOUR_US + 1)}
    assert covered == set(range(start + 1, end + 1)) - have
    joined = join_near(gaps, "1h", bars=5)
    assert all(b[0] - a[1] >= 5 * HOUR_US for a, b in pairwise(joined))
    assert covered <= {h for a, b in joined for h in range(a // HOUR_US + 1, b // HOUR_US + 1)}


def test_what_a_source_cannot_reach_is_said() -> None:
    one = series(KRAKEN, "2024-01-01", "2025-01-01")
    (call,) = one.calls
    assert (call.ask.start_us, call.ask.end_us) == (NOW - 720 * HOUR_US, NOW)
    assert one.unreached == ((parse_instant("2024-01-01"), NOW - 720 * HOUR_US),)
    assert series(BINANCE, "2024-01-01", "2025-01-01").unreached == ()


def test_nothing_missing_is_nothing_planned_and_a_resumed_plan_is_the_rest() -> None:
    have = hours("2024-05-01", "2024-08-01")
    assert series(BINANCE, "2024-06-01", "2024-07-01", have=have).calls == ()
    half = series(BINANCE, "2024-06-01", "2024-07-01", have=hours("2024-06-01", "2024-06-11"))
    assert [iso(call.ask.start_us) for call in half.calls] == ["2024-06-11T00:00:00Z"]


def test_the_present_bounds_the_plan_and_the_newest_come_first() -> None:
    one = series(BINANCE, "2024-01-01", "2026-01-01")
    starts = [call.ask.start_us for call in one.calls]
    assert one.calls[0].ask.end_us == NOW
    assert starts == sorted(starts, reverse=True)
    assert one.first_us == NOTHING
    stored = hours("2024-06-01", "2024-07-01")
    assert series(BINANCE, "2024-01-01", "2026-01-01", have=stored).first_us == stored[0]


def test_the_time_is_what_the_rate_limit_allows() -> None:
    one = series(COINBASE, "2024-01-01", "2025-01-01")
    assert len(one.calls) == 30  # 8,784 hours, 300 a call
    limits = {"coinbase": HostLimit(2.0, 10, "test")}
    assert least_seconds(one.calls, build_sources(), limits) == {"coinbase": 10.0}


class Walked:
    """What a walk over sockets brought until nothing was left to come."""

    def __init__(self, faults: list[Fault] | None = None, *, now_us: int = NOW, patient: bool = False) -> None:
        self.server = FaultServer(hour_world(("FET",)), lambda: now_us, faults or [])
        self.outcomes: list[Outcome] = []
        self.owed: list[Piece] = []
        self._now_us = now_us
        self._patient = patient

    async def through(self, wanted: Sequence[Series]) -> Walked:
        clock = from_us(self._now_us)
        async with self.server.running(), HttpClient(timeouts=QUICK, limits=FREE, clock=lambda: clock) as http:
            sources: dict[str, Source] = build_sources(base_url=self.server.root)
            walk = Walk(sources, http, patient=self._patient)
            pieces = [Piece(one, call) for one in wanted for call in one.calls]
            walk.add(pieces)
            while not walk.over:
                self.outcomes += await walk.take(5.0)
            assert not walk.unsettled(pieces)
            self.owed = walk.owed()
            await walk.stop()
        return self

    @property
    def times(self) -> np.ndarray:
        parts = [one.parsed.bars.time_us for one in self.outcomes if one.parsed and one.parsed.bars]
        return np.sort(np.concatenate([np.empty(0, dtype=np.int64), *parts]))


async def test_a_year_comes_whole_and_once() -> None:
    walked = await Walked().through([series(BINANCE, "2024-01-01", "2025-01-01")])
    assert all(one.error is None for one in walked.outcomes)
    np.testing.assert_array_equal(walked.times, hours("2024-01-01", "2025-01-01"))
    assert walked.server.requests == {"binance": 9}


async def test_what_fails_is_owed_and_costs_nobody_else_anything() -> None:
    faults = [Fault("binance", "html", times=1)]
    wanted = [series(BINANCE, "2024-01-01", "2025-01-01"), series(COINBASE, "2024-12-01", "2025-01-01")]
    walked = await Walked(faults).through(wanted)
    assert [piece.call.source for piece in walked.owed] == ["binance"]
    assert sum(one.error is not None for one in walked.outcomes) == 1
    assert len(walked.times) == (366 + 31) * 24 - walked.owed[0].call.ask.rows


async def test_a_patient_walk_asks_again_until_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "FIRST_REST_S", 0.01)
    faults = [Fault("binance", "html", times=3), Fault("coinbase", "500", times=2)]
    wanted = [series(BINANCE, "2024-06-01", "2025-01-01"), series(COINBASE, "2024-12-01", "2025-01-01")]
    walked = await Walked(faults, patient=True).through(wanted)
    assert walked.owed == []
    expected = np.sort(np.concatenate([hours("2024-06-01", "2025-01-01"), hours("2024-12-01", "2025-01-01")]))
    np.testing.assert_array_equal(walked.times, expected)


@pytest.mark.parametrize("patient", [False, True])
async def test_a_source_that_refuses_this_address_is_not_asked_further(
    patient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "FIRST_REST_S", 0.001)
    walked = await Walked([Fault("coinbase", "403")], patient=patient).through(
        [series(COINBASE, "2024-01-01", "2025-01-01")]
    )
    assert walked.server.requests["coinbase"] <= 4 * walking.TURNED_AWAY, "the calls that were under way"
    assert len(walked.owed) == 30, "and it is owed: another run may have more luck"


def test_a_rate_that_fails_again_waits_behind_new_ones_and_other_pieces_behind_the_next_stage() -> None:
    times = ("2024-12-01", "2024-12-02")
    bars, again, rate = (Piece(one, one.calls[0]) for one in (series(COINBASE, *times) for _ in range(3)))
    rate.series.role, rate.failures, again.failures = Role.RATE, 3, 3
    bars.rank = again.rank = 1
    new, later = Piece(rate.series, rate.call), Piece(bars.series, bars.call, rank=3)
    host = walking._Host(resting=[again, rate])
    for piece in (later, bars, new):
        host.put(piece)
    assert host.due(0.0) == 0.0
    assert [piece for _, _, piece in sorted(host.waiting)] == [new, rate, bars, later, again]


async def test_stopping_half_way_leaves_no_call_behind() -> None:
    server = FaultServer(hour_world(("FET",)), lambda: NOW)
    async with server.running(), HttpClient(timeouts=QUICK, limits=FREE, clock=lambda: from_us(NOW)) as http:
        walk = Walk(build_sources(base_url=server.root), http, patient=True)
        walk.add(Piece(one, call) for one in [series(BINANCE, "2024-01-01", "2025-01-01")] for call in one.calls)
        first = await walk.take(5.0)
        await walk.stop()
    assert first[0].error is None


async def test_a_defect_of_ours_in_one_answer_owes_that_call_and_ends_nothing() -> None:
    class Broken:
        capabilities = build_sources()["binance"].capabilities

        async def fetch(self, call: object, http: object) -> object:
            raise ZeroDivisionError("a defect")

    async with HttpClient() as http:
        walk = Walk({"binance": Broken()}, http, patient=True)  # type: ignore[dict-item]
        one = series(BINANCE, "2024-06-01", "2024-06-11")
        walk.add(Piece(one, call) for call in one.calls)
        (outcome,) = await walk.take(5.0)
        owed = walk.owed()
        await walk.stop()
    assert isinstance(outcome.error, SourceCorrupt) and "ZeroDivisionError('a defect')" in str(outcome.error)
    assert owed == [outcome.piece] and outcome.piece.done


@pytest.mark.parametrize("stored", [False, True])
async def test_the_walk_ends_where_a_series_begins(stored: bool) -> None:
    """The world begins with 2024: after a month of emptiness older years are not asked for, whatever came before."""
    have = hours("2024-01-01", "2025-01-01") if stored else NONE
    one = series(COINBASE, "2018-01-01", "2025-01-01", have=have)
    walked = await Walked().through([one])
    came = [outcome for outcome in walked.outcomes if outcome.parsed is not None]
    assert len(walked.outcomes) == len(one.calls) > 170
    assert walked.server.requests["coinbase"] == len(came) <= 30 * (not stored) + 3 + 4
    np.testing.assert_array_equal(
        walked.times, hours("2024-01-01", "2025-01-01") if not stored else hours("2025-01-01", "2025-01-01")
    )
    assert all(outcome.answer is None and outcome.error is None for outcome in walked.outcomes if outcome not in came)


async def test_a_series_that_ended_long_ago_is_still_found() -> None:
    """Delisted: a year of emptiness at the newer end says nothing of what was before."""
    later = NOW + 365 * DAY_US
    walked = await Walked(now_us=later).through([series(COINBASE, "2024-10-01", "2026-01-01", now_us=later)])
    np.testing.assert_array_equal(walked.times, hours("2024-10-01", "2025-01-01"))
