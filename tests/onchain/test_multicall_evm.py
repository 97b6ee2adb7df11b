"""Multicall on a real node: exact values, what odd tokens do, the override fallback, bisection, EIP-1898 fallback."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from evmkit import ADMIN_KEY_ACCOUNT, Node

from onchain.errors import AllEndpointsFailed, Kind
from onchain.evm import erc20, multicall
from onchain.evm.multicall import Call, call, read_calls
from onchain.rpc.pin import Pinner
from onchain.rpc.pool import Pool

pytestmark = pytest.mark.evm
NOWHERE = "0x00000000000000000000000000000000000000AA"


@pytest.fixture(scope="module")
def tokens(shared_node: Node) -> dict[str, str]:
    made = {
        "normal": shared_node.deploy("token", "Normal", "NRM", 18, 10**27),
        "six": shared_node.deploy("token", "Six", "SIX", 6, 123_456_789),
        "twentyfour": shared_node.deploy("token", "Near", "N24", 24, 10**33),
        "odd": shared_node.deploy("odd", 777),
    }
    shared_node.mine(5)
    return {name: token.address for name, token in made.items()}


async def test_supplies_and_balances_are_exact_and_come_in_one_request(
    shared_node: Node, tokens: dict[str, str]
) -> None:
    async with Pool(shared_node.chain()) as pool:
        pin = await Pinner(pool).head()
        calls = [erc20.total_supply(tokens[name]) for name in ("normal", "six", "twentyfour", "odd")]
        calls += [erc20.balance_of(tokens["normal"], ADMIN_KEY_ACCOUNT), erc20.decimals(tokens["six"])]
        readout = await read_calls(pool, pin, calls)
        assert [o.value for o in readout.outcomes] == [10**27, 123_456_789, 10**33, 777, 10**27, 6]
        assert [r.method for r in pool.records] == [
            "eth_chainId",
            "eth_getBlockByNumber",
            "eth_call",
        ]


async def test_failed_calls_keep_their_reason_and_never_become_zero(shared_node: Node, tokens: dict[str, str]) -> None:
    async with Pool(shared_node.chain()) as pool:
        pin = await Pinner(pool).head()
        odd = tokens["odd"]
        calls = [
            erc20.balance_of(odd, ADMIN_KEY_ACCOUNT),
            erc20.decimals(odd),
            erc20.total_supply(NOWHERE),
            call(odd, "symbol()", returns="bytes32"),
            erc20.total_supply(odd),
        ]
        reverted, missing, empty, name, supply = (await read_calls(pool, pin, calls)).outcomes
        assert reverted.error == "reverted" and missing.error == "reverted"
        assert empty.error == "returned nothing: no contract there, or no such function"
        assert name.value == b"ODD".ljust(32, b"\0")
        assert supply.value == 777


async def test_short_return_data_is_refused(new_node) -> None:
    node = new_node()
    odd = node.deploy("odd", 5)
    odd.do("set_short", True)
    node.mine(5)
    async with Pool(node.chain()) as pool:
        (outcome,) = (await read_calls(pool, await Pinner(pool).head(), [erc20.total_supply(odd.address)])).outcomes
    assert outcome.error == "returned 16 bytes where 32 were expected"


async def test_without_multicall3_the_state_override_gives_the_same(new_node) -> None:
    node = new_node(multicall=False)
    token = node.deploy("token", "T", "T", 18, 42)
    node.mine(5)
    calls = [
        erc20.total_supply(token.address),
        call(token.address, "symbol()", returns="string"),
        erc20.total_supply(NOWHERE),
    ] * 100
    async with Pool(node.chain()) as pool:
        pin = await Pinner(pool).head()
        outcomes = (await read_calls(pool, pin, calls)).outcomes
        assert pool.endpoints[0].bare_to == pin.number
    assert [outcomes[0].value, outcomes[1].value, outcomes[297].value] == [42, "T", 42]
    assert outcomes[299].error.startswith("returned nothing")


async def test_block_before_multicall3_existed_is_read_by_override(new_node) -> None:
    node = new_node(multicall=False)
    token = node.deploy("token", "T", "T", 18, 42)
    node.mine(3)
    old = int(node.block()["number"], 16)
    node.rpc("evm_increaseTime", 10)
    node.multicall3()
    node.mine(5)
    async with Pool(node.chain()) as pool:
        pinner = Pinner(pool)
        pin = await pinner.at(int(node.block(old)["timestamp"], 16))
        assert pin.number == old
        (outcome,) = (await read_calls(pool, pin, [erc20.total_supply(token.address)])).outcomes
        assert pool.endpoints[0].bare_to == old
    assert outcome.value == 42


async def test_override_refused_falls_back_to_single_calls(new_node, proxies) -> None:
    node = new_node(multicall=False)
    token = node.deploy("token", "T", "T", 18, 42)
    node.mine(5)

    def refuse(item):
        if item["method"] == "eth_call" and len(item["params"]) > 2:
            return {"code": -32602, "message": "too many arguments, want at most 2: invalid params"}
        return None

    proxy = await proxies(node.url, refuse=refuse)
    async with Pool(node.chain(proxy.url)) as pool:
        calls = [
            erc20.total_supply(token.address),
            erc20.total_supply(NOWHERE),
            call(token.address, "nope()", returns="uint256"),
        ]
        a, b, c = (await read_calls(pool, await Pinner(pool).head(), calls)).outcomes
    assert a.value == 42
    assert b.error.startswith("returned nothing")
    assert c.error == "reverted"


async def test_too_big_is_bisected_and_order_kept(shared_node: Node, tokens: dict[str, str], proxies) -> None:
    def refuse(item):
        if item["method"] == "eth_call" and len(item["params"][0]["data"]) > 6000:
            return {"code": -32000, "message": "request entity too large"}
        return None

    proxy = await proxies(shared_node.url, refuse=refuse)
    calls = [erc20.total_supply(tokens[n]) for n in ("normal", "six", "twentyfour", "odd")] * 10
    async with Pool(shared_node.chain(proxy.url)) as pool:
        outcomes = (await read_calls(pool, await Pinner(pool).head(), calls)).outcomes
    assert [o.value for o in outcomes] == [10**27, 123_456_789, 10**33, 777] * 10


async def test_single_call_that_is_refused_alone_keeps_its_error(
    shared_node: Node, tokens: dict[str, str], proxies
) -> None:
    huge = Call(tokens["normal"], erc20.total_supply(tokens["normal"]).data + bytes(4000), ("uint256",))

    def refuse(item):
        if item["method"] == "eth_call" and len(item["params"][0]["data"]) > 6000:
            return {"code": -32000, "message": "request entity too large"}
        return None

    proxy = await proxies(shared_node.url, refuse=refuse)
    async with Pool(shared_node.chain(proxy.url)) as pool:
        pin = await Pinner(pool).head()
        a, b = (await read_calls(pool, pin, [erc20.total_supply(tokens["six"]), huge])).outcomes
    assert a.value == 123_456_789
    assert b.error.startswith("refused: eth_call: request entity too large")


async def test_node_without_eip1898_is_read_by_number_and_rechecked(
    shared_node: Node, tokens: dict[str, str], proxies
) -> None:
    proxy = await proxies(shared_node.url, drop_by_hash=True)
    async with Pool(shared_node.chain(proxy.url)) as pool:
        pin = await Pinner(pool).head()
        (outcome,) = (await read_calls(pool, pin, [erc20.total_supply(tokens["six"])])).outcomes
        assert outcome.value == 123_456_789
        assert pool.endpoints[0].by_hash is False
        assert proxy.calls[-2:] == ["eth_call", "eth_getBlockByNumber"]


async def test_node_that_ignores_the_block_reference_is_caught(
    shared_node: Node, tokens: dict[str, str], proxies
) -> None:
    async with Pool(shared_node.chain()) as honest:
        pin = await Pinner(honest).head()
    shared_node.mine(3)

    def lie(item, result):
        if item["method"] == "eth_call":
            return shared_node.rpc("eth_call", item["params"][0], "latest")
        return result

    proxy = await proxies(shared_node.url, lie=lie)
    async with Pool(shared_node.chain(proxy.url)) as pool:
        with pytest.raises(AllEndpointsFailed, match="the answer is from another block") as caught:
            await read_calls(pool, pin, [erc20.total_supply(tokens["six"])])
    assert caught.value.kind is Kind.MALFORMED


def test_shipped_override_code_is_what_its_source_compiles_to() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from vyper import compile_code

        source = (Path(multicall.__file__).parent / "aggregate3.vy").read_text(encoding="utf-8")
        out = compile_code(source, output_formats=["bytecode_runtime"])
    assert out["bytecode_runtime"] == multicall.override_code()
