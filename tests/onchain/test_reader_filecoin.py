"""Filecoin, read from nodes in the documented shapes (see `nonevm`)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from nonevm import NOW, filecoin_node, pool

from onchain import filecoin
from onchain.chains import load_chains
from onchain.errors import AllEndpointsFailed, PinError
from onchain.health import check_endpoints
from onchain.tokens import Read


@pytest.mark.parametrize(("name", "good"), [("mainnet", True), ("testnetnet", True), ("calibrationnet", False)])
async def test_filecoin_mainnet_by_either_of_its_names(serve, name: str, good: bool) -> None:
    shipped = load_chains()["filecoin"]
    url = await serve(filecoin_node(name=name))
    (row,) = await check_endpoints({"filecoin": replace(shipped, endpoints=(url,), max_age_s=None)})
    assert row.ok is good and ("" if good else f"serves chain {name}, not filecoin") in row.problem


async def test_filecoin_other_tipset_or_rounded_figure_is_refused(serve) -> None:
    read = Read("filecoin", "supply", "native", 18)
    async with pool("filecoin", await serve(filecoin_node({"FilMined": 5e26}))) as p:
        reading = (await filecoin.FAMILY.read(p, [read], at=NOW - 86_400, confirm=1))[read]
        assert reading.amount is None and "5e+26 is not decimal text" in reading.reason
    async with pool("filecoin", await serve(filecoin_node(ahead=5))) as p:
        with pytest.raises(AllEndpointsFailed, match=r"asked for epoch \d+, got \d+"):
            await filecoin.FAMILY.read(p, [read], at=NOW - 86_400, confirm=1)


async def test_filecoin_own_statement_at_a_final_epoch(serve) -> None:
    power = ("storage_power", "quality_power", "miners")
    names = ("supply", "burnt", "locked", "cross_check", "staked", *power)
    reads = [Read("filecoin", what, "native", 18) for what in names]
    async with pool("filecoin", await serve(filecoin_node()), block_time_s=30.0) as p:
        got = await filecoin.FAMILY.read(p, reads, at=NOW - 86_400, confirm=2)
        with pytest.raises(PinError, match="is not final yet"):
            await filecoin.FAMILY.read(p, reads, at=NOW - 60, confirm=2)
    assert [got[r].amount for r in reads] == [152, 7, 30, 113, None, 9, 12, 3]
    pin = got[reads[0]].pin
    assert pin.number == (NOW - 86_400 - filecoin.GENESIS_S) // 30 and pin.timestamp <= NOW - 86_400
