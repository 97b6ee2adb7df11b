"""Pins on real nodes: finality levels, quorum of hashes, time search, reorgs, pruned state, stale and lying heads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onchain.errors import AllEndpointsFailed, Kind, OrphanedPin, PinError
from onchain.evm import erc20
from onchain.evm.erc20 import pinned_calls
from onchain.evm.multicall import read_calls
from onchain.health import recheck_pins
from onchain.rpc.pin import Pinner, height_at
from onchain.rpc.pool import Pool

pytestmark = pytest.mark.evm


async def test_levels_are_the_nodes_own_and_recorded(new_node) -> None:
    node = new_node(epoch=4)
    node.mine(40)
    latest = int(node.block()["number"], 16)
    async with Pool(node.chain()) as pool:
        pinner = Pinner(pool)
        pins = {level: await pinner.head(level) for level in ("finalized", "safe", "latest", "latest-7")}
    assert {level: latest - pin.number for level, pin in pins.items()} == {
        "finalized": 8,
        "safe": 4,
        "latest": 0,
        "latest-7": 7,
    }
    for level, pin in pins.items():
        block = node.block(pin.number)
        assert pin.finality == level and pin.hash == block["hash"] and pin.timestamp == int(block["timestamp"], 16)


async def test_two_endpoints_agree_on_the_height_both_have(new_node, proxies) -> None:
    node = new_node()
    node.mine(30)
    stale = await proxies(node.url, behind=10)
    async with Pool(node.chain(node.url, stale.url)) as pool:
        pin = await Pinner(pool).head()
    assert pin.number == int(node.block("finalized")["number"], 16) - 10
    assert set(pin.agreed) == {node.url, stale.url}


async def test_one_of_three_stale_does_not_hold_the_pin_back(new_node, proxies) -> None:
    node = new_node()
    node.mine(30)
    stale, fresh = await proxies(node.url, behind=20), await proxies(node.url)
    async with Pool(node.chain(stale.url, fresh.url, node.url)) as pool:
        pin = await Pinner(pool).head()
    assert pin.number == int(node.block("finalized")["number"], 16)


async def test_two_addresses_of_one_operator_are_one_voice(new_node, proxies) -> None:
    node = new_node()
    node.mine(30)
    again = await proxies(node.url)
    chain = node.chain(node.url, again.url, "http://127.0.0.1:1")
    chain = replace(chain, operators={node.url: "one", again.url: "one"})
    async with Pool(chain) as pool:
        with pytest.raises(PinError, match="1 of 2 needed operators gave a finalized block"):
            await Pinner(pool).head()
    async with Pool(replace(chain, endpoints=chain.endpoints[:2])) as pool:
        assert len((await Pinner(pool).head()).agreed) == 1


async def test_lying_hash_is_outvoted_by_two_and_refused_by_one(new_node, proxies) -> None:
    node = new_node()

    def lie(item, result):
        return {**result, "hash": "0x" + "ab" * 32} if item["method"] == "eth_getBlockByNumber" else result

    liar, honest = await proxies(node.url, lie=lie), await proxies(node.url)
    async with Pool(node.chain(liar.url, honest.url, node.url)) as pool:
        pin = await Pinner(pool).head()
        assert pin.hash == node.block(pin.number)["hash"] and liar.url not in pin.agreed
        assert pool.endpoints[0].score < 0.5
    async with Pool(node.chain(liar.url, honest.url)) as pool:
        with pytest.raises(PinError, match="endpoints disagree about the finalized block"):
            await Pinner(pool).head()


async def test_lying_timestamp_is_caught_like_a_hash(new_node, proxies) -> None:
    node = new_node()

    def lie(item, result):
        return {**result, "timestamp": "0x1"} if item["method"] == "eth_getBlockByNumber" else result

    liar = await proxies(node.url, lie=lie)
    async with Pool(node.chain(liar.url, node.url)) as pool:
        with pytest.raises(PinError, match="endpoints disagree"):
            await Pinner(pool).head()


async def test_one_answer_where_two_are_needed_is_refused_and_says_why(new_node, proxies) -> None:
    node = new_node()
    down = await proxies(node.url, status=503)
    async with Pool(node.chain(down.url, node.url)) as pool:
        with pytest.raises(PinError, match=r"1 of 2 needed operators gave a finalized block.*HTTP 503"):
            await Pinner(pool).head()
        assert (await Pinner(pool, quorum=1).head()).agreed == (node.url,)


async def test_everybody_stale_is_refused(new_node) -> None:
    node = new_node()
    late = int(node.block()["timestamp"], 16) + 10_000
    async with Pool(node.chain(max_age_s=3600), wall=lambda: late) as pool:
        with pytest.raises(PinError, match="every endpoint is stale"):
            await Pinner(pool).head()


async def test_instant_maps_to_the_last_block_at_or_before_it(new_node) -> None:
    node = new_node()
    for gap in (1, 7, 60, 1, 1, 3600, 2, 12, 12, 12):
        node.rpc("evm_increaseTime", gap)
        node.mine(3, interval=gap)
    times = [int(node.block(n)["timestamp"], 16) for n in range(int(node.block()["number"], 16) + 1)]
    last = len(times) - 3  # finalized
    async with Pool(node.chain()) as pool:
        pinner = Pinner(pool)
        for number in range(1, last):
            for instant in {times[number], times[number + 1] - 1}:
                expected = max(n for n, t in enumerate(times) if t <= instant)
                assert (await pinner.at(instant)).number == expected
        before = len(pool.records)
        await pinner.at(times[3])
        assert len(pool.records) == before  # cached
        with pytest.raises(PinError, match="is not settled yet"):
            await pinner.at(times[-1] + 5)
        with pytest.raises(PinError, match="is before its first block"):
            await pinner.at(times[0] - 1)


async def test_instant_whose_next_block_is_told_differently_is_refused_and_says_so(new_node, proxies) -> None:
    node = new_node()
    node.mine(20, interval=12)
    instant = int(node.block(10)["timestamp"], 16)

    def lie(item, result):
        asked = item["method"] == "eth_getBlockByNumber" and item["params"][0] == hex(11)
        return {**result, "hash": "0x" + "ab" * 32} if asked else result

    liar = await proxies(node.url, lie=lie)
    async with Pool(node.chain(node.url, liar.url)) as pool:
        with pytest.raises(PinError, match=r"fewer than 2 operators agree on block 11: .*0xabababab…"):
            await Pinner(pool).at(instant)
        assert (await Pinner(pool).at(instant - 1)).number == 9


async def test_reorg_orphans_the_pin_and_a_new_one_reads_on(new_node) -> None:
    node = new_node()
    token = node.deploy("token", "T", "T", 18, 100)
    node.mine(5)
    async with Pool(node.chain()) as pool:
        pinner = Pinner(pool)
        pin = await pinner.head("latest")
        await pinner.verify(pin)
        node.rpc("anvil_reorg", 3, [])
        with pytest.raises(AllEndpointsFailed) as caught:
            await read_calls(pool, pin, [erc20.total_supply(token.address)])
        assert caught.value.kind is Kind.NOT_FOUND
        with pytest.raises(OrphanedPin, match=f"block {pin.number} .* left the chain"):
            await pinner.verify(pin)
        fresh = await pinner.head("latest")
        assert fresh.hash != pin.hash
        (outcome,) = (await read_calls(pool, fresh, [erc20.total_supply(token.address)])).outcomes
    assert outcome.value == 100


async def test_silence_withdraws_no_block(new_node, proxies) -> None:
    """An endpoint that stops answering leaves too few to tell: that is not a block that left the chain."""
    node = new_node()
    other = await proxies(node.url)
    chain = node.chain(node.url, other.url)
    async with Pool(chain) as pool:
        pinner = Pinner(pool)
        pin = await pinner.head("latest-1")
        other.faults["refuse"] = lambda item: (
            {"code": -32000, "message": "server busy"} if "0x" in item["params"][0] else None
        )
        with pytest.raises(
            PinError, match=r"still on the chain cannot be told \(.*server busy.*\); ask again later"
        ) as caught:
            await pinner.verify(pin)
    assert not isinstance(caught.value, OrphanedPin)
    assert await recheck_pins([pin], {chain.name: chain}) == {pin: "unknown"}
    other.faults.clear()
    node.mine(5)
    assert await recheck_pins([pin], {chain.name: chain}) == {pin: "final"}
    node.rpc("anvil_reorg", 9, [])
    assert await recheck_pins([pin], {chain.name: chain}) == {pin: "orphaned"}


async def test_read_goes_on_when_endpoints_agree_again_after_a_reorg(new_node, proxies) -> None:
    node = new_node()
    token = node.deploy("token", "T", "T", 18, 100)
    node.mine(5)
    slow = await proxies(node.url)
    asked: list[str] = []

    def orphaned(item):
        """The first read finds the block gone; the second endpoint still has the old one at that height."""
        if item["method"] == "eth_call" and not asked:
            asked.append("eth_call")
            return {"code": -32000, "message": "unknown block"}
        if item["method"] == "eth_getBlockByNumber" and asked == ["eth_call"] and item["params"][0].startswith("0x"):
            asked.append("header")
            return {"code": -32000, "message": "unknown block"}
        return None

    slow.faults["refuse"] = orphaned
    async with Pool(node.chain(node.url, slow.url)) as pool:
        pin, readout = await pinned_calls(Pinner(pool), [erc20.total_supply(token.address)], at=None)
    assert asked == ["eth_call", "header"] and len(pin.agreed) == 2 and readout.outcomes[0].value == 100


async def test_recent_instant_costs_few_questions_whatever_the_age() -> None:
    """A chain as old as Arbitrum, whose pace changed twenty-fold: found in a dozen headers, not in dozens."""
    head, now, asked = 400_000_000, 1_790_000_000, []

    async def time_of(number: int) -> int:
        asked.append(number)
        late = max(0, number - 300_000_000)
        return now - (head - number) // 4 if late else now - 25_000_000 - (300_000_000 - number) // 20 * 7

    for back in (60, 900, 86_400):
        asked.clear()
        found = await height_at(now - back, first=0, head=head, block_time_s=0.25, time_of=time_of)
        assert found == head - back * 4 and len(set(asked)) <= 12
    asked.clear()
    old = now - 25_000_000 - 1_000_000
    found = await height_at(old, first=0, head=head, block_time_s=0.25, time_of=time_of)
    assert await time_of(found) <= old < await time_of(found + 1)
    assert await height_at(1, first=0, head=head, block_time_s=0.25, time_of=time_of) is None


async def test_pruned_node_is_passed_over_for_one_that_keeps_state(new_node, proxies) -> None:
    node = new_node()
    token = node.deploy("token", "T", "T", 18, 100)
    node.mine(5)
    lost = {"code": -32000, "message": "missing trie node e583 (path ) state 0xe583 is not available"}
    pruned = await proxies(node.url, refuse=lambda item: lost if item["method"] == "eth_call" else None)
    async with Pool(node.chain(pruned.url, node.url)) as pool:
        pin = await Pinner(pool).head()
        readout = await read_calls(pool, pin, [erc20.total_supply(token.address)], confirm=1)
        assert readout.outcomes[0].value == 100 and readout.agreed == (node.url,)
        assert pool.endpoints[0].archive < 0.5 and not pool.endpoints[0].broken


async def test_pruned_state_is_named_as_such(new_node) -> None:
    pruned = new_node(31337, "--prune-history", "3")
    pruned.mine(20)
    async with Pool(pruned.chain()) as pool:
        old = await Pinner(pool).at(int(pruned.block(3)["timestamp"], 16))
        with pytest.raises(AllEndpointsFailed) as caught:
            await read_calls(pool, old, [erc20.total_supply(pruned.chain().multicall)])
    assert caught.value.kind is Kind.MISSING_STATE
