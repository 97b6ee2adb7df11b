"""The currencies that prices are quoted in, and pairs such as NEARUSDT, NEAR/USDT, NEAR-USD or XXBTZUSD. Pure."""

from __future__ import annotations

import re
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


def split_pair(word: str) -> tuple[str, str]:
    """Symbol and quote of a pair; ('', '') for a word that names no pair with a known quote."""
    text = word.strip().upper()
    parts = re.split(r"[/_:\-]", text)
    if len(parts) == 2 and parts[0] and currency(parts[1]):
        return parts[0], currency(parts[1])
    kraken = re.fullmatch(r"X([A-Z]{3})[XZ]([A-Z]{3})", text)
    if kraken and currency(kraken[2]):
        return "BTC" if kraken[1] == "XBT" else kraken[1], currency(kraken[2])
    ending = next((quote for quote in _ENDINGS if text.endswith(quote) and len(text) > len(quote)), "")
    return (text.removesuffix(ending), currency(ending)) if ending and len(parts) == 1 else ("", "")
