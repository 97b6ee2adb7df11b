"""Native AR on Arweave: what a node says all accounts hold, at its newest block.

A node sums the accounts of its newest block only (GET /total_supply, since 2022). Coins not mined yet and those of the
storage endowment are in no account. Written to the node's source (ar_http_iface_middleware.erl); not run against a live
node here.
"""

from __future__ import annotations

from typing import Any

from onchain.errors import Kind, ReadError, RpcError, malformed
from onchain.family import TOLERANCE_S, Family
from onchain.rpc.pin import Pin
from onchain.rpc.pool import Endpoint, Pool
from onchain.rpc.wire import parsing
from onchain.tokens import Read, exact

DRIFT = 1e-6  # nodes a few blocks apart: a block mints less than 1e-8 of the supply
_OF_BLOCK = {"weave_size": "weave_size", "endowment": "reward_pool"}
TIP = "tip"  # the newest block; a fork changes the supply by a block reward at most


async def _tip(pool: Pool, endpoint: Endpoint) -> Pin:
    info, _ = await pool.fetch(endpoint, "/info")
    with parsing("the newest block", endpoint.label):
        height, name = int(info["height"]), str(info["current"])
    block = await _header(pool, endpoint, name)
    with parsing("the newest block", endpoint.label):
        there, time = int(block["height"]), int(block["timestamp"])
    if there != height:
        raise malformed(f"block {name[:10]}… is at height {there}, not at {height}", endpoint.label)
    return Pin(pool.chain.name, height, name, time, TIP, (endpoint.label,))


async def _header(pool: Pool, endpoint: Endpoint, name: str) -> Any:
    return (await pool.fetch(endpoint, f"/block/hash/{name}"))[0]


async def _figure(pool: Pool, endpoint: Endpoint, read: Read, pin: Pin) -> int:
    if field := _OF_BLOCK.get(read.what):
        block = await _header(pool, endpoint, pin.hash)
        with parsing(f"{field} of block {pin.hash[:10]}…", endpoint.label):
            return exact(str(block[field]))
    if read.what != "supply" or read.asset != "native":
        raise ReadError(f"the arweave reader has no {read.what!r} of {read.asset!r}")
    own = await _tip(pool, endpoint)  # a node that lags would state an old supply as today's
    if abs(own.timestamp - pin.timestamp) > TOLERANCE_S:
        text = f"its newest block {own.number} is {abs(own.timestamp - pin.timestamp)} s from block {pin.number}"
        raise RpcError(text, kind=Kind.NOT_FOUND, endpoint=endpoint.label)
    raw, _ = await pool.fetch(endpoint, "/total_supply", decode=bytes)  # winston do not fit 64 bits: not read as JSON
    if not raw.strip().isdigit():
        raise malformed(f"the total supply {raw[:40]!r} is not a number", endpoint.label)
    return int(raw)


FAMILY = Family(_tip, _figure, drift=DRIFT)
