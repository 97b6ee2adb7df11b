"""Free float: what is subtracted once, the band it falls into, and when a change is an emergency. Pure.

Place in the flow: under `supply`; the index uses the bands at its reference dates.
Rules: docs/onchain.md, "What is kept apart".
"""

from __future__ import annotations

from onchain.errors import SupplyError


def free_float(
    *,
    total: int,
    burnt: int = 0,
    treasury: int = 0,
    other: int = 0,
    tranches: tuple[tuple[int, int], ...] = (),
) -> int:
    """total − burnt − Σ locked − max(0, treasury − Σ max(0, locked − held)) − other.

    `tranches` are (locked, held in the tranche's own contract): what is locked but not in its own contract still lies
    in the treasury, so it is not subtracted twice. Raises SupplyError when the result is negative.
    """
    locked = sum(amount for amount, _ in tranches)
    undistributed = sum(max(0, amount - held) for amount, held in tranches)
    free = total - burnt - locked - max(0, treasury - undistributed) - other
    if free < 0:
        raise SupplyError(
            f"more is excluded than exists: total {total}, burnt {burnt}, locked {locked}, treasury {treasury}, "
            f"other {other}; an exclusion or a schedule is wrong or counted twice"
        )
    return free


def float_band(ratio: float, *, previous: float | None = None) -> float:
    """The banded free-float factor: < 15 % → 0, 15–20 % → 0.2, then up to the next tenth, > 90 % → 1.

    With `previous`, the band stays while the ratio is within two points of that band's edges.
    Raises SupplyError outside 0…1.
    """
    if not 0.0 <= ratio <= 1.0 + 1e-12:
        raise SupplyError(f"a free-float ratio of {ratio} is not between 0 and 1")
    if previous is not None:
        low, high = _edges(previous)
        if low - 0.02 <= ratio <= high + 0.02:
            return previous
    if ratio < 0.15:
        return 0.0
    for band in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        if ratio <= band + 1e-12:
            return band
    return 1.0


def float_emergency(before: int, after: int, *, supply: int) -> bool:
    """Whether a float change exceeds three points of the current supply."""
    return supply > 0 and abs(after - before) * 100 > 3 * supply


def _edges(band: float) -> tuple[float, float]:
    if band == 0.0:
        return 0.0, 0.15
    if band == 0.2:
        return 0.15, 0.2
    return (0.9, 1.0) if band == 1.0 else (band - 0.1, band)
