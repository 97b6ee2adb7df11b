"""Numbers as people write them → floats: decimal commas, thousands, currency signs, percent, K and M. Pure.

`1,029` alone could be either, so it is refused until the manifest or another cell says which mark is the decimal one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from indexer.arrays import F64, Bools

COMMA_DECIMAL = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+,\d+|0,\d+|\d+,\d{1,2}|\d+,\d{4,})$")
COMMA_THOUSANDS = re.compile(r"[+-]?(\d{1,3}(,\d{3})+\.\d+|\d{1,3}(,\d{3}){2,})$")
POINT_DECIMAL = re.compile(r"[+-]?\d+\.(\d{1,2}|\d{4,})$")
SUFFIXES = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
SIGNS = {"$": ("USD", "USDT", "USDC", ""), "€": ("EUR",), "£": ("GBP",), "¥": ("JPY", "CNY"), "₿": ("BTC",)}
NOT_NUMBERS = ("nan", "inf", "infinity")


@dataclass(frozen=True, slots=True)
class Style:
    """How a file writes numbers: the decimal mark, the thousands mark ('' unknown), the quote whose sign may stand."""

    decimal: str = "."
    thousands: str = ""
    quote: str = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Numbers:
    """A number column (R,): NaN where the file has NaN, nothing, or (marked in `bad`) something else."""

    values: F64
    empty: Bools
    bad: Bools


def style_of(cells: Iterable[str], *, decimal: str, thousands: str) -> tuple[str, str]:
    """Decimal and thousands mark of a file, by the manifest or by cells that can be read in one way only."""
    if decimal or thousands:
        return decimal or ("," if thousands == "." else "."), thousands
    words = [re.sub(r"^[^\d.,+-]+|[^\d.,]+$|(?<=\d)[\s'’](?=\d)", "", cell) for cell in cells]
    commas = any(COMMA_DECIMAL.match(word) for word in words)
    points = any(COMMA_THOUSANDS.match(word) or POINT_DECIMAL.match(word) for word in words)
    if commas and not points:
        return ",", "." if any("." in word for word in words if COMMA_DECIMAL.match(word)) else ""
    return ".", "," if points and not commas else ""


def parse_numbers(words: Sequence[str | None], style: Style, *, scaled: bool, percent: bool) -> Numbers:
    """Numbers (R,) of text cells; `scaled` allows K, M, B and T behind them, `percent` a percent sign."""
    values = np.full(len(words), np.nan)
    empty, bad = np.zeros(len(words), dtype=np.bool_), np.zeros(len(words), dtype=np.bool_)
    for i, word in enumerate(words):
        text = "" if word is None else word.strip()
        if not text or text in style.missing:
            empty[i] = True
            continue
        number = parse_number(text, style, scaled=scaled, percent=percent)
        bad[i] = number is None
        values[i] = np.nan if number is None else number
    return Numbers(values, empty, bad)


def parse_number(text: str, style: Style, *, scaled: bool = False, percent: bool = False) -> float | None:
    """The number a cell says, None when it says none or could say two."""
    factor = 1.0
    for sign in (text[:1], text[-1:]):
        if style.quote in SIGNS.get(sign, ()):
            text = text.replace(sign, "", 1).strip()
    if style.quote and text.upper().endswith(style.quote):
        text = text[: -len(style.quote)].rstrip()
    if percent and text.endswith("%"):
        text, factor = text[:-1].rstrip(), 0.01
    if scaled and text[-1:].upper() in SUFFIXES:
        text, factor = text[:-1].rstrip(), SUFFIXES[text[-1:].upper()]
    if text.lower().lstrip("+-") in NOT_NUMBERS:
        return float(text)
    plain = _without_groups(text, style)
    return None if plain is None else float(plain) * factor


def _without_groups(text: str, style: Style) -> str | None:
    """The digits with a decimal point and no thousands; None for what is no number, or where a mark could be either."""
    mark, other = re.escape(style.decimal), style.thousands or ("," if style.decimal == "." else ".")
    if re.fullmatch(rf"[+-]?(\d+({mark}\d*)?|{mark}\d+)([eE][+-]?\d+)?", text, re.ASCII):
        return text.replace(style.decimal, ".")
    spaced = text.replace("\u00a0", " ").replace("\u202f", " ").replace("\u2019", "'")
    for group in dict.fromkeys((other, " ", "'")):
        parts = re.fullmatch(rf"([+-]?\d{{1,3}}(?:{re.escape(group)}\d{{3}})+)({mark}\d+)?", spaced, re.ASCII)
        if parts is None:
            continue
        certain = style.thousands == group or parts[2] or parts[1].count(group) > 1 or group in " '"
        return parts[1].replace(group, "") + (parts[2] or "").replace(style.decimal, ".") if certain else None
    return None
