"""Rolling beta, alpha, R² and standard error over many benchmarks at once, exact and in linear time.

Block prefix/suffix sums (van Herk): time is cut in blocks of w rows, and every window that ends in a block is
a suffix of the previous block plus a prefix of this one. Both are shifted by the block's first row, which is a
member of every such window, so nothing is ever subtracted out, nothing older than w rows has any influence,
a missing value touches exactly the w windows that contain it, and centring loses at most log2(w) bits
(sum (x - s)² <= w Sxx when s is one of the w points). Measured: docs/analytics.md, "Speed".
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from indexer.analytics.linear import auto_lag, t_quantile
from indexer.analytics.series import ZERO_VARIANCE, as_series
from indexer.arrays import F64, ArrayLike, Bools
from indexer.errors import InputError

# Elements of one sums array (w rows, 3 sums, columns) worked on at a time, so that it stays in cache.
CHUNK_ELEMENTS = 1 << 18
# From this many windows on the chunks are shared out among threads: below, starting them costs more.
WORTH_SHARING = 1_000_000
MAX_HANDS = 4


@dataclass(frozen=True, slots=True)
class RollingBeta:
    """Arrays (T, B), row t over the `window` rows ending at t; NaN where the window has no answer.

    A window is NaN when it is not full, holds a missing value on either side, or its benchmark or index does
    not move. `se` is the OLS error; see `rolling_hac` for Newey-West.
    """

    window: int
    beta: F64
    alpha: F64
    r2: F64
    se: F64


def rolling_beta(x: ArrayLike, y: ArrayLike, windows: Iterable[int]) -> dict[int, RollingBeta]:
    """Rolling OLS of y (T,) on each column of x (T,) or (T, B), for each window length.

    Rows must be consecutive intervals of one clock with NaN where one is missing (`align_grid`), so that a
    window is a span of time. Raises InputError on a window under 3 or on unequal lengths.
    """
    rows = as_series(y, "y")
    columns = np.asarray(x, dtype=np.float64)
    columns = columns[:, None] if columns.ndim == 1 else columns
    if columns.ndim != 2 or columns.shape[0] != rows.size:
        raise InputError(f"x {columns.shape} and y ({rows.size},) must have the same rows")
    return {window: _one_window(columns, rows, window=window) for window in windows}


class _Workspace:
    """Arrays reused by every chunk of one call: fresh memory costs more in page faults than in arithmetic.

    One slab, so that the allocator keeps it for the next call instead of returning it to the system.
    """

    def __init__(self, *, window: int, width: int, blocks: int) -> None:
        columns = 3 * width + 2
        read = (width + 1) * (blocks + 1)
        sizes = [window * size for size in (read, read, columns * blocks)]
        slab = np.empty(sum(sizes) + max(columns, 4 * width) * window * blocks)
        rows, cube, sums, rest = np.split(slab, np.cumsum(sizes))
        self.rows = rows.reshape(window * (blocks + 1), width + 1)
        self.cube = cube.reshape(window, width + 1, blocks + 1)
        self.sums = sums.reshape(window, columns, blocks)
        # The tails are added to the sums before the statistics need room.
        self.tail = rest[: window * columns * blocks].reshape(window, columns, blocks)
        self.scratch = rest[: 4 * window * width * blocks].reshape(4, window, width, blocks)


def _one_window(x: F64, y: F64, *, window: int) -> RollingBeta:
    if window < 3:
        raise InputError(f"window {window} is too short for a beta with an error; use at least 3")
    rows, width = x.shape
    out = RollingBeta(window, *np.empty((4, rows, width)))
    total = max(1, -(-rows // window))
    chunks = -(-total // max(1, CHUNK_ELEMENTS // ((3 * width + 2) * window)))
    blocks = -(-total // chunks)
    starts = range(0, total, blocks)
    hands = min(os.cpu_count() or 1, MAX_HANDS) if rows * width >= WORTH_SHARING else 1

    def work_on(share: Iterable[int]) -> None:
        work = _Workspace(window=window, width=width, blocks=blocks)
        for first in share:
            start, stop = first * window, min((first + blocks) * window, rows)
            _load(work, x, y, start=start)
            answers = _statistics(_window_sums(work), shift=work.cube[0, :, 1:], scratch=work.scratch)
            for target, answer in zip((out.beta, out.alpha, out.r2, out.se), answers, strict=True):
                target[start:stop] = answer.transpose(2, 0, 1).reshape(-1, width)[: stop - start]

    if hands == 1:
        work_on(starts)
    else:
        # Chunks share nothing but the input, and numpy lets go of the interpreter while it computes.
        with ThreadPoolExecutor(hands) as pool:
            list(pool.map(work_on, [starts[hand::hands] for hand in range(hands)]))
    return out


def _load(work: _Workspace, x: F64, y: F64, *, start: int) -> None:
    """Puts rows [start - w, start + blocks w) into the cube, NaN where there is no row."""
    rows = work.rows
    first = start - len(work.cube)
    low, high = max(first, 0), min(first + len(rows), y.size)
    # Before the first and after the last row there is nothing: those windows are not full and answer NaN.
    rows[: low - first] = np.nan
    rows[high - first :] = np.nan
    rows[low - first : high - first, :-1] = x[low:high]
    rows[low - first : high - first, -1] = y[low:high]
    blocks = work.cube.shape[2]
    work.cube[...] = rows.reshape(blocks, -1, rows.shape[1]).transpose(1, 2, 0)


def _window_sums(work: _Workspace) -> F64:
    """Shifted sums over the window ending at each row of each block, (w, 3 B + 2, blocks): see `_products`.

    An infinite value makes the sums of exactly its windows infinite or NaN, and so those windows' answers NaN.
    """
    cube, sums, tail = work.cube, work.sums, work.tail
    shift = cube[0, :, 1:]
    with np.errstate(invalid="ignore", over="ignore"):
        # Prefixes of this block.
        _products(cube[:, :, 1:], shift, out=sums)
        _accumulate(sums.reshape(len(sums), -1))
        # Suffixes of the block before, summed from its end; row 0 is left out, a whole block being a window of its own.
        _products(cube[:, :, :-1], shift, out=tail)
        _accumulate(tail.reshape(len(tail), -1)[:0:-1])
        sums[:-1] += tail[1:]
    return sums


def _accumulate(table: F64) -> None:
    """Adds to each row the one before it, in place; flat rows spare numpy a loop within each addition."""
    before, *rest = table
    for row in rest:
        before = np.add(row, before, out=row)


def _products(values: F64, shift: F64, *, out: F64) -> None:
    """Along the second axis: dx of each benchmark, dy; dx² of each, dy²; dx dy of each."""
    both = values.shape[1]
    moved = np.subtract(values, shift, out=out[:, :both])
    np.multiply(moved, moved, out=out[:, both : 2 * both])
    np.multiply(moved[:, :-1], moved[:, -1:], out=out[:, 2 * both :])


def _statistics(sums: F64, *, shift: F64, scratch: F64) -> F64:
    """(4, w, B, blocks): beta, alpha, r2, se of every window from its shifted sums, which are used up."""
    n, both = len(sums), len(shift)
    sum_x, sum_y = sums[:, : both - 1], sums[:, both - 1 : both]
    sum_xx, sum_yy = sums[:, both : 2 * both - 1], sums[:, 2 * both - 1 : 2 * both]
    sxy = sums[:, 2 * both :]
    # Each output doubles as room for a step on the way to it; the order below is what keeps them apart.
    beta, alpha, r2, se = scratch
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean_y = sum_y / n
        syy = sum_yy - mean_y * sum_y
        syy[~(syy > ZERO_VARIANCE * sum_yy)] = np.nan  # written so that NaN fails the test too
        mean_x = np.multiply(sum_x, 1.0 / n, out=alpha)
        sxx = np.subtract(sum_xx, np.multiply(mean_x, sum_x, out=se), out=se)
        if not sxx.min() > ZERO_VARIANCE * sum_xx.max():  # some window may not move, or holds a NaN: look at each
            sxx[~(sxx > ZERO_VARIANCE * sum_xx)] = np.nan
        sxy -= np.multiply(mean_x, sum_y, out=beta)
        np.divide(sxy, sxx, out=beta)
        np.multiply(beta, sxy, out=r2)
        r2 *= 1.0 / syy
        unexplained = np.subtract(1.0, r2, out=sum_xx)
        if not unexplained.min() > ZERO_VARIANCE:
            # Below this the shares are rounding of an exact fit (beta of a series on itself has error 0).
            unexplained[unexplained <= ZERO_VARIANCE] = 0.0
            np.minimum(r2, 1.0, out=r2)
        if np.isnan(syy).any():
            beta[np.isnan(r2)] = np.nan
        unexplained *= syy / (n - 2)
        np.sqrt(np.divide(unexplained, sxx, out=se), out=se)
        # `alpha` holds the shifted mean of x until here: undo the shift, then mean y - beta mean x.
        alpha += shift[:-1]
        alpha *= beta
        np.subtract(mean_y + shift[-1:], alpha, out=alpha)
    return scratch


# Windows worked on at a time: a (windows, w) array of this many elements stays in cache.
HAC_CHUNK_ELEMENTS = 1 << 14


def rolling_hac(x: ArrayLike, y: ArrayLike, *, window: int, lag: int | None = None) -> F64:
    """(T, B) HAC error of the slope over the `window` rows ending at each row, Bartlett, corrected by n/(n-2).

    NaN as in `rolling_beta`. V = [Σg² + 2 Σ_l w_l Σ g_t g_{t-l}] n/(n-2) / Sxx², g = u (x - mean x): only the
    centred score is needed, which equals the full sandwich.
    """
    rows = as_series(y, "y")
    columns = np.asarray(x, dtype=np.float64)
    columns = columns[:, None] if columns.ndim == 1 else columns
    if columns.shape[0] != rows.size:
        raise InputError(f"x {columns.shape} and y ({rows.size},) must have the same rows")
    if window < 3:
        raise InputError(f"window {window} is too short for a beta with an error; use at least 3")
    depth = min(auto_lag(window) if lag is None else lag, window - 1)
    out = np.full(columns.shape, np.nan)
    if rows.size < window:
        return out
    step = max(1, HAC_CHUNK_ELEMENTS // window)
    wide_y = sliding_window_view(np.where(np.isfinite(rows), rows, np.nan), window)
    for place in range(columns.shape[1]):
        column = np.ascontiguousarray(columns[:, place])
        wide_x = sliding_window_view(np.where(np.isfinite(column), column, np.nan), window)
        for start in range(0, len(wide_y), step):
            stop = min(start + step, len(wide_y))
            out[start + window - 1 : stop + window - 1, place] = _errors(
                wide_x[start:stop], wide_y[start:stop], lag=depth
            )
    return out


def _errors(x: F64, y: F64, *, lag: int) -> F64:
    n = x.shape[1]
    # Centring on a member first keeps a constant window exactly constant.
    shifted = x - x[:, :1]
    dx = shifted - shifted.mean(axis=1, keepdims=True)
    dy = y - y.mean(axis=1, keepdims=True)
    sxx = np.einsum("ij,ij->i", dx, dx)
    raw = np.einsum("ij,ij->i", shifted, shifted)
    with np.errstate(invalid="ignore", divide="ignore"):
        sxx[~(sxx > ZERO_VARIANCE * raw)] = np.nan
        beta = np.einsum("ij,ij->i", dx, dy) / sxx
        # In place: dy becomes the residual, then the score g = u dx, whose autocovariances make the meat.
        dy -= beta[:, None] * dx
        dy *= dx
        meat = np.einsum("ij,ij->i", dy, dy)
        for step in range(1, lag + 1):
            weight = 2.0 * (1.0 - step / (lag + 1.0))
            meat += weight * np.einsum("ij,ij->i", dy[:, step:], dy[:, :-step])
        errors: F64 = np.sqrt(np.maximum(meat, 0.0) * (n / (n - 2.0))) / sxx
    return errors


LARGE_SD = 2.0


@dataclass(frozen=True, slots=True)
class Predictions:
    """(M,) of each y that follows a whole window: its expected value given x, and half its prediction interval.

    `beta` is of the window before it. `large` marks an x more than two of the window's standard deviations away.
    """

    beta: F64
    expected: F64
    half: F64
    large: Bools


def predict(x: ArrayLike, y: ArrayLike, *, window: int, confidence: float) -> Predictions:
    """Predictions of y[window:] from least squares on the `window` pairs before each, complete and in order.

    Where x has one value more than y, the last prediction is of a y that has not been. The interval is
    a + b x ± t(n - 2) s √(1 + 1/n + (x - mean)²/Sxx) (Draper and Smith, 1998, §3.1); NaN where a window does not move.
    """
    moves, seen = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if not window <= seen.size <= moves.size <= seen.size + 1:
        raise InputError(f"{moves.size} and {seen.size} returns do not pair up into windows of {window}")
    past = moves[: seen.size]
    fit = rolling_beta(past, seen, [window])[window]
    beta, alpha, se = (column[window - 1 :, 0][: moves.size - window] for column in (fit.beta, fit.alpha, fit.se))
    before = sliding_window_view(past, window)[: moves.size - window]
    away = moves[window:] - before.mean(axis=1)
    sxx = before.var(axis=1) * window
    half = t_quantile(window - 2, 0.5 + confidence / 2.0) * se * np.sqrt(sxx * (1.0 + 1.0 / window) + away**2)
    large = np.abs(away) > LARGE_SD * np.sqrt(sxx / (window - 1))
    return Predictions(beta, alpha + beta * moves[window:], half, large)


def share_removed(y: F64, x: F64, ratio: F64) -> float:
    """How much of the mean square of y is gone in y - ratio x; negative where it grew, 0 where y does not move."""
    total = math.fsum(y * y)
    return 1.0 - math.fsum((y - ratio * x) ** 2) / total if total > 0.0 else 0.0
