"""Caps that the members of a date cannot meet, raised for that date by a stated order to what they can just meet.

Comes between the selection and the weights of a date, where `[caps] relax = true`. The order: the bounds of groups
first, if raising them alone is enough; else those of single tokens (`largest` with them), and of groups as far as
these still need it; `per_asset` last. Each is raised to the least value that lets the members hold all of the index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from indexer.arrays import F64, Bools
from indexer.engine.weights import TOLERANCE, Sizes, group_bounds, raw_weights, water_fill_groups, weight_bounds
from indexer.errors import MethodologyError
from indexer.methodology.spec import Methodology


@dataclass(frozen=True, slots=True)
class Relaxation:
    """Weights (N,) within the raised bounds, and what was raised from what to what, in words."""

    weights: F64
    reason: str


def relaxation(
    methodology: Methodology, sizes: Sizes, *, member: Bools, slugs: Sequence[str], groups: Sequence[str], label: str
) -> Relaxation:
    """The weights of one basket (1, N) whose caps cannot hold.

    Raises MethodologyError when no raised cap helps: floors that are above 1, or a member without a size.
    """
    raw = raw_weights(methodology.weighting, sizes, member=member, slugs=slugs, labels=[label])
    lo, hi = weight_bounds(raw, methodology.caps, slugs=slugs)
    index, group_hi, _ = group_bounds(methodology.caps, groups=groups)
    fixed = np.array([slug in methodology.caps.per_asset for slug in slugs])
    hi, group_hi, reason = _raised(lo[0], hi[0], group_hi, belongs=index[None, :] == np.arange(len(group_hi))[:, None],
                                   member=member[0], fixed=fixed, label=label)  # fmt: skip
    weights = water_fill_groups(raw, lo, hi[None, :], groups=index, group_hi=group_hi, labels=[label])
    return Relaxation(weights[0], f"{label}: {reason}, which the {int(member.sum())} members can just meet")


def _raised(
    lo: F64, hi: F64, group_hi: F64, *, belongs: Bools, member: Bools, fixed: Bools, label: str
) -> tuple[F64, F64, str]:
    """Upper bounds of tokens (N,) and of groups (G,) that can hold all of the index, and how far each was raised."""
    needed = belongs @ lo  # a group must have room for its members' floors
    singles, assets = member & ~fixed, member & fixed
    tokens, steps = hi, []
    for name, which in (("caps.single", singles), ("caps.per_asset", assets)):
        if tokens.sum() >= 1 - TOLERANCE or not which.any():
            continue
        level = _least(partial(_room, tokens, which), tokens[which])
        steps.append(f"{name} raised from {tokens[which].min():g} to {level:.6g}")
        tokens = np.where(which, np.maximum(tokens, level), tokens)
    if tokens.sum() < 1 - TOLERANCE:
        raise MethodologyError(f"{label}: no raised cap lets the members hold all of the index; check the floors")

    def held(level: float) -> float:
        return float(np.minimum(belongs @ tokens, np.maximum(np.maximum(group_hi, level), needed)).sum())

    level = _least(held, np.append(group_hi, belongs @ tokens))
    if level > group_hi.min():
        steps.insert(0, f"caps.group raised from {group_hi.min():g} to {level:.6g}")
    return tokens, np.maximum(np.maximum(group_hi, level), needed), ", ".join(steps) or "floors widen their groups"


def _room(tokens: F64, which: Bools, level: float) -> float:
    """What tokens may hold together when those of a kind may hold at least `level`."""
    return float(np.where(which, np.maximum(tokens, level), tokens).sum())


def _least(room: Callable[[float], float], knots: F64) -> float:
    """The least x at which a rising room reaches 1; it is linear between the knots, so the answer is exact."""
    points = np.unique(np.clip(np.append(knots, (0.0, 1.0)), 0.0, 1.0))
    values = np.array([room(float(x)) for x in points])
    after = int(np.argmax(values >= 1.0 - TOLERANCE)) if (values >= 1.0 - TOLERANCE).any() else len(points) - 1
    if after == 0 or values[after] <= values[after - 1]:
        return float(points[after])
    step = (1.0 - values[after - 1]) / (values[after] - values[after - 1])
    return float(points[after - 1] + min(step, 1.0) * (points[after] - points[after - 1]))
