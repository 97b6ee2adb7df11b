"""Activity on real nodes against web3's own decoding; lost logs, lagging nodes, reorgs and rebasing are all seen."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from evmkit import Node
from pydantic import TypeAdapter
from web3 import Web3

from onchain.errors import AllEndpointsFailed, DisagreementError, ReadError
from onchain.evm.activity import TRANSFER, compute_concentration, parse_transfers, read_activity, read_event_sums
from onchain.evm.logs import Checkpoint, Chunk, LogScan, RangeSize, Rollback
from onchain.rpc.pin import Pinner
from onchain.rpc.pool import Pool
from onchain.tokens import EventSum, Reading

pytestmark = pytest.mark.evm
A, B, C = (Web3.to_checksum_address(f"0x{n * 40}") for n in "abc")


def mark(node: Node) -> int:
    """The newest block, with the next one certain to be in a later second."""
    node.rpc("evm_increaseTime", 5)
    return int(node.block()["number"], 16)


def busy(node: Node):
    token = node.deploy("token", "T", "T", 6, 10**12)
    start = mark(node)
    token.do("transfer", A, 100)
    token.do("transfer", B, 250)
    token.do("mint", C, 50)
    token.do("burn", 7)
    token.do("transfer", A, 1)
    token.do("spray", 0, 300)  # Transfer events that move nothing
    node.mine(5)
    return token, start


async def both_pins(pinner: Pinner, node: Node, start: int):
    return await pinner.at(int(node.block(start)["timestamp"], 16)), await pinner.head()


async def test_counts_agree_with_web3_and_with_the_supply(new_node) -> None:
    node = new_node()
    token, start = busy(node)
    async with Pool(node.chain()) as pool:
        pinner = Pinner(pool)
        before, end = await both_pins(pinner, node, start)
        got = await read_activity(pinner, token.address, decimals=6, start=before, end=end, price_usd=2.0)
    w3 = Web3(Web3.HTTPProvider(node.url))
    oracle = (
        w3.eth.contract(address=token.address, abi=token.abi)
        .events.Transfer()
        .get_logs(from_block=before.number + 1, to_block=end.number)
    )
    zero = "0x" + "0" * 40
    moves = [(e["args"]["sender"].lower(), e["args"]["receiver"].lower(), e["args"]["amount"]) for e in oracle]
    plain = [m for m in moves if zero not in m[:2]]
    assert got.transfers == len(plain) == 303 and got.volume == sum(m[2] for m in plain)
    assert got.senders == len({m[0] for m in moves if m[0] != zero})
    assert got.receivers == len({m[1] for m in moves if m[1] != zero})
    assert got.active_addresses == len({a for m in moves for a in m[:2]} - {zero})
    assert (got.mint, got.burn, got.mints, got.burns) == (50, 7, 1, 1)
    assert got.supply_after - got.supply_before == 43 and got.complete
    assert got.volume_usd == got.volume / 1e6 * 2.0
    top = got.concentration
    supply = 10**12 + 43
    assert top.top1 == (supply - 401) / supply and top.coverage == pytest.approx(1.0, rel=1e-12)


async def test_chunks_add_up_whatever_the_cuts(new_node) -> None:
    node = new_node()
    token, start = busy(node)
    results = []
    for step in (1, 2, 3, 1000):
        async with Pool(node.chain()) as pool:
            pinner = Pinner(pool)
            before, end = await both_pins(pinner, node, start)
            ranges = {pool.endpoints[0].label: RangeSize(step=step, ceiling=step)}
            got = await read_activity(pinner, token.address, decimals=6, start=before, end=end, ranges=ranges)
            results.append(
                (got.transfers, got.volume, got.senders, got.receivers, got.mint, got.burn, got.concentration)
            )
    assert len(set(results)) == 1 and results[0][0] == 303


async def test_range_that_is_not_answered_in_time_is_halved(new_node, proxies) -> None:
    """A gateway's 504 for a heavy range: ask for less, and do not take the endpoint for ill."""
    node = new_node()
    token, start = busy(node)
    slow = await proxies(node.url)

    def heavy(body) -> bool:
        item = body if isinstance(body, dict) else {"method": ""}
        asked = item["params"][0] if item["method"] == "eth_getLogs" else None
        return asked is not None and int(asked["toBlock"], 16) - int(asked["fromBlock"], 16) > 3

    slow.faults["status_if"] = (heavy, 504)
    async with Pool(node.chain(slow.url)) as pool:
        pinner = Pinner(pool)
        before, end = await both_pins(pinner, node, start)
        ranges: dict[str, RangeSize] = {}
        got = await read_activity(pinner, token.address, decimals=6, start=before, end=end, ranges=ranges)
        assert got.transfers == 303 and got.complete and not pool.endpoints[0].broken
        assert ranges[slow.url].ceiling <= 4
        slow.faults["status_if"] = (lambda body: "eth_getLogs" in str(body), 504)
        with pytest.raises(AllEndpointsFailed, match="eth_getLogs: HTTP 504"):
            await read_activity(pinner, token.address, decimals=6, start=before, end=end, ranges=ranges)


def dropping(number: int):
    """A provider that answers eth_getLogs with HTTP 200 and one log too few."""

    def lie(item, result):
        return result[:number] + result[number + 1 :] if item["method"] == "eth_getLogs" else result

    return lie


async def test_truncating_provider_is_caught_by_the_second_endpoint(new_node, proxies) -> None:
    node = new_node()
    token, start = busy(node)
    bad = await proxies(node.url, lie=dropping(20))
    async with Pool(node.chain(bad.url, node.url)) as pool:
        pinner = Pinner(pool)
        before, end = await both_pins(pinner, node, start)
        with pytest.raises(DisagreementError, match=r"eth_getLogs of blocks .*: 304 logs against 305"):
            await read_activity(pinner, token.address, decimals=6, start=before, end=end)


@pytest.mark.parametrize("lie", [dropping(20), lambda item, got: [] if item["method"] == "eth_getLogs" else got])
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_third_operator_decides_whose_logs_are_whole(new_node, proxies, lie, place) -> None:
    node = new_node()
    token, start = busy(node)
    honest = await proxies(node.url)
    urls = [node.url, honest.url]
    urls.insert(place, (await proxies(node.url, lie=lie)).url)
    async with Pool(node.chain(*urls)) as pool:
        pinner = Pinner(pool)
        before, end = await both_pins(pinner, node, start)
        got = await read_activity(pinner, token.address, decimals=6, start=before, end=end)
    assert got.transfers == 303 and got.complete and got.checked == 1.0


async def test_sums_of_events_need_two_operators_alike_and_take_the_opposite_off(new_node, proxies) -> None:
    node = new_node()
    token, start = busy(node)
    token.do("approve", A, 40)
    node.mine(5)
    moved = EventSum("moved", "one", token.address, "Transfer(address,address,uint256)", "test", word=0, decimals=6)
    kept = replace(moved, metric="kept", less="Approval(address,address,uint256)")
    many = replace(moved, metric="many", word=None)
    absent = replace(moved, metric="absent", word=1)
    span = [int(node.block(number)["timestamp"], 16) for number in (start, "finalized")]
    liar = await proxies(node.url, lie=dropping(3))

    async def sums(*urls: str) -> dict[str, Reading]:
        chains, wanted = {"one": node.chain(*urls, name="one")}, (moved, kept, many, absent)
        read = await read_event_sums(wanted, chains=chains, start=span[0], end=span[1] - 1)
        return {event.metric: reading for event, reading in read}

    whole = await sums(liar.url, node.url, (await proxies(node.url)).url)
    events = Web3(Web3.HTTPProvider(node.url)).eth.contract(address=token.address, abi=token.abi).events
    values = [log["args"]["amount"] for log in events.Transfer().get_logs(from_block=start + 1)]
    assert whole["moved"].amount == sum(values) and whole["many"].amount == len(values) == 305
    assert whole["kept"].amount == sum(values) - 40 and len(whole["kept"].agreed) >= 2
    assert whole["absent"].amount is None and "has no word 1" in whole["absent"].reason
    apart = await sums(liar.url, node.url)
    assert {reading.amount for reading in apart.values()} == {None}
    assert "differs between" in apart["many"].reason and "add a third endpoint" in apart["many"].reason


async def test_lost_mint_shows_in_the_supply_identity_without_a_second_endpoint(new_node, proxies) -> None:
    node = new_node()
    token, start = busy(node)
    bad = await proxies(node.url, lie=dropping(2))
    async with Pool(node.chain(bad.url)) as pool:
        pinner = Pinner(pool)
        before, end = await both_pins(pinner, node, start)
        got = await read_activity(pinner, token.address, decimals=6, start=before, end=end)
    assert got.identity_gap == -50 and not got.complete and got.checked == 0.0


async def test_rebasing_token_fails_the_identity_and_says_by_how_much(new_node) -> None:
    node = new_node()
    token = node.deploy("rebasing", 10**21)
    start = mark(node)
    token.do("rebase", 11 * 10**17)
    node.mine(5)
    async with Pool(node.chain()) as pool:
        pinner = Pinner(pool)
        before, end = await both_pins(pinner, node, start)
        got = await read_activity(pinner, token.address, decimals=18, start=before, end=end)
    assert got.identity_gap == -(10**20) and not got.complete


async def test_pruned_nodes_give_a_days_activity_where_two_agree_on_every_log(new_node, proxies) -> None:
    node = new_node()
    token, start = busy(node)
    lost = {"code": -32000, "message": "missing trie node 0x1 (path ) state is not available"}
    pruned = {"refuse": lambda item: lost if item["method"] == "eth_call" else None}
    one, two = await proxies(node.url, **pruned), await proxies(node.url, **pruned)
    for urls in ((one.url, two.url), (one.url, two.url, node.url)):  # with one archive there is nobody to confirm it
        async with Pool(node.chain(*urls)) as pool:
            pinner = Pinner(pool)
            before, end = await both_pins(pinner, node, start)
            got = await read_activity(pinner, token.address, decimals=6, start=before, end=end)
        assert (got.transfers, got.mint, got.checked) == (303, 50, 1.0)
        assert (got.supply_before, got.identity_gap, got.concentration, got.complete) == (None, None, None, False)
    async with Pool(node.chain(one.url)) as pool:
        pinner = Pinner(pool)
        before, end = await both_pins(pinner, node, start)
        with pytest.raises(ReadError, match="no second operator confirms the logs"):
            await read_activity(pinner, token.address, decimals=6, start=before, end=end)


async def test_fee_on_transfer_counts_what_moved_and_what_was_burnt(new_node) -> None:
    node = new_node()
    token = node.deploy("token", "Fee", "FEE", 18, 10**20)
    token.do("set_fee", 100)
    start = mark(node)
    token.do("transfer", A, 10_000)
    node.mine(5)
    async with Pool(node.chain()) as pool:
        pinner = Pinner(pool)
        before, end = await both_pins(pinner, node, start)
        got = await read_activity(pinner, token.address, decimals=18, start=before, end=end)
    assert (got.volume, got.burn, got.complete) == (9_900, 100, True)


async def test_node_behind_the_range_is_not_believed(new_node, proxies) -> None:
    node = new_node()
    token, start = busy(node)
    late = await proxies(node.url, behind=6)
    async with Pool(node.chain(late.url)) as pool, Pool(node.chain()) as honest:
        pinner = Pinner(honest)
        before, end = await both_pins(pinner, node, start)
        scan = LogScan(
            pool, addresses=[token.address], topics=[TRANSFER], upto=end, checkpoint=Checkpoint(before.number + 1)
        )
        with pytest.raises(AllEndpointsFailed, match=f"its head .* is behind block {end.number}"):
            async for _ in scan.run():
                pass


async def test_reorg_between_two_scans_rolls_back_and_rescans(new_node) -> None:
    node = new_node()
    token, start = busy(node)
    rows: list[tuple[int, str]] = []

    async def scan_on(point: Checkpoint) -> list[int]:
        rolled = []
        async with Pool(node.chain()) as pool:
            end = await Pinner(pool).head("latest")
            async for item in LogScan(
                pool, addresses=[token.address], topics=[TRANSFER], upto=end, checkpoint=point
            ).run():
                if isinstance(item, Rollback):
                    rolled.append(item.to_block)
                    rows[:] = [row for row in rows if row[0] <= item.to_block]
                else:
                    assert isinstance(item, Chunk)
                    rows.extend((r[0], r[5]) for r in parse_transfers(item.logs, token=token.address))
        return rolled

    point = Checkpoint(start + 1, ranges={node.url: RangeSize(step=2, ceiling=2)})
    token.do("mint", A, 5)
    assert await scan_on(point) == []
    orphaned = len(rows)
    node.rpc("anvil_reorg", 2, [])
    node.mine(1)
    token.do("mint", B, 6)
    point = TypeAdapter(Checkpoint).validate_json(json.dumps(asdict(point)))  # as after a restart
    (to_block,) = await scan_on(point)
    latest = int(node.block()["number"], 16)
    assert latest - 6 <= to_block < latest and point.next_block == latest + 1
    assert all(node.block(number)["hash"] == known for number, known in rows)
    assert len(rows) <= orphaned + 1


def test_concentration_by_hand() -> None:
    got = compute_concentration({"a": 50, "b": 30, "c": 10}, 100)
    assert (got.examined, got.top1, round(got.hhi, 12)) == (3, 0.5, 0.35) and round(got.coverage, 12) == 0.9
    assert compute_concentration({}, 0) is None
