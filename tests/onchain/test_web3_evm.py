"""web3 over the pool on real nodes: one block, two answers, a budget and a proof for every call."""

from __future__ import annotations

import asyncio
import json
import re
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pytest
from evmkit import ADMIN_KEY_ACCOUNT, Node
from web3.exceptions import BadFunctionCallOutput, ContractLogicError

import onchain
from onchain.chains import Chain
from onchain.errors import BudgetSpent, ChainConfigError, DisagreementError, PinError
from onchain.evm.provider import alike
from onchain.rpc.wire import digest

pytestmark = pytest.mark.evm
IMPLEMENTATION_SLOT = "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc"  # EIP-1967
HOLDER = "0x00000000000000000000000000000000000000A1"


async def test_reads_started_together_are_one_request_an_endpoint_at_one_block(new_node, proxies) -> None:
    node = new_node()
    token = node.deploy("token", "Tok", "TOK", 18, 1000)
    odd = node.deploy("odd", 5)
    node.mine(5)
    one, two = await proxies(node.url), await proxies(node.url)
    async with onchain.web3("one", chains={"one": node.chain(one.url, two.url)}) as w3:
        contract = w3.eth.contract(address=token.address, abi=onchain.ERC20_ABI)
        refusing = w3.eth.contract(address=odd.address, abi=odd.abi)
        await contract.functions.name().call()
        before = len(one.requests), len(two.requests)
        supply, held, symbol, refused = await asyncio.gather(
            contract.functions.totalSupply().call(),
            contract.functions.balanceOf(ADMIN_KEY_ACCOUNT).call(),
            contract.functions.symbol().call(),
            refusing.functions.balanceOf(token.address).call(),
            return_exceptions=True,
        )
        assert (supply, held, symbol) == (1000, 1000, "TOK")
        assert isinstance(refused, ContractLogicError) and "no balances here" in str(refused)
        assert (len(one.requests) - before[0], len(two.requests) - before[1]) == (1, 1)
        pin = await w3.provider.pinned()
        token.do("mint", HOLDER, 7)
        node.mine(5)
        assert await contract.functions.totalSupply().call() == 1000  # still at the pin
        assert await w3.eth.block_number == pin.number
        assert (await w3.provider.repin()).number > pin.number
        assert await contract.functions.totalSupply().call() == 1007
        assert await contract.functions.totalSupply().call(block_identifier=pin.number) == 1000


async def test_the_documented_lines_read_any_token(new_node, monkeypatch) -> None:
    node = new_node(1)
    token = node.deploy("token", "Tok", "TOK", 18, 1000)
    node.mine(100)
    token.do("transfer", HOLDER, 7)
    node.mine(5)
    page = (Path(__file__).parents[2] / "docs" / "onchain.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(async with onchain\.web3.*?)^```", page, flags=re.S | re.M)
    code = re.sub(r'"0x[0-9a-fA-F]{40}"', f'"{token.address}"', code)
    chains = {"ethereum": node.chain(name="ethereum")}
    monkeypatch.setattr("onchain.evm.provider.load_chains", lambda **_: chains)
    scope = {"onchain": onchain, "asyncio": asyncio}
    exec("async def run():\n" + textwrap.indent(code, "    ") + "    return name, supply, transfers, proof", scope)
    name, supply, transfers, proof = await scope["run"]()
    assert (name, supply, [event["args"]["value"] for event in transfers]) == ("Tok", 1000, [7])
    assert {reading["method"] for reading in proof["readings"]} >= {"eth_call", "eth_getLogs"} and proof["digest"]


async def test_every_answer_has_its_block_and_its_witnesses_in_the_proof(new_node, proxies) -> None:
    node = new_node()
    token = node.deploy("token", "Tok", "TOK", 18, 1000)
    node.mine(5)
    urls = [(await proxies(node.url)).url for _ in range(2)]
    async with onchain.web3("one", chains={"one": node.chain(*urls)}) as w3:
        contract = w3.eth.contract(address=token.address, abi=onchain.ERC20_ABI)
        await asyncio.gather(contract.functions.totalSupply().call(), w3.eth.get_balance(HOLDER))
        proof = w3.provider.proof()
        pin = await w3.provider.pinned()
    assert json.loads(json.dumps(proof))["digest"] == digest({k: v for k, v in proof.items() if k != "digest"})
    assert {r["method"] for r in proof["readings"]} == {"eth_call", "eth_getBalance"}
    assert all(r["pin"]["hash"] == pin.hash and sorted(r["agreed"]) == sorted(urls) for r in proof["readings"])
    assert int(next(r["result"] for r in proof["readings"] if r["method"] == "eth_call"), 16) == 1000
    assert {c["endpoint"] for c in proof["calls"]} == set(urls)


async def test_a_node_that_lies_about_a_call_storage_or_receipt_is_refused(new_node, proxies) -> None:
    node = new_node()
    token = node.deploy("token", "Tok", "TOK", 18, 1000)
    sent = token.do("mint", HOLDER, 7)["transactionHash"]
    node.mine(5)

    def lie(item, result):
        if item["method"] == "eth_call":
            return result[:-1] + ("1" if result[-1] == "0" else "0")
        if item["method"] == "eth_getStorageAt":
            return "0x" + "11" * 32
        if item["method"] == "eth_getTransactionReceipt":
            return {**result, "gasUsed": "0x1"}
        return result

    liar = await proxies(node.url, lie=lie)
    async with onchain.web3("one", chains={"one": node.chain(node.url, liar.url)}) as w3:
        contract = w3.eth.contract(address=token.address, abi=onchain.ERC20_ABI)
        for asked in (
            contract.functions.balanceOf(HOLDER).call(),
            w3.eth.get_storage_at(token.address, 0),
            w3.eth.get_transaction_receipt(sent),
        ):
            with pytest.raises(DisagreementError, match="add a third endpoint to decide"):
                await asked
        assert not w3.provider.readings


async def test_events_come_in_ranges_compared_on_two_endpoints(new_node, proxies) -> None:
    node = new_node()
    token = node.deploy("token", "Tok", "TOK", 18, 1000)
    first = int(node.block()["number"], 16)
    for amount in range(1, 6):
        token.do("transfer", HOLDER, amount)
        node.mine(3)

    def narrow(item):
        if item["method"] != "eth_getLogs":
            return None
        asked = item["params"][0]
        wide = int(asked["toBlock"], 16) - int(asked["fromBlock"], 16) >= 8
        return {"code": -32005, "message": "exceeds max block range 8"} if wide else None

    limited = await proxies(node.url, refuse=narrow)
    async with onchain.web3("one", chains={"one": node.chain(limited.url, node.url)}) as w3:
        contract = w3.eth.contract(address=token.address, abi=onchain.ERC20_ABI)
        events = await contract.events.Transfer().get_logs(from_block=first + 1)
        assert [event["args"]["value"] for event in events] == [1, 2, 3, 4, 5]
        only = await contract.events.Transfer().get_logs(
            from_block=first + 1, argument_filters={"receiver": ADMIN_KEY_ACCOUNT}
        )
        assert only == []
        assert limited.calls.count("eth_getLogs") > 2


async def test_storage_of_a_proxy_follows_the_pin(new_node) -> None:
    node = new_node()
    one, two = node.deploy("fixed", 1000), node.deploy("fixed", 2000)
    proxy = node.deploy("proxy", one.address)

    def slot(address: str) -> None:
        node.rpc("anvil_setStorageAt", proxy.address, IMPLEMENTATION_SLOT, "0x" + address[2:].rjust(64, "0"))

    slot(one.address)
    node.mine(5)
    async with onchain.web3("one", chains={"one": node.chain()}) as w3:
        contract = w3.eth.contract(address=proxy.address, abi=onchain.ERC20_ABI)
        old = await w3.provider.pinned()

        async def seen(block: object = "latest") -> tuple[int, str]:
            stored = await w3.eth.get_storage_at(proxy.address, int(IMPLEMENTATION_SLOT, 16), block)
            supply = await contract.functions.totalSupply().call(block_identifier=block)
            return supply, "0x" + stored.hex()[-40:]

        assert await seen() == (1000, one.address.lower())
        proxy.do("upgrade_to", two.address)
        slot(two.address)
        node.mine(5)
        assert await seen() == (1000, one.address.lower())
        await w3.provider.repin()
        assert await seen() == (2000, two.address.lower())
        assert await seen(old.number) == await seen(old.hash) == (1000, one.address.lower())


async def test_blocks_sending_and_what_has_no_one_answer(shared_node: Node) -> None:
    async with onchain.web3("one", chains={"one": shared_node.chain()}) as w3:
        pin = await w3.provider.pinned()
        block = await w3.eth.get_block("latest")
        assert (block["number"], block["hash"].to_0x_hex()) == (pin.number, pin.hash)
        assert await w3.eth.chain_id == 31337 and await w3.eth.gas_price > 0
        sent = await w3.eth.send_transaction({"from": ADMIN_KEY_ACCOUNT, "to": HOLDER, "value": 5, "gas": 21000})
        shared_node.mine(5)
        assert (await w3.eth.get_transaction_receipt(sent))["status"] == 1
        agreed = {reading.method: reading.pin for reading in w3.provider.readings}
    assert agreed["eth_getBlockByHash" if "eth_getBlockByHash" in agreed else "eth_getBlockByNumber"] == pin
    assert agreed["eth_gasPrice"] is None and agreed["eth_sendTransaction"] is None


async def test_an_instant_of_the_past_a_budget_and_names_that_do_not_exist(new_node) -> None:
    node = new_node()
    token = node.deploy("token", "Tok", "TOK", 18, 1000)
    node.mine(1)
    then = int(node.block()["timestamp"], 16)
    node.rpc("evm_increaseTime", 600)
    token.do("mint", HOLDER, 7)
    node.mine(5)
    chains = {"one": node.chain(), "sol": Chain("sol", "solana", ())}
    async with onchain.web3("one", at=datetime.fromtimestamp(then + 60, UTC), chains=chains) as w3:
        contract = w3.eth.contract(address=token.address, abi=onchain.ERC20_ABI)
        assert await contract.functions.totalSupply().call() == 1000
        with pytest.raises(BadFunctionCallOutput):
            await w3.eth.contract(address=HOLDER, abi=onchain.ERC20_ABI).functions.totalSupply().call()
        with pytest.raises(PinError, match="fewer than 1 operators agree on block 99999"):
            await w3.eth.get_balance(HOLDER, 99999)
    async with onchain.web3("one", max_requests=3, chains=chains) as w3:
        with pytest.raises(BudgetSpent, match="the budget of 3 requests is spent; read less or allow more"):
            for number in range(5):
                await w3.eth.get_balance(HOLDER, number)
    with pytest.raises(ChainConfigError, match='"sol" is none of one'):
        onchain.web3("sol", chains=chains)
    with pytest.raises(ChainConfigError, match="has no time zone"):
        onchain.web3("one", at=datetime(2026, 1, 1), chains=chains)


def test_clients_may_add_fields_but_not_differ() -> None:
    block = {"number": "0x1", "transactions": [{"hash": "0xa"}]}
    assert alike(block, {**block, "totalDifficulty": "0x0"})
    assert not alike(block, {**block, "transactions": [{"hash": "0xb"}]})
    assert not alike([1, 2], [1]) and not alike(None, block)
