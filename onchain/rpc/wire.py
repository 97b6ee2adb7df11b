"""JSON-RPC on the wire: request bodies, answers checked before they are believed, what refusals mean. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import cbor2
import orjson

from onchain.errors import Kind, RpcError, malformed
from onchain.rpc.limits import retry_after_s

_WORDLESS = "an error without a message"


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What was asked of whom and how it ended. `started_at` is epoch seconds; hashes are sha256 hex."""

    chain: str
    endpoint: str
    method: str
    started_at: float
    elapsed_s: float
    outcome: str  # "ok" or the Kind of the failure
    bytes_in: int
    request_sha256: str
    response_sha256: str


def request_body(ident: int, method: str, params: Sequence[object] | Mapping[str, object]) -> dict[str, object]:
    """One JSON-RPC 2.0 request; parameters by position or by name."""
    return {
        "jsonrpc": "2.0",
        "id": ident,
        "method": method,
        "params": dict(params) if isinstance(params, Mapping) else list(params),
    }


def parse_json(raw: bytes) -> object:
    """The decoded body. Raises RpcError(MALFORMED) naming what came instead (HTML, a cut body, nothing)."""
    try:
        return orjson.loads(raw)  # integers beyond 64 bits come as floats, which every reader refuses
    except (ValueError, RecursionError):
        head = raw[:60].decode("utf-8", "replace").strip()
        text = f"the answer is not JSON: {head!r}" if head else "the answer is empty"
        raise malformed(text) from None


def parse_cbor(raw: bytes) -> object:
    """The decoded CBOR body, self-description tag or not. Raises RpcError(MALFORMED) unless it is one whole value."""
    stream = BytesIO(raw)
    try:
        value = cbor2.load(stream)
    except (cbor2.CBORDecodeError, RecursionError, ValueError, OverflowError, MemoryError, TypeError) as error:
        raise malformed(f"the answer is not CBOR ({error})") from None
    if stream.tell() != len(raw):
        raise malformed("bytes follow the CBOR answer")
    return value


@contextmanager
def parsing(what: str, endpoint: str) -> Iterator[None]:
    """While an answer is taken apart: what goes wrong is an RpcError saying that `what` does not parse."""
    try:
        yield
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
        raise malformed(f"{what} does not parse ({error!r})", endpoint) from None


def digest(body: Mapping[str, object]) -> str:
    """sha256 over canonical JSON: the name of a proof."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def parse_answer(body: object, ident: int, *, null_ok: bool = False) -> object:
    """The `result` of one answer. Raises RpcError for an error object, another id, a null or a missing result."""
    if not isinstance(body, dict):
        raise malformed(f"expected one JSON-RPC object, got {type(body).__name__}")
    error = body.get("error")
    if error is not None:
        raise _node_error(error)
    if body.get("id") != ident:
        raise malformed(f"answer id {body.get('id')!r} does not match request id {ident}")
    if "result" not in body:
        raise malformed("the answer has neither result nor error")
    if body["result"] is None and not null_ok:
        raise RpcError("result is null: the node does not have it", kind=Kind.NOT_FOUND)
    return body["result"]


def status_error(status: int, raw: bytes, retry_after: str | None, now: float) -> RpcError:
    """The error of an HTTP status other than 200; an explaining JSON body decides before the status does."""
    wait = retry_after_s(retry_after, now)
    kind = classify_status(status)
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = None
    reason = (body.get("error") or body.get("message")) if isinstance(body, dict) else None
    if not reason:
        return RpcError(f"HTTP {status}", kind=kind, retry_after_s=wait)
    named = _node_error(reason)
    if named.kind is not Kind.UNKNOWN and kind in {Kind.REJECTED, Kind.UNAVAILABLE, Kind.SLOW, Kind.NO_METHOD}:
        kind = named.kind
    return RpcError(
        f"HTTP {status}: {named.message[:200]}",
        kind=kind,
        retry_after_s=wait,
        node_code=named.node_code,
        data=named.data,
    )


def _node_error(error: object) -> RpcError:
    if not isinstance(error, dict):
        return RpcError(str(error)[:300] or _WORDLESS, kind=classify(str(error)))
    code, cause = error.get("code"), error.get("cause")
    name = str(cause.get("name", "")) if isinstance(cause, dict) else ""  # where NEAR says what "Server error" was
    message = " ".join(filter(None, (str(error.get("message") or ""), name)))
    number = code if isinstance(code, int) else None
    data = error.get("data")
    kind = classify(message, code=number, data=data)
    message = message or _WORDLESS
    text = message[:400] if code is None else f"{message[:400]} (code {code})"
    return RpcError(text, kind=kind, node_code=number, data=data)


# Order matters: the first pattern that matches wins. Texts are real ones (issue trackers, recordings, anvil).
_TABLE: tuple[tuple[Kind, str], ...] = (
    (Kind.REVERT, r"\A(VM Exception.{0,60})?execution reverted"),  # a contract's own words may say anything after it
    (
        Kind.RATE_LIMIT,
        r"rate.?limit|too many requests|request limit|compute units|throughput|capacity exceeded|exceeded.{0,20}quota"
        r"|daily (hits|request)|throttl|call rate",
    ),
    (
        Kind.MISSING_STATE,
        r"missing trie node|missingtrienode|historical state|state .{0,90}is not available|blockoutofrange"
        r"|garbage.?collected|lowest height|load state at height|version does not exist|state already discarded"
        r"|state (is )?pruned|required historical|archive|pruned|old data not available|no state available",
    ),
    (
        Kind.TOO_BIG,
        r"more than \d+ results|query exceeds|exceeds? max(imum)? (block|result)|exceed maximum block range"
        r"|blocks? range|range(s)? (is )?(too (large|wide)|over)|ranges over|too large|too many (blocks|results|logs)"
        r"|response size|exceeds the maximum|max(imum)? block|is limited to|query timeout|timeout exceeded"
        r"|limit exceeded|out of gas|gas required exceeds|intrinsic gas|request entity|execution timeout"
        r"|response is too big|size exceeded|exceeds the limit|range [\d,]+ exceeds|exceed(s|ed)? max(imum)? allowed"
        r"|(at most|within|up to) [\d,]+k? blocks",
    ),
    (Kind.REVERT, r"execution reverted|revert|invalid opcode|stack underflow|bad jump"),
    (
        Kind.NOT_FOUND,
        r"header (was )?not found|minimum context slot|db not found error: block"
        r"|header for hash|unknown block|block not found|resource not found|not currently canonical"
        r"|hash is not canonical|non-canonical|could not find block|block with .{0,80} not found|cannot find block"
        r"|block .{0,40}not available|unknown_block|no historical rpc|beyond current head|requested height",
    ),
    (Kind.UNAVAILABLE, r"node is (behind|unhealthy)|server (is )?(busy|overloaded)|service unavailable|bad gateway"),
    (
        Kind.NO_METHOD,
        r"method .{0,60}(not found|not supported|not available|does not exist|disabled)|unsupported method",
    ),
    (Kind.REFUSED, r"unauthori[sz]ed|forbidden|api key|access denied|must be authenticated|payment required"),
    (
        Kind.REJECTED,
        r"invalid (argument|param|request)|cannot unmarshal|missing (field|value)|unknown field|deserializ",
    ),
)
_COMPILED = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _TABLE)
_BY_CODE = {-32005: Kind.TOO_BIG, -32601: Kind.NO_METHOD, -32602: Kind.REJECTED, -32001: Kind.NOT_FOUND, 3: Kind.REVERT}
_BY_STATUS = {
    **dict.fromkeys((401, 402, 403, 451), Kind.REFUSED),
    **dict.fromkeys((408, 504, 524), Kind.SLOW),
    413: Kind.TOO_BIG,
}


def classify(message: str, *, code: int | None = None, data: object = None) -> Kind:
    """What a node's error object means. The text decides first, then its `data`, then the numeric code."""
    for text in (message, data if isinstance(data, str) else repr(data) if data else ""):
        for kind, pattern in _COMPILED:
            if text and pattern.search(text):
                return kind
    return _BY_CODE.get(code, Kind.UNKNOWN) if code is not None else Kind.UNKNOWN


def classify_status(status: int) -> Kind:
    """What an HTTP status other than 200 means when its body explains nothing."""
    if status == 429:
        return Kind.RATE_LIMIT
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status == 404:
        return Kind.NO_METHOD
    return Kind.UNAVAILABLE if status >= 500 else Kind.REJECTED


_SUGGESTED = re.compile(r"range[^0-9\[]{0,20}\[?(0x[0-9a-f]+|\d+)\s*[-,]\s*(0x[0-9a-f]+|\d+)\]?", re.IGNORECASE)
_BLOCKS = r"([\d,_]+)(k?)\b(?! ?(?:results|logs|entries))"
_LIMIT = tuple(
    re.compile(words + _BLOCKS, re.IGNORECASE)
    for words in (
        r"limited to(?: an?)? ",
        r"max(?:imum)?(?: is set to| is| allowed range| block range:?| range:?| of|:)? ",
        r"exceeds the maximum of ",
        r"exceeds? (?:the )?limit of ",
        r"over the limit ",
        r"ranges? over ",
        r"(?:up to|at most|within|greater than|allowed:)(?: an?)? ",
    )
)


def range_hint(message: str) -> tuple[int | None, int | None]:
    """(blocks, last block) a "too big" message suggests; None where it names none.

    The first is a limit for good ("limited to a 1000 blocks range"); the second is a one-off
    suggestion ("retry with the range a-b") that holds for these logs only.
    """
    for pattern in _LIMIT:
        if limit := pattern.search(message):
            blocks = int(limit[1].replace(",", "").replace("_", "")) * (1000 if limit[2] else 1)
            return (blocks, None) if blocks > 0 else (None, None)
    if range_ := _SUGGESTED.search(message):
        return None, int(range_[2], 0)
    return None, None
