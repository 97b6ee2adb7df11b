"""Fixtures of the chain reader's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from aiohttp import web
from evmkit import Node
from faultproxy import FaultProxy


@pytest.fixture(scope="session")
def shared_node() -> Iterator[Node]:
    """One anvil with Multicall3, for tests that only add to it."""
    node = Node(31337)
    node.multicall3()
    node.mine(5)
    yield node
    node.close()


@pytest.fixture
def new_node() -> Iterator:
    """Factory of fresh anvil nodes: new_node(chain_id, *options); all are stopped at the end of the test."""
    nodes: list[Node] = []

    def start(chain_id: int = 31337, *options: str, multicall: bool = True, epoch: int = 1) -> Node:
        node = Node(chain_id, *options, epoch=epoch)
        nodes.append(node)
        if multicall:
            node.multicall3()
        node.mine(5)
        return node

    yield start
    for node in nodes:
        node.close()


@pytest_asyncio.fixture
async def proxies() -> AsyncIterator:
    """Factory of fault proxies: await proxies(upstream_url, fault…)."""
    started: list[FaultProxy] = []

    async def start(upstream: str, **faults: object) -> FaultProxy:
        proxy = FaultProxy(upstream, **faults)
        await proxy.start()
        started.append(proxy)
        return proxy

    yield start
    for proxy in started:
        await proxy.stop()


@pytest_asyncio.fixture
async def aiohttp_sites() -> AsyncIterator:
    """Factory of HTTP servers on 127.0.0.1: await aiohttp_sites(handler) → URL; all are stopped at the end."""
    runners: list[web.AppRunner] = []

    async def start(handler: object) -> str:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", handler)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def serve(aiohttp_sites):
    """serve(handler) → URL of a server whose handler gets the aiohttp request and returns a response."""
    return aiohttp_sites
