"""Whatever a node answers, what comes out is a refusal of ours with a reason: never a crash, never a number."""

from __future__ import annotations

import json

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from onchain.chains import Chain
from onchain.errors import OnchainError, ReadError
from onchain.evm.activity import TRANSFER, parse_transfers
from onchain.evm.logs import _check_logs
from onchain.evm.multicall import decode_aggregate3, decode_output
from onchain.health import check_endpoints
from onchain.rpc.pin import Header, parse_header
from onchain.rpc.wire import parse_answer, parse_cbor, status_error
from onchain.snapshots import read_snapshot
from onchain.tokens import ON_CHAIN, Leg, Token

words = st.sampled_from(
    ["id", "result", "error", "message", "code", "data", "cause", "name", "number", "hash", "parentHash", "timestamp",
     "topics", "address", "blockNumber", "blockHash", "logIndex", "removed", "0x1", "0x", TRANSFER, "0x" + "ab" * 32]
)  # fmt: skip
plain = st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | words | st.text(max_size=5)
answers = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=8), max_leaves=12
)
EDGE = Header(1, "0x" + "ab" * 32, "0x" + "cd" * 32, 5)
LOG = {
    "address": "0x1", "topics": [TRANSFER, "0x" + "0" * 64, "0x" + "0" * 64], "data": "0x" + "0" * 64,
    "blockNumber": "0x1", "blockHash": EDGE.hash, "logIndex": "0x0",
}  # fmt: skip


@given(body=answers)
def test_bodies(body: object) -> None:
    for parse in (
        lambda: parse_answer(body, 1),
        lambda: parse_header(body),
    ):
        try:
            parse()
        except OnchainError as error:
            assert str(error)
    assert str(status_error(500, json.dumps(body).encode(), None, 0.0))


@given(changed=st.dictionaries(st.sampled_from(sorted(LOG)), answers, max_size=3), gone=st.sampled_from(["", *LOG]))
def test_logs(changed: dict[str, object], gone: str) -> None:
    logs = [{key: value for key, value in {**LOG, **changed}.items() if key != gone}]
    try:
        _check_logs(logs, EDGE, EDGE, _Named())
        parse_transfers(logs, token="0x1")
    except OnchainError as error:
        assert str(error)


@given(raw=st.binary(max_size=300), count=st.integers(0, 4))
def test_bytes(raw: bytes, count: int) -> None:
    for parse in (
        lambda: parse_cbor(raw),
        lambda: decode_aggregate3(raw, count),
        lambda: decode_output(raw, ("string",)),
        lambda: decode_output(raw, ("int56[]", "uint160[]")),
        lambda: decode_output(raw, ("uint80", "int256", "address", "bool")),
    ):
        try:
            parse()
        except OnchainError as error:
            assert str(error)


ODD = [None, [], {}, "x", 7, -1, 1e30, True, [None], {"value": None}, {"header": []}, {"Height": "x", "Cids": [1]},
       {"value": {"amount": -1, "decimals": 9}, "context": {"slot": "x"}}, {"header": {"height": [], "hash": 1}},
       {"result": [999]}, "0x", "0xzz", {"number": "0x1"},
       {"block": {"header": {"height": "1", "time": 5}}}]  # fmt: skip
FAMILIES = ["evm", "solana", "cosmos", "near", "substrate", "icp", "filecoin", "arweave"]


@pytest.mark.parametrize("family", FAMILIES)
async def test_readers_and_doctor_on_a_node_that_answers_nonsense(family: str, aiohttp_sites) -> None:
    for odd in ODD:

        async def handle(request: web.Request, odd: object = odd) -> web.Response:
            try:
                body = await request.json()
            except ValueError:
                body = {}
            answer = {"jsonrpc": "2.0", "id": body.get("id"), "result": odd}
            return web.json_response(answer if request.method == "POST" and body else odd)

        chain = Chain("odd", family, (await aiohttp_sites(handle),), rate_per_s=1e6)
        token = Token("T", "t", 9, legs=(Leg("odd", "0x" + "11" * 20 if family == "evm" else "aaaaa-aa", 9),))
        native = Token("N", "n", 9, legs=(Leg("odd", "native" if family != "evm" else "0x" + "22" * 20, 9),))
        shot = await read_snapshot([token, native], chains={"odd": chain}, wall=lambda: 1_790_000_000)
        for supply in shot.supplies.values():
            assert supply.status != ON_CHAIN and supply.total is None and supply.reason, (odd, supply)
        (row,) = await check_endpoints({"odd": chain})
        assert row.ok or row.problem, odd


class _Named:
    label = "https://node.example"


def test_results_that_share_bytes_are_refused_before_they_are_decoded() -> None:
    """4 MB of which 200 results each point at the same 4 MB would decode to 800 MB."""
    shared, count = b"\1" * 4_000_000, 200
    head = [32, count, *([32 * count] * count), 1, 64, len(shared)]
    raw = b"".join(word.to_bytes(32, "big") for word in head) + shared
    with pytest.raises(ReadError, match="result 1 of 200 does not lie behind the one before it"):
        decode_aggregate3(raw, count)
