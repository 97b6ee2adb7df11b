"""Substrate chains (TAO), read from nodes in the documented shapes (see `nonevm`)."""

from __future__ import annotations

import pytest
from nonevm import BONDED, NOW, OTHER, RAO, TAO, pool, substrate_node
from twox import twox128

from onchain import substrate
from onchain.chains import Chain
from onchain.errors import PinError
from onchain.health import check_endpoints
from onchain.snapshots import read_snapshot, replay_snapshot
from onchain.tokens import Read, load_tokens


@pytest.mark.parametrize("liquid", [2_700_000 * RAO, 9_000_000 * RAO], ids=["stake kept apart", "one counter"])
async def test_substrate_issuance_counts_the_staked_and_is_held_against_the_balances(serve, liquid: int) -> None:
    async with pool("substrate", await serve(substrate_node(liquid=liquid))) as p:
        got = await substrate.FAMILY.read(p, [TAO, OTHER, BONDED], at=None, confirm=2)
    assert got[TAO].amount == 9_000_000 * RAO + 4_999_998 and got[BONDED].amount == 6_300_000 * RAO
    assert got[OTHER].amount == 9_000_000 * RAO
    assert got[TAO].pin.hash == "0x" + format(4_999_998, "064x")


async def test_tao_is_not_its_liquid_part_alone(serve) -> None:
    """The shipped rule on a chain whose balances pallet leaves the staked out, and on one that contradicts itself."""
    rule = load_tokens()["TAO"]
    for liquid, said in ((2_700_000 * RAO, ""), (3_700_000 * RAO, "cross_check says 10000000000000000")):
        chain = Chain("bittensor", "substrate", (await serve(substrate_node(liquid=liquid)),), rate_per_s=1e6)
        shot = await read_snapshot([rule], chains={"bittensor": chain}, wall=lambda: NOW)
        supply = shot.supplies["TAO"]
        assert supply.total == supply.free_float == 9_000_000 * RAO + 4_999_998
        assert supply.staked == 6_300_000 * RAO
        assert said in " ".join(supply.alerts) and len(supply.alerts) == bool(said)


async def test_subnets_have_prices_and_emissions_each_and_in_sum(serve) -> None:
    rule = load_tokens()["TAO"]
    chain = Chain(
        "bittensor", "substrate", (await serve(substrate_node()), await serve(substrate_node())), rate_per_s=1e6
    )
    shot = await read_snapshot([rule], chains={"bittensor": chain}, wall=lambda: NOW)
    found = {(usage.metric, reading.read.holder): reading.amount for usage, reading in shot.usage["TAO"]}
    assert found == {
        ("subnets", ""): 2, ("alpha_price_tokens", ""): RAO * 12 // 100, ("alpha_price_tokens", "1"): RAO // 50,
        ("alpha_price_tokens", "64"): RAO // 10, ("subnet_emission_tokens", ""): 7, ("subnet_emission_tokens", "1"): 7,
        ("subnet_emission_tokens", "64"): 0,
    }  # fmt: skip
    again = replay_snapshot(shot.proof())
    assert {reading.amount for _, reading in again.usage["TAO"]} == set(found.values())
    read = Read("substrate", "subnets", "native", 0)
    for body, said in (("0x0c0100", "prices of 3 subnets do not stand in 3 bytes"), ("0x", "do not stand in 0 bytes")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("nonevm.alpha_prices", lambda prices, body=body: body)
            async with pool("substrate", await serve(substrate_node())) as p:
                assert said in (await substrate.FAMILY.read(p, [read, TAO], at=None, confirm=1))[read].reason


def test_substrate_keys_are_the_hashes_of_their_names() -> None:
    names = {
        ("Balances", "TotalIssuance"): substrate.BALANCES_ISSUANCE,
        ("SubtensorModule", "TotalIssuance"): substrate.SUBTENSOR_ISSUANCE,
        ("SubtensorModule", "TotalStake"): substrate.SUBTENSOR_STAKE,
        ("SubtensorModule", "SubnetTaoInEmission"): substrate.SUBNET_EMISSION,
        ("Timestamp", "Now"): substrate.TIMESTAMP_NOW,
    }
    for (pallet, item), key in names.items():
        assert key == "0x" + twox128(pallet) + twox128(item)


async def test_substrate_instant_is_found_and_absent_key_is_an_error(serve) -> None:
    async with pool("substrate", await serve(substrate_node())) as p:
        got = await substrate.FAMILY.read(p, [TAO], at=NOW - 12 * 777 + 11, confirm=1)
        assert got[TAO].pin.number == 5_000_000 - 777
        with pytest.raises(PinError, match="is before its first block"):
            await substrate.FAMILY.read(p, [TAO], at=NOW - 12 * 5_000_000, confirm=1)
        unknown = Read("substrate", "alpha", "native", 9)
        reading = (await substrate.FAMILY.read(p, [unknown], at=None, confirm=1))[unknown]
        assert reading.reason == "substrate chains have no 'alpha' here"
    async with pool("substrate", await serve(substrate_node(missing=substrate.SUBTENSOR_ISSUANCE))) as p:
        reading = (await substrate.FAMILY.read(p, [TAO], at=None, confirm=1))[TAO]
    assert reading.amount is None and "no value under storage key" in reading.reason
    blind, whole = await serve(substrate_node(missing=substrate.TIMESTAMP_NOW)), await serve(substrate_node())
    async with pool("substrate", blind, whole) as p:
        assert (await substrate.FAMILY.read(p, [TAO], at=None, confirm=1))[TAO].pin.agreed == (whole,)
    rows = await check_endpoints({"one": Chain("one", "substrate", (blind, whole))})
    assert [row.ok for row in rows] == [False, True] and "no value under storage key" in rows[0].problem
