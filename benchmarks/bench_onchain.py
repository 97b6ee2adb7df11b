"""Ratios of the chain reader against web3 on one local node, in one run: balances one by one, and Transfer logs.

    .venv/bin/python benchmarks/bench_onchain.py [--logs 100000] [--latency-ms 50] [--rounds 3]

Needs npm (anvil comes by `npm pack`). Prints one line per ratio; exits 1 when a ratio misses its goal.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import aiohttp
from aiohttp import web

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "onchain")]

from evmkit import ADMIN_KEY_ACCOUNT, Deployed, Node  # noqa: E402 - after the path is set
from web3 import Web3  # noqa: E402

from onchain.evm import erc20  # noqa: E402
from onchain.evm.logs import Checkpoint, Chunk, LogScan  # noqa: E402
from onchain.evm.multicall import Call, read_calls  # noqa: E402
from onchain.rpc.pin import Pinner  # noqa: E402
from onchain.rpc.pool import Pool  # noqa: E402
from onchain.usage.activity import TRANSFER, parse_transfers  # noqa: E402

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
    """The 225 reads with web3 contract calls, one by one, as web3 comes."""
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


async def reads(node: Node, url: str, tokens: list[Deployed], *, rounds: int) -> tuple[float, float, int]:
    """(ratio at a given block, ratio from cold, requests from cold) for 225 reads; the values must be equal.

    Both sides are given the block, as web3's calls are; the second ratio adds identity check and pin to ours.
    """
    async with Pool(node.chain(url)) as pool:
        pin = await Pinner(pool).head()

        async def warm() -> list[int]:
            readout = await read_calls(pool, pin, wanted(tokens))
            return [outcome.integer("read") for outcome in readout.outcomes]

        values = await warm()
        started = time.perf_counter()
        expected = await asyncio.to_thread(theirs, url, tokens, pin.number)
        slow = time.perf_counter() - started
        assert values == expected
        fast = await timed(warm, rounds)
    from_cold = await timed(lambda: cold(node, url, tokens), rounds)
    _, requests = await cold(node, url, tokens)
    print(f"    225 reads: web3 {slow * 1e3:.0f} ms, ours {fast * 1e3:.1f} ms, from cold {from_cold * 1e3:.1f} ms")
    return slow / fast, slow / from_cold, requests


async def scanned(node: Node, token: Deployed, first: int) -> list[tuple[int, int, str, str, int, str]]:
    rows = []
    async with Pool(node.chain(), timeout_s=120) as pool:
        end = await Pinner(pool).head()
        scan = LogScan(pool, addresses=[token.address], topics=[TRANSFER], upto=end, checkpoint=Checkpoint(first))
        async for chunk in scan.run():
            assert isinstance(chunk, Chunk)
            rows += parse_transfers(chunk.logs, token=token.address)
    return rows


async def logs(node: Node, token: Deployed, count: int, *, rounds: int) -> float:
    """Ratio for `count` Transfer events, request to exact values; sums must be equal."""
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
    print(f"    {count} logs: web3 {slow:.2f} s, ours {fast:.2f} s ({fast / count * 1e6:.1f} µs each)")
    return slow / fast


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=int, default=100_000)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    node = Node(31337)
    try:
        node.multicall3()
        tokens = [node.deploy("token", f"Token {i}", f"T{i}", 18, 10**24 + i) for i in range(25)]
        for token in tokens[:5]:
            token.do("transfer", HOLDERS[0], 10**20)
        node.mine(5)
        assert tokens[0].ask("balanceOf", ADMIN_KEY_ACCOUNT) > 0
        local, local_cold, requests = await reads(node, node.url, tokens, rounds=given.rounds)
        runner, client, slow_url = await delayed(node.url, given.latency_ms / 1e3)
        try:
            far, far_cold, _ = await reads(node, slow_url, tokens, rounds=given.rounds)
        finally:
            await client.close()
            await runner.cleanup()
        scan = await logs(node, tokens[0], given.logs, rounds=min(3, given.rounds))
    finally:
        node.close()
    results = [
        ("reads, local node", local, 80.0),
        (f"reads, {given.latency_ms:g} ms latency", far, 400.0),
        (f"{given.logs} Transfer logs", scan, 15.0),
    ]
    for name, ratio, goal in results:
        print(f"{name}: {ratio:.1f}x (goal {goal:g}x) {'ok' if ratio >= goal else 'MISSED'}")
    print(
        f"from cold (identity, pin, reads): {local_cold:.1f}x local, {far_cold:.1f}x far, {requests} requests (goal 3)"
    )
    return 0 if requests <= 3 and all(ratio >= goal for _, ratio, goal in results) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
