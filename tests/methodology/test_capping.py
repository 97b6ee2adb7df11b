"""Water-filled caps: worked examples, an independent iteration as oracle, properties, and every refusal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.engine.weights import cap_weights, water_fill, water_fill_groups
from indexer.errors import MethodologyError
from indexer.methodology.spec import Caps

# Grayscale Decentralized AI Fund, 2025-01-06
FUND = np.array([29.93, 20.58, 19.03, 17.18, 10.45, 2.83])
NAMES = ["near", "render", "bittensor", "filecoin", "the-graph", "livepeer"]
FILED = np.array([900, 500, 120, 60, 40, 30, 20, 15, 10, 5], dtype=float)


def iterated(sizes: np.ndarray, cap: float) -> np.ndarray:
    """Cap, spread the excess pro rata over the uncapped, repeat until nothing breaches: the textbook rule."""
    weights = sizes / sizes.sum()
    capped = np.zeros(len(sizes), dtype=bool)
    while (weights > cap + 1e-15).any():
        capped |= weights > cap + 1e-15
        weights = np.where(capped, cap, sizes / sizes[~capped].sum() * (1 - cap * capped.sum()))
    return weights


def test_fund_with_a_cap_of_20_percent() -> None:
    found = water_fill(FUND, 0.0, 0.20)
    np.testing.assert_allclose(100 * found, [20, 20, 20, 20, 15.738, 4.262], atol=5e-4)
    assert (found <= 0.20).all()  # one pass would leave 23.07 % and 20.83 %


def test_fund_with_floor_and_cap() -> None:
    np.testing.assert_allclose(water_fill(FUND, 0.05, 0.20), [0.2, 0.2, 0.2, 0.2, 0.15, 0.05], rtol=1e-14)


def test_fund_with_the_largest_at_30_percent() -> None:
    found = cap_weights(FUND / FUND.sum(), Caps(single=0.20, largest=0.30), slugs=NAMES, groups=["x"] * 6)
    np.testing.assert_allclose(100 * found[0], [30, 20, 19.226, 17.357, 10.558, 2.859], atol=5e-4)


def test_filed_vectors() -> None:
    quarter = [0.25, 0.25, 0.2, 0.1, 1 / 15, 0.05, 1 / 30, 0.025, 1 / 60, 1 / 120]
    np.testing.assert_allclose(water_fill(FILED, 0.0, 0.25), quarter, rtol=1e-14)
    second_round = [0.2, 0.2, 0.2, 2 / 15, 4 / 45, 1 / 15, 2 / 45, 1 / 30, 1 / 45, 1 / 90]
    np.testing.assert_allclose(water_fill(FILED, 0.0, 0.20), second_round, rtol=1e-14)


def test_infeasible_cap_is_refused_with_the_numbers() -> None:
    message = (
        "index deai at 2025-01-01: caps cannot hold: 6 members may weigh at most 0.9 together, 1 is needed; "
        "raise the caps or admit more members"
    )
    with pytest.raises(MethodologyError, match=message):
        water_fill(FUND, 0.0, 0.15, labels=["index deai at 2025-01-01"])
    with pytest.raises(MethodologyError, match=r"basket 2: caps cannot hold: 2 members may weigh at most 0\.5"):
        water_fill(np.array([[1.0, 1, 1, 1], [1, 1, 0, 0]]), 0.0, 0.25)


def test_infeasible_floor_crossed_bounds_and_bad_sizes_are_refused() -> None:
    with pytest.raises(MethodologyError, match=r"floors cannot hold: they need 1\.2 together, 1 is there; lower"):
        water_fill(FUND, 0.2, 1.0)
    with pytest.raises(MethodologyError, match=r"floor 0\.3 is above cap 0\.2 in column 0"):
        water_fill(FUND, 0.3, 0.2)
    for bad in (np.nan, np.inf, -1.0):
        with pytest.raises(MethodologyError, match=f"size {bad} in column 1 is not a finite number ≥ 0"):
            water_fill(np.array([1.0, bad]))


def test_exactly_feasible_bounds_hold() -> None:
    for count in (3, 5, 6, 7, 49):
        np.testing.assert_allclose(water_fill(np.arange(1.0, count + 1), 0.0, 1 / count), 1 / count, rtol=1e-14)
        np.testing.assert_allclose(water_fill(np.arange(1.0, count + 1), 1 / count, 1.0), 1 / count, rtol=1e-14)


def test_a_zero_is_not_a_member() -> None:
    found = cap_weights(np.array([0.7, 0.3, 0.0]), Caps(single=0.6, floor=0.1), slugs=list("abc"), groups=list("xyz"))
    np.testing.assert_allclose(found, [[0.6, 0.4, 0.0]], rtol=1e-15)


def test_per_asset_wins_over_largest_and_single() -> None:
    caps = Caps(single=0.3, largest=0.5, per_asset={"near": 0.1, "livepeer": 0.02})
    found = cap_weights(FUND / FUND.sum(), caps, slugs=NAMES, groups=["x"] * 6)[0]
    assert found[0] == 0.1
    assert found[5] <= 0.02
    assert found.max() <= 0.3
    assert found.sum() == pytest.approx(1, abs=1e-15)


def test_of_equally_large_assets_the_first_name_is_the_largest() -> None:
    caps = Caps(single=0.3, largest=0.4)
    found = cap_weights(np.full(3, 1 / 3), caps, slugs=["b", "a", "c"], groups=["x"] * 3)
    np.testing.assert_allclose(found, [[0.3, 0.4, 0.3]], rtol=1e-15)


def test_group_cap_pushes_into_other_groups_only() -> None:
    sizes = np.array([[40.0, 30, 20, 10]])
    found = cap_weights(sizes / 100, Caps(group=0.5), slugs=list("abcd"), groups=["g", "g", "h", "i"])
    np.testing.assert_allclose(found, [[0.5 * 4 / 7, 0.5 * 3 / 7, 1 / 3, 1 / 6]], rtol=1e-14)
    found = cap_weights(sizes / 100, Caps(per_group={"h": 0.1}), slugs=list("abcd"), groups=["g", "g", "h", "i"])
    np.testing.assert_allclose(found, [[0.45, 0.3375, 0.1, 0.1125]], rtol=1e-14)


def test_infeasible_group_caps_are_refused_with_the_room_of_each_group() -> None:
    weights = np.array([[0.4, 0.3, 0.3]])
    message = (
        r"basket 1: group caps cannot hold: groups may weigh at most 0.8 together \(g 0.4, h 0.4\), 1 is needed; "
        "raise the group cap or the single cap, or admit another group"
    )
    with pytest.raises(MethodologyError, match=message):
        cap_weights(weights, Caps(group=0.4), slugs=list("abc"), groups=["g", "g", "h"])
    with pytest.raises(MethodologyError, match=message):
        cap_weights(weights, Caps(group=0.4), slugs=list("abc"), groups=["g", "g", "h"])
    with pytest.raises(MethodologyError, match=r"floors of group g need 0\.5, its cap is 0\.4; lower the floor"):
        cap_weights(weights, Caps(floor=0.25, per_group={"g": 0.4}), slugs=list("abc"), groups=["g", "g", "h"])


@st.composite
def baskets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes over many orders of magnitude with feasible floors and caps."""
    count = draw(st.integers(2, 14))
    sizes = np.exp(draw(st.lists(st.floats(-14, 14), min_size=count, max_size=count)))
    share = np.array(draw(st.lists(st.floats(0, 1), min_size=count, max_size=count)))
    lo = share / max(share.sum(), 1.0) * draw(st.sampled_from([0.0, 0.3, 0.9]))
    extra = np.array(draw(st.lists(st.floats(0.01, 1), min_size=count, max_size=count)))
    hi = lo + extra * max(1.0, 1.02 * (1 - lo.sum()) / extra.sum())
    return sizes, lo, hi


@given(baskets())
@settings(max_examples=300)
def test_weights_sum_to_one_within_bounds_and_share_one_level(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    sizes, lo, hi = case
    found = water_fill(sizes, lo, hi)
    assert found.sum() == pytest.approx(1.0, abs=1e-12)
    assert (found >= lo - 1e-15).all()
    assert (found <= hi + 1e-15).all()
    level = found / sizes
    free = (found > lo * (1 + 1e-9)) & (found < hi * (1 - 1e-9))
    if free.any():
        common = level[free].mean()
        np.testing.assert_allclose(level[free], common, rtol=1e-9)
        assert (level[found >= hi * (1 - 1e-9)] <= common * (1 + 1e-9)).all()  # capped ones would have more
        assert (level[(found <= lo * (1 + 1e-9)) & (lo < hi)] >= common * (1 - 1e-9)).all()


@given(baskets(), st.floats(1e-9, 1e9), st.randoms())
@settings(max_examples=100)
def test_scale_and_order_change_nothing(case: tuple[np.ndarray, ...], scale: float, random: object) -> None:
    sizes, lo, hi = case
    found = water_fill(sizes, lo, hi)
    np.testing.assert_allclose(water_fill(sizes * scale, lo, hi), found, rtol=1e-9, atol=1e-14)
    order = np.array(sorted(range(len(sizes)), key=lambda _: random.random()))  # type: ignore[attr-defined]
    np.testing.assert_allclose(water_fill(sizes[order], lo[order], hi[order]), found[order], rtol=1e-9, atol=1e-14)


@given(st.lists(st.floats(1e-3, 1e6), min_size=5, max_size=20), st.floats(0.2, 1.0))
@settings(max_examples=200)
def test_repeated_capping_converges_to_the_same_weights(sizes: list[float], cap: float) -> None:
    m = np.array(sizes)
    np.testing.assert_allclose(water_fill(m, 0.0, cap), iterated(m, cap), rtol=1e-9, atol=1e-13)


def test_many_baskets_at_once_equal_one_by_one() -> None:
    rng = np.random.default_rng(3)
    sizes = np.exp(rng.normal(0, 2, (200, 12))) * (rng.random((200, 12)) < 0.8)
    hi = np.where(sizes > 0, 0.25, 0.0)
    together = water_fill(sizes, 0.0, hi)
    apart = np.array([water_fill(row, 0.0, top) for row, top in zip(sizes, hi, strict=True)])
    np.testing.assert_array_equal(together, apart)


@st.composite
def grouped(draw: st.DrawFn) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    """Sizes, a single cap, groups and feasible group caps."""
    count = draw(st.integers(6, 16))
    sizes = np.exp(draw(st.lists(st.floats(-6, 6), min_size=count, max_size=count)))
    groups = np.array([*range(4), *draw(st.lists(st.integers(0, 3), min_size=count - 4, max_size=count - 4))])
    single = draw(st.floats(0.26, 1.0))
    return sizes, single, groups, np.array(draw(st.lists(st.floats(0.26, 1.0), min_size=4, max_size=4)))


@given(grouped())
@settings(max_examples=300)
def test_group_caps_hold_and_agree_with_nested_bisection(
    case: tuple[np.ndarray, float, np.ndarray, np.ndarray],
) -> None:
    sizes, single, groups, group_hi = case
    lo, hi = np.zeros((1, len(sizes))), np.full((1, len(sizes)), single)
    found = water_fill_groups(sizes[None], lo, hi, groups=groups, group_hi=group_hi)[0]
    sums = np.bincount(groups, found, minlength=4)
    assert found.sum() == pytest.approx(1.0, abs=1e-12)
    assert (sums <= group_hi + 1e-12).all()
    assert (found <= single + 1e-12).all()

    def group_sums(level: float) -> np.ndarray:
        return np.minimum(np.bincount(groups, np.minimum(level * sizes, single), minlength=4), group_hi)

    low, high = 0.0, 1e9
    for _ in range(300):
        middle = (low + high) / 2
        low, high = (middle, high) if group_sums(middle).sum() < 1 else (low, middle)
    np.testing.assert_allclose(sums, group_sums(high), rtol=1e-9, atol=1e-12)


@given(grouped())
@settings(max_examples=100)
def test_a_group_cap_that_does_not_bind_changes_nothing(case: tuple[np.ndarray, float, np.ndarray, np.ndarray]) -> None:
    sizes, single, groups, _ = case
    lo, hi = np.zeros((1, len(sizes))), np.full((1, len(sizes)), single)
    found = water_fill_groups(sizes[None], lo, hi, groups=groups, group_hi=np.ones(4))
    np.testing.assert_array_equal(found, water_fill(sizes[None], lo, hi))
