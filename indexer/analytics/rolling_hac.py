"""Rolling Newey-West standard errors of the slope, many windows at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from indexer.analytics.series import ZERO_VARIANCE, as_series
from indexer.analytics.standard_errors import auto_lag
from indexer.arrays import F64
from indexer.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# Windows worked on at a time: a (windows, w) array of this many elements stays in cache.
CHUNK_ELEMENTS = 1 << 14


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
    step = max(1, CHUNK_ELEMENTS // window)
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
        dy -= beta[:, None] * dx
        dy *= dx
        meat = np.einsum("ij,ij->i", dy, dy)
        for step in range(1, lag + 1):
            weight = 2.0 * (1.0 - step / (lag + 1.0))
            meat += weight * np.einsum("ij,ij->i", dy[:, step:], dy[:, :-step])
        errors: F64 = np.sqrt(np.maximum(meat, 0.0) * (n / (n - 2.0))) / sxx
    return errors
