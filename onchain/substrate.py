"""Total issuance of Substrate chains (Bittensor) read from storage at a finalized block hash.

Place in the flow: the Substrate `Reader`. Bittensor's supply is the counter of its own pallet. Until a runtime upgrade
of 2026 staked coins left the balances pallet, whose counter then said only what was liquid; since then both say the
same (opentensor/subtensor, pallets/subtensor/src/utils/try_state.rs). The cross-check knows both times. Written to the
documented shapes; not run against a live node here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from onchain.errors import Kind, PinError, ReadError, RpcError
from onchain.readings import Read, Reading, kept
from onchain.rpc.endpoint import Endpoint
from onchain.rpc.pin import Pin, agreed_pin, confirmed, height_at
from onchain.rpc.pool import Pool

LAG = 2  # blocks behind the newest finalized one, so that a second endpoint has it too

# twox128(pallet) + twox128(item), and the width of the little-endian value
BALANCES_ISSUANCE = "0xc2261276cc9d1f8598ea4b6a74b15c2f57c875e4cff74148e4628f264b974c80"
SUBTENSOR_ISSUANCE = "0x658faa385070e074c85bf6b568cf055557c875e4cff74148e4628f264b974c80"
SUBTENSOR_STAKE = "0x658faa385070e074c85bf6b568cf05554f85a3603259384a5fa5494b7d7fdb8c"
TIMESTAMP_NOW = "0xf0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb"
_KEYS = {"supply": SUBTENSOR_ISSUANCE, "staked": SUBTENSOR_STAKE}


async def read(pool: Pool, reads: Sequence[Read], *, at: int | None, confirm: int) -> dict[Read, Reading]:
    """Every `Read` (supply, staked, cross_check) at the last finalized block at or before `at`."""
    pin = await _head(pool)
    number = max(1, pin.number - LAG) if at is None else await _number_at(pool, at, pin)
    pin = await agreed_pin(pool, lambda e: _block(pool, e, number), what=f"block {number}", count=confirm)
    return {r: await kept(r, partial(_amount, pool, r, pin=pin, confirm=confirm), pin) for r in reads}


async def tip(pool: Pool, endpoint: Endpoint) -> Pin:
    """The newest finalized block of one endpoint."""
    block_hash = await pool.call("chain_getFinalizedHead", on=endpoint)
    header = await pool.call("chain_getHeader", (block_hash,), on=endpoint)
    number = header.get("number") if isinstance(header, dict) else None
    if not isinstance(block_hash, str) or not isinstance(number, str):
        raise RpcError("the finalized head does not parse", kind=Kind.MALFORMED, endpoint=endpoint.label)
    time = await _storage(pool, endpoint, TIMESTAMP_NOW, block_hash) // 1000
    return Pin(pool.chain.name, int(number, 16), block_hash, time, "finalized")


async def _head(pool: Pool) -> Pin:
    pin = await pool.on_any(partial(tip, pool), what="chain_getFinalizedHead")
    limit, age = pool.chain.max_age_s, pool.wall() - pin.timestamp
    if limit is not None and age > limit:
        raise PinError(
            f"{pool.chain.name}: the finalized block {pin.number} is {age:.0f} s old; the endpoints are stale"
        )
    return pin


async def _number_at(pool: Pool, at: int, head: Pin) -> int:
    if head.timestamp <= at:
        raise PinError(f"{pool.chain.name}: instant {at} is not final yet (block {head.number})")
    seen: dict[int, Pin] = {head.number: head}

    async def time_of(number: int) -> int:
        if number not in seen:
            seen[number] = await pool.on_any(lambda e: _block(pool, e, number), what=f"block {number}")
        return seen[number].timestamp

    pace = pool.chain.block_time_s
    number = await height_at(at, first=1, head=head.number, block_time_s=pace, time_of=time_of)  # 0 has no time stamp
    if number is None:
        raise PinError(f"{pool.chain.name}: instant {at} is before its first block")
    return number


async def _block(pool: Pool, endpoint: Endpoint, number: int) -> Pin:
    block_hash = await pool.call("chain_getBlockHash", (number,), on=endpoint)
    time = await _storage(pool, endpoint, TIMESTAMP_NOW, str(block_hash)) // 1000
    return Pin(pool.chain.name, number, str(block_hash), time, "finalized")


async def _amount(pool: Pool, read: Read, *, pin: Pin, confirm: int) -> tuple[int, tuple[str, ...]]:
    if read.what not in {*_KEYS, "cross_check"}:
        raise ReadError(f"substrate chains have no {read.what!r} here")

    async def ask(endpoint: Endpoint) -> int:
        if read.what == "cross_check":
            return await _other_count(pool, endpoint, pin)
        return await _storage(pool, endpoint, _KEYS[read.what], pin.hash)

    return await confirmed(pool, ask, what=f"{read.what} at {pin.number}", count=confirm)


async def _other_count(pool: Pool, endpoint: Endpoint, pin: Pin) -> int:
    """The supply by the balances pallet: its issuance, or with the stake added, whichever is nearer to the supply."""
    keys = (SUBTENSOR_ISSUANCE, BALANCES_ISSUANCE, SUBTENSOR_STAKE)
    supply, liquid, stake = [await _storage(pool, endpoint, key, pin.hash) for key in keys]
    return min(liquid, liquid + stake, key=lambda count: abs(count - supply))


async def _storage(pool: Pool, endpoint: Endpoint, key: str, block: str) -> int:
    """Little-endian unsigned integer of 8 or 16 bytes. An absent value is an error, not zero."""
    answer = await pool.call("state_getStorage", (key, block), on=endpoint, null_ok=True)
    if answer is None:
        text = f"no value under storage key {key[:20]}… (renamed pallet?)"
        raise RpcError(text, kind=Kind.NOT_FOUND, endpoint=endpoint.label)
    try:
        raw = bytes.fromhex(str(answer).removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) not in (8, 16):
        raise RpcError(
            f"storage value {answer!r:.40} is not a u64 or u128", kind=Kind.MALFORMED, endpoint=endpoint.label
        )
    return int.from_bytes(raw, "little")
