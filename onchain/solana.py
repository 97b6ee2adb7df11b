"""SPL supplies and balances on Solana, and native SOL, at the newest finalized slot. Plain JSON-RPC.

Solana keeps no historical supply. Written to the documented shapes; not run against a live node here.
"""

from __future__ import annotations

from typing import Any

from onchain.errors import Kind, ReadError, RpcError, malformed
from onchain.family import Family
from onchain.rpc.pin import Pin
from onchain.rpc.pool import Endpoint, Pool
from onchain.rpc.wire import parsing
from onchain.tokens import Read

DRIFT = 1e-4  # two nodes answer at slots seconds apart: a live mint or burn between them is not a lie
LAG_SLOTS = 300  # about two minutes: a node further behind would state an old supply as today's
FINALIZED = {"commitment": "finalized"}


async def _tip(pool: Pool, endpoint: Endpoint) -> Pin:
    """The newest finalized slot with its block time. `hash` is empty: reads cannot name it."""
    slot = await pool.call("getSlot", (FINALIZED,), on=endpoint)
    time = await pool.call("getBlockTime", (slot,), on=endpoint)
    if not isinstance(slot, int) or not isinstance(time, int):
        raise malformed("getSlot or getBlockTime is not a number", endpoint.label)
    return Pin(pool.chain.name, slot, "", time, "finalized", (endpoint.label,))


async def _figure(pool: Pool, endpoint: Endpoint, read: Read, pin: Pin) -> int:
    if read.what == "supply" and read.asset == "native":
        options = {**FINALIZED, "excludeNonCirculatingAccountsList": True}
        total = await _value(pool, endpoint, pin, "getSupply", options)
        with parsing("getSupply", endpoint.label):
            return _units(total["total"])
    if read.what == "supply":
        mint = await _value(pool, endpoint, pin, "getTokenSupply", read.asset, FINALIZED)
        if not isinstance(mint, dict) or mint.get("decimals") != read.decimals:
            raise ReadError(f"mint {read.asset} answers {mint!r:.80}, {read.decimals} decimals are configured")
        with parsing("getTokenSupply", endpoint.label):
            return _units(mint["amount"])  # `amount` is exact text; uiAmount is a float
    options = {"encoding": "jsonParsed", **FINALIZED, "minContextSlot": pin.number}
    accounts = await _value(pool, endpoint, pin, "getTokenAccountsByOwner", read.holder, {"mint": read.asset}, options)
    with parsing("the owner's token accounts", endpoint.label):
        return sum(_units(a["account"]["data"]["parsed"]["info"]["tokenAmount"]["amount"]) for a in accounts)


async def _value(pool: Pool, endpoint: Endpoint, pin: Pin, method: str, *params: object) -> Any:
    """The answer's value, from a slot not far behind the pinned one."""
    answer: Any = await pool.call(method, params, on=endpoint)
    with parsing(method, endpoint.label):
        value, slot = answer["value"], int(answer["context"]["slot"])
    if slot < pin.number - LAG_SLOTS:
        text = f"answered at slot {slot}, {pin.number - slot} behind the pinned {pin.number}"
        raise RpcError(text, kind=Kind.NOT_FOUND, endpoint=endpoint.label)
    return value


def _units(amount: object) -> int:
    if isinstance(amount, str) and amount.isdecimal():
        return int(amount)
    if isinstance(amount, int) and not isinstance(amount, bool) and amount >= 0:
        return amount
    raise ValueError(f"{amount!r} is not an amount")


FAMILY = Family(_tip, _figure, drift=DRIFT)
