"""Non-EVM nodes that answer in the DOCUMENTED shapes (not recordings: none were to be had)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import cbor2
from aiohttp import web

from onchain import substrate
from onchain.chains import Chain
from onchain.rpc.pool import Pool
from onchain.tokens import Read

NOW = 1_790_000_000


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


TAO, OTHER, BONDED = (Read("substrate", what, "native", 9) for what in ("supply", "cross_check", "staked"))
RAO = 10**9


def alpha_prices(prices: dict[int, int]) -> str:
    """A SCALE vector of (subnet u16, rao u64), as long ones have it with a count of two bytes."""
    rows = b"".join(number.to_bytes(2, "little") + rao.to_bytes(8, "little") for number, rao in prices.items())
    return "0x" + (len(prices) << 2 | 1).to_bytes(2, "little").hex() + rows.hex()


def subnets(method: str, params):
    """The root and two subnets, of which the last block issued into one."""
    if method == "state_call":
        assert params[:2] == [substrate.PRICES_API, "0x"]
        return alpha_prices({0: RAO, 1: RAO // 50, 64: RAO // 10})
    return [{"block": params[1], "changes": [[params[0][0], "0x" + (7).to_bytes(8, "little").hex()]]}]


def substrate_node(head: int = 5_000_000, missing: str = "", liquid: int = 2_700_000 * RAO):
    """A node with 9 million TAO, of which 6.3 are staked; `liquid` is what its balances pallet counts."""

    def answer(method: str, params):
        if method == "chain_getBlockHash":
            return "0x" + format(params[0], "064x")
        if method == "chain_getFinalizedHead":
            return "0x" + format(head, "064x")
        if method in ("state_call", "state_queryStorageAt"):
            return subnets(method, params)
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


AR = Read("arweave", "supply", "native", 12)


def arweave_node(
    supply: str = "65712345678901234567", height: int = 1_800_000, time: int = NOW - 60, network: str = "arweave.N.1"
):
    async def handle(request: web.Request) -> web.Response:
        if request.path == "/info":
            info = {"network": network, "version": 5, "height": height, "current": f"block{height}", "blocks": height}
            return web.json_response(info)
        if request.path == f"/block/hash/block{height}":
            kept = {"weave_size": "97088718807286", "reward_pool": "40092847901462759"}
            return web.json_response({"height": height, "timestamp": time, "indep_hash": f"block{height}", **kept})
        if request.path == "/total_supply" and supply:
            return web.Response(text=supply)
        return web.json_response({"error": "not found"}, status=404)

    return handle


def filecoin_node(extra: dict | None = None, *, ahead: int = 0, name: str = "mainnet"):
    def answer(method: str, params):
        if method == "Filecoin.StateNetworkName":
            return name
        if method == "Filecoin.ChainHead":
            return {"Cids": [{"/": "bafyhead"}], "Height": (NOW - 20 - 1_598_306_400) // 30, "Blocks": []}
        if method == "Filecoin.ChainGetTipSetByHeight":
            return {"Cids": [{"/": f"bafy{params[0]}"}], "Height": params[0] + ahead, "Blocks": []}
        if method == "Filecoin.StateReadState":
            assert params[0] == "f04" and params[1][0]["/"].startswith("bafy")
            power = {"TotalRawBytePower": "9", "TotalQualityAdjPower": "12", "MinerAboveMinPowerCount": 3}
            return {"Balance": "0", "Code": {"/": "bafk"}, "State": power}
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


LEDGER = Read("icp", "supply", "ryjl3-tyaaa-aaaaa-aaaba-cai", 8)


def icp_node(supply: int = 53_123_456_789_012_345, decimals: int = 8, status: str = "replied", signed: object = NOW):
    async def handle(request: web.Request) -> web.Response:
        assert request.path == "/api/v2/canister/ryjl3-tyaaa-aaaaa-aaaba-cai/query"
        content = cbor2.loads(await request.read())["content"]
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
        return web.Response(body=b"\xd9\xd9\xf7" + cbor2.dumps(body), content_type="application/cbor")

    return handle
