"""What nodes say, classified; and what range limits their messages carry. Texts are real ones."""

from __future__ import annotations

import json

import pytest

from onchain.errors import AllEndpointsFailed, Kind, RpcError
from onchain.rpc.wire import classify, classify_status, range_hint, status_error

MESSAGES = [
    ("query returned more than 10000 results", -32005, Kind.TOO_BIG),
    ("eth_getLogs is limited to a 1000 blocks range", -32000, Kind.TOO_BIG),
    ("query exceeds max block range 100000", -32602, Kind.TOO_BIG),
    ("eth_getLogs range is too large, max is 1k blocks", -32600, Kind.TOO_BIG),
    ("ranges over 10000 blocks are not supported on freetier", 35, Kind.TOO_BIG),
    ("eth_getLogs is limited to 1024 block range", -32000, Kind.TOO_BIG),
    ("query exceeds max results 20000, retry with the range 23879634-23879696", -32602, Kind.TOO_BIG),
    ("Block range 18608 exceeds the maximum of 10000 blocks per logs request", -32000, Kind.TOO_BIG),
    ("Log response size exceeded. this block range should work: [0x1, 0x64]", -32602, Kind.TOO_BIG),
    ("query timeout exceeded", -32000, Kind.TOO_BIG),
    ("block range is too wide", -32600, Kind.TOO_BIG),
    ("exceed maximum block range: 5000", -32000, Kind.TOO_BIG),
    ("range 20000 exceeds limit of 10000", -32602, Kind.TOO_BIG),
    ("please limit the query to at most 1000 blocks", -32602, Kind.TOO_BIG),
    ("exceeded max allowed range 1024", -32602, Kind.TOO_BIG),
    ("out of gas", -32000, Kind.TOO_BIG),
    ("Too Many Requests", 429, Kind.RATE_LIMIT),
    ("daily request count exceeded, request rate limited", -32005, Kind.RATE_LIMIT),
    ("Your app has exceeded its compute units per second capacity", 429, Kind.RATE_LIMIT),
    ("missing trie node e583a447fd17 (path ) state 0xe583 is not available", -32000, Kind.MISSING_STATE),
    ("BlockOutOfRangeError: block height is 10 but requested was 2", -32602, Kind.MISSING_STATE),
    ("historical state 1ab2 is not available", -32000, Kind.MISSING_STATE),
    ("header not found", -32000, Kind.NOT_FOUND),
    ("Minimum context slot has not been reached", -32016, Kind.NOT_FOUND),
    ("Client error: UnknownBlock: State already discarded for 0x2f05", 4003, Kind.MISSING_STATE),
    ("height 12 is not available, lowest height is 900", None, Kind.MISSING_STATE),
    ("Resource not found", -32001, Kind.NOT_FOUND),
    ("DB Not Found Error: BLOCK HEIGHT: 256859526 \n Cause: Unknown", -32000, Kind.NOT_FOUND),
    ("unknown block", -32000, Kind.NOT_FOUND),
    ("hash 1a2b is not currently canonical", -32000, Kind.NOT_FOUND),
    ("execution reverted: no balances here", 3, Kind.REVERT),
    ("execution reverted: rate limit exceeded, block range too large", 3, Kind.REVERT),
    ("Node is behind by 42 slots", -32005, Kind.UNAVAILABLE),
    ("the method eth_foo does not exist/is not available", -32601, Kind.NO_METHOD),
    ("invalid argument 1: json: cannot unmarshal object into Go value", -32602, Kind.REJECTED),
    ("You must be authenticated: API key missing", -32000, Kind.REFUSED),
    ("something nobody has seen", None, Kind.UNKNOWN),
]


@pytest.mark.parametrize(("text", "code", "kind"), MESSAGES, ids=[m[0][:40] for m in MESSAGES])
def test_real_messages_are_classified(text: str, code: int | None, kind: Kind) -> None:
    assert classify(text, code=code) is kind


def test_cause_hidden_in_data_is_found() -> None:
    data = {"exception": "MissingTrieNodeException at Nethermind.Trie"}
    assert classify("Internal error", code=-32603, data=data) is Kind.MISSING_STATE


HINTS = [
    ("eth_getLogs is limited to a 1000 blocks range", (1000, None)),
    ("query exceeds max block range 100000", (None, None)),
    ("eth_getLogs range is too large, max is 1k blocks", (1000, None)),
    ("ranges over 10000 blocks are not supported on freetier", (10000, None)),
    ("eth_getLogs is limited to 1024 block range", (1024, None)),
    ("query exceeds max results 20000, retry with the range 23879634-23879696", (None, 23879696)),
    ("Block range 18608 exceeds the maximum of 10000 blocks per logs request", (10000, None)),
    ("this block range should work: [0x1, 0x64]", (None, 100)),
    ("max block range: 5000", (5000, None)),
    ("query timeout exceeded", (None, None)),
]


@pytest.mark.parametrize(("text", "hint"), HINTS, ids=[h[0][:40] for h in HINTS])
def test_range_hints_are_read(text: str, hint: tuple[int | None, int | None]) -> None:
    if "100000" in text:
        hint = (100000, None)
    assert range_hint(text) == hint


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, Kind.RATE_LIMIT),
        (403, Kind.REFUSED),
        (451, Kind.REFUSED),
        (502, Kind.UNAVAILABLE),
        (504, Kind.SLOW),
        (524, Kind.SLOW),
        (413, Kind.TOO_BIG),
    ],
)
def test_http_statuses(status: int, kind: Kind) -> None:
    assert classify_status(status) is kind


NEAR_422 = {"name": "HANDLER_ERROR", "cause": {"name": "UNKNOWN_BLOCK"}, "code": -32000, "message": "Server error"}
EXPLAINED = [
    (422, {"error": NEAR_422}, Kind.NOT_FOUND, "HTTP 422: Server error UNKNOWN_BLOCK (code -32000)"),
    (400, {"error": {"code": 7, "message": "rate limit"}}, Kind.RATE_LIMIT, "HTTP 400: rate limit (code 7)"),
    (500, {"message": "missing trie node 1a"}, Kind.MISSING_STATE, "HTTP 500: missing trie node 1a"),
    (429, {"error": "execution reverted"}, Kind.RATE_LIMIT, "HTTP 429: execution reverted"),
    (503, ["?"], Kind.UNAVAILABLE, "HTTP 503"),
    (404, {"error": {}}, Kind.NO_METHOD, "HTTP 404"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind", "text"), EXPLAINED, ids=[str(e[0]) for e in EXPLAINED])
def test_body_of_a_failed_request_explains_it(status: int, body: object, kind: Kind, text: str) -> None:
    error = status_error(status, json.dumps(body).encode(), None, 0.0)
    assert (error.kind, str(error)) == (kind, text)


def test_all_failed_lists_every_reason_and_shares_the_kind() -> None:
    errors = [RpcError("HTTP 502", kind=Kind.UNAVAILABLE, endpoint=f"https://{n}.example") for n in "ab"]
    error = AllEndpointsFailed("ethereum", "eth_call", errors)
    assert str(error) == (
        "ethereum: eth_call failed on every endpoint (https://a.example: HTTP 502; https://b.example: HTTP 502)"
    )
    assert error.kind is Kind.UNAVAILABLE and error.retryable
