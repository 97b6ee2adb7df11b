"""Total issuance of Substrate chains (Bittensor) read from storage at a finalized block hash.

Place in the flow: the Substrate `Reader`. Bittensor's supply is the counter of its own pallet. Until a runtime upgrade
of 2026 staked coins left the balances pallet, whose counter then said only what was liquid; since then both say the
same (opentensor/subtensor, pallets/subtensor/src/utils/try_state.rs). The cross-check knows both times. Written to the
documented shapes; not run against a live node here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from onchain.errors import Kind, OnchainError, PinError, ReadError, RpcError
from onchain.readings import Read, Reading, kept, missing, reading
from onchain.rpc.endpoint import Endpoint
from onchain.rpc.pin import Pin, agreed_pin, confirmed, height_at
from onchain.rpc.pool import Pool

LAG = 2  # blocks behind the newest finalized one, so that a second endpoint has it too

# twox128(pallet) + twox128(item), and the width of the little-endian value
BALANCES_ISSUANCE = "0xc2261276cc9d1f8598ea4b6a74b15c2f57c875e4cff74148e4628f264b974c80"
SUBTENSOR_ISSUANCE = "0x658faa385070e074c85bf6b568cf055557c875e4cff74148e4628f264b974c80"
SUBTENSOR_STAKE = "0x658faa385070e074c85bf6b568cf05554f85a3603259384a5fa5494b7d7fdb8c"
TIMESTAMP_NOW = "0xf0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb"
SUBNET_EMISSION = "0x658faa385070e074c85bf6b568cf0555dd62ae7237581e8f6a684f1ecae06215"  # + the subnet's number, u16
PRICES_API = "SwapRuntimeApi_current_alpha_price_all"
PER_SUBNET = ("subnets", "alpha_price", "emission")
_KEYS = {"supply": SUBTENSOR_ISSUANCE, "staked": SUBTENSOR_STAKE}


async def read(pool: Pool, reads: Sequence[Read], *, at: int | None, confirm: int) -> dict[Read, Reading]:
    """Every `Read` (supply, staked, cross_check; subnets, alpha_price, emission) at the last finalized block at or
    before `at`. Prices and emissions are the sum, with a reading of each subnet, whose number is the holder."""
    pin = await _head(pool)
    number = max(1, pin.number - LAG) if at is None else await _number_at(pool, at, pin)
    pin = await agreed_pin(pool, lambda e: _block(pool, e, number), what=f"block {number}", count=confirm)
    single = [r for r in reads if r.what not in PER_SUBNET]
    readings = {r: await kept(r, partial(_amount, pool, r, pin=pin, confirm=confirm), pin) for r in single}
    return readings | await _subnets(pool, [r for r in reads if r.what in PER_SUBNET], pin=pin, confirm=confirm)


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


async def _subnets(pool: Pool, reads: Sequence[Read], *, pin: Pin, confirm: int) -> dict[Read, Reading]:
    """How many subnets have a price, their alphas' prices and what the last block issued into their pools, in rao."""
    if not reads:
        return {}

    async def ask(endpoint: Endpoint) -> tuple[tuple[int, int, int], ...]:
        prices = _prices(await pool.call("state_call", (PRICES_API, "0x", pin.hash), on=endpoint), endpoint)
        keys = [SUBNET_EMISSION + number.to_bytes(2, "little").hex() for number, _ in prices]
        answer = await pool.call("state_queryStorageAt", (keys, pin.hash), on=endpoint)
        try:
            changes = dict(answer[0]["changes"])  # type: ignore[index]  # checked by the except below
            emissions = [int.from_bytes(bytes.fromhex((changes.get(key) or "0x")[2:]), "little") for key in keys]
        except (LookupError, TypeError, ValueError) as error:
            text = f"the emissions of subnets do not parse ({error!r})"
            raise RpcError(text, kind=Kind.MALFORMED, endpoint=endpoint.label) from None
        return tuple((number, price, issued) for (number, price), issued in zip(prices, emissions, strict=True))

    try:
        rows, agreed = await confirmed(pool, ask, what=f"subnets at {pin.number}", count=confirm)
    except OnchainError as error:
        return {r: missing(r, str(error), pin) for r in reads}
    readings = {}
    for r in reads:
        amounts = {str(row[0]): row[PER_SUBNET.index(r.what)] for row in rows}
        total = len(rows) if r.what == "subnets" else sum(amounts.values())
        readings[r] = reading(r, total, pin, agreed)
        for holder, amount in amounts.items() if r.what != "subnets" else ():
            readings[replace(r, holder=holder)] = reading(replace(r, holder=holder), amount, pin, agreed)
    return readings


def _prices(answer: object, endpoint: Endpoint) -> list[tuple[int, int]]:
    """(subnet, rao an alpha) of a SCALE vector of (u16, u64), without the root, whose price is one by definition."""
    try:
        raw = bytes.fromhex(str(answer).removeprefix("0x"))
        width = (1, 2, 4)[raw[0] & 3]
        count = int.from_bytes(raw[:width], "little") >> 2
    except (IndexError, ValueError):
        raw, width, count = b"", 0, 1
    if len(raw) != width + 10 * count:
        text = f"prices of {count} subnets do not stand in {len(raw)} bytes"
        raise RpcError(text, kind=Kind.MALFORMED, endpoint=endpoint.label)
    rows = (raw[at : at + 10] for at in range(width, len(raw), 10))
    pairs = [(int.from_bytes(row[:2], "little"), int.from_bytes(row[2:], "little")) for row in rows]
    return [pair for pair in pairs if pair[0]]
