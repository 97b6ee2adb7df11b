"""Backtests and sweeps: the engine's own numbers, deterministic on any number of workers, refusals as results."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from baskets import methodology, random_market
from worlds import RULES, registry, world

from indexer.backtest.backtest import backtest, daily
from indexer.backtest.design import run_backtest, run_sweep
from indexer.backtest.sweep import as_table, methodology_at, ranked, read_grid, sweep, write_parquet
from indexer.config import Settings
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


def test_the_flagship_tracks_itself(made, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(RULES, encoding="utf-8")
    out = tmp_path / "levels.parquet"
    result = run_backtest(made.store, _settings(made), file=path, hourly=True, out=out)
    assert result.tracking_error < 1e-6
    assert result.correlation == pytest.approx(1.0)
    assert result.beta_to_flagship == pytest.approx(1.0, abs=1e-6)
    rows = pq.read_table(out).to_pylist()
    levels = read_levels(made.store, "small", step_us=DAY_US).levels
    np.testing.assert_allclose([row["level"] for row in rows], levels, rtol=1e-8)


def test_a_sweep_is_the_same_on_any_number_of_workers(made, grid, tmp_path):
    market, read = daily(load_market(made.store, made.registry)), read_grid(grid)
    levels = read_levels(made.store, "small", step_us=DAY_US)
    flagship, seen = (levels.times_us, levels.levels), []
    alone = sweep(
        market, made.registry, grid=read, flagship=flagship, workers=1, progress=lambda d, t: seen.append((d, t))
    )
    both = sweep(market, made.registry, grid=read, flagship=flagship, workers=2)
    assert as_table(alone) == as_table(both)
    assert seen[-1] == (48, 48)
    assert len({one.hash for one in alone if one.result}) == 36
    write_parquet(as_table(alone), tmp_path / "one.parquet")
    write_parquet(as_table(both), tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_combinations_that_cannot_be_are_results_with_the_reason(made, grid):
    tried = run_sweep(made.store, _settings(made), file=grid, workers=1)
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


def test_each_result_is_that_of_its_own_methodology(made, grid):
    read = read_grid(grid)
    market = daily(load_market(made.store, made.registry))
    for one in [one for one in sweep(market, made.registry, grid=read, workers=1) if one.result][::7]:
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
        run_sweep(made.store, _settings(made), file=grid, by="beauty")
    with pytest.raises(MethodologyError, match="the file cannot be read"):
        run_backtest(made.store, _settings(made), file=tmp_path / "absent.toml")
    with pytest.raises(NotEnoughDataError, match="no base"):
        path = tmp_path / "late.toml"
        path.write_text(RULES.replace("min_median_adv_usd = 0", "min_median_adv_usd = 1e12"), encoding="utf-8")
        run_backtest(made.store, _settings(made), file=path)


def _settings(made):
    """Settings with the registry of the small world, written as a file."""
    path = made.store.path.parent / "assets.toml"
    if not path.exists():
        body = '[sub_sectors]\ncompute = "c"\nagents = "a"\n'
        for asset in registry().assets:
            fields = {
                "slug": asset.slug, "name": asset.name, "status": "core", "sub_sector": asset.sub_sector,
                "chain": "invented", "contract": asset.contract, "source": "test",
            }  # fmt: skip
            body += "[[asset]]\ndecimals = 6\n" + "".join(f'{name} = "{value}"\n' for name, value in fields.items())
            body += f'symbols = [{{ symbol = "{asset.symbol}" }}]\n'
        path.write_text(body, encoding="utf-8")
    return Settings(registry=path)
