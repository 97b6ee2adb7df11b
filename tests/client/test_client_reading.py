"""One client over a server and over its store: the same answers, typed, in frames, without await and with."""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from live_server import Live
from seeded import HOURS, START, instants, latent

from indexer import AsyncClient, Client, open_store
from indexer.client import models
from indexer.errors import ConfigError, DeaiError, InputError, NotEnoughDataError, NotFoundError
from indexer.times import HOUR_US, from_us

WAYS = ["server", "folder", "file", "url", "store"]


@pytest.fixture(params=WAYS)
def client(request: pytest.FixtureRequest, served: Live, folder: Path) -> Iterator[Client]:
    file = folder / "deai.sqlite"
    store = open_store(f"sqlite:///{file}") if request.param == "store" else None
    where = {"server": served.url, "folder": folder, "file": str(file), "url": f"sqlite:///{file}", "store": store}
    with Client(where[request.param]) as made:  # type: ignore[arg-type]  # each way is there
        yield made
    if store is not None:
        store.close()


def levels_by_hand() -> np.ndarray:
    _, prices = latent()
    return 1000.0 * (prices @ np.array([0.4, 0.3, 0.2, 0.1]))


def microseconds(frame: pd.DataFrame) -> np.ndarray:
    return frame.index.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)


def test_levels_are_the_stored_ones_over_all_ways(client: Client) -> None:
    levels = client.levels("deai", interval="1h")
    np.testing.assert_array_equal(microseconds(levels), instants())
    np.testing.assert_allclose(levels["level"], levels_by_hand(), rtol=1e-15)
    assert len(levels) == HOURS + 1
    assert (levels["status"] == "carried").sum() == 10
    assert levels["carried_weight"].iloc[1000] == 0.25


async def test_levels_with_await_are_arrays_and_points(folder: Path) -> None:
    async with AsyncClient(folder) as client:
        levels = await client.levels("deai", interval="1h")
    np.testing.assert_array_equal(levels.times_us, instants())
    np.testing.assert_allclose(levels.levels, levels_by_hand(), rtol=1e-15)
    assert (levels.index, levels.simulated, levels.interval, len(levels)) == ("deai", False, "1h", HOURS + 1)
    assert (levels.status == "carried").sum() == 10
    assert levels[1000].carried_weight == 0.25
    assert [point.level for point in levels][:3] == levels.levels[:3].tolist()


def test_a_client_that_nobody_holds_lives_as_long_as_its_call(served: Live, folder: Path) -> None:
    for where in (served.url, folder):
        assert len(Client(where).levels("deai", interval="1d")) == HOURS // 24 + 1
        stream = Client(where).stream("deai")
        assert next(stream).index == "deai"
        stream.close()


def test_holdings_are_a_frame_of_tokens_with_the_rest_beside(client: Client) -> None:
    held = client.portfolio({"ALP": 400.0, "beta": 300.0, "XYZ": 1.0}, end="2025-01-31", sessions=60)
    assert held.set_index("asset")["amount"].to_dict() == {"alpha": 400.0, "beta": 300.0}
    assert held["value"].sum() == pytest.approx(held.attrs["value"])
    assert held["contribution"].sum() == pytest.approx(held.attrs["total"])
    assert [row["symbol"] for row in held.attrs["unpriced"]] == ["XYZ"]
    assert client.portfolio("ALP 400\nBET 300", end="2025-01-31").attrs["value"] == held.attrs["value"]
    with pytest.raises(InputError, match="no amount"):
        client.portfolio({"ALP": -1.0})


def test_a_scenario_its_record_and_a_hedge(client: Client) -> None:
    record = client.scenario_record("QQQ", sessions=60)
    assert record.index.name == "time" and str(record.index.tz) == "UTC"
    inside = (record["low"] <= record["actual"]) & (record["actual"] <= record["high"])
    assert inside.tolist() == record["inside"].tolist()
    assert record.attrs["realised"]["coverage"] == pytest.approx(inside.mean())
    assert client.scenario("QQQ", -0.03, sessions=60)["realised"] == record.attrs["realised"]
    assert client.hedge(1_000.0, sessions=60)["units"] < 0


def test_studies_are_frames_with_utc_times_units_and_the_rest_beside(served: Live) -> None:
    with Client(served.url) as client:
        falls = client.drawdowns(min_depth=0.2)
        members = client.attribution("2025-01-01", "2025-02-01")
        sides = client.breaks("QQQ", at="2024-06-01")
        why = client.explain(at="2025-01-15")
    assert (falls.index.name, str(falls.index.dtype)) == ("peak", "datetime64[us, UTC]")
    assert falls["trough"].iloc[0] - falls.index[0] == pd.Timedelta(days=falls["days_down"].iloc[0])
    assert pd.isna(falls["recovery"].iloc[0]) and np.isnan(falls["days_to_recover"].iloc[0])
    assert falls["depth"].iloc[0] == pytest.approx(falls["trough_level"].iloc[0] / falls["peak_level"].iloc[0] - 1)
    assert [falls.attrs["units"][name] for name in ("depth", "days_down")] == ["fraction", "days"]
    assert members["contribution"].sum() == pytest.approx(members.attrs["total"])
    assert members.attrs["units"]["own_return"] == "fraction"
    assert sides["regime_name"].tolist() == ["before", "after"]
    assert sides["regime_end"].iloc[0] == sides["regime_start"].iloc[1] == pd.Timestamp("2024-06-03 20:00", tz="UTC")
    assert sides["beta_n"].sum() == sides.attrs["n"]
    assert sides.attrs["verdict"].startswith("No change can be shown")
    assert pd.Timestamp(why["time"]) == pd.Timestamp("2025-01-15", tz="UTC")
    assert why["level"] == pytest.approx(levels_by_hand()[380 * 24])


def test_candles_closes_and_prices_are_series(served: Live) -> None:
    with Client(served.url) as client:
        candles = client.candles(start="2025-01-01", end="2025-01-08")
        levels = client.levels(start="2025-01-01", end="2025-01-09")["level"]
        closes = client.closes("QQQ", start="2025-01-01")
        prices = client.prices("ALP", interval="1h", last=48)
        later = client.candles(start="2030-01-01")
        with pytest.raises(NotFoundError, match="QQX"):
            client.closes("QQX")
    assert candles["close"].tolist() == levels.iloc[1:].tolist()
    assert candles["open"].tolist() == levels.iloc[:-1].tolist()
    assert candles.attrs["units"]["high"] == "index points"
    assert closes.attrs["basis"] == "test" and "USD" in closes.attrs["units"]["close"]
    assert closes.index[-1] == pd.Timestamp("2025-02-03 21:00", tz="UTC")
    np.testing.assert_allclose(prices["price"], latent()[1][-48:, 0])
    assert prices.index[-1] == pd.Timestamp("2025-02-04", tz="UTC")
    assert prices.attrs["units"] == {"price": "USD"}
    assert later["close"].tolist() == [] and str(later.index.dtype) == "datetime64[us, UTC]"


def test_windows_are_half_open_however_the_time_is_given(client: Client) -> None:
    wanted = instants()[24:48]
    first, end = from_us(int(wanted[0])), from_us(int(wanted[-1]) + HOUR_US)
    for start, stop in (
        (first, end),
        ("2024-01-02", "2024-01-03"),
        (date(2024, 1, 2), date(2024, 1, 3)),
        (int(first.timestamp()), int(end.timestamp() * 1000)),
        (pd.Timestamp("2024-01-01 19:00", tz="America/New_York"), end),
    ):
        np.testing.assert_array_equal(microseconds(client.levels("deai", start=start, end=stop, interval="1h")), wanted)
    assert len(client.levels("deai", last=7)) == 7
    with pytest.raises(InputError, match="has no time zone; give an aware instant"):
        client.levels("deai", start=datetime(2024, 1, 2))


@pytest.mark.parametrize("way", ["folder", "url"])
async def test_every_result_is_typed_and_the_same_over_all_ways(way: str, served: Live, folder: Path) -> None:
    near_by = {"folder": folder, "url": f"sqlite:///{folder / 'deai.sqlite'}"}[way]
    async with AsyncClient(near_by) as near, AsyncClient(served.url) as far:
        for method, arguments in (
            ("indices", ()),
            ("latest", ("deai",)),
            ("constituents", ("deai",)),
            ("rebalances", ("deai",)),
            ("methodology", ("deai",)),
            ("benchmarks", ()),
            ("beta", ("deai", "NVDA")),
            ("drawdowns", ("deai",)),
            ("attribution", ("2025-01-01", "2025-02-01")),
            ("candles", ("deai",)),
            ("closes", ("QQQ",)),
            ("prices", ("ALP",)),
        ):
            answer = await getattr(near, method)(*arguments)
            assert answer == await getattr(far, method)(*arguments), method
            assert type(answer).__module__.startswith("indexer.client."), method


def test_what_they_say(client: Client) -> None:
    latest = client.latest("deai")
    assert latest.level == pytest.approx(levels_by_hand()[-1], rel=1e-15)
    assert latest.time == from_us(START + HOURS * HOUR_US)
    assert latest.time.tzinfo is UTC
    assert client.latest("demo").simulated
    members = client.constituents("deai")
    assert members["asset"].tolist() == ["alpha", "beta", "gamma", "delta"]
    assert members["weight"].sum() == pytest.approx(1.0)
    changes = client.rebalances("deai")
    assert changes["kind"].tolist() == ["base", "rebalance", "rebalance"]
    assert client.methodology("deai").rules["selection"]["target"] == 4
    assert client.benchmarks()["sessions"].tolist() == [273, 273, 0]
    beta = client.beta("deai", "QQQ", sessions=90, bootstrap=True).iloc[0]
    assert beta["beta"] == pytest.approx(1.5, abs=4 * beta["se"])
    assert beta["bootstrap_n"] == 90
    path = client.beta_history("deai", "QQQ", sessions=60)
    assert path["beta"].iloc[:59].isna().all()
    assert path["beta"].iloc[-1] == pytest.approx(client.beta("deai", "QQQ", sessions=60)["beta"].item(), rel=1e-9)
    upper = client.beta_history("deai", "QQQ", sessions=60, kind="quantile", tau=0.9)
    assert upper.attrs["kind"] == "quantile" and upper["beta"].iloc[-1] != path["beta"].iloc[-1]
    assert client.beta("deai", "QQQ", as_of="2090-01-01")["beta"].item() == client.beta("deai", "QQQ")["beta"].item()
    with pytest.raises(DeaiError):
        client.drawdowns("deai", as_of="2020-01-01")
    assert client.get("/v1/events", {"start": "2025-01-01"})["count"] >= 1


async def test_what_records_say(folder: Path) -> None:
    async with AsyncClient(folder) as client:
        members = await client.constituents("deai")
        changes = await client.rebalances("deai")
        bare = await client.rebalances("deai", items=False)
        beta = await client.beta("deai", "QQQ", sessions=90, bootstrap=True)
    assert members.effective_number == pytest.approx(1 / sum((row.weight or 0) ** 2 for row in members))
    assert changes[0].entered == ("alpha", "beta", "gamma", "delta")
    assert changes[0].items[0].reason == "eligible"
    assert bare[0].items == ()
    assert beta.bootstrap is not None
    assert str(beta).startswith("beta deai ~ QQQ: 1.4")


def test_tables_are_pandas_frames_with_utc_times_and_units(client: Client) -> None:
    levels = client.levels("deai", interval="1h")
    assert str(levels.index.dtype) == "datetime64[us, UTC]"
    assert levels.index.name == "time"
    assert list(levels.columns) == ["level", "status", "carried_weight", "perpetual_weight", "constituents"]
    units = {"level": "index points", "carried_weight": "fraction", "perpetual_weight": "fraction"}
    assert levels.attrs == {"index": "deai", "simulated": False, "units": units}
    assert levels.loc["2025-02-04 00:00", "level"] == levels["level"].iloc[-1]
    members = client.constituents("deai", at="2025-02-03")
    assert set(members.index) == {pd.Timestamp("2025-02-03", tz="UTC")}
    assert members.attrs["units"]["weight"] == "fraction"
    assert members.attrs["units"]["rate"] == "USD"
    days = [client.constituents("deai", at=day) for day in ("2025-02-02", "2025-02-03")]
    assert pd.concat(days).pivot(columns="asset", values="weight").sum(axis=1).tolist() == pytest.approx([1.0, 1.0])
    beta = client.beta("deai", "QQQ")
    assert len(beta) == 1
    assert str(beta.index.tz) == "UTC"
    assert beta.index[0] == beta["last_time"].iloc[0]
    indices = client.indices()
    assert indices["latest_level"].isna().tolist() == [False, False, True]
    assert str(indices["latest_time"].dtype) == "datetime64[us, UTC]"
    assert len(client.rebalances("deai")) == 3
    path = client.beta_history("deai")
    assert path["beta"].isna().sum() == 89
    assert path.attrs["units"] == {"r2": "fraction", "alpha": "log return a session"}


async def test_the_same_tables_in_polars(folder: Path) -> None:
    async with AsyncClient(folder) as client:
        levels = (await client.levels("deai", interval="1h")).to_polars()
        indices = (await client.indices()).to_polars()
        members = (await client.constituents("deai")).to_polars()
        benchmarks = (await client.benchmarks()).to_polars()
    assert levels.columns == ["time", "level", "status", "carried_weight", "perpetual_weight", "constituents"]
    assert levels.schema["time"] == pl.Datetime("us", "UTC")
    np.testing.assert_allclose(levels["level"].to_numpy(), levels_by_hand(), rtol=1e-15)
    assert indices["id"].to_list() == ["deai", "demo", "empty"]
    assert members["weight"].sum() == pytest.approx(1.0)
    assert benchmarks.filter(pl.col("symbol") == "QQQ")["sessions"].item() == 273


def test_an_index_shows_its_chart(client: Client) -> None:
    shown = client.index("deai")
    bundle = shown._repr_mimebundle_()
    assert bundle["image/svg+xml"].startswith("<svg")
    assert "<svg" in bundle["text/html"]
    assert "deai index 486.00 (final, as of 2025-02-04 00:00 UTC)" in bundle["text/plain"]
    assert "SIMULATED" in str(client.index("demo"))
    empty = client.index("empty")
    assert empty.chart is None
    assert empty._repr_mimebundle_()["text/plain"] == "empty index (no levels yet)"


def test_a_chart_is_saved(client: Client, tmp_path: Path) -> None:
    chart = client.chart("deai", kind="beta", theme="dark", width=400)
    assert chart.save(tmp_path / "beta.svg").read_text().startswith("<svg")
    assert chart._repr_svg_() == chart.svg


def test_mistakes_are_the_same_errors_over_all_ways(client: Client) -> None:
    with pytest.raises(NotFoundError, match=r'No index "deia"\. Did you mean "deai"\?'):
        client.latest("deia")
    with pytest.raises(NotEnoughDataError, match="has no levels yet"):
        client.latest("empty")
    with pytest.raises(InputError, match="interval"):
        client.levels("deai", interval="2h")
    with pytest.raises(NotFoundError, match=r'No index "a\?b"'):
        client.latest("a?b")
    with pytest.raises(NotEnoughDataError, match="TSM"):
        client.beta("deai", "TSM")


async def test_the_same_with_await(served: Live, folder: Path) -> None:
    async with AsyncClient(served.url) as far, AsyncClient(folder) as near:
        assert await far.latest("deai") == await near.latest("deai")
        np.testing.assert_array_equal((await far.levels("deai")).levels, (await near.levels("deai")).levels)
        assert "<table" in (await near.constituents("deai"))._repr_html_()
        assert "after_falls" not in (await near.drawdowns("deai"))._repr_html_()
        assert "9,601 rows" in (await near.levels("deai", interval="1h"))._repr_html_()


async def test_without_await_it_works_inside_a_running_loop(folder: Path) -> None:
    with Client(folder) as client:  # as in a notebook
        assert client.latest("deai").index == "deai"


def test_threads_may_share_a_client(served: Live) -> None:
    seen: list[float] = []
    with Client(served.url) as client:
        work = [threading.Thread(target=lambda: seen.append(client.latest("deai").level)) for _ in range(8)]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join(20)
    assert len(seen) == 8
    assert len(set(seen)) == 1


def test_both_faces_have_the_same_methods() -> None:
    theirs = {name for name in dir(AsyncClient) if not name.startswith("_")} - {"aclose"}
    assert {name for name in dir(Client) if not name.startswith("_")} - {"close"} == theirs
    with Client() as client:
        for name in theirs:
            ours, other = getattr(client, name), getattr(AsyncClient, name)
            assert list(inspect.signature(ours).parameters) == list(inspect.signature(other).parameters)[1:], name
            assert inspect.getdoc(ours) == inspect.getdoc(other)


def test_where_there_is_nothing_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"There is no store at .*deai\.sqlite; `deai import FILE` makes one"):
        Client(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match=r"speaks SQLite and PostgreSQL"):
        Client("mysql://host/name")
    with pytest.raises(ConfigError, match="A key is for a server"):
        Client(tmp_path, key="deai_x")
    for wrong in ("http://", "http://user:secret@host", "http://host/?x=1"):
        with pytest.raises(ConfigError, match="is not the root of a server"):
            Client(wrong)


def test_a_closed_client_says_so(folder: Path) -> None:
    client = Client(folder)
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="this client is closed"):
        client.latest()


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ModuleNotFoundError, match="to_polars needs polars, which is not here: pip"):
        models.Table(()).to_polars()


def test_importing_the_client_imports_no_frames() -> None:
    code = "import sys, indexer; indexer.Client; print(sorted({m.split('.')[0] for m in sys.modules}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    for heavy in ("pandas", "polars", "scipy", "pyarrow", "fastapi"):
        assert f"'{heavy}'" not in run.stdout
