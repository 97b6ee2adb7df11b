"""TradingView's feed, read in Node by a client that asks and checks as theirs does; TradingView's own is no package."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_server import Live
from seeded import HOURS, NOW, START, UNITS, latent

CLIENT = Path(__file__).with_name("udf_client.mjs")
NOW_S = int(NOW.timestamp())
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def chart(live: Live) -> dict[str, Any]:
    """What a chart is given; the client fails where one of its checks does not hold."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine, so the datafeed was not read")
    command = [node, CLIENT, f"{live.url}/udf", str(NOW_S)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.fixture(scope="module")
def hourly() -> np.ndarray:
    """The hourly levels of the seeded index, from its prices."""
    _, prices = latent()
    levels: np.ndarray = 1000.0 * (prices @ UNITS) / UNITS.sum()
    return levels


def candle(hourly: np.ndarray, begin: int, hours: int) -> dict[str, float]:
    """The bar of the levels from an hour on, by hand."""
    inside = hourly[begin : begin + hours + 1]
    values = {"open": inside[0], "high": inside.max(), "low": inside.min(), "close": inside[-1]}
    return {"time": START // 1000 + begin * 3_600_000, **{name: float(value) for name, value in values.items()}}


def test_symbols_are_found_and_resolved(chart: dict[str, Any]) -> None:
    assert chart["time"] == NOW_S
    assert chart["found"]["all"] == chart["found"]["kind"] == ["DEAI", "DEMO", "EMPTY"]
    assert (chart["found"]["one"], chart["found"]["none"]) == (["DEMO"], [])
    assert (chart["unknown"], chart["prefixed"]) == ("unknown_symbol", "deai")


def test_bars_are_the_candles_of_the_levels(chart: dict[str, Any], hourly: np.ndarray) -> None:
    assert chart["daily"] == [candle(hourly, 24 * day, 24) for day in range(HOURS // 24 - 29, HOURS // 24)]
    assert chart["hourly"] == [candle(hourly, hour, 1) for hour in range(HOURS - 23, HOURS)]
    assert chart["weekly"] == HOURS // 168 + 1  # the week that still lives is one


def test_countback_outranks_from(chart: dict[str, Any], hourly: np.ndarray) -> None:
    assert chart["counted"] == [candle(hourly, 24 * day, 24) for day in range(HOURS // 24 - 300, HOURS // 24)]
    assert chart["first"] == HOURS // 24


def test_no_data_says_where_the_nearest_earlier_bar_is(chart: dict[str, Any]) -> None:
    last = START // 1_000_000 + (HOURS - 24) * 3600
    assert chart["future"] == {"bars": [], "noData": True, "nextTime": last}
    assert chart["past"] == chart["without"] == {"bars": [], "noData": True}
    assert "7" in chart["refused"]["refused"]


def test_the_two_newest_bars_are_always_there(chart: dict[str, Any], hourly: np.ndarray) -> None:
    days = [candle(hourly, HOURS - 48, 24), candle(hourly, HOURS - 24, 24)]
    hours = [candle(hourly, HOURS - 2, 1), candle(hourly, HOURS - 1, 1)]
    assert chart["pulse"] == [days, days[1:], hours]
    assert chart["late"] == hours  # though no level came for fifty days


def test_rebalances_and_events_are_marks(chart: dict[str, Any]) -> None:
    base, *later = chart["marks"]
    assert base["text"] == "base; turnover 0.0%; in: alpha, beta, gamma, delta"
    assert [mark["time"] for mark in later] == [START // 1_000_000 + days * 86_400 for days in (100, 200)]
    assert "DeepSeek R1 shakes AI valuations" in [mark["tooltip"][0] for mark in chart["events"]]
