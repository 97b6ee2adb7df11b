"""Backtests and sweeps: the engine's own numbers, deterministic on any number of workers, refusals as results."""

from __future__ import annotations

import importlib.util
import os
import signal
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from baskets import methodology, random_market
from worlds import RULES, settings_of, world

from indexer.backtest import wide
from indexer.backtest.backtest import backtest, daily
from indexer.backtest.design import run_backtests, run_sweep
from indexer.backtest.sweep import Bench, as_table, methodology_at, ranked, read_grid, sweep
from indexer.backtest.wide import run_wide
from indexer.engine.level import compute_index
from indexer.errors import InputError, MethodologyError, NotEnoughDataError
from indexer.levels.markets import load_market
from indexer.store.levels import read_levels
from indexer.times import DAY_US

GRID = (
    RULES
    + """
[sweep]
"caps.single" = [0.15, 0.35, 0.4, 0.5]
"weighting.scheme" = ["free_float_cap", "equal", "sqrt_cap"]
"schedule.reconstitution_months" = [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [1, 4, 7, 10]]
"eligibility.min_history_days" = [3, 10]
"""
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    one = world(tmp_path_factory.mktemp("design"))
    one.fill()
    one.update()
    yield one
    one.store.close()


@pytest.fixture
def grid(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(GRID, encoding="utf-8")
    return path


def test_a_backtest_has_the_figures_of_its_history():
    market = random_market(8, steps=400)
    index = methodology()
    made = backtest(market, index, flagship=None)
    history = compute_index(market, index)
    rows = history.times_us % DAY_US == 0
    levels = history.levels[rows]
    assert (made.levels == levels).all()
    assert made.result.total_return == pytest.approx(levels[-1] / levels[0] - 1)
    assert made.result.max_drawdown == pytest.approx(
        min(levels[n] / levels[: n + 1].max() - 1 for n in range(len(levels)))
    )
    years = (history.times_us[rows][-1] - history.times_us[rows][0]) / (365.25 * DAY_US)
    assert made.result.turnover == pytest.approx(sum(one.turnover for one in history.rebalances) / years)
    weights = [one.weight_target for one in history.rebalances if one.kind != "suspension"]
    assert made.result.effective_number == pytest.approx(np.mean([1 / (w**2).sum() for w in weights]))
    assert made.result.largest_weight == max(w.max() for w in weights)


def test_costs_are_paid_by_what_each_review_trades():
    """By hand: a portfolio of money, whose trades each cost 20 bps of what is bought and of what is sold."""
    market = daily(random_market(8, steps=400))
    made = backtest(market, methodology(), cost_bps=20)
    moved = market.prices[1:] / market.prices[:-1]
    first = int(np.searchsorted(market.times_us, made.times_us[0]))
    money = [1000.0]
    held = made.weights[0] * money[0]
    for k in range(1, len(made.times_us)):
        held = held * moved[first + k - 1]
        wanted = made.weights[k] * held.sum()
        held = made.weights[k] * (held.sum() - np.abs(wanted - held).sum() * 20 / 1e4)
        money.append(held.sum())
    np.testing.assert_allclose(made.net_levels, money, rtol=1e-12)
    assert made.net_levels[0] == made.levels[0] == 1000.0
    assert made.result.net_total_return == pytest.approx(money[-1] / 1000 - 1)
    simple = np.diff(money) / money[:-1]
    assert made.result.sharpe == pytest.approx(simple.mean() / simple.std(ddof=1) * 365.25**0.5)
    free = backtest(market, methodology())
    assert (free.net_levels == free.levels).all()
    assert (free.levels == made.levels).all()


def test_weights_carry_each_level_to_the_next_and_turnover_is_their_change():
    market = daily(random_market(8, steps=400))
    made = backtest(market, methodology())
    first = int(np.searchsorted(market.times_us, made.times_us[0]))
    moved = market.prices[first + 1 :] / market.prices[first:-1]
    grown = (made.weights[:-1] * moved).sum(axis=1)
    np.testing.assert_allclose(made.levels[1:] / made.levels[:-1], grown, rtol=1e-12)
    drifted = made.weights[:-1] * moved / grown[:, None]
    np.testing.assert_allclose(made.turnover[1:], np.abs(made.weights[1:] - drifted).sum(axis=1) / 2, atol=1e-12)
    assert (made.turnover > 0).sum() == 5  # the first of each month after the base


def test_the_flagship_tracks_itself_and_its_days_are_written(made, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(RULES, encoding="utf-8")
    out = tmp_path / "levels.parquet"
    (result,) = run_backtests(made.store, settings_of(made), files=[path], hourly=True, out=out, cost_bps=10)
    assert result.tracking_error < 1e-6
    assert result.correlation == pytest.approx(1.0)
    assert result.beta_to_flagship == pytest.approx(1.0, abs=1e-6)
    rows = pq.read_table(out).to_pylist()
    levels = read_levels(made.store, "small", step_us=DAY_US)
    np.testing.assert_allclose([row["level"] for row in rows], levels.levels, rtol=1e-8)
    assert [row["time"] for row in rows] == [datetime.fromtimestamp(us / 1e6, UTC) for us in levels.times_us.tolist()]
    weights = [sum(value for name, value in row.items() if name.startswith("weight.")) for row in rows]
    np.testing.assert_allclose(weights, 1.0, rtol=1e-12)
    assert rows[-1]["net_level"] < rows[-1]["level"]
    run_backtests(made.store, settings_of(made), files=[path], hourly=True, out=tmp_path / "levels.csv", cost_bps=10)
    frame = pd.read_csv(tmp_path / "levels.csv", parse_dates=["time"])
    pd.testing.assert_frame_equal(frame, pd.DataFrame(rows), check_dtype=False)
    with pytest.raises(InputError, match=r"ends in \.csv or \.parquet"):
        run_backtests(made.store, settings_of(made), files=[path], out=tmp_path / "levels.xlsx")


needs_dask = pytest.mark.skipif(not importlib.util.find_spec("distributed"), reason="the extra `cluster` is not here")


@pytest.fixture(scope="module")
def cluster():
    """Two processes of dask, at an address."""
    from distributed import LocalCluster

    with LocalCluster(2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as local:
        yield local


@needs_dask
def test_a_sweep_and_many_files_are_the_same_on_a_cluster(made, grid, cluster, tmp_path):
    address, seen = cluster.scheduler_address, []
    settings = settings_of(made)
    options = {"file": grid, "cost_bps": 25}
    alone = run_sweep(
        made.store, settings, **options, workers=1, out=tmp_path / "one.parquet",
        progress=lambda d, t: seen.append((d, t)),
    )  # fmt: skip
    spread = run_sweep(made.store, settings, **options, cluster=address, out=tmp_path / "two.parquet")
    assert as_table(alone) == as_table(spread)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert seen[-1] == (48, 48)
    assert len({one.hash for one in alone if one.result}) == 36
    files = [tmp_path / f"{name}.toml" for name in ("equal", "sqrt_cap")]
    for file in files:
        text = RULES.replace('scheme = "free_float_cap"', f'scheme = "{file.stem}"')
        assert text != RULES
        file.write_text(text, encoding="utf-8")
    one, two = (tmp_path / name for name in ("one.csv", "two.csv"))
    results = run_backtests(made.store, settings, files=files, out=one, workers=1)
    assert results == run_backtests(made.store, settings, files=files, out=two, cluster=address)
    assert one.read_bytes() == two.read_bytes()


class Deadly:
    """Squares; what is asked for a marked number first ends the process, a second time not."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, number):
        if number == 3:
            try:
                (self.folder / "died").open("x").close()
            except FileExistsError:
                return number**2
            os.kill(os.getpid(), signal.SIGKILL)
        return number**2


@needs_dask
def test_a_killed_worker_costs_only_its_task(cluster, tmp_path):
    assert run_wide(Deadly(tmp_path), range(20), cluster=cluster.scheduler_address) == [n**2 for n in range(20)]
    assert (tmp_path / "died").exists()


class Pids:
    """Another number in another process."""

    def __call__(self, number):
        return os.getpid()


@needs_dask
def test_a_cluster_that_computes_other_numbers_or_is_not_there_is_refused(cluster, monkeypatch):
    with pytest.raises(InputError, match="computes other numbers"):
        run_wide(Pids(), range(3), cluster=cluster.scheduler_address)
    monkeypatch.setattr(wide, "REACHED_S", 1)
    with pytest.raises(InputError, match=r"no cluster at tcp://127\.0\.0\.1:1 "):
        run_wide(Pids(), range(3), cluster="tcp://127.0.0.1:1")


def test_combinations_that_cannot_be_are_results_with_the_reason(made, grid):
    tried = run_sweep(made.store, settings_of(made), file=grid, workers=1)
    without = [one for one in tried if one.result is None]
    assert len(without) == 12
    assert {one.values["caps.single"] for one in without} == {0.15}
    assert all("can hold at most 0.9 together" in one.problem and one.rank is None for one in without)
    assert [one.rank for one in tried[:36]] == list(range(1, 37))
    errors = [one.result.tracking_error for one in tried[:36]]
    assert errors == sorted(errors)
    most = ranked(tried, "effective_number")
    numbers = [one.result.effective_number for one in most[:36]]
    assert numbers == sorted(numbers, reverse=True)
    for figure in ("net_annual_return", "sharpe"):
        figures = [getattr(one.result, figure) for one in ranked(tried, figure)[:36]]
        assert figures == sorted(figures, reverse=True)


def test_each_result_is_that_of_its_own_methodology(made, grid):
    read = read_grid(grid)
    market = daily(load_market(made.store, made.registry))
    for one in [one for one in sweep(Bench(market, made.registry), read, workers=1) if one.result][::7]:
        rules = methodology_at(read, tuple(one.values.values()))
        assert rules.hash == one.hash
        assert backtest(market, rules).result == one.result


def test_a_dotted_place_reaches_into_every_table_of_a_list(grid):
    rules = methodology_at(read_grid(grid), (0.4, "equal", [1, 4, 7, 10], 10))
    assert [one.min_history_days for one in rules.eligibility] == [10]
    assert rules.schedule.reconstitution_months == (1, 4, 7, 10)
    assert rules.weighting.scheme.value == "equal"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RULES, r"give a table \[sweep\] of lists"),
        (RULES + '[sweep]\n"caps.single" = 0.3\n', "sweep.caps.single must be a list of values to try"),
        (RULES + "[sweep]\na = [1,2,3,4,5,6,7,8,9,10]\n" + "".join(f"b{n} = [1,2,3,4,5,6,7,8]\n" for n in range(5)),
         "combinations; at most 20,000 can be tried at once"),
    ],
)  # fmt: skip
def test_a_sweep_file_that_is_none_is_refused(tmp_path, text, said):
    path = tmp_path / "grid.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_grid(path)


def test_an_unknown_ranking_or_file_is_refused(made, grid, tmp_path):
    with pytest.raises(InputError, match='"beauty" is nothing to rank by; there are tracking_error, turnover'):
        run_sweep(made.store, settings_of(made), file=grid, by="beauty")
    with pytest.raises(MethodologyError, match="the file cannot be read"):
        run_backtests(made.store, settings_of(made), files=[tmp_path / "absent.toml"])
    with pytest.raises(NotEnoughDataError, match="no base"):
        path = tmp_path / "late.toml"
        path.write_text(RULES.replace("min_median_adv_usd = 0", "min_median_adv_usd = 1e12"), encoding="utf-8")
        run_backtests(made.store, settings_of(made), files=[path])
