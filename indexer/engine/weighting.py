"""Weights before caps, from sizes at the reference date: one row a rebalance, one column a line of tokens.

Comes after `eligibility.py` (who) and before `capping.py` (how much at most). METHODOLOGY §2.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexer.arrays import F64, Bools
from indexer.engine.capping import TOLERANCE, cap_weights, check_caps
from indexer.errors import MethodologyError
from indexer.methodology.spec import Methodology, Scheme, Weighting


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a scheme may weigh by, each (K, N) at K reference dates, NaN where not known.

    cap_usd: free-float market capitalisation; adv_usd: median daily traded value; fundamental: chosen metric.
    """

    cap_usd: F64
    adv_usd: F64
    fundamental: F64


def scheme_size(weighting: Weighting, sizes: Sizes) -> F64:
    """The size (K, N) that the scheme is proportional to (for floor_plus_cap: the share part), before members."""
    match weighting.scheme:
        case Scheme.FREE_FLOAT_CAP | Scheme.FLOOR_PLUS_CAP:
            return sizes.cap_usd
        case Scheme.SQRT_CAP:
            return np.sqrt(sizes.cap_usd)
        case Scheme.EQUAL:
            return np.ones_like(sizes.cap_usd)
        case Scheme.LIQUIDITY:
            return sizes.adv_usd
        case Scheme.FUNDAMENTAL:
            return sizes.fundamental


def raw_weights(weighting: Weighting, sizes: Sizes, *, member: Bools, labels: Sequence[str] = ()) -> F64:
    """Weights (K, N) that sum to 1 over `member` (K, N) and are zero elsewhere.

    free_float_cap ∝ cap; sqrt_cap ∝ √cap; equal 1/n; liquidity ∝ ADV; fundamental ∝ metric;
    floor_plus_cap = f + (1 − n·f)·cap share, affine and not a clip (METHODOLOGY §2.4).
    Raises MethodologyError when a member has no positive size, or n·f exceeds 1.
    """
    size = np.where(member, scheme_size(weighting, sizes), 0.0)
    bad = member & ~(np.isfinite(size) & (size > 0))
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        label = labels[row] if row < len(labels) else f"basket {row + 1}"
        raise MethodologyError(
            f"{label}: member in column {column} has size {size[row, column]} under {weighting.scheme}; "
            "only a member with a known, positive size can be weighted"
        )
    share: F64 = size / size.sum(axis=1, keepdims=True)
    if weighting.scheme is not Scheme.FLOOR_PLUS_CAP:
        return share
    count = member.sum(axis=1, keepdims=True)
    left = 1.0 - count * weighting.floor
    if (left < -TOLERANCE).any():
        row = int(np.flatnonzero(left[:, 0] < -TOLERANCE)[0])
        label = labels[row] if row < len(labels) else f"basket {row + 1}"
        raise MethodologyError(
            f"{label}: floor {weighting.floor:.6g} times {int(count[row, 0])} members is above 1; lower the floor"
        )
    return np.where(member, weighting.floor + np.maximum(left, 0.0) * share, 0.0)


def target_weights(
    methodology: Methodology,
    sizes: Sizes,
    *,
    member: Bools,
    slugs: Sequence[str],
    groups: Sequence[str],
    labels: Sequence[str] = (),
) -> F64:
    """Capped target weights (K, N) of the members at each reference date, all rebalances at once.

    `slugs` and `groups` (sub-sectors) name the columns. Raises MethodologyError as the two steps do.
    """
    raw = raw_weights(methodology.weighting, sizes, member=member, labels=labels)
    return cap_weights(raw, methodology.caps, slugs=slugs, groups=groups, labels=labels)


def infeasible(
    methodology: Methodology, sizes: Sizes, *, member: Bools, slugs: Sequence[str], groups: Sequence[str], label: str
) -> str | None:
    """Why one basket (1, N) has no weights within the caps, with the numbers; None when it has."""
    try:
        raw = raw_weights(methodology.weighting, sizes, member=member, labels=[label])
        check_caps(raw, methodology.caps, slugs=slugs, groups=groups, labels=[label])
    except MethodologyError as error:
        return str(error)
    return None
