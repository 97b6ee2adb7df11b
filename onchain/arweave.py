"""Native AR on Arweave: what a node says all accounts hold, at its newest block.

Place in the flow: the Arweave `Reader`. A node sums the accounts of its newest block only (GET /total_supply, since
2022): there is no history, so an instant further away than `TOLERANCE_S` is refused. Coins not mined yet and those of
the storage endowment are in no account. Written to the node's source (ar_http_iface_middleware.erl); not run against a
live node here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from onchain.errors import Kind, PinError, ReadError, RpcError
from onchain.readings import Read, Reading, exact, kept
from onchain.rpc.endpoint import Endpoint
from onchain.rpc.pin import Pin, confirmed
from onchain.rpc.pool import Pool

TOLERANCE_S = 900
DRIFT = 1e-6  # nodes a few blocks apart: a block mints less than 1e-8 of the supply
_OF_BLOCK = {"weave_size": "weave_size", "endowment": "reward_pool"}
TIP = "tip"  # the newest block; a fork changes the supply by a block reward at most


async def read(pool: Pool, reads: Sequence[Read], *, at: int | None, confirm: int) -> dict[Read, Reading]:
    """Every `Read` at the newest block. Raises ReadError when `at` is too far from it, PinError when it is stale."""
    pin = await pool.on_any(partial(tip, pool), what="GET /info")
    limit, age = pool.chain.max_age_s, pool.wall() - pin.timestamp
    if limit is not None and age > limit:
        raise PinError(f"{pool.chain.name}: block {pin.number} is {age:.0f} s old; the endpoints are stale")
    if at is not None and abs(pin.timestamp - at) > TOLERANCE_S:
        raise ReadError(
            f"arweave nodes state the supply of their newest block only: {pin.number} is at {pin.timestamp}, "
            f"{abs(pin.timestamp - at)} s from the instant asked for; use an imported value"
        )
    return {r: await kept(r, partial(_amount, pool, r, pin=pin, confirm=confirm), pin) for r in reads}


async def tip(pool: Pool, endpoint: Endpoint) -> Pin:
    """The newest block of one endpoint."""
    await pool.ready(endpoint)
    info, _ = await pool.fetch(endpoint, "/info")
    try:
        height, name = int(info["height"]), str(info["current"])  # type: ignore[index]  # checked by the except below
        block, _ = await pool.fetch(endpoint, f"/block/hash/{name}")
        height_there, time = int(block["height"]), int(block["timestamp"])  # type: ignore[index]
    except (KeyError, TypeError, ValueError) as error:
        text = f"the newest block does not parse ({error!r})"
        raise RpcError(text, kind=Kind.MALFORMED, endpoint=endpoint.label) from None
    if height_there != height:
        text = f"block {name[:10]}… is at height {height_there}, not at {height}"
        raise RpcError(text, kind=Kind.MALFORMED, endpoint=endpoint.label)
    return Pin(pool.chain.name, height, name, time, TIP, (endpoint.label,))


async def _amount(pool: Pool, read: Read, *, pin: Pin, confirm: int) -> tuple[int, tuple[str, ...]]:
    if read.what in _OF_BLOCK:
        return await confirmed(
            pool, partial(_of_block, pool, _OF_BLOCK[read.what], pin), what=f"{read.what} of block {pin.number}",
            count=confirm,
        )  # fmt: skip
    if read.what != "supply" or read.asset != "native":
        raise ReadError(f"the arweave reader has no {read.what!r} of {read.asset!r}")

    async def ask(endpoint: Endpoint) -> int:
        await _must_be_near(pool, endpoint, pin)
        raw = await pool.get_bytes("/total_supply", on=endpoint)  # winston do not fit 64 bits: not read as JSON
        if not raw.strip().isdigit():
            text = f"the total supply {raw[:40]!r} is not a number"
            raise RpcError(text, kind=Kind.MALFORMED, endpoint=endpoint.label)
        return int(raw)

    return await confirmed(
        pool,
        ask,
        what="total supply",
        count=confirm,
        same=lambda a, b: abs(a - b) <= DRIFT * max(a, b),
    )


async def _of_block(pool: Pool, name: str, pin: Pin, endpoint: Endpoint) -> int:
    """A figure in the pinned block's own header."""
    await pool.ready(endpoint)
    block, _ = await pool.fetch(endpoint, f"/block/hash/{pin.hash}")
    try:
        return exact(str(block[name]))  # type: ignore[index]  # checked by the except below
    except (KeyError, TypeError, ValueError) as error:
        text = f"block {pin.hash[:10]}… has no {name} ({error!r})"
        raise RpcError(text, kind=Kind.MALFORMED, endpoint=endpoint.label) from None


async def _must_be_near(pool: Pool, endpoint: Endpoint, pin: Pin) -> None:
    """A node that lags would state an old supply as today's."""
    here = await tip(pool, endpoint)
    if abs(here.timestamp - pin.timestamp) > TOLERANCE_S:
        text = f"its newest block {here.number} is {abs(here.timestamp - pin.timestamp)} s from block {pin.number}"
        raise RpcError(text, kind=Kind.NOT_FOUND, endpoint=endpoint.label)
