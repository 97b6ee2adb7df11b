"""Uniswap V2 pairs: reserves, spot price and depth. A spot price is a display figure, never part of a fixing.

Place in the flow: `checks` shows these beside the V3 means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onchain.errors import PriceRefused, ReadError
from onchain.evm import erc20
from onchain.evm.abi import call
from onchain.evm.multicall import read_calls
from onchain.rpc.pin import Pin
from onchain.rpc.pool import Pool


@dataclass(frozen=True, slots=True)
class Reserves:
    """A pair's reserves in whole tokens and the spot price of `base` in `quote` they imply (float64)."""

    pair: str
    pin: Pin
    base: str
    quote: str
    base_reserve: float
    quote_reserve: float
    spot_price: float
    cost_to_move_5pct: float
    last_trade_s: int  # seconds between the reserves' last change and the pinned block


async def find_pairs(pool: Pool, pin: Pin, *, factory: str, base: str, quotes: Sequence[str]) -> list[str]:
    """Addresses of the existing pairs of `base` against each of `quotes`."""
    calls = [call(factory, "getPair(address,address)", base, quote, returns="address") for quote in quotes]
    outcomes = (await read_calls(pool, pin, calls)).outcomes
    return [str(o.value) for o in outcomes if not o.error and o.value != erc20.BURN_ADDRESSES[0]]


async def read_reserves(pool: Pool, pin: Pin, pair: str, *, base: str) -> Reserves:
    """Reserves of a V2 pair at the pinned block. `cost_to_move_5pct` = reserve·(√1.05 − 1), in quote tokens, no fee.

    Raises ReadError when it is not a pair of `base`, PriceRefused when it is empty.
    """
    asked = [
        call(pair, "token0()", returns="address"),
        call(pair, "token1()", returns="address"),
        call(pair, "getReserves()", returns=("uint112", "uint112", "uint32")),
    ]
    token0, token1, reserves = (await read_calls(pool, pin, asked)).outcomes
    tokens = (token0.value, token1.value)
    if token0.error or token1.error or reserves.error or not isinstance(reserves.value, tuple):
        raise ReadError(f"{pair} is not a V2 pair: {token0.error or token1.error or reserves.error}")
    if base.lower() not in tokens:
        raise ReadError(f"{pair} trades {tokens[0]} and {tokens[1]}, not {base}")
    digits = (await read_calls(pool, pin, [erc20.decimals(str(t)) for t in tokens])).outcomes
    scales = [erc20.checked_decimals(d.value, str(token)) for d, token in zip(digits, tokens, strict=True)]
    amounts = [reserves.value[i] / 10.0 ** scales[i] for i in (0, 1)]
    at = 0 if tokens[0] == base.lower() else 1
    if not all(amounts):
        raise PriceRefused(f"{pair} has an empty side")
    return Reserves(
        pair=pair,
        pin=pin,
        base=base,
        quote=str(tokens[1 - at]),
        base_reserve=amounts[at],
        quote_reserve=amounts[1 - at],
        spot_price=amounts[1 - at] / amounts[at],
        cost_to_move_5pct=amounts[1 - at] * (math.sqrt(1.05) - 1.0),
        last_trade_s=(pin.timestamp - reserves.value[2]) & 0xFFFFFFFF,
    )
