"""Every endpoint of every chain, played at `<base>/chain/<chain>/<operator>`; what else is asked goes to the providers.

Blocks come every twelve seconds of real time. A token's home has 95 % of its maximum (else 20,000 million), other
networks and holders a million. The shapes are the documented ones, as in tests/onchain/nonevm.py, which tests each
reader; here all chains answer at once, as on the day of a first start. The Internet Computer's root key cannot be
played, so it answers 404, as do operators in `silent`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiohttp import web
from eth_abi.abi import decode, encode
from fault_more_providers import MoreProviders

from indexer.sources.usage import USAGE
from indexer.times import to_us, utc_now
from onchain import substrate
from onchain.chains import Chain, load_chains
from onchain.evm.multicall import selector, topic
from onchain.tokens import load_tokens

BLOCK_S, SETTLED, DAY_S = 12, 5, 86_400
CHAINS = load_chains()
MILLION = 10**6
HOMES = {(leg.chain, leg.asset.lower()): token for token in load_tokens().values() for leg in token.legs[:1]}
DECIMALS = {(leg.chain, leg.asset.lower()): leg.decimals for token in load_tokens().values() for leg in token.legs}


def supply(chain: str, asset: str) -> int:
    """Base units of a token on one of its networks."""
    home = HOMES.get((chain, asset.lower()))
    tokens = MILLION if home is None else 95 * home.maximum // 100 if home.maximum else 20_000 * MILLION
    return tokens * 10 ** DECIMALS.get((chain, asset.lower()), 18)


def held(chain: str, asset: str) -> int:
    return MILLION * 10 ** DECIMALS.get((chain, asset.lower()), 18)


def head() -> int:
    return int(time.time()) // BLOCK_S - SETTLED


def hashed(number: int) -> str:
    return "0x" + format(number, "064x")


def evm(chain: Chain, method: str, params: list[Any]) -> Any:
    """A node without Multicall3: the reader brings its own by state override, which is answered like it."""
    if method == "eth_chainId":
        return chain.identity
    if method == "eth_getBlockByNumber":
        number = int(params[0], 16) if params[0].startswith("0x") else head()
        return {"number": hex(number), "hash": hashed(number), "parentHash": hashed(number - 1),
                "timestamp": hex(number * BLOCK_S)}  # fmt: skip
    if method == "eth_call":
        block = params[1]
        number = int(block["blockHash"] if isinstance(block, dict) else block, 16)
        (calls,) = decode(["(address,bool,bytes)[]"], bytes.fromhex(params[0]["data"][10:]))
        return "0x" + encode(["(bool,bytes)[]"], [[_call(chain.name, to, data, number) for to, _, data in calls]]).hex()
    return _logs(params[0]) if method == "eth_getLogs" else "0x0"


PLAYED = {  # 0.25 ETH of a ticket; 100 ATH paid in, 40 taken back
    "0xa8bB618B1520E284046F3dFc448851A1Ff26e41B": [
        ("WinningTicketRedeemed(address,address,uint256,uint256,uint256,uint256,bytes)", 0, 10**18 // 4)
    ],
    "0x226DC7D2AA1F9a565e82faf04772FDbBaF2da42d": [
        ("DepositServiceFee(address,uint64,uint256)", 1, 100 * 10**18),
        ("WithdrawServiceFee(address,uint64,uint256)", 1, 40 * 10**18),
    ],
}


def _logs(wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """One log of each played event, in the last block of a day."""
    last = int(wanted["toBlock"], 16)
    rows = [(at, *row) for at in wanted["address"] for row in PLAYED.get(at, ())] if last * BLOCK_S % DAY_S == 0 else []
    return [
        {"address": at.lower(), "topics": [topic(event)], "data": "0x" + "0" * 64 * word + format(value, "064x"),
         "blockNumber": hex(last), "blockHash": hashed(last), "logIndex": hex(index)}
        for index, (at, event, word, value) in enumerate(rows)
    ]  # fmt: skip


def _call(chain: str, to: str, data: bytes, number: int) -> tuple[bool, bytes]:
    answers: dict[bytes, Callable[[], int]] = {
        selector("getCurrentBlockTimestamp()"): lambda: number * BLOCK_S,
        selector("getBlockNumber()"): lambda: number,
        selector("getEthBalance(address)"): lambda: 0,
        selector("decimals()"): lambda: DECIMALS[chain, to],
        selector("totalSupply()"): lambda: supply(chain, to),
        selector("balanceOf(address)"): lambda: held(chain, to),
    }
    answer = answers.get(data[:4])
    return (False, b"") if answer is None else (True, answer().to_bytes(32, "big"))


def solana(chain: Chain, method: str, params: list[Any]) -> Any:
    if method == "getTokenSupply":
        value: Any = {"amount": str(supply("solana", params[0])), "decimals": DECIMALS["solana", params[0].lower()]}
    elif method == "getTokenAccountsByOwner":
        amount = {"amount": str(held("solana", params[1]["mint"]))}
        value = [{"account": {"data": {"parsed": {"info": {"tokenAmount": amount}}}}}]
    else:
        return {"getSlot": head(), "getBlockTime": head() * BLOCK_S}[method]
    return {"context": {"slot": head()}, "value": value}


def near(chain: Chain, method: str, params: Any) -> Any:
    asked = params.get("block_id", head())
    number = int(asked, 16) if isinstance(asked, str) else asked
    header = {"height": number, "hash": hashed(number), "timestamp": number * BLOCK_S * 10**9}
    return {"header": {**header, "total_supply": str(supply("near", "native"))}}


def bittensor(chain: Chain, method: str, params: list[Any]) -> Any:
    if method == "chain_getFinalizedHead":
        return hashed(head())
    if method == "chain_getHeader":
        return {"number": hex(int(params[0], 16))}
    if method == "chain_getBlockHash":
        return hashed(params[0]) if params[0] else chain.identity
    if method == "state_queryStorageAt":
        return [
            {"block": params[1], "changes": [[key, "0x" + (10**8).to_bytes(8, "little").hex()] for key in params[0]]}
        ]
    if method == "state_call":
        prices = {1: 2 * 10**7, 64: 10**8}
        rows = b"".join(n.to_bytes(2, "little") + rao.to_bytes(8, "little") for n, rao in prices.items())
        return "0x" + bytes([len(prices) << 2]).hex() + rows.hex()
    total = supply("bittensor", "native")
    value = {substrate.TIMESTAMP_NOW: int(params[1], 16) * BLOCK_S * 1000, substrate.SUBTENSOR_STAKE: total * 7 // 10}
    return "0x" + value.get(params[0], total).to_bytes(8, "little").hex()


def filecoin(chain: Chain, method: str, params: list[Any]) -> Any:
    if method == "Filecoin.ChainGetTipSetByHeight":
        return {"Cids": [{"/": f"bafy{params[0]}"}], "Height": params[0]}
    if method == "Filecoin.ChainHead":
        return {"Cids": [], "Height": (int(time.time()) - 1_598_306_400) // 30}
    if method == "Filecoin.StateReadState":
        return {"State": {"TotalRawBytePower": "9", "TotalQualityAdjPower": "12", "MinerAboveMinPowerCount": 3}}
    figures = {"FilVested": 500, "FilMined": 300, "FilReserveDisbursed": 0, "FilBurnt": 40, "FilLocked": 100}
    return {name: str(value * MILLION * 10**18) for name, value in {**figures, "FilCirculating": 660}.items()}


RPC = {"evm": evm, "solana": solana, "near": near, "substrate": bittensor, "filecoin": filecoin}


def rest(chain: Chain, path: str, request: web.Request) -> Any:
    """Cosmos and Arweave."""
    number = head()
    if chain.family == "arweave":
        block = {"height": number, "timestamp": number * BLOCK_S, "weave_size": "9", "reward_pool": "4" + "0" * 16}
        answers = {"info": {"network": chain.identity, "height": number, "current": "tip"}, "block/hash/tip": block}
        return int(supply("arweave", "native")) if path == "total_supply" else answers[path]
    if "/blocks/" in path:
        last = path.rsplit("/", 1)[1]
        number = number if last == "latest" else int(last)
        stamp = datetime.fromtimestamp(number * BLOCK_S, UTC).isoformat()
        return {"block_id": {"hash": hashed(number)}, "block": {"header": {"height": str(number), "time": stamp}}}
    denom = request.query.get("denom", "")
    coin = {"denom": denom, "amount": str(supply(chain.name, denom) if "supply" in path else held(chain.name, denom))}
    pool = [{"denom": name, "amount": "7.5"} for name in ("uakt", "afet", "attoaioz")]
    return {
        "node_info": {"default_node_info": {"network": chain.identity}},
        "by_denom": {"amount": coin, "balance": coin},
        "pool": {"pool": {"bonded_tokens": str(held(chain.name, "uakt"))}},
        "community_pool": {"pool": pool},
    }[path.rsplit("/", 1)[1]]


class Endpoints:
    """The server: how often each operator was asked is in `counts`."""

    def __init__(self, providers: str, *, silent: tuple[str, ...] = ()) -> None:
        self.providers, self.silent = providers, silent
        self.counts: Counter[tuple[str, str]] = Counter()

    async def chain(self, request: web.Request) -> web.Response:
        chain, operator = CHAINS[request.match_info["chain"]], request.match_info["operator"]
        self.counts[chain.name, operator] += 1
        if operator in self.silent or chain.family == "icp":
            return web.json_response({"error": "not found"}, status=404)
        if chain.family in RPC:
            return web.json_response(self._rpc(chain, await request.json()))
        echo = {"Grpc-Metadata-X-Cosmos-Block-Height": request.headers.get("x-cosmos-block-height", "")}
        return web.json_response(rest(chain, request.match_info["tail"], request), headers=echo)

    @staticmethod
    def _rpc(chain: Chain, body: dict[str, Any]) -> dict[str, Any]:
        head = {"jsonrpc": "2.0", "id": body["id"]}
        if body["method"] == chain.identity_method and chain.family in ("solana", "near", "filecoin"):
            name = chain.identity.split("|")[0]
            return {**head, "result": {"chain_id": name} if chain.family == "near" else name}
        return {**head, "result": RPC[chain.family](chain, body["method"], body["params"])}

    async def usage(self, request: web.Request) -> web.Response:
        """The services of usage.toml, as the played world has them."""
        played = MoreProviders()
        played.now_us = lambda: to_us(utc_now())  # type: ignore[method-assign]
        service = request.match_info["provider"].replace("-", "_")
        made = getattr(played, f"_{service}")(request.path, dict(request.query))
        return web.Response(body=made.body, content_type=made.kind)

    async def provider(self, request: web.Request) -> web.Response:
        url = self.providers + request.raw_path
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.get(url, headers=request.headers) as got,
        ):
            kept = {k: v for k, v in got.headers.items() if k in ("Content-Type", "Content-Encoding", "Retry-After")}
            return web.Response(body=await got.read(), status=got.status, headers=kept)


@contextmanager
def chain_endpoints(providers: str, *, silent: tuple[str, ...] = ()) -> Iterator[tuple[str, Endpoints]]:
    """The base address of providers and chains, and the server behind it."""
    endpoints, loop, port = Endpoints(providers, silent=silent), asyncio.new_event_loop(), 0

    async def start() -> web.AppRunner:
        app = web.Application()
        for path in ("/chain/{chain}/{operator}", "/chain/{chain}/{operator}/{tail:.*}"):
            app.router.add_route("*", path, endpoints.chain)
        app.router.add_get(f"/{{provider:{'|'.join(USAGE.services)}}}/{{tail:.*}}", endpoints.usage)
        app.router.add_get("/{tail:.*}", endpoints.provider)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return runner

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", endpoints
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
