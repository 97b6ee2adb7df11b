"""Rolling beta, rolling HAC and Kalman beside their peers: ratios in one process, not a test.

`run()` gives the rows that `python -m benchmarks` prints; `python -m benchmarks.bench_beta` prints them alone
(`--quick` leaves the million rows out). A peer that would take minutes is timed on a slice and scaled: its name
says so.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.analytics.rolling import rolling_beta, rolling_hac
from indexer.analytics.time_varying import KalmanModel, kalman_filter

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW, BENCHMARKS = 90, 10


def best_ms(function: Callable[[], object], repeats: int) -> float:
    """Least wall-clock milliseconds of some calls, the first one not counted."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def best_pair_ms(ours: Callable[[], object], peer: Callable[[], object], *, rounds: int) -> tuple[float, float]:
    """Least milliseconds of both, taken in turns, so that a busy moment of the machine meets both."""
    times = [(best_ms(ours, 10), best_ms(peer, 1)) for _ in range(rounds)]
    return min(mine for mine, _ in times), min(theirs for _, theirs in times)


def series(rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.01, (rows, BENCHMARKS))
    return x, 1.5 * x[:, 0] + rng.normal(0, 0.02, rows)


def pandas_rolling(x: np.ndarray, y: np.ndarray) -> Any:
    """Beta, R² and standard error by rolling cov and var, as one would write it."""
    import pandas as pd

    frame, target = pd.DataFrame(x), pd.Series(y)
    var = frame.rolling(WINDOW).var()
    beta = frame.rolling(WINDOW).cov(target) / var
    total = target.rolling(WINDOW).var().to_numpy()[:, None]
    r2 = beta * beta * var / total
    se = ((1 - r2) * total / var / (WINDOW - 2)) ** 0.5
    return beta, r2, se


def statsmodels_rolling(x: np.ndarray, y: np.ndarray) -> None:
    from statsmodels.regression.rolling import RollingOLS
    from statsmodels.tools import add_constant

    for place in range(x.shape[1]):
        fit = RollingOLS(y, add_constant(x[:, place]), window=WINDOW).fit()
        _ = fit.params, fit.bse, fit.rsquared


def statsmodels_hac(x: np.ndarray, y: np.ndarray) -> None:
    import statsmodels.api as sm

    design = sm.add_constant(x)
    for end in range(WINDOW, len(y) + 1):
        window = slice(end - WINDOW, end)
        kwds = {"maxlags": 3, "use_correction": True}
        _ = sm.OLS(y[window], design[window]).fit(cov_type="HAC", cov_kwds=kwds).bse


def row(name: str, ours_ms: float, *, peer: str, peer_ms: float, goal: float) -> dict[str, Any]:
    return {
        "name": name,
        "ours_ms": ours_ms,
        "peer": peer,
        "peer_ms": peer_ms,
        "ratio": peer_ms / ours_ms,
        "goal": f">= {goal:g}x",
    }


def bench_rolling() -> list[dict[str, Any]]:
    x, y = series(3_650)
    ours = best_ms(lambda: rolling_beta(x, y, [WINDOW]), 30)
    name = f"rolling beta, R², s.e. {WINDOW} x {BENCHMARKS}, 3,650 rows"
    return [
        row(name, ours, peer="statsmodels RollingOLS", peer_ms=best_ms(lambda: statsmodels_rolling(x, y), 1), goal=500),
        row(name, ours, peer="pandas rolling", peer_ms=best_ms(lambda: pandas_rolling(x, y), 10), goal=2.5),
    ]


def bench_rolling_million() -> list[dict[str, Any]]:
    x, y = series(1_000_000)
    ours, peer_ms = best_pair_ms(lambda: rolling_beta(x, y, [WINDOW]), lambda: pandas_rolling(x, y), rounds=3)
    name = f"rolling beta, R², s.e. {WINDOW} x {BENCHMARKS}, 1,000,000 rows, all cores"
    return [row(name, ours, peer="pandas rolling", peer_ms=peer_ms, goal=3)]


def bench_hac() -> list[dict[str, Any]]:
    x, y = series(3_650)
    part = WINDOW + 199
    scale = (3_650 - WINDOW + 1) / (part - WINDOW + 1) * BENCHMARKS
    ours, slice_ms = best_pair_ms(
        lambda: rolling_hac(x, y, window=WINDOW, lag=3), lambda: statsmodels_hac(x[:part, 0], y[:part]), rounds=2
    )
    peer = slice_ms * scale
    name = f"rolling HAC s.e. {WINDOW} x {BENCHMARKS}, 3,650 rows"
    return [row(name, ours, peer=f"statsmodels per window, scaled x{scale:.0f}", peer_ms=peer, goal=100)]


def bench_kalman() -> list[dict[str, Any]]:
    from pykalman import KalmanFilter

    x, y = series(3_650)
    x = x[:, 0]
    model = KalmanModel(1e-8, 1e-3, 4e-4, beta0=1.0, p_alpha0=1e-4, p_beta0=1.0)
    peer = KalmanFilter(
        transition_matrices=np.eye(2),
        observation_matrices=np.column_stack([np.ones_like(x), x])[:, None, :],
        transition_covariance=np.diag([1e-8, 1e-3]),
        observation_covariance=[[4e-4]],
        initial_state_mean=[0.0, 1.0],
        initial_state_covariance=np.diag([1e-4, 1.0]),
    )

    def both() -> None:
        peer.filter(y)
        peer.loglikelihood(y)

    def filtered() -> None:
        kalman_filter(x, y, model=model, smooth=False)

    name = "Kalman beta, filtered, 3,650 rows"
    ours, peer_ms = best_pair_ms(filtered, lambda: peer.filter(y), rounds=3)
    # What ours gives as well: a filter without its likelihood chooses no variances.
    same, both_ms = best_pair_ms(filtered, both, rounds=2)
    return [
        row(name, ours, peer="pykalman filter", peer_ms=peer_ms, goal=300),
        row(f"{name}, with the likelihood", same, peer="pykalman filter, loglikelihood", peer_ms=both_ms, goal=300),
    ]


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """One row per comparison: name, ours_ms, peer, peer_ms, ratio, goal."""
    rows = bench_rolling() + bench_hac() + bench_kalman()
    return rows if quick else rows + bench_rolling_million()


def main() -> None:
    for line in run(quick="--quick" in sys.argv[1:]):
        print(
            f"{line['name']:<52} {line['ours_ms']:>10.2f} ms   {line['peer']:<38} {line['peer_ms']:>12.1f} ms"
            f"   {line['ratio']:>8.1f}x   goal {line['goal']}"
        )


if __name__ == "__main__":
    main()
