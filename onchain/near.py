"""Native NEAR supply and NEP-141 tokens at a final block. Written to the documented shapes; not run against a live
node here."""

from __future__ import annotations

import base64
import json
from typing import Any

from onchain.errors import ReadError
from onchain.family import Family
from onchain.rpc.pin import Pin
from onchain.rpc.pool import Endpoint, Pool
from onchain.rpc.wire import parsing
from onchain.tokens import Read, exact


async def _tip(pool: Pool, endpoint: Endpoint) -> Pin:
    return (await _header(pool, endpoint, {"finality": "final"}))[0]


async def _block(pool: Pool, endpoint: Endpoint, height: int) -> Pin:
    return (await _header(pool, endpoint, {"block_id": height}))[0]


async def _header(pool: Pool, endpoint: Endpoint, params: dict[str, object]) -> tuple[Pin, int]:
    """(pin, native total supply in yoctoNEAR) of one block."""
    answer: Any = await pool.call("block", params, on=endpoint)
    with parsing("the block header", endpoint.label):
        header = answer["header"]
        number, time = int(header["height"]), int(header["timestamp"]) // 1_000_000_000
        return Pin(pool.chain.name, number, str(header["hash"]), time, "final"), exact(header["total_supply"])


async def _figure(pool: Pool, endpoint: Endpoint, read: Read, pin: Pin) -> int:
    if read.asset == "native" and read.what == "supply":
        return (await _header(pool, endpoint, {"block_id": pin.hash}))[1]
    if read.asset == "native":
        asked = {"request_type": "view_account", "block_id": pin.hash, "account_id": read.holder}
        account: Any = await pool.call("query", asked, on=endpoint)
        with parsing(f"account {read.holder}", endpoint.label):
            return exact(account["amount"]) + exact(account.get("locked", "0"))
    if read.what == "supply":
        return await _view(pool, endpoint, read.asset, "ft_total_supply", {}, pin=pin)
    return await _view(pool, endpoint, read.asset, "ft_balance_of", {"account_id": read.holder}, pin=pin)


async def _view(
    pool: Pool, endpoint: Endpoint, contract: str, method: str, arguments: dict[str, str], *, pin: Pin
) -> int:
    asked = {
        "request_type": "call_function",
        "block_id": pin.hash,
        "account_id": contract,
        "method_name": method,
        "args_base64": base64.b64encode(json.dumps(arguments).encode()).decode(),
    }
    answer: Any = await pool.call("query", asked, on=endpoint)
    if isinstance(answer, dict) and "error" in answer:  # contract failures come inside the result
        raise ReadError(f"{method} of {contract}: {answer['error']!s:.120}")
    with parsing(method, endpoint.label):
        return exact(json.loads(bytes(answer["result"])))


FAMILY = Family(_tip, _figure, _block, lag=5, skips=30)
