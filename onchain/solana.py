"""SPL supplies and balances on Solana, and native SOL. Plain JSON-RPC.

Place in the flow: the Solana `Reader`. Solana keeps no historical supply: the slot read is recorded, and an instant
further away than `TOLERANCE_S` is refused rather than answered with today's number. Written to the documented
shapes; not run against a live node here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from onchain.errors import Kind, ReadError, RpcError
from onchain.readings import Read, Reading, kept
from onchain.rpc.endpoint import Endpoint
from onchain.rpc.pin import Pin, confirmed
from onchain.rpc.pool import Pool

TOLERANCE_S = 900
DRIFT = 1e-4  # two nodes answer at slots seconds apart: a live mint or burn between them is not a lie
LAG_SLOTS = 300  # about two minutes: a node further behind would state an old supply as today's


async def read(pool: Pool, reads: Sequence[Read], *, at: int | None, confirm: int) -> dict[Read, Reading]:
    """Every `Read` at the newest finalized slot. Raises ReadError when `at` is too far from it."""
    pin = await _pin(pool)
    if at is not None and abs(pin.timestamp - at) > TOLERANCE_S:
        raise ReadError(
            f"solana keeps no historical supply: the finalized slot {pin.number} is at {pin.timestamp}, "
            f"{abs(pin.timestamp - at)} s from the instant asked for; use an imported value"
        )
    return {r: await kept(r, partial(_amount, pool, r, slot=pin.number, confirm=confirm), pin) for r in reads}


async def _pin(pool: Pool) -> Pin:
    pin = await pool.on_any(partial(tip, pool), what="getSlot")
    limit, age = pool.chain.max_age_s, pool.wall() - pin.timestamp
    if limit is not None and age > limit:
        raise ReadError(f"solana: the finalized slot {pin.number} is {age:.0f} s old; the endpoints are stale")
    return pin


async def tip(pool: Pool, endpoint: Endpoint) -> Pin:
    """The newest finalized slot of one endpoint with its block time. `hash` is empty: reads cannot name it."""
    slot = await pool.call("getSlot", ({"commitment": "finalized"},), on=endpoint)
    time = await pool.call("getBlockTime", (slot,), on=endpoint)
    if not isinstance(slot, int) or not isinstance(time, int):
        raise RpcError("getSlot or getBlockTime is not a number", kind=Kind.MALFORMED, endpoint=endpoint.label)
    return Pin(pool.chain.name, slot, "", time, "finalized", (endpoint.label,))


async def _amount(pool: Pool, read: Read, *, slot: int, confirm: int) -> tuple[int, tuple[str, ...]]:
    async def ask(endpoint: Endpoint) -> int:
        await pool.ready(endpoint)
        if read.what == "supply" and read.asset == "native":
            return await _native(pool, endpoint, slot=slot)
        if read.what == "supply":
            return await _mint(pool, endpoint, read, slot=slot)
        return await _owned(pool, endpoint, read, slot=slot)

    return await confirmed(
        pool,
        ask,
        what=f"{read.what} of {read.asset}",
        count=confirm,
        same=lambda a, b: abs(a - b) <= DRIFT * max(a, b),
    )


async def _mint(pool: Pool, endpoint: Endpoint, read: Read, *, slot: int) -> int:
    answer = await pool.call("getTokenSupply", (read.asset, {"commitment": "finalized"}), on=endpoint)
    value = _value(answer, endpoint, slot=slot)
    if not isinstance(value, dict) or value.get("decimals") != read.decimals:
        raise ReadError(f"mint {read.asset} answers {value!r:.80}, {read.decimals} decimals are configured")
    return _units(value.get("amount"), endpoint)  # `amount` is exact text; uiAmount is a float


async def _native(pool: Pool, endpoint: Endpoint, *, slot: int) -> int:
    params = ({"commitment": "finalized", "excludeNonCirculatingAccountsList": True},)
    value = _value(await pool.call("getSupply", params, on=endpoint), endpoint, slot=slot)
    return _units(value.get("total") if isinstance(value, dict) else None, endpoint)


async def _owned(pool: Pool, endpoint: Endpoint, read: Read, *, slot: int) -> int:
    """Sum over the owner's accounts of the mint."""
    options = {"encoding": "jsonParsed", "commitment": "finalized", "minContextSlot": slot}
    answer = await pool.call("getTokenAccountsByOwner", (read.holder, {"mint": read.asset}, options), on=endpoint)
    accounts = _value(answer, endpoint, slot=slot)
    if not isinstance(accounts, list):
        raise RpcError("token accounts are not a list", kind=Kind.MALFORMED, endpoint=endpoint.label)
    try:
        held = [a["account"]["data"]["parsed"]["info"]["tokenAmount"]["amount"] for a in accounts]
    except (KeyError, TypeError):
        raise RpcError("a token account is not parsed", kind=Kind.MALFORMED, endpoint=endpoint.label) from None
    return sum(_units(amount, endpoint) for amount in held)


def _value(answer: object, endpoint: Endpoint, *, slot: int) -> object:
    """The answer's value, from a slot not far behind the pinned one."""
    try:
        value, seen = answer["value"], int(answer["context"]["slot"])  # type: ignore[index]  # checked by the except
    except (KeyError, TypeError, ValueError):
        text = f"{answer!r:.60} has no value or no slot"
        raise RpcError(text, kind=Kind.MALFORMED, endpoint=endpoint.label) from None
    if seen < slot - LAG_SLOTS:
        text = f"answered at slot {seen}, {slot - seen} behind the pinned {slot}"
        raise RpcError(text, kind=Kind.NOT_FOUND, endpoint=endpoint.label)
    return value


def _units(amount: object, endpoint: Endpoint) -> int:
    if isinstance(amount, str) and amount.isdecimal():
        return int(amount)
    if isinstance(amount, int) and not isinstance(amount, bool) and amount >= 0:
        return amount
    raise RpcError(f"{amount!r} is not an amount", kind=Kind.MALFORMED, endpoint=endpoint.label)
