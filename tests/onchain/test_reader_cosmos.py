"""Cosmos chains, read from nodes in the documented shapes (see `nonevm`)."""

from __future__ import annotations

import pytest
from nonevm import NOW, POOL, STAKED, UAKT, cosmos_node, pool

from onchain import cosmos
from onchain.errors import AllEndpointsFailed, DisagreementError, PinError
from onchain.tokens import Read


async def test_cosmos_reads_at_the_height_of_the_instant(serve) -> None:
    url = await serve(cosmos_node())
    async with pool("cosmos", url, identity="akashnet-2", block_time_s=6.0) as p:
        at = NOW - 5 - 6 * 1234 + 3
        got = await cosmos.FAMILY.read(p, [UAKT, POOL, STAKED], at=at, confirm=2)
    assert got[UAKT].pin.number == 20_000_000 - 1234
    assert got[UAKT].amount == (20_000_000 - 1234) * 1000
    assert got[POOL].amount == 77000 and got[STAKED].amount == 123


async def test_cosmos_node_that_ignores_the_height_is_passed_over(serve) -> None:
    deaf, good = await serve(cosmos_node(echo="20000000")), await serve(cosmos_node())
    async with pool("cosmos", deaf, good, block_time_s=6.0) as p:
        got = await cosmos.FAMILY.read(p, [UAKT], at=None, confirm=1)
        assert got[UAKT].amount == 19_999_998_000 and got[UAKT].agreed == (good,)
    async with pool("cosmos", await serve(cosmos_node(echo=None))) as p:
        got = await cosmos.FAMILY.read(p, [UAKT], at=None, confirm=1)
    assert got[UAKT].amount is None and "ignores the height header" in got[UAKT].reason


async def test_cosmos_unknown_denom_is_an_error_not_zero(serve) -> None:
    wrong = Read("cosmos", "supply", "uatk", 6)
    async with pool("cosmos", await serve(cosmos_node())) as p:
        reading = (await cosmos.FAMILY.read(p, [wrong], at=None, confirm=1))[wrong]
    assert reading.amount is None and "an unknown denom answers so" in reading.reason


async def test_cosmos_lie_about_supply_is_seen(serve) -> None:
    a, b = await serve(cosmos_node()), await serve(cosmos_node(supply="5"))
    async with pool("cosmos", a, b) as p:
        reading = (await cosmos.FAMILY.read(p, [UAKT], at=None, confirm=2))[UAKT]
    assert reading.amount is None and "differs between" in reading.reason


async def test_cosmos_future_instant_and_wrong_network(serve) -> None:
    url = await serve(cosmos_node(network="osmosis-1"))
    async with pool("cosmos", url, identity="akashnet-2") as p:
        with pytest.raises(AllEndpointsFailed, match="serves chain osmosis-1"):
            await cosmos.FAMILY.read(p, [UAKT], at=None, confirm=1)
    async with pool("cosmos", await serve(cosmos_node())) as p:
        with pytest.raises(PinError, match="is not final yet"):
            await cosmos.FAMILY.read(p, [UAKT], at=NOW + 60, confirm=1)


async def test_cosmos_two_chains_under_one_name_are_not_mixed(serve) -> None:
    """A node on a fork answers another block hash for the height: the pin itself is refused."""
    a, fork = await serve(cosmos_node()), await serve(cosmos_node(hash_of="F{}"))
    async with pool("cosmos", a, fork) as p:
        with pytest.raises(DisagreementError, match="block 19999998 differs between"):
            await cosmos.FAMILY.read(p, [UAKT], at=None, confirm=2)
