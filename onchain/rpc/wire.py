"""JSON-RPC on the wire: request bodies, and answers checked before anything believes them. Pure.

`Pool` sends what `request_body` gives and reads with `parse_answer` / `parse_batch`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import cbor2
import orjson

from onchain.errors import Kind, RpcError, classify, classify_status
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
        raise RpcError(text, kind=Kind.MALFORMED) from None


def parse_cbor(raw: bytes) -> object:
    """The decoded CBOR body, self-description tag or not. Raises RpcError(MALFORMED) unless it is one whole value."""
    stream = BytesIO(raw)
    try:
        value = cbor2.load(stream)
    except (cbor2.CBORDecodeError, RecursionError, ValueError, OverflowError, MemoryError, TypeError) as error:
        raise RpcError(f"the answer is not CBOR ({error})", kind=Kind.MALFORMED) from None
    if stream.tell() != len(raw):
        raise RpcError("bytes follow the CBOR answer", kind=Kind.MALFORMED)
    return value


def digest(body: Mapping[str, object]) -> str:
    """sha256 over canonical JSON: the name of a proof."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def parse_answer(body: object, ident: int, *, null_ok: bool = False) -> object:
    """The `result` of one answer. Raises RpcError for an error object, another id, a null or a missing result."""
    if not isinstance(body, dict):
        raise RpcError(f"expected one JSON-RPC object, got {type(body).__name__}", kind=Kind.MALFORMED)
    error = body.get("error")
    if error is not None:
        raise _node_error(error)
    if body.get("id") != ident:
        raise RpcError(f"answer id {body.get('id')!r} does not match request id {ident}", kind=Kind.MALFORMED)
    if "result" not in body:
        raise RpcError("the answer has neither result nor error", kind=Kind.MALFORMED)
    if body["result"] is None and not null_ok:
        raise RpcError("result is null: the node does not have it", kind=Kind.NOT_FOUND)
    return body["result"]


def parse_batch(body: object, first: int, count: int) -> list[object | RpcError]:
    """Answers of a batch in request order, matched by id whatever their order; failures as RpcError in place."""
    if not isinstance(body, list):
        if isinstance(body, dict) and body.get("error") is not None:
            raise _node_error(body["error"])
        raise RpcError("the batch was not answered as a list", kind=Kind.MALFORMED)
    by_id: dict[object, object] = {}
    for item in body:
        ident = item.get("id") if isinstance(item, dict) else None
        if not isinstance(ident, int | str | None):
            raise RpcError(f"the batch answers id {ident!r:.40}", kind=Kind.MALFORMED)
        if ident in by_id:
            raise RpcError(f"the batch answers id {ident!r} twice", kind=Kind.MALFORMED)
        by_id[ident] = item
    answers: list[object | RpcError] = []
    for ident in range(first, first + count):
        if ident not in by_id:
            raise RpcError(f"the batch has no answer for id {ident}", kind=Kind.MALFORMED)
        try:
            answers.append(parse_answer(by_id[ident], ident, null_ok=True))
        except RpcError as error:
            answers.append(error)
    return answers


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
