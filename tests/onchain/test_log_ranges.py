"""The adaptive scanner through simulated providers: everything is covered once, within bounded requests."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable

import pytest

from onchain.chains import Chain
from onchain.errors import ScanError
from onchain.evm.logs import Checkpoint, Chunk, LogScan, RangeSize
from onchain.rpc.pin import Pin
from onchain.rpc.pool import Pool

LAST = 60_000
TOKEN = "0x" + "aa" * 20
EVENTS = sorted([(n * 7) % 50_000 for n in range(19_000)] + [33_333] * 1_000)  # 20,000, one dense block


def block_hash(number: int) -> str:
    return "0x" + format(number + 1, "064x")


def header(number: int) -> dict:
    return {
        "number": hex(number),
        "hash": block_hash(number),
        "parentHash": block_hash(number - 1),
        "timestamp": hex(number),
    }


LOGS = [
    {
        "blockNumber": hex(number),
        "blockHash": block_hash(number),
        "logIndex": hex(i),
        "address": TOKEN,
        "topics": [],
        "data": "0x",
    }
    for i, number in enumerate(EVENTS)
]


def logs_between(first: int, last: int) -> list[dict]:
    return LOGS[bisect_left(EVENTS, first) : bisect_right(EVENTS, last)]


def provider(refuse: Callable[[int, int, int], str | None]):
    """serve/refuse pair of a provider; `refuse(first, last, results)` gives its error text."""

    def serve(item):
        method, params = item["method"], item["params"]
        if method == "eth_getLogs":
            return logs_between(int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16))
        if method == "eth_getBlockByNumber":
            return header(LAST + 5 if params[0] == "latest" else int(params[0], 16))
        return {"eth_chainId": "0x1", "eth_getCode": "0x"}[method]

    def refused(item):
        if item["method"] != "eth_getLogs":
            return None
        first, last = (int(item["params"][0][k], 16) for k in ("fromBlock", "toBlock"))
        text = refuse(first, last, len(logs_between(first, last)))
        return None if text is None else {"code": -32602, "message": text}

    return {"serve": serve, "refuse": refused}


def limit(blocks: int | None = None, results: int | None = None, *, text: str) -> Callable[[int, int, int], str | None]:
    def refuse(first: int, last: int, count: int) -> str | None:
        wide = blocks is not None and last - first + 1 > blocks
        return text if wide or (results is not None and count > results) else None

    return refuse


PROVIDERS = [
    ("no limit", limit(text=""), 8, 0),
    ("1,000 blocks, says so", limit(1000, text="eth_getLogs is limited to a 1000 blocks range"), 62, 1),
    ("3,000 results", limit(results=3000, text="query returned more than 3000 results"), 45, 20),
    ("100 blocks without a number", limit(100, text="block range is too wide"), 850, 16),
    ("10,000 blocks in the words of one", limit(10_000, text="range 10001 exceeds limit of 10000"), 8, 2),
    ("500 blocks in words that nobody knows", limit(500, text="nope"), 220, 30),
    (
        "results, suggests a range",
        lambda a, b, n: (
            f"query exceeds max results 2000, retry with the range {a}-{a + (b - a) // 3}" if n > 2000 else None
        ),
        60,
        30,
    ),
]


@pytest.mark.parametrize(("name", "refuse", "most_requests", "most_refused"), PROVIDERS, ids=[p[0] for p in PROVIDERS])
async def test_every_block_is_covered_once_within_bounded_requests(
    proxies, name, refuse, most_requests, most_refused
) -> None:
    server = await proxies(None, **provider(refuse))
    chain = Chain("t", "evm", (server.url,), identity_method="eth_chainId", identity="0x1", rate_per_s=1e9)
    async with Pool(chain) as pool:
        point = Checkpoint(0)
        scan = LogScan(
            pool,
            addresses=[TOKEN],
            topics=[],
            upto=Pin("t", LAST, block_hash(LAST), LAST, "finalized"),
            checkpoint=point,
        )
        found, expected_first = 0, 0
        async for chunk in scan.run():
            assert isinstance(chunk, Chunk) and chunk.first == expected_first
            expected_first, found = chunk.last + 1, found + len(chunk.logs)
        refused = sum(r.outcome == "too_big" for r in pool.records)
    assert (found, expected_first, point.next_block, point.logs) == (20_000, LAST + 1, LAST + 1, 20_000)
    asked = server.calls.count("eth_getLogs")
    assert asked <= most_requests and refused <= most_refused, (asked, refused)


async def test_single_block_that_is_too_big_is_an_error_never_dropped(proxies) -> None:
    server = await proxies(None, **provider(limit(results=900, text="query returned more than 900 results")))
    chain = Chain("t", "evm", (server.url,), identity_method="eth_chainId", identity="0x1", rate_per_s=1e9)
    async with Pool(chain) as pool:
        scan = LogScan(
            pool,
            addresses=[TOKEN],
            topics=[],
            upto=Pin("t", LAST, block_hash(LAST), LAST, "finalized"),
            checkpoint=Checkpoint(33_000),
        )
        with pytest.raises(ScanError, match="block 33333 alone is too big for the endpoint"):
            async for _ in scan.run():
                pass


def test_without_a_number_the_wall_is_not_hit_every_other_time() -> None:
    size, asked, refused, done = RangeSize(), 0, 0, 0
    while done < 100_000:
        asked += 1
        if size.step > 100:
            refused += 1
            size.refused(done, size.step, "block range is too wide")
        else:
            done += size.step
            size.succeeded(size.step, 3)
    # halving from 10,000 to below 100 takes 7; then a rare probe upwards, each time twice as rare
    assert refused <= 7 + 8 and asked <= 100_000 / 78 + refused + 1


def test_a_named_limit_is_kept_for_good_and_reached_exactly() -> None:
    size = RangeSize()
    size.refused(0, 10_000, "eth_getLogs is limited to a 1,000 blocks range")
    for _ in range(200):
        assert size.step == 1000
        size.succeeded(1000, 0)


def test_many_logs_shrink_the_range_before_the_provider_complains() -> None:
    size = RangeSize(step=8000)
    size.succeeded(8000, 9000)
    assert size.step == 4000
    size.succeeded(4000, 4000)
    assert size.step == 4000
    size.succeeded(4000, 100)
    assert size.step == 8000
