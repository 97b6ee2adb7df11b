"""Weights held between bounds: water-filling for single, per-asset, largest and group caps, many baskets at once.

Comes after selection and before units. The rule (docs/methodology.md): find the one λ with
Σ clip(λ·mᵢ, loᵢ, hiᵢ) = 1. The sum rises with λ, so the weights are unique, and repeating "cap, spread the
excess" until nothing breaches converges to the same numbers; doing it once does not.
Feasibility, Σ lo ≤ 1 ≤ Σ hi, is checked first and refused with the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from indexer.arrays import F64, Bools
from indexer.errors import MethodologyError
from indexer.methodology.spec import Caps, Methodology, Scheme, Weighting

TOLERANCE = 1e-9  # of weight, in comparisons with limits
ROUNDING = 1e-12  # of the arithmetic itself
"""How far a sum of bounds may miss 1 by rounding alone (six times 1/6 is 0.9999999999999999)."""


def cap_weights(
    weights: F64, caps: Caps, *, slugs: Sequence[str], groups: Sequence[str], labels: Sequence[str] = ()
) -> F64:
    """Weights (K, N) that sum to 1 within the caps; a zero is not a member and stays zero.

    `slugs` and `groups` (N,) name the columns; `labels` (K,) name the baskets in errors.
    Raises MethodologyError when a basket has no weights that satisfy the caps.
    """
    weights = np.atleast_2d(np.asarray(weights, dtype=np.float64))
    lo, hi = weight_bounds(weights, caps, slugs=slugs)
    if not _grouped(caps):
        return water_fill(weights, lo, hi, labels=labels)
    index, group_hi, names = group_bounds(caps, groups=groups)
    return water_fill_groups(weights, lo, hi, groups=index, group_hi=group_hi, names=names, labels=labels)


def group_bounds(caps: Caps, *, groups: Sequence[str]) -> tuple[NDArray[np.int64], F64, tuple[str, ...]]:
    """For each column the index (N,) of its group, the cap (G,) of each group, and the groups' names, sorted."""
    names = tuple(sorted(set(groups)))
    group_hi = np.array([_cap(caps.per_group.get(name, caps.group)) for name in names])
    return np.array([names.index(group) for group in groups], dtype=np.int64), group_hi, names


def weight_bounds(weights: F64, caps: Caps, *, slugs: Sequence[str]) -> tuple[F64, F64]:
    """Lower and upper bounds (K, N) from the caps; both zero where the weight is zero (not a member).

    `per_asset` wins over `largest`, which wins over `single`. Of equally large assets the first slug in
    alphabetical order is the largest, so that the order of columns decides nothing.
    """
    member = weights > 0
    hi = np.broadcast_to(np.float64(_cap(caps.single)), weights.shape).copy()
    if caps.largest is not None:
        order = np.argsort(np.array(slugs))
        largest = order[np.argmax(weights[:, order], axis=1)]
        hi[np.arange(len(weights)), largest] = caps.largest
    for slug, cap in caps.per_asset.items():
        if slug in slugs:
            hi[:, list(slugs).index(slug)] = cap
    lo = np.full(weights.shape, caps.floor or 0.0)
    return np.where(member, lo, 0.0), np.where(member, hi, 0.0)


def water_fill(
    sizes: F64, lo: F64 | float = 0.0, hi: F64 | float = 1.0, *, total: F64 | float = 1.0, labels: Sequence[str] = ()
) -> F64:
    """Weights clip(λ·m, lo, hi), shape of `sizes` (…, N), whose last axis sums to `total` for one λ a row.

    `lo`, `hi` broadcast to `sizes`; `total` broadcasts to its rows. A size of zero takes its lower bound.
    Exact in at most N rounds: solve λ on the free assets, fix those that breach on the side whose breaches
    weigh more, repeat (Bitran and Hax 1981, for both bounds at once).
    Raises MethodologyError for sizes that are not finite and ≥ 0, or for bounds that cannot hold.
    """
    shape = np.shape(sizes)
    m = np.asarray(sizes, dtype=np.float64).reshape(-1, shape[-1])
    low = np.broadcast_to(np.asarray(lo, dtype=np.float64), shape).reshape(m.shape)
    high = np.broadcast_to(np.asarray(hi, dtype=np.float64), shape).reshape(m.shape)
    want = np.broadcast_to(np.asarray(total, dtype=np.float64), shape[:-1]).reshape(-1)
    _check(m, low, high=high, want=want, labels=labels)
    at_low, at_high = m == 0, np.zeros(m.shape, dtype=bool)
    floors = bool(low.any())
    for _ in range(m.shape[1] + 1):
        free = ~(at_low | at_high)
        bound = np.where(at_high, high, 0.0).sum(axis=1) + np.where(at_low, low, 0.0).sum(axis=1)
        mass = np.where(free, m, 0.0).sum(axis=1)
        level = np.divide(want - bound, mass, out=np.zeros_like(mass), where=mass > 0)
        share = level[:, None] * m
        over, under = free & (share > high), free & (share < low)
        if not (over.any() or (floors and under.any())):
            break
        # Only the larger side is certain to stay at its bound once the other is corrected.
        excess = np.where(over, share - high, 0.0).sum(axis=1)
        deficit = np.where(under, low - share, 0.0).sum(axis=1)
        at_high |= over & (excess >= deficit)[:, None]
        at_low |= under & (deficit >= excess)[:, None]
    out = np.where(free, share, np.where(at_high, high, low))
    return out.reshape(shape)


def water_fill_groups(
    sizes: F64,
    lo: F64,
    hi: F64,
    *,
    groups: NDArray[np.int64],
    group_hi: F64,
    names: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> F64:
    """Weights (K, N) within the bounds whose group sums stay ≤ `group_hi` (G,); `groups` (N,) are its indices.

    All assets share one λ, except that a group above its cap gets a smaller λ of its own: groups first, then
    inside the group. Each round caps the groups that breach and refills the others; a capped group only
    raises the rest, so at most G rounds are needed. A group cap that does not bind changes nothing.
    Raises MethodologyError when the caps cannot hold together, or when the rounds do not settle.
    """
    belongs = _belongs(groups, group_hi)
    _check_groups(lo, hi, belongs=belongs, group_hi=group_hi, names=names, labels=labels)
    bound = np.zeros((len(sizes), len(group_hi)), dtype=bool)
    for _ in range(len(group_hi) + 1):
        free = ~bound[:, groups]
        rest = 1.0 - np.where(bound, group_hi, 0.0).sum(axis=1)
        out = water_fill(sizes * free, lo * free, hi * free, total=np.maximum(rest, 0.0), labels=labels)
        breach = out @ belongs.T > group_hi + ROUNDING
        if not breach.any():
            return _fill_bound(out, sizes, lo=lo, hi=hi, bound=bound, belongs=belongs, group_hi=group_hi)
        bound |= breach
    raise MethodologyError(f"group caps did not settle in {len(group_hi) + 1} rounds; check the group caps")


def _fill_bound(out: F64, sizes: F64, *, lo: F64, hi: F64, bound: Bools, belongs: Bools, group_hi: F64) -> F64:
    """`out` with each capped group's members filled up to exactly the group's cap."""
    for group in np.flatnonzero(bound.any(axis=0)):
        rows, inside = np.flatnonzero(bound[:, group]), belongs[group]
        part = np.ix_(rows, np.flatnonzero(inside))
        out[part] = water_fill(sizes[part], lo[part], hi[part], total=float(group_hi[group]))
    return out


def _grouped(caps: Caps) -> bool:
    return caps.group is not None or bool(caps.per_group)


def _belongs(groups: NDArray[np.int64], group_hi: F64) -> Bools:
    """Which column (N) belongs to which group (G), as (G, N)."""
    belongs: Bools = groups[None, :] == np.arange(len(group_hi))[:, None]
    return belongs


def _cap(value: float | None) -> float:
    return 1.0 if value is None else value


def _label(labels: Sequence[str], row: int) -> str:
    return labels[row] if row < len(labels) else f"basket {row + 1}"


def _check(m: F64, low: F64, *, high: F64, want: F64, labels: Sequence[str]) -> None:
    bad = ~np.isfinite(m) | (m < 0)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise MethodologyError(
            f"{_label(labels, row)}: size {m[row, column]} in column {column} is not a finite number ≥ 0"
        )
    crossed = low > high + TOLERANCE
    if crossed.any():
        row, column = (int(i) for i in np.argwhere(crossed)[0])
        raise MethodologyError(
            f"{_label(labels, row)}: floor {low[row, column]:.6g} is above cap {high[row, column]:.6g} "
            f"in column {column}"
        )
    # An asset without size never rises above its floor, so its cap offers no room.
    room, need = np.where(m > 0, high, low).sum(axis=1), low.sum(axis=1)
    if (short := room < want - TOLERANCE).any():
        row = int(np.flatnonzero(short)[0])
        count = int((m[row] > 0).sum())
        raise MethodologyError(
            f"{_label(labels, row)}: caps cannot hold: {count} members may weigh at most {room[row]:.6g} together, "
            f"{want[row]:.6g} is needed; raise the caps or admit more members"
        )
    if (over := need > want + TOLERANCE).any():
        row = int(np.flatnonzero(over)[0])
        raise MethodologyError(
            f"{_label(labels, row)}: floors cannot hold: they need {need[row]:.6g} together, "
            f"{want[row]:.6g} is there; lower the floor or admit fewer members"
        )


def _check_groups(
    lo: F64, hi: F64, *, belongs: Bools, group_hi: F64, names: Sequence[str], labels: Sequence[str]
) -> None:
    room = np.minimum(hi @ belongs.T, group_hi)
    if (short := room.sum(axis=1) < 1.0 - TOLERANCE).any():
        row = int(np.flatnonzero(short)[0])
        parts = ", ".join(f"{names[int(g)] if names else g} {room[row, g]:.6g}" for g in np.flatnonzero(room[row]))
        raise MethodologyError(
            f"{_label(labels, row)}: group caps cannot hold: groups may weigh at most {room[row].sum():.6g} "
            f"together ({parts}), 1 is needed; raise the group cap or the single cap, or admit another group"
        )
    floors = lo @ belongs.T
    if (over := floors > group_hi + TOLERANCE).any():
        row, group = (int(i) for i in np.argwhere(over)[0])
        raise MethodologyError(
            f"{_label(labels, row)}: floors of group {names[int(group)] if names else group} need "
            f"{floors[row, group]:.6g}, its cap is {group_hi[group]:.6g}; lower the floor or raise the group cap"
        )


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a scheme may weigh by, each (K, N) at K reference dates, NaN where not known.

    cap_usd: free-float market capitalisation; adv_usd: median daily traded value; fundamental: chosen metric.
    """

    cap_usd: F64
    adv_usd: F64
    fundamental: F64


def scheme_size(weighting: Weighting, sizes: Sizes, *, slugs: Sequence[str] = ()) -> F64:
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
        case Scheme.FIXED:
            shares = np.array([weighting.weights.get(slug, 0.0) for slug in slugs])
            return np.broadcast_to(shares, sizes.cap_usd.shape)


def raw_weights(
    weighting: Weighting, sizes: Sizes, *, member: Bools, slugs: Sequence[str] = (), labels: Sequence[str] = ()
) -> F64:
    """Weights (K, N) that sum to 1 over `member` (K, N) and are zero elsewhere.

    free_float_cap ∝ cap; sqrt_cap ∝ √cap; equal 1/n; liquidity ∝ ADV; fundamental ∝ metric; fixed ∝ the
    weights of the rules, so that those of tokens that are out go to the others in proportion;
    floor_plus_cap = f + (1 − n·f)·cap share, affine and not a clip.
    Raises MethodologyError when a member has no positive size, or n·f exceeds 1.
    """
    size = np.where(member, scheme_size(weighting, sizes, slugs=slugs), 0.0)
    bad = member & ~(np.isfinite(size) & (size > 0))
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise MethodologyError(
            f"{_label(labels, row)}: member in column {column} has size {size[row, column]} under {weighting.scheme}; "
            "only a member with a known, positive size can be weighted"
        )
    share: F64 = size / size.sum(axis=1, keepdims=True)
    if weighting.scheme is not Scheme.FLOOR_PLUS_CAP:
        return share
    count = member.sum(axis=1, keepdims=True)
    left = 1.0 - count * weighting.floor
    if (left < -TOLERANCE).any():
        row = int(np.flatnonzero(left[:, 0] < -TOLERANCE)[0])
        raise MethodologyError(
            f"{_label(labels, row)}: floor {weighting.floor:.6g} times {int(count[row, 0])} members is above 1; "
            "lower the floor"
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
    raw = raw_weights(methodology.weighting, sizes, member=member, slugs=slugs, labels=labels)
    return cap_weights(raw, methodology.caps, slugs=slugs, groups=groups, labels=labels)


def relaxation(
    methodology: Methodology, sizes: Sizes, *, member: Bools, slugs: Sequence[str], groups: Sequence[str], label: str
) -> tuple[F64, str]:
    """The weights (N,) of one basket whose caps cannot hold, where `[caps] relax = true`, and how far each was raised.

    The order: the bounds of groups first, if raising them alone is enough; else those of single tokens (`largest` with
    them), and of groups as far as these still need it; `per_asset` last. Each is raised to the least value that lets
    the members hold all of the index.

    Raises MethodologyError when no raised cap helps: floors that are above 1, or a member without a size.
    """
    raw = raw_weights(methodology.weighting, sizes, member=member, slugs=slugs, labels=[label])
    lo, hi = weight_bounds(raw, methodology.caps, slugs=slugs)
    index, group_hi, _ = group_bounds(methodology.caps, groups=groups)
    fixed = np.array([slug in methodology.caps.per_asset for slug in slugs])
    hi, group_hi, reason = _raised(lo[0], hi[0], group_hi, belongs=index[None, :] == np.arange(len(group_hi))[:, None],
                                   member=member[0], fixed=fixed, label=label)  # fmt: skip
    weights = water_fill_groups(raw, lo, hi[None, :], groups=index, group_hi=group_hi, labels=[label])
    return weights[0], f"{label}: {reason}, which the {int(member.sum())} members can just meet"


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
