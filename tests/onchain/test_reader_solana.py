"""Solana, read from nodes in the documented shapes (see `nonevm`)."""

from __future__ import annotations

import pytest
from nonevm import HELD, MINT, NOW, pool, solana_node

from onchain import solana
from onchain.errors import AllEndpointsFailed, PinError, ReadError


async def test_solana_supply_is_the_exact_amount_and_accounts_are_summed(serve) -> None:
    url = await serve(solana_node())
    async with pool("solana", url, identity_method="getGenesisHash", identity="genesis") as p:
        got = await solana.FAMILY.read(p, [MINT, HELD], at=None, confirm=2)
    assert got[MINT].amount == 999999999123456789 and got[HELD].amount == 42
    assert got[MINT].pin.number == 350_000_000 and got[MINT].pin.timestamp == NOW - 20


async def test_solana_mint_between_two_slots_is_no_lie_but_a_large_gap_is(serve) -> None:
    a, b, c = [await serve(solana_node(str(n))) for n in (10**18, 10**18 + 10**12, 2 * 10**18)]
    async with pool("solana", a, b) as p:
        assert (await solana.FAMILY.read(p, [MINT], at=None, confirm=2))[MINT].amount in (10**18, 10**18 + 10**12)
    async with pool("solana", a, c) as p:
        reading = (await solana.FAMILY.read(p, [MINT], at=None, confirm=2))[MINT]
    assert reading.amount is None and "differs between" in reading.reason and "add a third endpoint" in reading.reason


async def test_solana_wrong_decimals_are_refused(serve) -> None:
    async with pool("solana", await serve(solana_node(decimals=8))) as p:
        reading = (await solana.FAMILY.read(p, [MINT], at=None, confirm=1))[MINT]
    assert reading.amount is None and "9 decimals are configured" in reading.reason


async def test_solana_has_no_past_and_no_stale_present(serve) -> None:
    url = await serve(solana_node())
    async with pool("solana", url) as p:
        with pytest.raises(ReadError, match="nodes state their newest block only"):
            await solana.FAMILY.read(p, [MINT], at=NOW - 86_400, confirm=1)
    stale = await serve(solana_node(time=NOW - 9000))
    async with pool("solana", stale, max_age_s=1800) as p:
        with pytest.raises(PinError, match="is 9000 s old"):
            await solana.FAMILY.read(p, [MINT], at=None, confirm=1)


async def test_solana_node_far_behind_the_slot_is_not_believed(serve) -> None:
    fresh, stale = await serve(solana_node()), await serve(solana_node(seen=349_999_000))
    async with pool("solana", fresh, stale) as p:
        reading = (await solana.FAMILY.read(p, [MINT], at=None, confirm=2))[MINT]
    assert reading.amount is None
    assert "answered at slot 349999000, 1000 behind the pinned 350000000" in reading.reason


async def test_solana_genesis_of_another_cluster_bans_the_endpoint(serve) -> None:
    url = await serve(solana_node())
    async with pool("solana", url, identity_method="getGenesisHash", identity="mainnet") as p:
        with pytest.raises(AllEndpointsFailed, match=r"serves chain genesis, not solana \(mainnet\)"):
            await solana.FAMILY.read(p, [MINT], at=None, confirm=1)
