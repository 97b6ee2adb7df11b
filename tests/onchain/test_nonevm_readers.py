"""Non-EVM readers against servers that answer in the DOCUMENTED shapes (not recordings: none were to be had)."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from base64 import b32encode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from aiohttp import web
from twox import twox128

from onchain import arweave, cosmos, filecoin, icp, near, solana, substrate
from onchain.cbor import decode, encode
from onchain.chains import Chain, load_chains
from onchain.errors import AllEndpointsFailed, DisagreementError, PinError, ReadError, RpcError
from onchain.health import check_endpoints
from onchain.readings import Read
from onchain.rpc import Pool
from onchain.snapshots import read_snapshot
from onchain.tokens import load_tokens

NOW = 1_790_000_000


@pytest.fixture
def serve(aiohttp_sites):
    """serve(handler) → URL of a server whose handler gets the aiohttp request and returns a response."""
    return aiohttp_sites


def rpc(answer: Callable[[str, object], object]):
    """Handler of a JSON-RPC server from answer(method, params); an exception's dict is the error object."""

    async def handle(request: web.Request) -> web.Response:
        body = await request.json()
        try:
            result = {"result": answer(body["method"], body["params"])}
        except LookupError as error:
            result = {"error": error.args[0]}
        return web.json_response({"jsonrpc": "2.0", "id": body["id"], **result})

    return handle


def pool(family: str, *urls: str, **changes: object) -> Pool:
    chain = Chain(**{"name": family, "family": family, "endpoints": urls, "rate_per_s": 1e6, **changes})
    return Pool(chain, wall=lambda: NOW, max_wait_s=0.0)


# -- Solana ---------------------------------------------------------------------------------------------------

MINT = Read("solana", "supply", "Mint111", 9)
HELD = Read("solana", "balance", "Mint111", 9, "Owner11")


def solana_node(amount: str = "999999999123456789", decimals: int = 9, time: int = NOW - 20, seen: int = 350_000_001):
    def answer(method: str, params):
        if method == "getGenesisHash":
            return "genesis"
        if method == "getSlot":
            return 350_000_000
        if method == "getBlockTime":
            return time
        if method == "getTokenSupply":
            assert params == ["Mint111", {"commitment": "finalized"}]
            value = {"amount": amount, "decimals": decimals, "uiAmount": 999999999.1234568, "uiAmountString": "x"}
            return {"context": {"slot": seen}, "value": value}
        if method == "getTokenAccountsByOwner":
            assert params[2]["minContextSlot"] == 350_000_000
            info = lambda n: {"account": {"data": {"parsed": {"info": {"tokenAmount": {"amount": n, "decimals": 9}}}}}}  # noqa: E731
            return {"context": {"slot": 350_000_001}, "value": [info("5"), info("37")]}
        raise LookupError({"code": -32601, "message": "Method not found"})

    return rpc(answer)


async def test_solana_supply_is_the_exact_amount_and_accounts_are_summed(serve) -> None:
    url = await serve(solana_node())
    async with pool("solana", url, identity_method="getGenesisHash", identity="genesis") as p:
        got = await solana.read(p, [MINT, HELD], at=None, confirm=2)
    assert got[MINT].amount == 999999999123456789 and got[HELD].amount == 42
    assert got[MINT].pin.number == 350_000_000 and got[MINT].pin.timestamp == NOW - 20


async def test_solana_mint_between_two_slots_is_no_lie_but_a_large_gap_is(serve) -> None:
    a, b, c = [await serve(solana_node(str(n))) for n in (10**18, 10**18 + 10**12, 2 * 10**18)]
    async with pool("solana", a, b) as p:
        assert (await solana.read(p, [MINT], at=None, confirm=2))[MINT].amount in (10**18, 10**18 + 10**12)
    async with pool("solana", a, c) as p:
        reading = (await solana.read(p, [MINT], at=None, confirm=2))[MINT]
    assert reading.amount is None and "differs between" in reading.reason and "add a third endpoint" in reading.reason


async def test_solana_wrong_decimals_are_refused(serve) -> None:
    async with pool("solana", await serve(solana_node(decimals=8))) as p:
        reading = (await solana.read(p, [MINT], at=None, confirm=1))[MINT]
    assert reading.amount is None and "9 decimals are configured" in reading.reason


async def test_solana_has_no_past_and_no_stale_present(serve) -> None:
    url = await serve(solana_node())
    async with pool("solana", url) as p:
        with pytest.raises(ReadError, match="solana keeps no historical supply"):
            await solana.read(p, [MINT], at=NOW - 86_400, confirm=1)
    stale = await serve(solana_node(time=NOW - 9000))
    async with pool("solana", stale, max_age_s=1800) as p:
        with pytest.raises(ReadError, match="is 9000 s old"):
            await solana.read(p, [MINT], at=None, confirm=1)


async def test_solana_node_far_behind_the_slot_is_not_believed(serve) -> None:
    fresh, stale = await serve(solana_node()), await serve(solana_node(seen=349_999_000))
    async with pool("solana", fresh, stale) as p:
        reading = (await solana.read(p, [MINT], at=None, confirm=2))[MINT]
    assert reading.amount is None
    assert "answered at slot 349999000, 1000 behind the pinned 350000000" in reading.reason


async def test_solana_genesis_of_another_cluster_bans_the_endpoint(serve) -> None:
    url = await serve(solana_node())
    async with pool("solana", url, identity_method="getGenesisHash", identity="mainnet") as p:
        with pytest.raises(AllEndpointsFailed, match=r"serves chain genesis, not solana \(mainnet\)"):
            await solana.read(p, [MINT], at=None, confirm=1)


# -- Cosmos ---------------------------------------------------------------------------------------------------

UAKT = Read("cosmos", "supply", "uakt", 6)
POOL = Read("cosmos", "community_pool", "uakt", 6)
STAKED = Read("cosmos", "staked", "uakt", 6)


def cosmos_node(
    *,
    echo: str | None = "height",
    network: str = "akashnet-2",
    height: int = 20_000_000,
    supply: str = "",
    hash_of: str = "H{}",
):
    def block(number: int) -> dict:
        stamp = datetime.fromtimestamp(NOW - 5 - (height - number) * 6, UTC)
        header = {"height": str(number), "time": stamp.strftime("%Y-%m-%dT%H:%M:%S") + ".123456789Z"}
        return {"block_id": {"hash": hash_of.format(number)}, "block": {"header": header}}

    async def handle(request: web.Request) -> web.Response:
        path, at = request.path, request.headers.get("x-cosmos-block-height", "")
        headers = {} if echo is None else {"Grpc-Metadata-X-Cosmos-Block-Height": at if echo == "height" else echo}
        if path.endswith("/node_info"):
            body: dict = {"default_node_info": {"network": network}}
        elif "/blocks/" in path:
            wanted = path.rsplit("/", 1)[1]
            body = block(height if wanted == "latest" else int(wanted))
        elif path.endswith("/supply/by_denom"):
            known = request.query["denom"] == "uakt"
            body = {"amount": {"denom": request.query["denom"], "amount": supply or (at + "000" if known else "0")}}
        elif path.endswith("/community_pool"):
            body = {
                "pool": [{"denom": "ibc/X", "amount": "1.5"}, {"denom": "uakt", "amount": "77000.912345678901234567"}]
            }
        else:
            body = {"pool": {"not_bonded_tokens": "1", "bonded_tokens": "123"}}
        return web.json_response(body, headers=headers)

    return handle


async def test_cosmos_reads_at_the_height_of_the_instant(serve) -> None:
    url = await serve(cosmos_node())
    async with pool("cosmos", url, identity="akashnet-2", block_time_s=6.0) as p:
        at = NOW - 5 - 6 * 1234 + 3
        got = await cosmos.read(p, [UAKT, POOL, STAKED], at=at, confirm=2)
    assert got[UAKT].pin.number == 20_000_000 - 1234
    assert got[UAKT].amount == (20_000_000 - 1234) * 1000
    assert got[POOL].amount == 77000 and got[STAKED].amount == 123


async def test_cosmos_node_that_ignores_the_height_is_passed_over(serve) -> None:
    deaf, good = await serve(cosmos_node(echo="20000000")), await serve(cosmos_node())
    async with pool("cosmos", deaf, good, block_time_s=6.0) as p:
        got = await cosmos.read(p, [UAKT], at=None, confirm=1)
        assert got[UAKT].amount == 19_999_998_000 and got[UAKT].agreed == (good,)
    async with pool("cosmos", await serve(cosmos_node(echo=None))) as p:
        got = await cosmos.read(p, [UAKT], at=None, confirm=1)
    assert got[UAKT].amount is None and "ignores the height header" in got[UAKT].reason


async def test_cosmos_unknown_denom_is_an_error_not_zero(serve) -> None:
    wrong = Read("cosmos", "supply", "uatk", 6)
    async with pool("cosmos", await serve(cosmos_node())) as p:
        reading = (await cosmos.read(p, [wrong], at=None, confirm=1))[wrong]
    assert reading.amount is None and "an unknown denom answers so" in reading.reason


async def test_cosmos_lie_about_supply_is_seen(serve) -> None:
    a, b = await serve(cosmos_node()), await serve(cosmos_node(supply="5"))
    async with pool("cosmos", a, b) as p:
        reading = (await cosmos.read(p, [UAKT], at=None, confirm=2))[UAKT]
    assert reading.amount is None and "differs between" in reading.reason


async def test_cosmos_future_instant_and_wrong_network(serve) -> None:
    url = await serve(cosmos_node(network="osmosis-1"))
    async with pool("cosmos", url, identity="akashnet-2") as p:
        with pytest.raises(AllEndpointsFailed, match="serves chain osmosis-1"):
            await cosmos.read(p, [UAKT], at=None, confirm=1)
    async with pool("cosmos", await serve(cosmos_node())) as p:
        with pytest.raises(PinError, match="is not reached yet"):
            await cosmos.read(p, [UAKT], at=NOW + 60, confirm=1)


async def test_cosmos_two_chains_under_one_name_are_not_mixed(serve) -> None:
    """A node on a fork answers another block hash for the height: the pin itself is refused."""
    a, fork = await serve(cosmos_node()), await serve(cosmos_node(hash_of="F{}"))
    async with pool("cosmos", a, fork) as p:
        with pytest.raises(DisagreementError, match="block 19999998 differs between"):
            await cosmos.read(p, [UAKT], at=None, confirm=2)


# -- NEAR -----------------------------------------------------------------------------------------------------

NEAR = Read("near", "supply", "native", 24)
NEP141 = Read("near", "supply", "token.near", 18)


# a skipped height as nearcore says it: the cause in a name of its own, and (older nodes) only in the text
UNKNOWN_BLOCK = (
    lambda height: {"cause": {"name": "UNKNOWN_BLOCK", "info": {}}},
    lambda height: {"data": f"DB Not Found Error: BLOCK HEIGHT: {height} \n Cause: Unknown"},
)


def near_node(head: int = 150_000_001, total=lambda height: str(10**33 + height)):
    def block(height: int) -> dict:
        if height % 7 == 3:
            raise LookupError(
                {
                    "code": -32000,
                    "message": "Server error",
                    "name": "HANDLER_ERROR",
                    **UNKNOWN_BLOCK[height % 2](height),
                }
            )
        header = {
            "height": height,
            "hash": f"h{height}",
            "timestamp": (NOW - 2 - (head - height)) * 10**9 + 5,
            "total_supply": total(height),
        }
        return {"header": header}

    def answer(method: str, params):
        if method == "status":
            return {"chain_id": "mainnet"}
        if method == "block":
            named = params.get("block_id", head if params.get("finality") == "final" else None)
            return block(int(named[1:]) if isinstance(named, str) else named)
        assert method == "query" and int(params["block_id"][1:]) <= head - 5
        if params["method_name"] == "ft_total_supply" and params["account_id"] == "token.near":
            return {
                "result": list(json.dumps("123456789012345678901234567").encode()),
                "block_height": head,
                "logs": [],
            }
        return {"error": "wasm execution failed with error: MethodNotFound", "block_height": head, "logs": []}

    return rpc(answer)


async def test_near_native_and_token_supply_at_one_block(serve) -> None:
    url = await serve(near_node())
    async with pool("near", url, identity_method="status", identity="mainnet") as p:
        bad = Read("near", "supply", "other.near", 18)
        got = await near.read(p, [NEAR, NEP141, bad], at=None, confirm=2)
    assert got[NEAR].pin.number == 150_000_001 - 5 and got[NEAR].pin.agreed == (url,)
    assert got[NEAR].amount == 10**33 + 150_000_001 - 5 and got[NEP141].amount == 123456789012345678901234567
    assert got[NEAR].pin.timestamp == NOW - 2 - 5
    assert got[bad].amount is None and "MethodNotFound" in got[bad].reason


async def test_near_supply_that_came_as_a_number_is_refused_and_another_node_asked(serve) -> None:
    async with pool("near", await serve(near_node(total=lambda height: 10**33 + height))) as p:
        with pytest.raises(AllEndpointsFailed, match=r"does not parse \(ValueError.*1e\+33 is not decimal text"):
            await near.read(p, [NEAR], at=None, confirm=1)
    rounding, exact = await serve(near_node(total=lambda height: 10**33 + height)), await serve(near_node())
    async with pool("near", rounding, exact) as p:
        assert (await near.read(p, [NEAR], at=None, confirm=1))[NEAR].agreed == (exact,)


async def test_near_instant_is_found_over_skipped_heights(serve) -> None:
    head = 150_000_001
    async with pool("near", await serve(near_node(head)), block_time_s=1.0) as p:
        for back in (500, 501, 502, 503, 504, 505, 506):
            got = await near.read(p, [NEAR], at=NOW - 2 - back, confirm=1)
            expected = next(h for h in range(head - back, 0, -1) if h % 7 != 3)
            assert got[NEAR].pin.number == expected


# -- Substrate ------------------------------------------------------------------------------------------------

TAO, OTHER, BONDED = (Read("substrate", what, "native", 9) for what in ("supply", "cross_check", "staked"))
RAO = 10**9


def substrate_node(head: int = 5_000_000, missing: str = "", liquid: int = 2_700_000 * RAO):
    """A node with 9 million TAO, of which 6.3 are staked; `liquid` is what its balances pallet counts."""

    def answer(method: str, params):
        if method == "chain_getBlockHash":
            return "0x" + format(params[0], "064x")
        if method == "chain_getFinalizedHead":
            return "0x" + format(head, "064x")
        if method == "chain_getHeader":
            return {"number": hex(int(params[0], 16)), "parentHash": "0x0"}
        key, number = params[0], int(params[1], 16)
        if key == missing:
            return None
        value = {
            substrate.TIMESTAMP_NOW: (NOW - 12 * (head - number)) * 1000,
            substrate.SUBTENSOR_ISSUANCE: 9_000_000 * RAO + number,
            substrate.SUBTENSOR_STAKE: 6_300_000 * RAO,
            substrate.BALANCES_ISSUANCE: liquid,
        }[key]
        return "0x" + value.to_bytes(8, "little").hex()

    return rpc(answer)


@pytest.mark.parametrize("liquid", [2_700_000 * RAO, 9_000_000 * RAO], ids=["stake kept apart", "one ledger"])
async def test_substrate_issuance_counts_the_staked_and_is_held_against_the_balances(serve, liquid: int) -> None:
    async with pool("substrate", await serve(substrate_node(liquid=liquid))) as p:
        got = await substrate.read(p, [TAO, OTHER, BONDED], at=None, confirm=2)
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


def test_substrate_keys_are_the_hashes_of_their_names() -> None:
    names = {
        ("Balances", "TotalIssuance"): substrate.BALANCES_ISSUANCE,
        ("SubtensorModule", "TotalIssuance"): substrate.SUBTENSOR_ISSUANCE,
        ("SubtensorModule", "TotalStake"): substrate.SUBTENSOR_STAKE,
        ("Timestamp", "Now"): substrate.TIMESTAMP_NOW,
    }
    for (pallet, item), key in names.items():
        assert key == "0x" + twox128(pallet) + twox128(item)


async def test_substrate_instant_is_found_and_absent_key_is_an_error(serve) -> None:
    async with pool("substrate", await serve(substrate_node())) as p:
        got = await substrate.read(p, [TAO], at=NOW - 12 * 777 + 11, confirm=1)
        assert got[TAO].pin.number == 5_000_000 - 777
        with pytest.raises(PinError, match="is before its first block"):
            await substrate.read(p, [TAO], at=NOW - 12 * 5_000_000, confirm=1)
        unknown = Read("substrate", "alpha", "native", 9)
        reading = (await substrate.read(p, [unknown], at=None, confirm=1))[unknown]
        assert reading.reason == "substrate chains have no 'alpha' here"
    async with pool("substrate", await serve(substrate_node(missing=substrate.SUBTENSOR_ISSUANCE))) as p:
        reading = (await substrate.read(p, [TAO], at=None, confirm=1))[TAO]
    assert reading.amount is None and "no value under storage key" in reading.reason
    blind, whole = await serve(substrate_node(missing=substrate.TIMESTAMP_NOW)), await serve(substrate_node())
    async with pool("substrate", blind, whole) as p:
        assert (await substrate.read(p, [TAO], at=None, confirm=1))[TAO].pin.agreed == (whole,)
    rows = await check_endpoints({"one": Chain("one", "substrate", (blind, whole))})
    assert [row.ok for row in rows] == [False, True] and "no value under storage key" in rows[0].problem


# -- Arweave --------------------------------------------------------------------------------------------------

AR = Read("arweave", "supply", "native", 12)


def arweave_node(
    supply: str = "65712345678901234567", height: int = 1_800_000, time: int = NOW - 60, network: str = "arweave.N.1"
):
    async def handle(request: web.Request) -> web.Response:
        if request.path == "/info":
            info = {"network": network, "version": 5, "height": height, "current": f"block{height}", "blocks": height}
            return web.json_response(info)
        if request.path == f"/block/hash/block{height}":
            return web.json_response({"height": height, "timestamp": time, "indep_hash": f"block{height}"})
        if request.path == "/total_supply" and supply:
            return web.Response(text=supply)
        return web.json_response({"error": "not found"}, status=404)

    return handle


async def test_arweave_supply_is_exact_beyond_64_bits(serve) -> None:
    url = await serve(arweave_node())
    async with pool("arweave", url, identity="arweave.N.1", max_age_s=3600) as p:
        reading = (await arweave.read(p, [AR], at=None, confirm=2))[AR]
        assert reading.amount == 65_712_345_678_901_234_567 and reading.agreed == (url,)
        assert (reading.pin.number, reading.pin.hash, reading.pin.timestamp) == (1_800_000, "block1800000", NOW - 60)
        held = Read("arweave", "balance", "native", 12, "someone")
        assert "has no 'balance' of 'native'" in (await arweave.read(p, [held], at=None, confirm=1))[held].reason
        with pytest.raises(ReadError, match="state the supply of their newest block only: 1800000 is at"):
            await arweave.read(p, [AR], at=NOW - 86_400, confirm=1)


async def test_arweave_nodes_a_block_apart_agree_and_a_lying_or_lagging_one_does_not(serve) -> None:
    one, near = await serve(arweave_node()), await serve(arweave_node("65712346000000000000", 1_800_001, NOW))
    async with pool("arweave", one, near) as p:
        assert len((await arweave.read(p, [AR], at=None, confirm=2))[AR].agreed) == 2
    cases = [
        (arweave_node("55000000000000000000"), "differs between"),
        (arweave_node(time=NOW - 3000), "its newest block 1800000 is 2940 s from block 1800000"),
        (arweave_node("a lot"), "the total supply b'a lot' is not a number"),
        (arweave_node(""), "HTTP 404"),
        (arweave_node(network="arweave.2"), r"serves chain arweave.2, not arweave \(arweave.N.1\)"),
    ]
    for other, said in cases:
        async with pool("arweave", one, await serve(other), identity="arweave.N.1") as p:
            reading = (await arweave.read(p, [AR], at=None, confirm=2))[AR]
        assert reading.amount is None and re.search(said, reading.reason), reading.reason


async def test_arweave_node_that_stands_still_is_refused(serve) -> None:
    async with pool("arweave", await serve(arweave_node(time=NOW - 9000)), max_age_s=7200) as p:
        with pytest.raises(PinError, match="block 1800000 is 9000 s old; the endpoints are stale"):
            await arweave.read(p, [AR], at=None, confirm=1)


# -- Filecoin -------------------------------------------------------------------------------------------------


def filecoin_node(extra: dict | None = None, *, ahead: int = 0, name: str = "mainnet"):
    def answer(method: str, params):
        if method == "Filecoin.StateNetworkName":
            return name
        if method == "Filecoin.ChainHead":
            return {"Cids": [{"/": "bafyhead"}], "Height": 6_000_000, "Blocks": []}
        if method == "Filecoin.ChainGetTipSetByHeight":
            return {"Cids": [{"/": f"bafy{params[0]}"}], "Height": params[0] + ahead, "Blocks": []}
        assert method == "Filecoin.StateVMCirculatingSupplyInternal" and params[0][0]["/"].startswith("bafy")
        return {
            "FilVested": "100",
            "FilMined": "50",
            "FilBurnt": "7",
            "FilLocked": "30",
            "FilCirculating": "113",
            "FilReserveDisbursed": "2",
            **(extra or {}),
        }

    return rpc(answer)


@pytest.mark.parametrize(("name", "good"), [("mainnet", True), ("testnetnet", True), ("calibrationnet", False)])
async def test_filecoin_mainnet_by_either_of_its_names(serve, name: str, good: bool) -> None:
    shipped = load_chains()["filecoin"]
    url = await serve(filecoin_node(name=name))
    (row,) = await check_endpoints({"filecoin": replace(shipped, endpoints=(url,), max_age_s=None)})
    assert row.ok is good and ("" if good else f"serves chain {name}, not filecoin") in row.problem


async def test_filecoin_other_tipset_or_rounded_figure_is_refused(serve) -> None:
    read = Read("filecoin", "supply", "native", 18)
    for node, said in (
        (filecoin_node({"FilMined": 5e26}), "5e+26 is not decimal text"),
        (filecoin_node(ahead=5), r"asked for epoch \d+, got \d+"),
    ):
        async with pool("filecoin", await serve(node)) as p:
            with pytest.raises(AllEndpointsFailed, match=said.replace("+", r"\+") if "e+" in said else said):
                await filecoin.read(p, [read], at=NOW - 86_400, confirm=1)


async def test_filecoin_own_statement_at_a_final_epoch(serve) -> None:
    reads = [Read("filecoin", what, "native", 18) for what in ("supply", "burnt", "locked", "cross_check", "staked")]
    async with pool("filecoin", await serve(filecoin_node())) as p:
        got = await filecoin.read(p, reads, at=NOW - 86_400, confirm=2)
        with pytest.raises(PinError, match="is not final yet"):
            await filecoin.read(p, reads, at=NOW - 60, confirm=2)
    assert [got[r].amount for r in reads] == [152, 7, 30, 113, None]
    pin = got[reads[0]].pin
    assert pin.number == (NOW - 86_400 - filecoin.GENESIS_S) // 30 and pin.timestamp <= NOW - 86_400


# -- Internet Computer ----------------------------------------------------------------------------------------

LEDGER = Read("icp", "supply", "ryjl3-tyaaa-aaaaa-aaaba-cai", 8)


def icp_node(supply: int = 53_123_456_789_012_345, decimals: int = 8, status: str = "replied", signed: object = NOW):
    async def handle(request: web.Request) -> web.Response:
        assert request.path == "/api/v2/canister/ryjl3-tyaaa-aaaaa-aaaba-cai/query"
        content = decode(await request.read())["content"]
        assert content["canister_id"] == bytes.fromhex("00000000000000020101") and content["sender"] == b"\x04"
        assert content["arg"] == b"DIDL\x00\x00" and content["ingress_expiry"] > NOW * 10**9
        if content["method_name"] == "icrc1_decimals":
            arg = b"DIDL\x00\x01\x7b" + bytes([decimals])
        else:
            leb, n = b"", supply
            while n >= 128:
                leb, n = leb + bytes([n & 127 | 128]), n >> 7
            arg = b"DIDL\x00\x01\x7d" + leb + bytes([n])
        body = {"status": status, "reply": {"arg": arg}, "reject_message": "canister is stopped"}
        if signed:
            time = signed * 10**9 if isinstance(signed, int) else signed
            body["signatures"] = [{"timestamp": time, "signature": b"\x01", "identity": b"\x02"}]
        return web.Response(body=b"\xd9\xd9\xf7" + encode(body), content_type="application/cbor")

    return handle


async def test_icp_ledger_supply_by_canister_query(serve) -> None:
    async with pool("icp", await serve(icp_node())) as p:
        got = await icp.read(p, [LEDGER], at=NOW - 60, confirm=2)
        assert got[LEDGER].amount == 53_123_456_789_012_345 and got[LEDGER].pin.timestamp == NOW
        with pytest.raises(ReadError, match="a canister query answers now"):
            await icp.read(p, [LEDGER], at=NOW - 86_400, confirm=2)
    async with pool("icp", await serve(icp_node(status="rejected"))) as p:
        assert "canister is stopped" in (await icp.read(p, [LEDGER], at=None, confirm=1))[LEDGER].reason
    async with pool("icp", await serve(icp_node(decimals=12))) as p:
        assert "has 12 decimals, 8 are configured" in (await icp.read(p, [LEDGER], at=None, confirm=1))[LEDGER].reason


async def test_icp_replica_that_stands_still_is_not_believed(serve) -> None:
    for signed, said in (
        (NOW - 3600, "the answer is signed 3600 s ago"),
        ("soon", "the answer is signed without a time"),
    ):
        stale, fresh = await serve(icp_node(supply=1, signed=signed)), await serve(icp_node())
        async with pool("icp", stale, fresh) as p:
            reading = (await icp.read(p, [LEDGER], at=None, confirm=1))[LEDGER]
            assert (reading.amount, reading.agreed) == (53_123_456_789_012_345, (fresh,))
        async with pool("icp", stale) as p:
            assert said in (await icp.read(p, [LEDGER], at=None, confirm=1))[LEDGER].reason
    async with pool("icp", await serve(icp_node(signed=None))) as p:  # an older boundary node signs nothing
        assert (await icp.read(p, [LEDGER], at=None, confirm=1))[LEDGER].amount == 53_123_456_789_012_345


async def test_icp_endpoint_of_another_network_is_banned(serve) -> None:
    def network(key: object):
        async def handle(request: web.Request) -> web.Response:
            if request.path != "/api/v2/status":
                return await icp_node()(request)
            body = encode({"ic_api_version": "0.18.0", "root_key": key, "replica_health_status": "healthy"})
            return web.Response(body=b"\xd9\xd9\xf7" + body, content_type="application/cbor")

        return handle

    own = hashlib.sha256(b"own root key").hexdigest()[:32]
    for key, said in (
        (b"other", "serves chain d9298a10d1b0735837dc4bd85dac641b"),
        ("text", "the root key is not bytes"),
    ):
        async with pool("icp", await serve(network(key)), identity=own) as p:
            reading = (await icp.read(p, [LEDGER], at=None, confirm=1))[LEDGER]
        assert reading.amount is None and said in reading.reason, reading.reason
    good = Chain(
        "icp", "icp", (await serve(network(b"own root key")), await serve(icp_node(status="gone"))), identity=own
    )
    assert [row.ok for row in await check_endpoints({"icp": good})] == [True, False]
    async with pool("icp", good.endpoints[0], identity=own) as p:
        assert (await icp.read(p, [LEDGER], at=None, confirm=1))[LEDGER].amount == 53_123_456_789_012_345


async def test_doctor_tells_how_fresh_every_kind_of_chain_is(serve) -> None:
    wall = int(datetime.now(UTC).timestamp())
    nodes = {
        "solana": (solana_node(time=wall - 30), {}, 350_000_000),
        "near": (near_node(150_000_002), {}, 150_000_002),
        "substrate": (substrate_node(), {}, 5_000_000),
        "cosmos": (cosmos_node(), {}, 20_000_000),
        "filecoin": (filecoin_node(), {}, 6_000_000),
        "arweave": (arweave_node(time=wall - 50), {}, 1_800_000),
    }
    chains = {name: Chain(name, name, (await serve(node),), **more) for name, (node, more, _) in nodes.items()}
    rows = await check_endpoints(
        {**chains, "stale": Chain("stale", "arweave", (await serve(arweave_node()),), max_age_s=60)}
    )
    assert {row.chain: row.height for row in rows if row.chain != "stale"} == {n: h for n, (_, _, h) in nodes.items()}
    assert [row.problem for row in rows[:-1]] == [""] * 6 and 30 <= rows[0].age_s < 3600
    assert rows[-1].problem.startswith("stale: its newest settled block is ") and not rows[-1].ok


def test_principal_checksum_is_checked() -> None:
    raw = bytes.fromhex("00000000000000020101")
    text = b32encode(zlib.crc32(raw).to_bytes(4, "big") + raw).decode().lower().rstrip("=")
    assert icp.principal(text) == icp.principal("ryjl3-tyaaa-aaaaa-aaaba-cai") == raw
    with pytest.raises(ReadError, match="is not a principal"):
        icp.principal("ryjl3-tyaaa-aaaaa-aaaba-caj")


def test_cbor_round_trip_and_refusal_of_broken_input() -> None:
    import cbor2  # a reference implementation, present through the Vyper compiler

    value = {"a": [1, 23, 24, 255, 256, 65_536, 2**40], "b": b"\x00\xff", "c": {"d": "é"}}
    assert cbor2.loads(encode(value)) == value and decode(cbor2.dumps(value)) == value
    assert decode(cbor2.dumps([True, False, None, -5])) == [True, False, None, -5]
    for broken in (b"", b"\xa1", b"\x5a\xff", b"\x9f\x01\xff", b"\x81" * 40, b"\x01\x01"):
        with pytest.raises(RpcError, match="CBOR"):
            decode(broken)
