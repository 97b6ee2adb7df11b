"""compute_levels: prices in, levels out, against numbers worked out by hand and the engine's own path."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer import compute_levels, load_methodology
from indexer.errors import InputError, MethodologyError, NotEnoughDataError

RULES = """
id = "mine"
name = "Mine"
version = "1.0.0"
description = "Three tokens, the same weight each month."
base_date = 2025-02-01T00:00:00Z
base_level = 100.0
decimals = 6
effective_from = 2025-02-01T00:00:00Z

[universe]

[schedule]
rebalance_months = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
reconstitution_months = [2, 5, 8, 11]
effective_day = 1
reference_days_before = 5

[selection]
target = 3
entry_rank = 3
exit_rank = 3
min_constituents = 2

[weighting]
scheme = "SCHEME"

[[eligibility]]
effective_from = 2025-01-27T00:00:00Z
min_history_days = 10
min_median_adv_usd = 0
min_atvr = 0
min_venues = 1
reason = "For the test."
"""
EQUAL = RULES.replace("SCHEME", "equal")
CAP = RULES.replace("SCHEME", "free_float_cap")
NAMES = ["a", "b", "c"]


def frame(days: int = 90, seed: int = 3) -> pd.DataFrame:
    index = pd.date_range("2025-01-01", periods=days, freq="D", tz="UTC", name="time")
    steps = np.random.default_rng(seed).normal(0, 0.05, (days, 3))
    return pd.DataFrame(np.exp(steps.cumsum(axis=0)) * [1.0, 20.0, 300.0], index=index, columns=NAMES)


def by_hand(prices: pd.DataFrame, weights: np.ndarray | None, supply: np.ndarray) -> list[float]:
    """Chained month by month: a month's level is its first times the weighted mean of price ratios."""
    starts = [day for day in prices.index if day.day == 1 and day >= pd.Timestamp("2025-02-01", tz="UTC")]
    levels = [100.0]
    for first, last in pairwise([*starts, None]):
        held = prices.loc[first:last]
        value = prices.loc[first - pd.Timedelta(days=5)].to_numpy() * supply  # decided five days before
        share = weights if weights is not None else value / value.sum()
        moves = (held / held.iloc[0]).to_numpy() @ share
        levels += (levels[-1] * moves[1:]).tolist()
    return levels


def test_equal_weights_by_hand() -> None:
    prices = frame()
    found = compute_levels(prices, EQUAL)
    assert (found.index, found.interval, found.simulated) == ("mine", "1d", False)
    assert found[0].time == datetime(2025, 2, 1, tzinfo=UTC)
    np.testing.assert_allclose(found.levels, by_hand(prices, np.full(3, 1 / 3), np.ones(3)), rtol=1e-12)
    assert set(found.status.tolist()) == {"final"}


def test_capitalisation_weights_by_hand() -> None:
    prices, supply = frame(), {"a": 1e9, "b": 3e7, "c": 1e6}
    found = compute_levels(prices, CAP, supply=supply)
    np.testing.assert_allclose(found.levels, by_hand(prices, None, np.array([1e9, 3e7, 1e6])), rtol=1e-12)


def test_a_frame_of_supplies_is_read_as_of_its_dates() -> None:
    prices = frame()
    dated = pd.DataFrame({"a": [1e9, 2e9], "b": [3e7, 3e7], "c": [1e6, 1e6]}, index=prices.index[[0, 50]])
    before, after = (compute_levels(prices, CAP, supply=dict(dated.iloc[n])) for n in (0, 1))
    mixed = compute_levels(prices, CAP, supply=dated)
    march = mixed.to_pandas().index.get_loc("2025-03-01")
    np.testing.assert_array_equal(mixed.levels[: march + 1], before.levels[: march + 1])
    np.testing.assert_allclose(
        mixed.levels[march:] / mixed.levels[march], after.levels[march:] / after.levels[march], rtol=1e-12
    )


def test_arrays_give_the_same_bits_as_a_frame() -> None:
    prices = frame()
    wanted = compute_levels(prices, EQUAL).levels
    us = prices.index.as_unit("us").asi8
    for times in (us, prices.index.tz_localize(None).to_numpy(), [one.to_pydatetime() for one in prices.index]):
        found = compute_levels(prices.to_numpy(), EQUAL, times=times, assets=NAMES)
        assert found.levels.tobytes() == wanted.tobytes()
    elsewhere = prices.tz_convert("America/New_York")
    assert compute_levels(elsewhere, EQUAL).levels.tobytes() == wanted.tobytes()


@settings(max_examples=20)
@given(st.floats(0.001, 1000), st.integers(0, 1000))
def test_the_unit_of_a_price_does_not_matter(scale: float, seed: int) -> None:
    prices = frame(seed=seed)
    scaled = prices.assign(b=prices["b"] * scale)
    np.testing.assert_allclose(compute_levels(scaled, EQUAL).levels, compute_levels(prices, EQUAL).levels, rtol=1e-9)


def test_a_missing_price_is_carried_and_said() -> None:
    prices = frame()
    prices.iloc[45, 1] = np.nan
    found = compute_levels(prices, EQUAL)
    row = found[45 - 31]
    assert row.status == "impaired", "more than a quarter of the weight is carried at 00:00Z"
    assert 0.2 < row.carried_weight < 0.5


def test_methodologies_come_as_text_file_id_or_object(tmp_path: Path) -> None:
    prices = frame()
    file = tmp_path / "mine.toml"
    file.write_text(EQUAL)
    wanted = compute_levels(prices, EQUAL).levels.tobytes()
    for way in (file, str(file), load_methodology(EQUAL, source="test")):
        assert compute_levels(prices, way).levels.tobytes() == wanted
    with pytest.raises(InputError, match="methodology deai-ew needs supply=: min_atvr compares volume with it"):
        compute_levels(prices, "deai-ew")


def test_the_input_is_not_changed() -> None:
    prices = frame()
    before = prices.copy()
    compute_levels(prices, EQUAL)
    pd.testing.assert_frame_equal(prices, before)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"prices": frame().tz_localize(None)},
            "no time zone; say which it is, e.g. .tz_localize",
        ),
        ({"prices": frame().to_numpy()}, "give a pandas frame with a UTC index, or an array with times= and assets="),
        (
            {"prices": frame().to_numpy(), "times": frame().index[:5], "assets": NAMES},
            r"\(90, 3\); 5 times and 3 assets",
        ),
        ({"methodology": CAP}, 'methodology mine needs supply=: scheme "free_float_cap" weighs by it'),
        ({"methodology": CAP, "supply": {"a": 1, "b": 1}}, 'supply has no "c"; give one number for each asset'),
        ({"methodology": EQUAL.replace("min_median_adv_usd = 0", "min_median_adv_usd = 5")}, "mine needs volume_usd="),
        (
            {"methodology": EQUAL.replace("= 3\nentry_rank = 3", "= 2\nentry_rank = 2")},
            "3 assets are ranked by it",
        ),
        ({"methodology": "nowhere.toml"}, 'methodology "nowhere.toml" is no file that can be read'),
        ({"prices": frame()[::-1]}, "does not ascend at position 1"),
        ({"prices": -frame()}, "a price is positive and finite"),
    ],
)
def test_what_does_not_fit_is_said(change: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        compute_levels(**{"prices": frame(), "methodology": EQUAL, **change})  # type: ignore[arg-type]  # wrong on purpose


def test_rules_that_do_not_hold_and_data_that_do_not_suffice() -> None:
    with pytest.raises(MethodologyError, match="the given text"):
        compute_levels(frame(), EQUAL.replace("target = 3", "target = -3"))
    with pytest.raises(NotEnoughDataError, match="mine"):
        compute_levels(frame().iloc[:20], EQUAL)


def test_volumes_are_heard() -> None:
    asks = EQUAL.replace("min_median_adv_usd = 0", "min_median_adv_usd = 1_000")
    prices = frame()
    volume = pd.DataFrame(5_000.0, index=prices.index, columns=NAMES)
    all_in = compute_levels(prices, asks, volume_usd=volume)
    assert all_in.levels.tobytes() == compute_levels(prices, EQUAL).levels.tobytes()
    without_c = compute_levels(prices, asks, volume_usd=volume.assign(c=10.0))
    pair = compute_levels(prices[["a", "b"]], EQUAL)
    np.testing.assert_allclose(without_c.levels, pair.levels, rtol=1e-12)
    with pytest.raises(InputError, match='volume_usd has no "c"'):
        compute_levels(prices, asks, volume_usd=volume[["a", "b"]])
