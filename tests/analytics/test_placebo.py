"""Placebo dates: the batch is the event study at every row, its p is honest where the t test's is not."""

from __future__ import annotations

import numpy as np
import pytest

from indexer.analytics.event_study import EventWindows, event_study, fit_every_row, holm, placebo, quiet_rows


@pytest.mark.parametrize(("first", "last"), [(0, 0), (-1, 5), (-5, 20)])
def test_the_batch_equals_the_study_at_every_row(first, last):
    rng = np.random.default_rng(7)
    x = rng.normal(size=(220, 2))
    y = x @ [1.5, -0.5] + rng.normal(size=220)
    y[[40, 90]], x[120, 1] = np.nan, np.nan
    windows = EventWindows(first, last, 60, -11)
    t = fit_every_row(y, x, length=60, end=-11).t(first, last)
    one_by_one = [event_study(y, x, row=row, windows=windows).t for row in range(220)]
    assert t == pytest.approx(np.array([np.nan if value is None else value for value in one_by_one]), nan_ok=True)
    assert np.isfinite(t).sum() > 60


def test_a_short_or_constant_history_has_no_placebo():
    assert not np.isfinite(fit_every_row(np.ones(20), np.ones((20, 1)), length=60, end=-11).t(0, 0)).any()
    still = fit_every_row(np.random.default_rng(0).normal(size=200), np.ones((200, 1)), length=60, end=-11)
    assert not np.isfinite(still.t(0, 0)).any()
    assert placebo(2.0, np.full(29, 1.0), df=100).p_placebo is None
    assert placebo(None, np.full(100, 1.0), df=100).p_placebo is None


def test_fat_tails_make_the_t_test_reject_too_often_and_the_placebo_not():
    """Days of changing variance: the t test rejects more than 5 %, the p among other days does so by construction."""
    rng = np.random.default_rng(3)
    everyday = rng.standard_t(2.5, size=400) * 1.3
    unusual = [placebo(everyday[n], np.delete(everyday, n), df=118) for n in range(400)]
    assert unusual[0].placebo_rejects > 0.07
    assert np.mean([one.p_placebo <= 0.05 for one in unusual]) == pytest.approx(0.05, abs=0.01)
    assert placebo(1e9, everyday, df=118).p_placebo == 1 / 401


def test_quiet_rows_leave_out_other_events_and_windows_with_the_event_itself():
    quiet = quiet_rows(20, [3, 4], row=10, windows=EventWindows(-1, 2, 10, -3))
    assert np.flatnonzero(~quiet).tolist() == [3, 4, 8, 9, 10, 11]


def test_holm_by_hand():
    assert holm([0.01, None, 0.04, 0.03]) == [pytest.approx(0.03), None, pytest.approx(0.06), pytest.approx(0.06)]
    assert holm([0.6, 0.5]) == [1.0, 1.0]
