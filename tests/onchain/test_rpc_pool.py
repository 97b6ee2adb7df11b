"""The pool against real HTTP servers that misbehave: fail-over, waiting, identity, size cap, redaction, records."""

from __future__ import annotations

import asyncio

import pytest

from onchain.chains import Chain
from onchain.errors import AllEndpointsFailed, Kind, RpcError
from onchain.rpc.pool import Pool
from onchain.rpc.wire import retry_after_s


def serve(item):
    return {"eth_chainId": "0x1", "eth_getCode": "0x"}.get(item["method"], "0x2a")


def chain(*urls: str, **changes: object) -> Chain:
    given = {"name": "t", "family": "evm", "endpoints": urls, "identity": "0x1", "rate_per_s": 1e6}
    return Chain(**{**given, **changes}, identity_method="eth_chainId")


class Naps:
    """A sleep that only notes how long it was asked for, and moves the clock."""

    def __init__(self) -> None:
        self.now, self.naps = 1000.0, []

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


FAULTS = [
    ({"html": True}, "the answer is not JSON: '<html><body>Just a moment"),
    ({"garbage": True}, "the answer is not JSON"),
    ({"cut": True}, "connection failed"),
    ({"wrong_id": True}, "was not answered as a list|does not match request id"),
    ({"status": 502}, "HTTP 502"),
    ({"status": 403, "text": "forbidden"}, "HTTP 403"),
    ({"chain_id": 137}, r"serves chain 0x89, not t \(0x1\)"),
]


@pytest.mark.parametrize(("faults", "text"), FAULTS, ids=[str(f[0]) for f in FAULTS])
async def test_a_bad_endpoint_is_passed_over_and_named_when_alone(proxies, faults, text) -> None:
    bad = await proxies(None, serve=serve, **faults)
    good = await proxies(None, serve=serve)
    async with Pool(chain(bad.url, good.url)) as pool:
        assert await pool.call("eth_blockNumber") == "0x2a"
        assert pool.records[-1].endpoint == good.url and pool.records[-1].outcome == "ok"
    async with Pool(chain(bad.url), max_wait_s=0.0) as alone:
        with pytest.raises(AllEndpointsFailed, match=text):
            await alone.call("eth_blockNumber")


async def test_page_that_repeats_the_key_does_not_leak_it(proxies) -> None:
    server = await proxies(None, serve=serve, status=404, text='{"message": "Cannot POST /v3/0123456789abcdef"}')
    async with Pool(chain(f"{server.url}/v3/0123456789abcdef"), max_wait_s=0.0) as pool:
        with pytest.raises(AllEndpointsFailed, match=r"HTTP 404: Cannot POST /v3/…") as caught:
            await pool.call("eth_blockNumber")
    assert "0123456789" not in str(caught.value)


async def test_wrong_chain_is_never_asked_again(proxies) -> None:
    bad, good = await proxies(None, serve=serve, chain_id=137), await proxies(None, serve=serve)
    async with Pool(chain(bad.url, good.url)) as pool:
        for _ in range(5):
            await pool.call("eth_blockNumber")
    assert len(bad.requests) == 1


async def test_chain_id_is_asked_once(proxies) -> None:
    server = await proxies(None, serve=serve)
    async with Pool(chain(server.url)) as pool:
        await asyncio.gather(*(pool.call("eth_blockNumber") for _ in range(10)))
    assert server.calls.count("eth_chainId") == 1 and len(server.requests) == 11


async def test_null_result_is_not_found_and_another_endpoint_is_asked(proxies) -> None:
    empty = await proxies(None, serve=lambda item: None if item["method"] == "eth_x" else serve(item))
    full = await proxies(None, serve=serve)
    async with Pool(chain(empty.url, full.url)) as pool:
        assert await pool.call("eth_x") == "0x2a"
        assert [r.outcome for r in pool.records if r.method == "eth_x"] == ["not_found", "ok"]
    async with Pool(chain(empty.url)) as alone:
        assert await alone.call("eth_x", null_ok=True) is None
        with pytest.raises(AllEndpointsFailed, match="result is null: the node does not have it"):
            await alone.call("eth_x")


async def test_retry_after_is_waited_for_when_there_is_nobody_else(proxies) -> None:
    server = await proxies(None, serve=serve, status=429, retry_after=7, first=1)
    naps = Naps()
    async with Pool(chain(server.url), clock=naps.clock, sleep=naps.sleep) as pool:
        assert await pool.call("eth_blockNumber") == "0x2a"
    assert naps.naps == [7.0]


async def test_limits_inside_an_answer_are_waited_out_and_not_asked_again_at_once(proxies) -> None:
    """HTTP 200 around refused calls: without a pause the pool would ask for ever as fast as it can."""
    limit = {"code": 429, "message": "Too Many Requests"}
    server = await proxies(None, serve=serve, refuse=lambda item: limit if item["method"] == "eth_chainId" else None)
    naps = Naps()
    async with Pool(chain(server.url), clock=naps.clock, sleep=naps.sleep, max_wait_s=30) as pool:
        with pytest.raises(AllEndpointsFailed, match=r"eth_chainId: Too Many Requests \(code 429\)") as caught:
            await pool.call("eth_blockNumber")
    assert caught.value.kind is Kind.RATE_LIMIT
    assert naps.naps == [1.0, 2.0, 4.0, 8.0] and len(server.requests) == 5  # 16 more would be beyond the 30 s


async def test_rate_limit_beyond_the_bound_is_an_error_that_says_so(proxies) -> None:
    server = await proxies(None, serve=serve, status=429, retry_after=120)
    naps = Naps()
    async with Pool(chain(server.url), clock=naps.clock, sleep=naps.sleep, max_wait_s=30) as pool:
        with pytest.raises(AllEndpointsFailed, match="HTTP 429") as caught:
            await pool.call("eth_blockNumber")
    assert caught.value.kind is Kind.RATE_LIMIT and naps.naps == []


async def test_one_rate_limited_endpoint_does_not_slow_the_other(proxies) -> None:
    limited, free = await proxies(None, serve=serve, status=429, retry_after=60), await proxies(None, serve=serve)
    naps = Naps()
    async with Pool(chain(limited.url, free.url), clock=naps.clock, sleep=naps.sleep) as pool:
        for _ in range(3):
            await pool.call("eth_blockNumber")
    assert naps.naps == [] and len(limited.requests) == 1


async def test_breaker_opens_then_half_opens_with_one_probe(proxies) -> None:
    server = await proxies(None, serve=serve, status=503, first=3)
    naps = Naps()
    async with Pool(chain(server.url), clock=naps.clock, sleep=naps.sleep) as pool:
        for _ in range(2):
            with pytest.raises(AllEndpointsFailed):
                await pool.call("eth_blockNumber")
        assert len(server.requests) == 3  # the third failure opened it: nothing was sent after
        with pytest.raises(AllEndpointsFailed, match=r"breaker open for 5 s more"):
            await pool.call("eth_blockNumber")
        naps.now += 6
        assert await pool.call("eth_blockNumber") == "0x2a"
        assert not pool.endpoints[0].broken


async def test_every_endpoint_is_waited_for_a_little_but_not_long(proxies) -> None:
    soon, late = [await proxies(None, serve=serve, status=429, retry_after=s, first=1) for s in (2, 60)]
    naps = Naps()
    async with Pool(chain(soon.url, late.url), clock=naps.clock, sleep=naps.sleep) as pool:
        answers = await pool.each(lambda e: pool.call("eth_blockNumber", on=e))
    first, second = answers.values()
    assert first == "0x2a" and isinstance(second, RpcError) and second.kind is Kind.RATE_LIMIT
    assert naps.naps == [2.0]


async def test_time_out_is_named(proxies) -> None:
    slow = await proxies(None, serve=serve, delay_s=0.5)
    async with Pool(chain(slow.url), timeout_s=0.05) as pool:
        with pytest.raises(AllEndpointsFailed, match=r"no answer in 0\.05 s"):
            await pool.call("eth_blockNumber")


async def test_answer_beyond_the_size_cap_is_too_big(proxies) -> None:
    server = await proxies(None, serve=lambda item: "0x" + "00" * 5000 if item["method"] == "big" else serve(item))
    async with Pool(chain(server.url), max_bytes=2000) as pool:
        with pytest.raises(RpcError, match="response size exceeds the cap of 2000 bytes") as caught:
            await pool.call("big")
    assert caught.value.kind is Kind.TOO_BIG


async def test_revert_is_raised_at_once_and_not_asked_elsewhere(proxies) -> None:
    refuse = lambda item: {"code": 3, "message": "execution reverted"} if item["method"] == "eth_call" else None  # noqa: E731
    a, b = await proxies(None, serve=serve, refuse=refuse), await proxies(None, serve=serve)
    async with Pool(chain(a.url, b.url)) as pool:
        with pytest.raises(RpcError, match="execution reverted"):
            await pool.call("eth_call", ({}, "latest"))
    assert b.requests == []


async def test_keys_show_neither_in_errors_nor_in_records() -> None:
    async with Pool(chain("http://127.0.0.1:9/v3/topsecret?key=topsecret")) as pool:
        with pytest.raises(AllEndpointsFailed) as caught:
            await pool.call("eth_blockNumber")
        shown = str(caught.value) + repr(list(pool.records))
    assert "topsecret" not in shown and "http://127.0.0.1:9/…" in shown


async def test_every_call_is_recorded_with_hashes(proxies) -> None:
    server = await proxies(None, serve=serve)
    async with Pool(chain(server.url), wall=lambda: 1.7e9) as pool:
        await pool.call("eth_blockNumber")
        record = pool.records[-1]
    assert (record.chain, record.method, record.outcome, record.started_at) == ("t", "eth_blockNumber", "ok", 1.7e9)
    assert len(record.request_sha256) == len(record.response_sha256) == 64 and record.bytes_in > 10


def test_retry_after_reads_seconds_and_dates() -> None:
    assert retry_after_s("5", 0.0) == 5.0
    assert retry_after_s("Thu, 01 Jan 1970 00:01:40 GMT", 40.0) == 60.0
    assert retry_after_s("soon", 0.0) is None and retry_after_s(None, 0.0) is None
