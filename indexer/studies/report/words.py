"""Numbers as words and cells: percent, intervals, p values, dates."""

from __future__ import annotations

import math

from indexer.times import from_us

NOTHING = "–"
MINUS = "\u2212"


def percent(value: float | None, digits: int = 1, *, sign: bool = True) -> str:
    """`+2.8 %`, with a real minus sign; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value * 100:{'+' if sign else ''}.{digits}f} %"
    return text.replace("-", MINUS)


def simple(log_return: float | None) -> float | None:
    """exp(x) - 1: the simple return of a log return, which is what percent means."""
    return None if log_return is None else math.expm1(log_return)


def figure(value: float | None) -> str:
    """A fraction as percent, what is larger than 1 as a number."""
    return percent(value) if value is None or abs(value) <= 1.0 else number(value, 0)


def number(value: float | None, digits: int = 2) -> str:
    """A number with so many decimals; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:,.{digits}f}".replace("-", MINUS)


def p_value(value: float | None) -> str:
    """`0.04`; below a thousandth `< 0.001`."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.01 else f"{value:.2f}"


def span_of(first: int, last: int) -> str:
    """An event window in sessions: `[−1, +5]`."""
    return f"[{first}, {last:+d}]".replace("-", MINUS) if last else f"[{first}, 0]".replace("-", MINUS)


def day(us: int | None) -> str:
    """`2025-01-27`."""
    return NOTHING if us is None else f"{from_us(us):%Y-%m-%d}"


def moment(us: int) -> str:
    """`Mon 2025-01-27 21:00 UTC`."""
    return f"{from_us(us):%a %Y-%m-%d %H:%M} UTC"
