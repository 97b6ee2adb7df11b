"""Arweave, read from nodes in the documented shapes (see `nonevm`)."""

from __future__ import annotations

import re

import pytest
from nonevm import AR, NOW, arweave_node, pool

from onchain import arweave
from onchain.errors import PinError, ReadError
from onchain.tokens import Read


async def test_arweave_supply_is_exact_beyond_64_bits(serve) -> None:
    url = await serve(arweave_node())
    async with pool("arweave", url, identity="arweave.N.1", max_age_s=3600) as p:
        reading = (await arweave.FAMILY.read(p, [AR], at=None, confirm=2))[AR]
        assert reading.amount == 65_712_345_678_901_234_567 and reading.agreed == (url,)
        assert (reading.pin.number, reading.pin.hash, reading.pin.timestamp) == (1_800_000, "block1800000", NOW - 60)
        held = Read("arweave", "balance", "native", 12, "someone")
        assert "has no 'balance' of 'native'" in (await arweave.FAMILY.read(p, [held], at=None, confirm=1))[held].reason
        with pytest.raises(ReadError, match="nodes state their newest block only: 1800000 is at"):
            await arweave.FAMILY.read(p, [AR], at=NOW - 86_400, confirm=1)


async def test_arweave_nodes_a_block_apart_agree_and_a_lying_or_lagging_one_does_not(serve) -> None:
    one, near = await serve(arweave_node()), await serve(arweave_node("65712346000000000000", 1_800_001, NOW))
    async with pool("arweave", one, near) as p:
        assert len((await arweave.FAMILY.read(p, [AR], at=None, confirm=2))[AR].agreed) == 2
    cases = [
        (arweave_node("55000000000000000000"), "differs between"),
        (arweave_node(time=NOW - 3000), "its newest block 1800000 is 2940 s from block 1800000"),
        (arweave_node("a lot"), "the total supply b'a lot' is not a number"),
        (arweave_node(""), "HTTP 404"),
        (arweave_node(network="arweave.2"), r"serves chain arweave.2, not arweave \(arweave.N.1\)"),
    ]
    for other, said in cases:
        async with pool("arweave", one, await serve(other), identity="arweave.N.1") as p:
            reading = (await arweave.FAMILY.read(p, [AR], at=None, confirm=2))[AR]
        assert reading.amount is None and re.search(said, reading.reason), reading.reason


async def test_arweave_node_that_stands_still_is_refused(serve) -> None:
    async with pool("arweave", await serve(arweave_node(time=NOW - 9000)), max_age_s=7200) as p:
        with pytest.raises(PinError, match="block 1800000 is 9000 s old, more than 7200 s; every endpoint is stale"):
            await arweave.FAMILY.read(p, [AR], at=None, confirm=1)


async def test_what_is_stored_and_paid_ahead_stands_in_the_block(serve) -> None:
    reads = [Read("arweave", what, "native", 12) for what in ("weave_size", "endowment")]
    async with pool("arweave", await serve(arweave_node()), await serve(arweave_node())) as p:
        got = await arweave.FAMILY.read(p, [AR, *reads], at=None, confirm=2)
    assert [got[r].amount for r in reads] == [97_088_718_807_286, 40_092_847_901_462_759]
