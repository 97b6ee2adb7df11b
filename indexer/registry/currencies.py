"""The currencies that prices are quoted in, and pairs such as NEARUSDT, NEAR/USDT, NEAR-USD or XXBTZUSD. Pure."""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Final

DOLLAR: Final = "USD"
AT_PAR: Final = frozenset({"USDT", "USDC"})  # taken as a dollar, with a flag on the rate, where no rate is known
STABLE: Final = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDE", "USDP", "USD1", "PYUSD", "DAI", "EURT", "EURC")
FIAT: Final = (
    "USD", "EUR", "GBP", "JPY", "KRW", "CHF", "CAD", "AUD", "NZD", "CNY", "HKD", "SGD", "TRY", "BRL", "MXN", "ARS",
    "INR", "IDR", "THB", "VND", "PHP", "TWD", "PLN", "CZK", "HUF", "RON", "SEK", "NOK", "DKK", "ZAR", "NGN", "UAH",
    "ILS", "AED", "SAR", "COP", "CLP", "PEN", "MYR", "PKR",
)  # fmt: skip
COINS: Final = ("BTC", "XBT", "ETH", "BNB", "SOL")
QUOTES: Final = frozenset((*STABLE, *FIAT, *COINS))
_ENDINGS: Final = sorted(QUOTES, key=len, reverse=True)


def currency(word: str) -> str:
    """The code of a quote currency (XBT is BTC), or '' for a word that is none."""
    code = word.strip().upper()
    return "" if code not in QUOTES else "BTC" if code == "XBT" else code


def split_pair(word: str, symbols: Set[str] = frozenset()) -> tuple[str, str]:
    """Symbol and quote of a pair; ('', '') for a word that names no pair with a known quote.

    Where a pair could end in two quotes (FETUSD: USD, TUSD), that which leaves one of the known `symbols`.
    """
    text = word.strip().upper()
    parts = re.split(r"[/_:\-]", text)
    if len(parts) == 2 and parts[0] and currency(parts[1]):
        return parts[0], currency(parts[1])
    if len(parts) == 2 and currency(parts[0]) and parts[1] in symbols:  # Upbit's KRW-NEAR
        return parts[1], currency(parts[0])
    kraken = re.fullmatch(r"X([A-Z]{3})[XZ]([A-Z]{3})", text)
    if kraken and currency(kraken[2]):
        return "BTC" if kraken[1] == "XBT" else kraken[1], currency(kraken[2])
    endings = [quote for quote in _ENDINGS if text.endswith(quote) and text != quote]
    halves = [(text.removesuffix(quote), currency(quote)) for quote in endings]
    if not halves or len(parts) > 1:
        return "", ""
    return next((half for half in halves if half[0] in symbols), halves[0])
