"""One-dimensional maximisation without an optimiser library: a coarse grid, then golden section."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


def maximise(
    function: Callable[[float], float], low: float, *, high: float, points: int = 17, tolerance: float = 1e-4
) -> float:
    """The argument in [low, high] with the greatest value found; the grid guards against local maxima."""
    step = (high - low) / (points - 1)
    grid = [low + step * place for place in range(points)]
    best = max(grid, key=function)
    left, right = max(low, best - step), min(high, best + step)
    inner, outer = right - GOLDEN * (right - left), left + GOLDEN * (right - left)
    at_inner, at_outer = function(inner), function(outer)
    while right - left > tolerance:
        if at_inner >= at_outer:
            right, outer, at_outer = outer, inner, at_inner
            inner = right - GOLDEN * (right - left)
            at_inner = function(inner)
        else:
            left, inner, at_inner = inner, outer, at_outer
            outer = left + GOLDEN * (right - left)
            at_outer = function(outer)
    return (left + right) / 2.0
