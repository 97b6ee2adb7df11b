"""The simulated market: prices drawn from a seed, so that a later call extends and never changes history.

A latent equity price moves every hour, more in the exchange's session than outside it. Every token's log return
is 1.5 times the equity's plus a common crypto move and a move of its own; benchmarks are the equity seen at the
exchange's closes. So the index's true beta to the simulated QQQ is 1.5, and anyone can check what we estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.arrays import F64, I64
from indexer.registry.simulated import TOKENS
from indexer.times import DAY_US, HOUR_US, parse_instant

TRUE_BETA = 1.5
START_US = parse_instant("2025-01-01")
SEED = 20250127
EQUITY_YEARLY_SD = 0.22
CRYPTO_YEARLY_SD = 0.35
OWN_YEARLY_SD = 0.60
SESSION_HOURS = range(14, 21)
HOURS_A_YEAR = 365 * 24
# Betas of the simulated benchmarks to the latent equity, and their own yearly risk.
BENCHMARKS = {"QQQ": (1.0, 0.0), "NVDA": (1.8, 0.30), "SMH": (1.4, 0.15), "SPY": (0.8, 0.05)}


@dataclass(frozen=True, slots=True)
class SimulatedMarket:
    """Hourly closes: instants (T,), the latent equity (T,), tokens (T, 12) in USD, volumes (T, 12) in tokens."""

    times_us: I64
    equity: F64
    tokens: F64
    volumes: F64
    benchmarks: dict[str, F64]


def simulate(until_us: int) -> SimulatedMarket:
    """The market from 2025-01-01 to the last full hour at or before `until_us`."""
    hours = max(0, (until_us - START_US) // HOUR_US)
    rng = np.random.default_rng(SEED)
    width = 2 + 2 * TOKENS + len(BENCHMARKS)
    draws = rng.standard_normal((hours, width))  # row by row: a longer draw begins with the shorter one
    times = START_US + HOUR_US * np.arange(1, hours + 1, dtype=np.int64)
    day = times // DAY_US
    weekday = (day + 3) % 7 < 5
    hour = (times // HOUR_US) % 24
    in_session = weekday & np.isin(hour, list(SESSION_HOURS))
    tempo = np.where(in_session, 1.8, np.where(weekday, 0.5, 0.15))
    equity = draws[:, 0] * tempo * EQUITY_YEARLY_SD / HOURS_A_YEAR**0.5
    crypto = draws[:, 1] * CRYPTO_YEARLY_SD / HOURS_A_YEAR**0.5
    own = draws[:, 2 : 2 + TOKENS] * OWN_YEARLY_SD / HOURS_A_YEAR**0.5
    returns = TRUE_BETA * equity[:, None] + crypto[:, None] + own
    start = 2.0 ** np.arange(TOKENS)[::-1] / 8
    noise = draws[:, 2 + 2 * TOKENS :]
    seen = {
        symbol: 100 * np.exp(np.cumsum(beta * equity + noise[:, n] * sd / HOURS_A_YEAR**0.5))
        for n, (symbol, (beta, sd)) in enumerate(BENCHMARKS.items())
    }
    tokens = start * np.exp(np.cumsum(returns, axis=0))
    traded_usd = 400_000 * np.exp(0.5 * draws[:, 2 + TOKENS : 2 + 2 * TOKENS])
    return SimulatedMarket(times, 100 * np.exp(np.cumsum(equity)), tokens, traded_usd / tokens, seen)
