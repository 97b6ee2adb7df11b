"""Total issuance of Substrate chains (Bittensor) and its subnets, read from storage at a finalized block hash.

Bittensor's supply is the counter of its own pallet. Until a runtime upgrade of 2026 staked coins left the balances
pallet, whose counter then said only what was liquid; since then both say the same (opentensor/subtensor,
pallets/subtensor/src/utils/try_state.rs). The cross-check knows both times. Written to the documented shapes; not run
against a live node here.
"""

from __future__ import annotations

from typing import Any

from onchain.errors import Kind, ReadError, RpcError, malformed
from onchain.family import Amount, Family
from onchain.rpc.pin import Pin
from onchain.rpc.pool import Endpoint, Pool
from onchain.rpc.wire import parsing
from onchain.tokens import Read

# twox128(pallet) + twox128(item); the values are little-endian
BALANCES_ISSUANCE = "0xc2261276cc9d1f8598ea4b6a74b15c2f57c875e4cff74148e4628f264b974c80"
SUBTENSOR_ISSUANCE = "0x658faa385070e074c85bf6b568cf055557c875e4cff74148e4628f264b974c80"
SUBTENSOR_STAKE = "0x658faa385070e074c85bf6b568cf05554f85a3603259384a5fa5494b7d7fdb8c"
TIMESTAMP_NOW = "0xf0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb"
SUBNET_EMISSION = "0x658faa385070e074c85bf6b568cf0555dd62ae7237581e8f6a684f1ecae06215"  # + the subnet's number, u16
PRICES_API = "SwapRuntimeApi_current_alpha_price_all"
_KEYS = {"supply": SUBTENSOR_ISSUANCE, "staked": SUBTENSOR_STAKE}


async def _tip(pool: Pool, endpoint: Endpoint) -> Pin:
    block_hash = await pool.call("chain_getFinalizedHead", on=endpoint)
    header: Any = await pool.call("chain_getHeader", (block_hash,), on=endpoint)
    with parsing("the finalized head", endpoint.label):
        number = int(header["number"], 16)
    return await _at(pool, endpoint, number, block_hash)


async def _block(pool: Pool, endpoint: Endpoint, number: int) -> Pin:
    return await _at(pool, endpoint, number, await pool.call("chain_getBlockHash", (number,), on=endpoint))


async def _at(pool: Pool, endpoint: Endpoint, number: int, block_hash: object) -> Pin:
    if not isinstance(block_hash, str):
        raise malformed(f"the hash of block {number} is {block_hash!r:.40}", endpoint.label)
    time = await _storage(pool, endpoint, TIMESTAMP_NOW, block_hash) // 1000
    return Pin(pool.chain.name, number, block_hash, time, "finalized")


async def _figure(pool: Pool, endpoint: Endpoint, read: Read, pin: Pin) -> Amount:
    """Supply, staked, or cross_check; how many subnets have a price, and of each its alpha_price and the emission of
    the last block into its pool, in rao by its number."""
    if read.what in _KEYS:
        return await _storage(pool, endpoint, _KEYS[read.what], pin.hash)
    if read.what == "cross_check":
        return await _other_count(pool, endpoint, pin)
    if read.what not in ("subnets", "alpha_price", "emission"):
        raise ReadError(f"substrate chains have no {read.what!r} here")
    prices = _prices(await pool.call("state_call", (PRICES_API, "0x", pin.hash), on=endpoint), endpoint)
    if read.what == "emission":
        return await _emissions(pool, endpoint, list(prices), pin)
    return len(prices) if read.what == "subnets" else {str(number): price for number, price in prices.items()}


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
    with parsing(f"storage value {answer!r:.40}", endpoint.label):
        raw = bytes.fromhex(str(answer).removeprefix("0x"))
        assert len(raw) in (8, 16), "neither u64 nor u128"
        return int.from_bytes(raw, "little")


async def _emissions(pool: Pool, endpoint: Endpoint, subnets: list[int], pin: Pin) -> dict[str, int]:
    keys = {number: SUBNET_EMISSION + number.to_bytes(2, "little").hex() for number in subnets}
    answer: Any = await pool.call("state_queryStorageAt", (list(keys.values()), pin.hash), on=endpoint)
    with parsing("the emissions of subnets", endpoint.label):
        changes = dict(answer[0]["changes"])
        values = {number: (changes.get(key) or "0x")[2:] for number, key in keys.items()}
        return {str(number): int.from_bytes(bytes.fromhex(value), "little") for number, value in values.items()}


def _prices(answer: object, endpoint: Endpoint) -> dict[int, int]:
    """Rao an alpha by subnet, of a SCALE vector of (u16, u64); without the root, whose price is one by definition."""
    try:
        raw = bytes.fromhex(str(answer).removeprefix("0x"))
        width = (1, 2, 4)[raw[0] & 3]
        count = int.from_bytes(raw[:width], "little") >> 2
    except (IndexError, ValueError):
        raw, width, count = b"", 0, 1
    if len(raw) != width + 10 * count:
        raise malformed(f"prices of {count} subnets do not stand in {len(raw)} bytes", endpoint.label)
    rows = (raw[at : at + 10] for at in range(width, len(raw), 10))
    prices = {int.from_bytes(row[:2], "little"): int.from_bytes(row[2:], "little") for row in rows}
    return {number: price for number, price in prices.items() if number}


FAMILY = Family(_tip, _figure, _block, lag=2)
