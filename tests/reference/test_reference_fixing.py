"""The minute fixing: golden numbers, gates with memory, staleness by tempo, quorum, and the 12-partition defence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import InputError
from indexer.reference.fixing import fixing_rates, minute_cube
from indexer.reference.rules import FixingRules, Method, RateStatus, Verdict, twap_weights
from indexer.sources.records import Bars
from indexer.times import MINUTE_US

NAN = float("nan")
AT = 1_738_000_800_000_000 // MINUTE_US * MINUTE_US


def flat(levels: list[float]) -> np.ndarray:
    """(1, V, 60): venues that trade each minute at their level, with a little honest movement."""
    wave = 1.0 + 1e-5 * np.sin(np.arange(60.0))
    return np.array(levels)[None, :, None] * wave


def volumes_like(prices: np.ndarray) -> np.ndarray:
    return 1_000.0 + np.arange(60.0) + 0.0 * prices


def words(verdicts: np.ndarray) -> list[str]:
    return [Verdict(int(v)).name for v in verdicts[0]]


def test_the_rate_is_the_mean_of_twelve_volume_weighted_medians() -> None:
    prices = np.full((1, 2, 60), NAN)
    volumes = np.full((1, 2, 60), NAN)
    prices[0, 0, 0:4], volumes[0, 0, 0:4] = [100, 101, 99, 105], [1, 2, 1, 3.9]  # the golden vector → 101
    prices[0, 1, 58], volumes[0, 1, 58] = 103.0, 5.0
    got = fixing_rates(prices, volumes, rules=FixingRules(tempo_gaps=1000.0))
    np.testing.assert_array_equal(got.partitions[0], [101] + [NAN] * 10 + [103])
    assert got.rate[0] == 102.0
    assert got.status[0] == RateStatus.INDICATIVE
    assert got.method == "partition-vwm/2"


def test_one_minute_at_a_hundredfold_with_most_of_the_volume_does_not_move_the_rate() -> None:
    prices = flat([100.0, 100.01, 99.99])
    volumes = volumes_like(prices)
    clean = fixing_rates(prices, volumes)
    prices[0, 1, 30] *= 100.0
    volumes[0, 1, 30] = 1e9
    got = fixing_rates(prices, volumes)
    assert abs(got.rate[0] / clean.rate[0] - 1.0) < 1e-5
    assert words(got.verdicts) == ["USED"] * 3


def test_hysteresis_over_fixings_out_at_30_still_out_at_6_back_at_2() -> None:
    memory = None
    seen = []
    for third in (100.0, 130.0, 101.5, 101.1, 100.9, 101.5):
        prices = flat([100.0, 100.0, third])
        got = fixing_rates(prices, volumes_like(prices), memory=memory)
        memory = got.memory(seconds_to_next=3600)
        seen.append(words(got.verdicts)[2])
        assert got.status[0] == (RateStatus.FINAL if seen[-1] == "USED" else RateStatus.INDICATIVE)
    # θ = 2 %: out at 30 %, under θ but not under θ/2 at 1.5 and 1.1, back at 0.9, and 1.5 is then fine
    assert seen == ["USED", "OUTLIER", "OUTLIER", "OUTLIER", "USED", "USED"]


@pytest.mark.parametrize("gaps", [(1, 4, 8), (1, 8)])
def test_a_thin_venue_in_a_fast_hour_is_no_outlier_and_a_liar_is_one(gaps: tuple[int, ...]) -> None:
    """Up a tenth in the hour; the thin ones traded early, so medians of the hour alone are up to 2.9 % apart."""
    prices = np.broadcast_to(np.linspace(100.0, 110.0, 60), (1, len(gaps), 60)).copy()
    for venue, gap in enumerate(gaps):
        prices[0, venue, (np.arange(60) % gap != 0) | (gap > 1) * (np.arange(60) >= 36)] = NAN
    prices[0, -1, [1, 2, 3]] = prices[0, 0, [1, 2, 3]]
    calm = fixing_rates(np.full((1, len(gaps), 60), 100.0) * flat([1.0] * len(gaps)), np.ones(prices.shape))
    before, lasting = calm.memory(seconds_to_next=3600), {"tempo_gaps": 1000.0}
    here = fixing_rates(prices, np.ones(prices.shape), memory=before, rules=FixingRules(**lasting))
    assert words(here.verdicts) == ["USED"] * len(gaps)
    alone = fixing_rates(prices, np.ones(prices.shape), memory=before, rules=FixingRules(aligned=False, **lasting))
    assert "OUTLIER" in words(alone.verdicts)
    prices[0, -1] *= 1.03
    liar = fixing_rates(prices, np.ones(prices.shape), memory=before, rules=FixingRules(**lasting))
    assert words(liar.verdicts) == ["USED"] * (len(gaps) - 1) + ["OUTLIER"]


def test_two_venues_use_the_mad_test_against_the_last_hour() -> None:
    first = fixing_rates(flat([100.0, 100.0]), volumes_like(flat([1, 1])))
    memory = first.memory(seconds_to_next=3600)
    prices = flat([100.01, 101.5])
    got = fixing_rates(prices, volumes_like(prices), memory=memory)
    assert words(got.verdicts) == ["USED", "OUTLIER"]
    assert got.status[0] == RateStatus.DEGRADED
    assert abs(got.rate[0] / 100.01 - 1) < 1e-5
    both = flat([103.0, 103.1])  # a true move: both fail the test, they agree with each other, both stay
    moved = fixing_rates(both, volumes_like(both), memory=memory)
    assert words(moved.verdicts) == ["USED", "USED"]
    assert moved.status[0] == RateStatus.INDICATIVE
    cent = flat([100.0, 100.4])  # MAD near zero must not exclude a venue 0.4 % away (the second clause)
    assert words(fixing_rates(cent, volumes_like(cent), memory=memory).verdicts) == ["USED", "USED"]


def test_without_a_last_hour_nobody_of_two_can_be_called_wrong() -> None:
    prices = flat([100.0, 130.0])
    got = fixing_rates(prices, volumes_like(prices))
    assert words(got.verdicts) == ["USED", "USED"]


def test_the_last_venue_is_kept_and_marked_doubtful() -> None:
    memory = fixing_rates(flat([100.0, 100.0, 130.0]), volumes_like(flat([1, 1, 1]))).memory(seconds_to_next=3600)
    prices = flat([100.0, 100.0, 130.0])
    prices[0, :2] = NAN
    got = fixing_rates(prices, volumes_like(prices), memory=memory)
    assert words(got.verdicts) == ["NO_DATA", "NO_DATA", "USED"]
    assert got.status[0] == RateStatus.DEGRADED
    assert got.doubtful[0]


def test_staleness_follows_the_tempo_of_trading() -> None:
    prices = flat([100.0, 100.0, 100.0, 100.0])
    prices[0, 1, 45:] = NAN  # traded every minute, silent for 15: stale
    thin = np.full(60, NAN)
    thin[[2, 14, 26, 40]] = 100.0  # trades every 12 minutes, silent for 19: its usual tempo
    prices[0, 2] = thin
    got = fixing_rates(prices, volumes_like(prices))
    assert words(got.verdicts) == ["USED", "STALE", "USED", "USED"]
    assert got.venue_age_s[0].tolist() == [0, 900, 1140, 0]


def test_staleness_by_trade_counts_is_a_hundred_mean_gaps() -> None:
    prices = flat([100.0, 100.0])
    prices[0, 0, 57:] = NAN  # silent for 180 s
    trades = np.full((1, 2, 60), 40.0)  # 57 minutes × 40 trades: a gap of 1.5 s, limit 150 s
    assert words(fixing_rates(prices, volumes_like(prices), trades=trades).verdicts) == ["STALE", "USED"]
    trades[0, 0] = 20.0  # limit 300 s
    assert words(fixing_rates(prices, volumes_like(prices), trades=trades).verdicts) == ["USED", "USED"]


def test_a_venue_that_repeats_one_candle_is_frozen() -> None:
    prices = flat([100.0, 100.0, 100.0])
    volumes = volumes_like(prices)
    prices[0, 0, 40:] = prices[0, 0, 40]
    volumes[0, 0, 40:] = volumes[0, 0, 40]
    assert words(fixing_rates(prices, volumes).verdicts) == ["STALE", "USED", "USED"]


def test_of_stale_venues_only_the_freshest_is_kept_and_the_status_says_degraded() -> None:
    prices = flat([100.0, 101.0])
    prices[0, 0, 30:] = NAN
    prices[0, 1, 40:] = NAN
    got = fixing_rates(prices, volumes_like(prices))
    assert words(got.verdicts) == ["STALE", "USED"]
    assert (got.status[0], bool(got.doubtful[0])) == (RateStatus.DEGRADED, True)


def test_carried_then_suspended_then_missing() -> None:
    prices = flat([100.0, 100.0, 100.0])
    memory = fixing_rates(prices, volumes_like(prices)).memory(seconds_to_next=3600)
    nothing = np.full_like(prices, NAN)
    rules = FixingRules(suspend_after_s=7200)
    seen = []
    for _ in range(4):
        got = fixing_rates(nothing, nothing, rules=rules, memory=memory)
        memory = got.memory(seconds_to_next=3600)
        seen.append((RateStatus(int(got.status[0])).name, float(got.age_s[0]), bool(np.isfinite(got.rate[0]))))
    assert seen == [
        ("CARRIED", 3600, True),
        ("CARRIED", 7200, True),
        ("SUSPENDED", 10800, False),
        ("SUSPENDED", 14400, False),
    ]
    never = fixing_rates(nothing, nothing)
    assert never.status[0] == RateStatus.MISSING
    assert np.isnan(never.rate[0])


def test_untraded_minutes_do_not_count() -> None:
    prices = flat([100.0, 100.0, 90.0])
    volumes = volumes_like(prices)
    volumes[0, 2] = 0.0  # a venue that repeats a price without trades
    assert words(fixing_rates(prices, volumes).verdicts) == ["USED", "USED", "NO_DATA"]


def test_twap_weights_are_the_published_ones_and_the_rate_leans_on_the_last_minutes() -> None:
    weights = twap_weights()
    assert len(weights) == 61
    assert weights.sum() == pytest.approx(0.999986, abs=1e-12)
    prices = np.full((1, 1, 60), 100.0)
    prices[0, 0, -1] = 102.0
    got = fixing_rates(prices, volumes_like(prices), rules=FixingRules(method=Method.LINEAR_TWAP))
    assert got.rate[0] == pytest.approx(100 + 2 * 0.05 / 0.999986, rel=1e-14)
    assert got.method == "linear-twap/2"


def test_twap_fills_empty_minutes_from_the_next_and_the_last_from_the_previous() -> None:
    prices = np.full((1, 1, 60), NAN)
    prices[0, 0, [10, 50]] = [100.0, 110.0]
    rules = FixingRules(method=Method.LINEAR_TWAP, tempo_gaps=1000.0)
    got = fixing_rates(prices, np.ones_like(prices), rules=rules)
    weights = twap_weights()[1:]
    assert got.rate[0] == pytest.approx((100 * weights[:11].sum() + 110 * weights[11:].sum()) / weights.sum())


def test_wrong_shapes_and_rules_are_named() -> None:
    with pytest.raises(InputError, match=r"a fixing takes equal \(assets, venues, 60\) arrays"):
        fixing_rates(np.ones((1, 2, 59)), np.ones((1, 2, 59)))
    with pytest.raises(InputError, match="7 partitions do not divide the 60 minutes"):
        FixingRules(partitions=7)
    with pytest.raises(InputError, match="theta is a fraction between 0 and 1, not 5"):
        FixingRules(theta=5)


def minute_bars(level: float, *, count: int = 60, quote: str = "USD") -> Bars:
    times = AT - MINUTE_US * np.arange(count - 1, -1, -1)
    price = np.full(count, level) * (1 + 1e-5 * np.cos(np.arange(count)))
    volume = 1000.0 + np.arange(count)
    return Bars(times, price, price, price, price, volume / price, volume, quote)


def test_minutes_of_named_venues_lie_in_their_row_and_minute() -> None:
    venues = {"binance": minute_bars(100), "kraken": minute_bars(100.02, count=59), "okx": minute_bars(130)}
    prices, values = minute_cube([venues, {}], tuple(venues), at_us=AT)
    assert prices.shape == values.shape == (2, 3, 60)
    assert np.isnan(prices[0, 1]).tolist() == [True] + [False] * 59, "the hour is laid against its end"
    assert np.isnan(prices[1]).all()
    fixing = fixing_rates(prices, values)
    assert abs(fixing.rate[0] / 100.01 - 1) < 1e-3
    assert words(fixing.verdicts) == ["USED", "USED", "OUTLIER"]
    assert fixing.status.tolist() == [RateStatus.INDICATIVE, RateStatus.MISSING]


def test_a_fixing_takes_whole_minutes_and_dollars_only() -> None:
    with pytest.raises(InputError, match="a fixing is at a whole minute"):
        minute_cube([{"x": minute_bars(1)}], ("x",), at_us=AT + 1)
    with pytest.raises(InputError, match=r"okx: minute bars are in USDT; convert them with records\.in_usd first"):
        minute_cube([{"okx": minute_bars(1, quote="USDT")}], ("okx",), at_us=AT)


@given(
    st.lists(st.sampled_from([NAN, 90.0, 99.9, 100.0, 100.1, 130.0]), min_size=1, max_size=5),
    st.booleans(),
)
def test_a_rate_never_leaves_the_used_venues_and_somebody_is_always_used(levels: list[float], again: bool) -> None:
    prices = flat(levels)
    volumes = volumes_like(prices)
    memory = fixing_rates(flat([100.0] * len(levels)), volumes).memory(seconds_to_next=3600) if again else None
    got = fixing_rates(prices, volumes, memory=memory)
    used = got.verdicts[0] == Verdict.USED
    assert used.any() == bool(np.isfinite(levels).any())
    if used.any():
        inside = prices[0, used]
        assert np.nanmin(inside) * (1 - 1e-12) <= got.rate[0] <= np.nanmax(inside) * (1 + 1e-12)
