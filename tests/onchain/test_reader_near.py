"""NEAR, read from nodes in the documented shapes (see `nonevm`)."""

from __future__ import annotations

import pytest
from nonevm import NEAR, NEP141, NOW, near_node, pool

from onchain import near
from onchain.errors import AllEndpointsFailed
from onchain.tokens import Read


async def test_near_native_and_token_supply_at_one_block(serve) -> None:
    url = await serve(near_node())
    async with pool("near", url, identity_method="status", identity="mainnet") as p:
        bad = Read("near", "supply", "other.near", 18)
        got = await near.FAMILY.read(p, [NEAR, NEP141, bad], at=None, confirm=2)
    assert got[NEAR].pin.number == 150_000_001 - 5 and got[NEAR].pin.agreed == (url,)
    assert got[NEAR].amount == 10**33 + 150_000_001 - 5 and got[NEP141].amount == 123456789012345678901234567
    assert got[NEAR].pin.timestamp == NOW - 2 - 5
    assert got[bad].amount is None and "MethodNotFound" in got[bad].reason


async def test_near_supply_that_came_as_a_number_is_refused_and_another_node_asked(serve) -> None:
    async with pool("near", await serve(near_node(total=lambda height: 10**33 + height))) as p:
        with pytest.raises(AllEndpointsFailed, match=r"does not parse \(ValueError.*1e\+33 is not decimal text"):
            await near.FAMILY.read(p, [NEAR], at=None, confirm=1)
    rounding, exact = await serve(near_node(total=lambda height: 10**33 + height)), await serve(near_node())
    async with pool("near", rounding, exact) as p:
        assert (await near.FAMILY.read(p, [NEAR], at=None, confirm=1))[NEAR].agreed == (exact,)


async def test_near_instant_is_found_over_skipped_heights(serve) -> None:
    head = 150_000_001
    async with pool("near", await serve(near_node(head)), block_time_s=1.0) as p:
        for back in (500, 501, 502, 503, 504, 505, 506):
            got = await near.FAMILY.read(p, [NEAR], at=NOW - 2 - back, confirm=1)
            expected = next(h for h in range(head - back, 0, -1) if h % 7 != 3)
            assert got[NEAR].pin.number == expected
