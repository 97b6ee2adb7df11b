"""Pip-only smoke test: a snapshot from eth-tester behind a small HTTP server.

It has no Multicall3, no state overrides and no EIP-1898: every fallback is walked.
"""

from __future__ import annotations

import warnings

import pytest
from aiohttp import web
from evmkit import compiled

from onchain.chains import Chain
from onchain.snapshots import read_snapshot
from onchain.tokens import Leg, Token

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tester():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from web3 import EthereumTesterProvider, Web3

        w3 = Web3(EthereumTesterProvider())
        build = compiled("token")
        contract = w3.eth.contract(abi=build["abi"], bytecode=build["bytecode"])
        sent = contract.constructor("Smoke", "SMK", 18, 777 * 10**18).transact({"from": w3.eth.accounts[0]})
        address = w3.eth.wait_for_transaction_receipt(sent)["contractAddress"]
        w3.provider.ethereum_tester.mine_blocks(3)
    return w3, address


def plain(value):
    """eth-tester's answer as a node would write it."""
    if isinstance(value, bytes):
        return "0x" + bytes(value).hex()
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return {key: plain(item) for key, item in dict(value).items()}


def answer(w3, method: str, params: list):
    """The three methods a snapshot needs, through web3's own formatting; "finalized" is "latest" on eth-tester."""
    if method == "eth_call":
        return w3.eth.call(params[0], int(params[1], 16))
    if method == "eth_getBlockByNumber":
        return w3.eth.get_block(int(params[0], 16) if params[0].startswith("0x") else params[0])
    return {"eth_chainId": w3.eth.chain_id}[method]


async def test_a_pip_only_node_gives_a_snapshot(tester) -> None:
    w3, address = tester

    async def handle(request: web.Request) -> web.Response:
        body = await request.json()
        head = {"jsonrpc": "2.0", "id": body["id"]}
        params = body["params"]
        if body["method"] == "eth_call" and (len(params) > 2 or isinstance(params[1], dict)):
            return web.json_response({**head, "error": {"code": -32602, "message": "invalid params"}})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                result = answer(w3, body["method"], params)
            except Exception as error:  # eth-tester raises its own classes for reverts
                return web.json_response({**head, "error": {"code": 3, "message": f"execution reverted: {error!r}"}})
        return web.json_response({**head, "result": plain(result)})

    app = web.Application()
    app.router.add_post("/", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        chain = Chain(
            "tester", "evm", (url,), identity_method="eth_chainId", identity=hex(w3.eth.chain_id), rate_per_s=1e6
        )
        token = Token("SMK", "Smoke", 18, legs=(Leg("tester", address, 18),))
        supply = (await read_snapshot([token], chains={"tester": chain})).supplies["SMK"]
    finally:
        await runner.cleanup()
    assert supply.reason == "" and supply.tokens("free_float") == 777.0
