"""docs/embeds.md: what is to be pasted into other tools works on a real server, as far as the tool is here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from live_server import Live
from seeded import START, UNITS, latent

TEXT = (Path(__file__).parents[2] / "docs" / "embeds.md").read_text("utf-8")
HOST = "http://127.0.0.1:8000"


def block(language: str, word: str, live: Live) -> str:
    """The one block in a language that has this word, for our server."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.S | re.M)
    (text,) = (text for text in blocks if word in text)
    return text.replace(HOST, live.url)


def values_at(path: str, body: Any) -> list[Any]:
    """What a path of names, places and `[*]` leads to, as JSONPath has it."""
    values = [body]
    for name, place in re.findall(r"\.(\w+)|\[(\*|\d+)\]", path.removeprefix("$")):
        values = [item for value in values for item in (value if place == "*" else [value[name or int(place)]])]
    return values


def levels() -> np.ndarray:
    _, prices = latent()
    return 1000.0 * (prices @ UNITS) / UNITS.sum()


def test_a_client_of_coingecko_reads_the_index(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    exec(block("python", "CoinGeckoAPI", live), {})
    assert json.loads(capsys.readouterr().out)[1] == levels()[-1]


def test_ghostfolio_and_portfolio_performance_find_their_numbers(live: Live) -> None:
    scraper = json.loads(block("json", "selector", live))
    assert values_at(scraper["selector"], httpx.get(scraper["url"]).json()) == [levels()[-1]]
    feed = dict(re.findall(r"^(.*?): +(\S+)$", block("text", "Path to date", live), flags=re.M))
    body = httpx.get(feed["Feed URL"]).json()
    days = pd.to_datetime(values_at(feed["Path to date"], body), unit="ms")
    assert days.equals(pd.date_range("2024-01-01", periods=len(levels()[::24])))
    assert values_at(feed["Path to close"], body) == levels()[::24].tolist()


def test_a_strategy_of_freqtrade_sees_no_later_level(live: Live) -> None:
    dates = pd.to_datetime(START, unit="us", utc=True) + pd.to_timedelta(np.arange(0, 600, 30), unit="min")
    names = {"pd": pd, "dataframe": pd.DataFrame({"date": dates, "close": 1.0})}
    exec(block("python", "merge_asof", live), names)
    assert names["dataframe"]["level"].tolist() == np.repeat(levels()[:10], 2).tolist()


def test_the_pairs_of_freqtrade_are_the_members(live: Live, tmp_path: Path) -> None:
    if shutil.which("jq") is None or shutil.which("curl") is None:
        pytest.skip("no jq or curl on this machine, so the list of pairs was not made")
    subprocess.run(["bash", "-c", block("sh", "pairs.json", live)], cwd=tmp_path, timeout=60, check=True)
    members = httpx.get(f"{live.url}/v1/indices/deai/constituents").json()["data"]
    pairs = json.loads((tmp_path / "pairs.json").read_text())
    assert pairs == {"pairs": [f"{row['symbol']}/USDT" for row in members]}


def test_what_a_sheet_a_notebook_and_r_are_to_paste_answers(live: Live, tmp_path: Path) -> None:
    sheet, cell = (
        re.search(r'"http[^"]+/v1/([^"]+)"', line)[1] for line in block("text", "IMPORTDATA", live).splitlines()
    )  # type: ignore[index]
    assert len(httpx.get(f"{live.url}/v1/{sheet}7").text.splitlines()) == 91
    assert float(httpx.get(f"{live.url}/v1/{cell}").text) == levels()[-1]
    sensor = re.search(r"resource: http://[^/]+(\S+)", TEXT)
    assert sensor is not None and httpx.get(live.url + sensor[1]).json()["level"] == levels()[-1]
    exec(block("python", "deai_client", live), names := {})
    names["client"].close()
    program = shutil.which("Rscript")
    if program is not None:
        (tmp_path / "plot.R").write_text(block("r", "plot(", live))
        subprocess.run([program, "--vanilla", "plot.R"], cwd=tmp_path, timeout=60, check=True)
        assert (tmp_path / "Rplots.pdf").exists()


def test_lightweight_charts_gets_candles_as_it_demands_them(live: Live, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine, so the candles were not drawn")
    library = """
const LightweightCharts = {createChart: () => ({addSeries: () => ({setData: (rows) => {
  rows.forEach((row, n) => {
    if (!Object.values(row).every(Number.isFinite)) throw new Error("not a number");
    if (n && row.time <= rows[n - 1].time) throw new Error("data must be asc ordered by time");
  });
  console.log(JSON.stringify(rows.map((row) => row.close)));
}})})};
"""
    (tmp_path / "chart.mjs").write_text(library + block("js", "LightweightCharts", live))
    done = subprocess.run([node, tmp_path / "chart.mjs"], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == levels()[::24][-120:].tolist()
