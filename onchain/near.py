"""Native NEAR supply and NEP-141 tokens at a final block.

Place in the flow: the NEAR `Reader`. Written to the documented shapes; not run against a live node here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from functools import partial

from onchain.errors import AllEndpointsFailed, Kind, PinError, ReadError, RpcError
from onchain.readings import Read, Reading, exact, kept
from onchain.rpc.endpoint import Endpoint
from onchain.rpc.pin import Pin, agreed_pin, confirmed, last_at_or_before
from onchain.rpc.pool import Pool

LAG = 5  # heights behind the newest final one, so that a second endpoint has it too
SKIPPED = 30  # heights without a block that may follow each other


async def read(pool: Pool, reads: Sequence[Read], *, at: int | None, confirm: int) -> dict[Read, Reading]:
    """Every `Read` at the last final block at or before `at`."""
    pin = await _any_block(pool, {"finality": "final"})
    limit, age = pool.chain.max_age_s, pool.wall() - pin.timestamp
    if limit is not None and age > limit:
        raise PinError(f"{pool.chain.name}: the final block {pin.number} is {age:.0f} s old; the endpoints are stale")
    pin = await (_below(pool, pin.number - LAG, {}) if at is None else _pin_at(pool, at, pin))
    number = pin.number
    pin = await agreed_pin(pool, lambda e: _header(pool, e, number), what=f"block {number}", count=confirm)
    return {r: await kept(r, partial(_amount, pool, r, pin=pin, confirm=confirm), pin) for r in reads}


async def _pin_at(pool: Pool, at: int, head: Pin) -> Pin:
    if head.timestamp <= at:
        raise PinError(f"{pool.chain.name}: instant {at} is not final yet (block {head.number})")
    seen: dict[int, Pin] = {head.number: head}

    async def time_of(height: int) -> int:
        return (await _below(pool, height, seen)).timestamp

    back = int((head.timestamp - at) / max(0.1, pool.chain.block_time_s)) * 2 + 1000
    low = max(0, head.number - back)
    if await time_of(low) > at:
        raise PinError(f"{pool.chain.name}: instant {at} is further back than {back} blocks; use an archival endpoint")
    return await _below(pool, await last_at_or_before(at, low=low, high=head.number, time_of=time_of), seen)


async def _below(pool: Pool, height: int, seen: dict[int, Pin]) -> Pin:
    """The block at `height`, or the last one below it where heights were skipped; remembered in `seen`."""
    for lower in range(height, max(-1, height - SKIPPED), -1):
        if lower not in seen:
            try:
                seen[lower] = await _any_block(pool, {"block_id": lower})
            except AllEndpointsFailed as error:
                if error.kind is not Kind.NOT_FOUND:
                    raise
                continue
        seen[height] = seen[lower]
        return seen[lower]
    raise PinError(f"{pool.chain.name}: no block among {SKIPPED} heights below {height}")


async def _header(pool: Pool, endpoint: Endpoint, height: int) -> Pin:
    return (await _block(pool, {"block_id": height}, endpoint))[0]


async def tip(pool: Pool, endpoint: Endpoint) -> Pin:
    """The newest final block of one endpoint."""
    return (await _block(pool, {"finality": "final"}, endpoint))[0]


async def _any_block(pool: Pool, params: dict[str, object]) -> Pin:
    """One block by the best endpoint that describes it."""
    pin, _ = await pool.on_any(lambda e: _block(pool, params, e), what="block")
    return pin


async def _block(pool: Pool, params: dict[str, object], endpoint: Endpoint) -> tuple[Pin, int]:
    """(pin, native total supply in yoctoNEAR) of one block."""
    answer = await pool.call("block", params, on=endpoint)
    try:
        header = answer["header"]  # type: ignore[index]  # checked by the except below
        pin = Pin(
            pool.chain.name,
            int(header["height"]),
            str(header["hash"]),
            int(header["timestamp"]) // 1_000_000_000,
            "final",
        )
        return pin, exact(header["total_supply"])
    except (KeyError, TypeError, ValueError) as error:
        text = f"the block header does not parse ({error!r})"
        raise RpcError(text, kind=Kind.MALFORMED, endpoint=endpoint.label) from None


async def _amount(pool: Pool, read: Read, *, pin: Pin, confirm: int) -> tuple[int, tuple[str, ...]]:
    async def ask(endpoint: Endpoint) -> int:
        if read.asset == "native" and read.what == "supply":
            return (await _block(pool, {"block_id": pin.hash}, endpoint))[1]
        if read.asset == "native":
            return await _account(pool, endpoint, read.holder, pin)
        if read.what == "supply":
            return await _view(pool, endpoint, read.asset, "ft_total_supply", {}, pin=pin)
        return await _view(pool, endpoint, read.asset, "ft_balance_of", {"account_id": read.holder}, pin=pin)

    return await confirmed(pool, ask, what=f"{read.what} of {read.asset}", count=confirm)


async def _account(pool: Pool, endpoint: Endpoint, account: str, pin: Pin) -> int:
    params = {"request_type": "view_account", "block_id": pin.hash, "account_id": account}
    answer = await pool.call("query", params, on=endpoint)
    try:
        return exact(answer["amount"]) + exact(answer.get("locked", "0"))  # type: ignore[index, attr-defined]  # below
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        text = f"account {account} does not parse ({error!r})"
        raise RpcError(text, kind=Kind.MALFORMED, endpoint=endpoint.label) from None


async def _view(
    pool: Pool, endpoint: Endpoint, contract: str, method: str, arguments: dict[str, str], *, pin: Pin
) -> int:
    params = {
        "request_type": "call_function",
        "block_id": pin.hash,
        "account_id": contract,
        "method_name": method,
        "args_base64": base64.b64encode(json.dumps(arguments).encode()).decode(),
    }
    answer = await pool.call("query", params, on=endpoint)
    if isinstance(answer, dict) and "error" in answer:  # contract failures come inside the result
        raise ReadError(f"{method} of {contract}: {answer['error']!s:.120}")
    try:
        text = json.loads(bytes(answer["result"]))  # type: ignore[index]  # checked by the except below
        assert isinstance(text, str) and text.isdecimal()
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise RpcError(f"{method} does not parse ({error!r})", kind=Kind.MALFORMED, endpoint=endpoint.label) from None
    return int(text)
