"""Backfills: planned to limits, both ends and the middle, falling through to the next source; run over sockets."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from fault_server import Fault, FaultServer
from fault_world import hour_world
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import InputError
from indexer.live.history_plan import Want, join_near, missing_ranges, plan_backfill
from indexer.live.history_walk import Done, run_backfill
from indexer.sources.base import Source
from indexer.sources.http import HostLimit, HttpClient, Timeouts
from indexer.sources.records import Bars
from indexer.sources.registry import build_sources
from indexer.times import DAY_US, HOUR_US, from_us, iso, parse_instant

NOW = parse_instant("2025-01-01T00:00:00Z")
NOTHING = np.empty(0, dtype=np.int64)
CANDIDATES = (("kraken", "FETUSD", "USD"), ("binance", "FETUSDT", "USDT"), ("coinbase", "FET-USD", "USD"))
QUICK = Timeouts(connect=1, read=5, total=5, patience=0, attempts=2, first_wait=0.001)


def want(start: str, end: str, **more: object) -> Want:
    return replace(Want("FET", "1h", parse_instant(start), parse_instant(end), CANDIDATES), **more)  # type: ignore[arg-type]


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


def test_what_one_source_cannot_reach_goes_to_the_next() -> None:
    sources = build_sources()
    plan = plan_backfill([want("2024-01-01", "2025-01-01")], {}, sources=sources, now_us=NOW)
    by_source: dict[str, list[tuple[int, int]]] = {}
    for step in plan.steps:
        by_source.setdefault(step.call.source, []).append((step.call.ask.start_us, step.call.ask.end_us))
    assert list(by_source) == ["kraken", "binance"]
    assert by_source["kraken"] == [(NOW - 720 * HOUR_US, NOW)]
    assert by_source["binance"][0][1] == NOW - 720 * HOUR_US
    assert plan.rows == 366 * 24
    assert plan.uncovered == ()
    assert len(plan.steps) == 1 + 9


def test_nothing_missing_is_nothing_planned_and_a_resumed_plan_is_the_rest() -> None:
    sources = build_sources()
    ask = want("2024-06-01", "2024-07-01", candidates=CANDIDATES[1:])
    assert plan_backfill([ask], {"FET": hours("2024-05-01", "2024-08-01")}, sources=sources, now_us=NOW).steps == ()
    half = plan_backfill([ask], {"FET": hours("2024-06-01", "2024-06-11")}, sources=sources, now_us=NOW)
    assert iso(half.steps[0].call.ask.start_us) == "2024-06-11T00:00:00Z"


def test_the_present_bounds_the_plan_and_what_may_lie_before_the_listing_comes_last() -> None:
    ask = want("2024-01-01", "2026-01-01", candidates=CANDIDATES[1:2])
    plan = plan_backfill([ask], {}, sources=build_sources(), now_us=NOW)
    assert plan.steps[0].call.ask.end_us == NOW
    starts = [step.call.ask.start_us for step in plan.steps]
    assert starts == sorted(starts, reverse=True)
    assert {step.oldest_us for step in plan.steps} == {2**63 - 1}
    stored = hours("2024-06-01", "2024-07-01")
    plan = plan_backfill([ask], {"FET": stored}, sources=build_sources(), now_us=NOW)
    before = [step for step in plan.steps if step.oldest_us is not None]
    assert {step.oldest_us for step in before} == {int(stored[0])}
    assert {step.call.ask.end_us <= stored[0] for step in before} == {True}
    assert {step.call.ask.start_us >= stored[-1] for step in plan.steps if step not in before} == {True}


def test_the_time_is_what_the_rate_limit_allows() -> None:
    limits = {"coinbase": HostLimit(2.0, 10, "test")}
    plan = plan_backfill(
        [want("2024-01-01", "2025-01-01", candidates=CANDIDATES[2:])],
        {},
        sources=build_sources(),
        now_us=NOW,
        limits=limits,
    )
    assert len(plan.steps) == 30  # 8,784 hours, 300 a call
    assert plan.seconds == {"coinbase": 10.0}


def test_what_nobody_reaches_is_said() -> None:
    plan = plan_backfill(
        [want("2024-01-01", "2025-01-01", candidates=CANDIDATES[:1])], {}, sources=build_sources(), now_us=NOW
    )
    assert plan.uncovered == (("FET", parse_instant("2024-01-01"), NOW - 720 * HOUR_US),)


def test_unknown_sources_and_intervals_are_named() -> None:
    with pytest.raises(InputError, match="FET: stooq is not among the sources in use"):
        plan_backfill(
            [want("2024-01-01", "2024-02-01", candidates=(("stooq", "x", "USD"),))],
            {},
            sources=build_sources(),
            now_us=NOW,
        )
    with pytest.raises(InputError, match='interval "2h" is not one of 1m, 5m, 1h, 1d'):
        plan_backfill([want("2024-01-01", "2024-02-01", interval="2h")], {}, sources=build_sources(), now_us=NOW)


async def gather(faults: list[Fault], wanted: Want) -> tuple[list[Done], dict[str, int]]:
    """A backfill over real sockets."""
    server = FaultServer(hour_world(("FET",)), lambda: NOW, faults)
    async with server.running(), HttpClient(timeouts=QUICK, limits=FREE, clock=lambda: from_us(NOW)) as http:
        sources: dict[str, Source] = build_sources(base_urls={n: server.url(n) for n in FREE})
        plan = plan_backfill([wanted], {}, sources=sources, now_us=NOW)
        return [done async for done in run_backfill(plan, sources, http)], server.requests


FREE = {name: HostLimit(1e6, 1e6, "test") for name in ("binance", "coinbase", "kraken")}


async def test_a_year_comes_whole_and_once() -> None:
    done, requests = await gather([], want("2024-01-01", "2025-01-01"))
    assert all(one.error is None for one in done)
    times = np.sort(np.concatenate([one.parsed.bars.time_us for one in done if one.parsed and one.parsed.bars]))
    world = hour_world(("FET",)).bars("binance", "FET", "1h")[:, 0].astype(np.int64) + HOUR_US
    np.testing.assert_array_equal(times, world)
    assert requests == {"kraken": 1, "binance": 9}
    assert {one.call.ask.quote for one in done} == {"USD", "USDT"}


async def test_a_source_that_fails_gives_way_for_its_ranges() -> None:
    done, _ = await gather([Fault("binance", "451")], want("2024-06-01", "2024-09-01", candidates=CANDIDATES[1:]))
    assert {one.call.source for one in done} == {"coinbase"}  # 300 a call instead of 1,000: more calls
    times = np.sort(np.concatenate([one.parsed.bars.time_us for one in done if one.parsed and one.parsed.bars]))
    np.testing.assert_array_equal(times, hours("2024-06-01", "2024-09-01"))
    notes = [note for one in done for note in one.notes]
    assert len(notes) == 3
    assert "source_refused: binance does not serve this region" in notes[0].detail


async def test_when_all_fail_the_error_is_kept_and_nothing_is_invented() -> None:
    done, _ = await gather(
        [Fault("binance", "html"), Fault("coinbase", "500")],
        want("2024-06-01", "2024-06-11", candidates=CANDIDATES[1:]),
    )
    assert [one.parsed for one in done] == [None]
    assert done[0].error is not None
    assert "is failing (HTTP 500)" in str(done[0].error)
    assert [note.subject for note in done[0].notes] == ["binance", "coinbase"]


async def test_stopping_half_way_leaves_no_call_behind() -> None:
    server = FaultServer(hour_world(("FET",)), lambda: NOW)
    async with server.running(), HttpClient(timeouts=QUICK, limits=FREE, clock=lambda: from_us(NOW)) as http:
        sources = build_sources(base_urls={n: server.url(n) for n in FREE})
        plan = plan_backfill([want("2024-01-01", "2025-01-01")], {}, sources=sources, now_us=NOW)
        run = run_backfill(plan, sources, http, lanes=1)
        first = await anext(run)
        await run.aclose()
    assert first.error is None


async def test_a_defect_of_ours_reaches_the_caller() -> None:
    class Broken:
        capabilities = build_sources()["binance"].capabilities
        calls = staticmethod(build_sources()["binance"].calls)

        async def fetch(self, call: object, http: object) -> object:
            raise ZeroDivisionError("a defect")

    plan = plan_backfill(
        [want("2024-06-01", "2024-06-11", candidates=CANDIDATES[1:2])], {}, sources=build_sources(), now_us=NOW
    )
    async with HttpClient() as http:
        with pytest.raises(ZeroDivisionError, match="a defect"):
            async for _ in run_backfill(plan, {"binance": Broken()}, http):  # type: ignore[dict-item]
                pass


@pytest.mark.parametrize("stored", [False, True])
async def test_the_walk_ends_where_a_series_begins(stored: bool) -> None:
    """The world begins with 2024: after a month of emptiness older years are not asked for, whatever came before."""
    have = {"FET": hours("2024-01-01", "2025-01-01")} if stored else {}
    server = FaultServer(hour_world(("FET",)), lambda: NOW)
    async with server.running(), HttpClient(timeouts=QUICK, limits=FREE, clock=lambda: from_us(NOW)) as http:
        sources: dict[str, Source] = build_sources(base_urls={n: server.url(n) for n in FREE})
        ask = want("2018-01-01", "2025-01-01", candidates=CANDIDATES[2:])
        plan = plan_backfill([ask], have, sources=sources, now_us=NOW)
        done = [one async for one in run_backfill(plan, sources, http, lanes=2)]
    came = [one for one in done if one.parsed is not None and one.parsed.bars is not None]
    assert len(done) == len(plan.steps) > 170
    assert server.requests["coinbase"] == len(came) <= 30 * (not stored) + 3 + 2
    times = np.sort(
        np.concatenate([one.parsed.bars.time_us for one in came if one.parsed and one.parsed.bars is not None])
    )
    np.testing.assert_array_equal(times, NOTHING if stored else hours("2024-01-01", "2025-01-01"))
    assert all(one.answer is None and one.error is None for one in done if one not in came)


async def test_a_series_that_ended_long_ago_is_still_found() -> None:
    """Delisted: a year of emptiness at the newer end says nothing of what was before."""
    later = NOW + 365 * DAY_US
    server = FaultServer(hour_world(("FET",)), lambda: later)
    async with server.running(), HttpClient(timeouts=QUICK, limits=FREE, clock=lambda: from_us(later)) as http:
        sources: dict[str, Source] = build_sources(base_urls={n: server.url(n) for n in FREE})
        ask = want("2024-10-01", "2026-01-01", candidates=CANDIDATES[2:])
        plan = plan_backfill([ask], {}, sources=sources, now_us=later)
        done = [one async for one in run_backfill(plan, sources, http)]
    times = np.sort(np.concatenate([one.parsed.bars.time_us for one in done if one.parsed and one.parsed.bars]))
    np.testing.assert_array_equal(times, hours("2024-10-01", "2025-01-01"))


def close_bars(times: np.ndarray, closes: np.ndarray) -> Bars:
    return Bars(times, closes, closes, closes, closes, closes * np.nan, closes * np.nan)
