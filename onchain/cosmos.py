"""Bank supplies on Cosmos SDK chains at a fixed height, over the REST gateway.

Place in the flow: the Cosmos `Reader` (AKT, native FET, AIOZ). Finality is instant, so a height is a pin. Some nodes
ignore the height header and answer today's supply: the echoed height is required to match. Written to the documented
shapes; not run against a live node here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from onchain.errors import Kind, PinError, ReadError, RpcError
from onchain.readings import Read, Reading, kept
from onchain.rpc.endpoint import Endpoint
from onchain.rpc.pin import Pin, agreed_pin, confirmed, height_at
from onchain.rpc.pool import Pool

_BLOCKS = "/cosmos/base/tendermint/v1beta1/blocks"
_HEIGHT = "x-cosmos-block-height"
_ECHO = ("Grpc-Metadata-X-Cosmos-Block-Height", "X-Cosmos-Block-Height")
_AMOUNT = re.compile(r"(\d+)(?:\.\d+)?\Z")


async def read(pool: Pool, reads: Sequence[Read], *, at: int | None, confirm: int) -> dict[Read, Reading]:
    """Every `Read` at the last height at or before `at`."""
    height = str(await _height(pool, at))
    pin = await agreed_pin(pool, lambda e: _header(pool, e, height), what=f"block {height}", count=confirm)
    return {r: await kept(r, partial(_amount, pool, r, pin=pin, confirm=confirm), pin) for r in reads}


async def _height(pool: Pool, at: int | None) -> int:
    latest = await _block(pool, "latest")
    limit, age = pool.chain.max_age_s, pool.wall() - latest.timestamp
    if at is None:
        if limit is not None and age > limit:
            raise PinError(f"{pool.chain.name}: block {latest.number} is {age:.0f} s old; the endpoints are stale")
        # the newest height may not have reached the second endpoint yet
        return max(1, latest.number - 2)
    if latest.timestamp <= at:
        raise PinError(f"{pool.chain.name}: instant {at} is not reached yet (block {latest.number})")
    seen: dict[int, Pin] = {latest.number: latest}

    async def time_of(height: int) -> int:
        if height not in seen:
            seen[height] = await _block(pool, str(height))
        return seen[height].timestamp

    pace = pool.chain.block_time_s
    height = await height_at(at, first=1, head=latest.number, block_time_s=pace, time_of=time_of)
    if height is None:
        raise PinError(f"{pool.chain.name}: instant {at} is before its first block")
    return height


async def tip(pool: Pool, endpoint: Endpoint) -> Pin:
    """The newest block of one endpoint."""
    return await _header(pool, endpoint, "latest")


async def _block(pool: Pool, height: str) -> Pin:
    return await pool.on_any(lambda e: _header(pool, e, height), what=f"block {height}")


async def _header(pool: Pool, endpoint: Endpoint, height: str) -> Pin:
    await pool.ready(endpoint)
    body, _ = await pool.fetch(endpoint, f"{_BLOCKS}/{height}")
    try:
        header = body["block"]["header"]  # type: ignore[index]  # checked by the except below
        pin = Pin(
            pool.chain.name,
            int(header["height"]),
            str(body["block_id"]["hash"]),  # type: ignore[index]
            int(datetime.fromisoformat(_seconds(header["time"])).timestamp()),
            "final",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RpcError(
            f"the block header does not parse ({error!r})", kind=Kind.MALFORMED, endpoint=endpoint.label
        ) from None
    if height != "latest" and pin.number != int(height):
        raise RpcError(f"asked for height {height}, got {pin.number}", kind=Kind.MALFORMED, endpoint=endpoint.label)
    return pin


def _seconds(stamp: str) -> str:
    """Nine digits of fraction cut to what datetime reads."""
    return re.sub(r"(\.\d{1,6})\d*", r"\1", stamp).replace("Z", "+00:00")


async def _amount(pool: Pool, read: Read, *, pin: Pin, confirm: int) -> tuple[int, tuple[str, ...]]:
    async def ask(endpoint: Endpoint) -> int:
        await pool.ready(endpoint)
        body, headers = await pool.fetch(endpoint, _path(read), headers={_HEIGHT: str(pin.number)})
        _check_echo(headers, pin, endpoint)
        return _parse(body, read, endpoint)

    return await confirmed(pool, ask, what=f"{read.what} of {read.asset} at {pin.number}", count=confirm)


def _path(read: Read) -> str:
    if read.what == "supply":
        return f"/cosmos/bank/v1beta1/supply/by_denom?denom={read.asset}"
    if read.what == "balance":
        return f"/cosmos/bank/v1beta1/balances/{read.holder}/by_denom?denom={read.asset}"
    if read.what == "staked":
        return "/cosmos/staking/v1beta1/pool"
    if read.what == "community_pool":
        return "/cosmos/distribution/v1beta1/community_pool"
    raise ReadError(f"cosmos chains have no {read.what!r}")


def _check_echo(headers: Mapping[str, str], pin: Pin, endpoint: Endpoint) -> None:
    echoed = next((headers[name] for name in _ECHO if name in headers), None)
    if echoed != str(pin.number):
        raise RpcError(
            f"answered at height {echoed or 'unknown'}, not at {pin.number}: the node ignores the height header",
            kind=Kind.MISSING_STATE,
            endpoint=endpoint.label,
        )


def _parse(body: object, read: Read, endpoint: Endpoint) -> int:
    try:
        if read.what == "staked":
            text = body["pool"]["bonded_tokens"]  # type: ignore[index]  # checked by the except below
        elif read.what == "community_pool":
            coins = body["pool"]  # type: ignore[index]
            text = next((c["amount"] for c in coins if c["denom"] == read.asset), "0")
        else:
            coin = body["amount" if read.what == "supply" else "balance"]  # type: ignore[index]
            if coin["denom"] != read.asset:
                raise KeyError(read.asset)
            text = coin["amount"]
        digits = _AMOUNT.match(text)
        assert digits is not None
    except (KeyError, TypeError, AssertionError) as error:
        raise RpcError(
            f"{read.what} does not parse ({error!r})", kind=Kind.MALFORMED, endpoint=endpoint.label
        ) from None
    amount = int(digits[1])
    if read.what == "supply" and amount == 0:
        raise ReadError(f"supply of {read.asset} is 0: an unknown denom answers so; check the denom")
    return amount
