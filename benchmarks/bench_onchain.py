"""The chain reader against web3 as it comes, on one local node: contract reads near and far, and Transfer logs.

Needs npm (anvil comes by `npm pack`); without it the table says so.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import pytest
from aiohttp import web

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "onchain")]

from evmkit import Deployed, Node  # noqa: E402 - after the path is set
from web3 import Web3  # noqa: E402

import onchain  # noqa: E402
from onchain.evm import erc20  # noqa: E402
from onchain.evm.activity import TRANSFER, parse_transfers  # noqa: E402
from onchain.evm.logs import Checkpoint, Chunk, LogScan  # noqa: E402
from onchain.evm.multicall import Call, read_calls  # noqa: E402
from onchain.rpc.pin import Pinner  # noqa: E402
from onchain.rpc.pool import Pool  # noqa: E402

LATENCY_S = 0.05
HOLDERS = [Web3.to_checksum_address(f"0x{i:040x}") for i in range(1, 9)]


async def delayed(upstream: str, delay_s: float) -> tuple[web.AppRunner, aiohttp.ClientSession, str]:
    """A proxy on 127.0.0.1 that waits before forwarding."""
    client = aiohttp.ClientSession()

    async def forward(request: web.Request) -> web.Response:
        body = await request.read()
        await asyncio.sleep(delay_s)
        async with client.post(upstream, data=body, headers={"Content-Type": "application/json"}) as got:
            return web.Response(body=await got.read(), content_type="application/json")

    app = web.Application(client_max_size=256_000_000)
    app.router.add_post("/", forward)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, client, f"http://127.0.0.1:{runner.addresses[0][1]}"


def theirs(url: str, tokens: list[Deployed], number: int) -> list[int]:
    """The reads with web3 contract calls, one by one, as web3 comes."""
    w3 = Web3(Web3.HTTPProvider(url))
    found = []
    for token in tokens:
        contract = w3.eth.contract(address=token.address, abi=token.abi)
        found.append(contract.functions.totalSupply().call(block_identifier=number))
        found += [contract.functions.balanceOf(h).call(block_identifier=number) for h in HOLDERS]
    return found


def wanted(tokens: list[Deployed]) -> list[Call]:
    calls = []
    for token in tokens:
        calls.append(erc20.total_supply(token.address))
        calls += [erc20.balance_of(token.address, holder) for holder in HOLDERS]
    return calls


async def cold(node: Node, url: str, tokens: list[Deployed]) -> tuple[int, int]:
    """(block number, HTTP requests) from nothing: connect, identify the endpoint, pin, read."""
    async with Pool(node.chain(url)) as pool:
        pin = await Pinner(pool).head()
        await read_calls(pool, pin, wanted(tokens))
        return pin.number, len(pool.records)


async def timed(work: Callable[[], Awaitable[object]], rounds: int) -> float:
    spent = []
    for _ in range(rounds):
        gc.collect()
        started = time.perf_counter()
        await work()
        spent.append(time.perf_counter() - started)
    return median(spent)


async def reads(
    node: Node, url: str, tokens: list[Deployed], *, where: str, goals: tuple[int, int], rounds: int
) -> list[dict[str, Any]]:
    """The same reads by Multicall, by web3's contracts over the pool, and from cold; the values must be equal.

    Both sides are given the block, as web3's calls are; "from cold" adds identity check and pin to ours.
    """
    async with onchain.web3("bench", chains={"bench": node.chain(url)}) as w3:
        pool, pin = w3.provider.pool, await w3.provider.pinned()

        async def batch() -> list[int]:
            readout = await read_calls(pool, pin, wanted(tokens))
            return [outcome.integer("read") for outcome in readout.outcomes]

        async def contracts() -> list[int]:
            calls = []
            for token in tokens:
                functions = w3.eth.contract(address=token.address, abi=onchain.ERC20_ABI).functions
                calls += [functions.totalSupply().call(), *(functions.balanceOf(h).call() for h in HOLDERS)]
            return await asyncio.gather(*calls)

        values = await batch()
        started = time.perf_counter()
        expected = await asyncio.to_thread(theirs, url, tokens, pin.number)
        slow = time.perf_counter() - started
        assert values == expected == await contracts()
        fast, over = await timed(batch, rounds), await timed(contracts, rounds)
    from_cold = await timed(lambda: cold(node, url, tokens), rounds)
    _, requests = await cold(node, url, tokens)
    assert requests <= 3
    name, peer = f"{len(values)} reads, {where}", "web3, one by one"
    return [
        _row(f"{name}: Multicall", fast, peer, slow, f">= {goals[0]} x"),
        _row(f"{name}: web3 contracts over the pool", over, peer, slow, f">= {goals[1]} x"),
        _row(f"{name}: from cold, {requests} requests", from_cold, peer, slow, ""),
    ]


async def scanned(node: Node, token: Deployed, first: int) -> list[tuple[int, int, str, str, int, str]]:
    rows = []
    async with Pool(node.chain(), timeout_s=120) as pool:
        end = await Pinner(pool).head()
        scan = LogScan(pool, addresses=[token.address], topics=[TRANSFER], upto=end, checkpoint=Checkpoint(first))
        async for chunk in scan.run():
            assert isinstance(chunk, Chunk)
            rows += parse_transfers(chunk.logs, token=token.address)
    return rows


async def logs(node: Node, token: Deployed, count: int, *, rounds: int) -> dict[str, Any]:
    """The row of `count` Transfer events, request to exact values; sums must be equal."""
    first = int(node.block()["number"], 16) + 1
    for start in range(0, count, 1000):
        token.do("spray", start, 1000)
    node.mine(5)
    rows = await scanned(node, token, first)
    w3 = Web3(Web3.HTTPProvider(node.url, request_kwargs={"timeout": 600}))
    contract = w3.eth.contract(address=token.address, abi=token.abi)
    gc.collect()
    started = time.perf_counter()
    events = await asyncio.to_thread(contract.events.Transfer().get_logs, from_block=first)
    slow = time.perf_counter() - started
    assert len(events) == len(rows) == count
    assert sum(e["args"]["amount"] for e in events) == sum(row[4] for row in rows)
    del events, rows
    fast = await timed(lambda: scanned(node, token, first), rounds)
    return _row(f"{count:,} Transfer logs, request to exact values", fast, "web3 get_logs", slow, ">= 15 x")


async def measured(node: Node, *, tokens: int, count: int, rounds: int) -> list[dict[str, Any]]:
    """Every row, on one node: the same reads near and far, then the logs."""
    contracts = [node.deploy("token", f"Token {i}", f"T{i}", 18, 10**24 + i) for i in range(tokens)]
    for token in contracts[:5]:
        token.do("transfer", HOLDERS[0], 10**20)
    node.mine(5)
    rows = await reads(node, node.url, contracts, where="local node", goals=(80, 15), rounds=rounds)
    runner, client, slow_url = await delayed(node.url, LATENCY_S)
    try:
        where = f"{LATENCY_S * 1e3:g} ms latency"
        rows += await reads(node, slow_url, contracts, where=where, goals=(400, 140), rounds=rounds)
    finally:
        await client.close()
        await runner.cleanup()
    return [*rows, await logs(node, contracts[0], count, rounds=min(3, rounds))]


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Rows of the table; a single row that says why where npm cannot give the node. `quick`: 3 tokens, 2,000 logs."""
    try:
        node = Node(31337)
    except pytest.skip.Exception as skipped:
        return [_row(f"not measured: {skipped}", None, "web3", None, "")]
    try:
        node.multicall3()
        tokens, count, rounds = (3, 2_000, 1) if quick else (25, 100_000, 5)
        return asyncio.run(measured(node, tokens=tokens, count=count, rounds=rounds))
    finally:
        node.close()


def _row(name: str, ours_s: float | None, peer: str, peer_s: float | None, goal: str) -> dict[str, Any]:
    return {
        "name": name,
        "ours_ms": None if ours_s is None else ours_s * 1e3,
        "peer": peer,
        "peer_ms": None if peer_s is None else peer_s * 1e3,
        "ratio": None if ours_s is None or peer_s is None else peer_s / ours_s,
        "goal": goal,
    }
