"""Simulated markets with a known beta: intervals cover; at the close and Dimson find it, the date join does not."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

import numpy as np
import pytest

from indexer.analytics.align import align_at, sessions
from indexer.analytics.beta import compute_beta
from indexer.analytics.beta_variants import dimson_beta
from indexer.analytics.series import lag_scan
from indexer.times import DAY_US, HOUR_US, to_us

TRUE = 1.5


def test_intervals_cover_in_93_to_97_percent_of_2000_runs():
    rng = np.random.default_rng(1)
    runs, n = 2_000, 90
    covered = {"normal": 0, "fat tails": 0}
    for _ in range(runs):
        x = rng.normal(0, 0.012, n)
        for name, noise in (("normal", rng.normal(0, 0.03, n)), ("fat tails", 0.02 * rng.standard_t(4, n))):
            got = compute_beta(x, TRUE * x + noise)
            covered[name] += got.ci_low <= TRUE <= got.ci_high
    assert all(0.93 <= hits / runs <= 0.97 for hits in covered.values()), covered


def test_hac_interval_covers_where_ols_does_not():
    """Autocorrelated regressor and residual: OLS covers far too little, the larger of the two nearly enough."""
    rng = np.random.default_rng(2)
    ours = ols = 0
    for _ in range(400):
        raw = rng.normal(size=(2, 300))
        for t in range(1, 300):
            raw[:, t] += 0.5 * raw[:, t - 1]
        got = compute_beta(raw[0], TRUE * raw[0] + raw[1])
        ours += abs(got.beta - TRUE) <= 1.96 * got.se
        ols += abs(got.beta - TRUE) <= 1.96 * got.se_ols
    assert ols / 400 < 0.89 and ours / 400 > ols / 400 + 0.02 and ours / 400 > 0.90


@pytest.fixture(scope="module")
def world():
    """Ten years of half-hours: a latent equity price round the clock, tokens = 1.5 of it and noise of their own."""
    listed = sessions(date(2010, 1, 4), date(2019, 12, 31))
    start, end = to_us(datetime(2010, 1, 1, tzinfo=UTC)), to_us(datetime(2020, 1, 2, tzinfo=UTC))
    times = np.arange(start, end, HOUR_US // 2)
    rng = np.random.default_rng(3)
    equity = np.cumsum(rng.normal(0, 0.012 / math.sqrt(48), times.size))
    token = TRUE * equity + np.cumsum(rng.normal(0, 0.02 / math.sqrt(48), times.size))
    close = equity[np.searchsorted(times, listed.closes_us)]
    midnight = times % DAY_US == 0
    return (
        listed,
        times,
        np.exp(token),
        np.exp(close),
        dict(zip((times[midnight] // DAY_US).tolist(), token[midnight], strict=True)),
    )


def joined(world, offset):
    """Returns of both sides joined on the date; the value of a date is taken `offset` days after its 00:00 UTC."""
    listed, _, _, closes, midnight = world
    epoch = date(1970, 1, 1)
    value = np.array([midnight[(day - epoch).days + offset] for day in listed.dates])
    return np.diff(np.log(closes)), np.diff(value)


def test_at_close_finds_the_true_beta(world):
    listed, times, token, closes, _ = world
    got = align_at(times, token, listed.closes_us, closes)
    fit = compute_beta(got.x[:, 0], got.y)
    assert got.dropped == 0 and abs(fit.beta - TRUE) < 3 * fit.se
    assert not lag_scan(got.x[:, 0], got.y).shifted


@pytest.mark.parametrize("offset", [0, 1])
def test_the_naive_join_does_not_and_dimson_does(world, offset):
    x, y = joined(world, offset)
    naive, corrected = compute_beta(x, y), dimson_beta(x, y)
    assert naive.beta < TRUE - 5 * naive.se, "the date join is not biased here: the comparison says nothing"
    assert abs(corrected.beta - TRUE) < 3 * corrected.se
    assert corrected.se > 1.3 * naive.se  # the price of the correction must be shown with it


def test_a_stamp_one_day_off_trips_the_sentinel(world):
    x, y = joined(world, 1)
    assert not lag_scan(x, y).shifted
    assert lag_scan(x[1:], y[:-1]).shifted and lag_scan(x[:-1], y[1:]).shifted
