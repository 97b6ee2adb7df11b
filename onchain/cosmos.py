"""Bank supplies on Cosmos SDK chains (AKT, native FET, AIOZ) at a fixed height, over the REST gateway.

Finality is instant, so a height is a pin. Some nodes ignore the height header and answer today's supply: the echoed
height is required to match. Written to the documented shapes; not run against a live node here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from onchain.errors import Kind, ReadError, RpcError, malformed
from onchain.family import Family
from onchain.rpc.pin import Pin
from onchain.rpc.pool import Endpoint, Pool
from onchain.rpc.wire import parsing
from onchain.tokens import Read

_BLOCKS = "/cosmos/base/tendermint/v1beta1/blocks"
_HEIGHT = "x-cosmos-block-height"
_ECHO = ("Grpc-Metadata-X-Cosmos-Block-Height", "X-Cosmos-Block-Height")
_AMOUNT = re.compile(r"(\d+)(?:\.\d+)?\Z")
_PATHS = {
    "supply": "/cosmos/bank/v1beta1/supply/by_denom?denom={asset}",
    "balance": "/cosmos/bank/v1beta1/balances/{holder}/by_denom?denom={asset}",
    "staked": "/cosmos/staking/v1beta1/pool",
    "community_pool": "/cosmos/distribution/v1beta1/community_pool",
}


async def _tip(pool: Pool, endpoint: Endpoint) -> Pin:
    return await _header(pool, endpoint, "latest")


async def _block(pool: Pool, endpoint: Endpoint, height: int) -> Pin:
    pin = await _header(pool, endpoint, str(height))
    if pin.number != height:
        raise malformed(f"asked for height {height}, got {pin.number}", endpoint.label)
    return pin


async def _header(pool: Pool, endpoint: Endpoint, height: str) -> Pin:
    body, _ = await pool.fetch(endpoint, f"{_BLOCKS}/{height}")
    with parsing("the block header", endpoint.label):
        header, block_hash = body["block"]["header"], str(body["block_id"]["hash"])
        stamp = re.sub(r"(\.\d{1,6})\d*", r"\1", header["time"])  # nine digits of fraction, datetime reads six
        time = int(datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp())
        return Pin(pool.chain.name, int(header["height"]), block_hash, time, "final")


async def _figure(pool: Pool, endpoint: Endpoint, read: Read, pin: Pin) -> int:
    if read.what not in _PATHS:
        raise ReadError(f"cosmos chains have no {read.what!r}")
    path = _PATHS[read.what].format(asset=read.asset, holder=read.holder)
    body, headers = await pool.fetch(endpoint, path, headers={_HEIGHT: str(pin.number)})
    _check_echo(headers, pin, endpoint)
    with parsing(read.what, endpoint.label):
        digits = _AMOUNT.match(_amount(body, read))
        assert digits is not None, "not an amount"
    amount = int(digits[1])
    if read.what == "supply" and amount == 0:
        raise ReadError(f"supply of {read.asset} is 0: an unknown denom answers so; check the denom")
    return amount


def _amount(body: Any, read: Read) -> str:
    """The text of the amount in an answer; LookupError or TypeError where it does not stand."""
    if read.what == "staked":
        return str(body["pool"]["bonded_tokens"])
    if read.what == "community_pool":
        return str(next((coin["amount"] for coin in body["pool"] if coin["denom"] == read.asset), "0"))
    coin = body["amount" if read.what == "supply" else "balance"]
    if coin["denom"] != read.asset:
        raise KeyError(read.asset)
    return str(coin["amount"])


def _check_echo(headers: Mapping[str, str], pin: Pin, endpoint: Endpoint) -> None:
    echoed = next((headers[name] for name in _ECHO if name in headers), None)
    if echoed != str(pin.number):
        text = f"answered at height {echoed or 'unknown'}, not at {pin.number}: the node ignores the height header"
        raise RpcError(text, kind=Kind.MISSING_STATE, endpoint=endpoint.label)


FAMILY = Family(_tip, _figure, _block, lag=2)
