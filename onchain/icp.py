"""ICRC-1 ledger supplies on the Internet Computer by canister query (CBOR over HTTPS), without an SDK.

Place in the flow: the Internet Computer `Reader`. A query is answered by one replica and has no height: the time of
reading is recorded as the pin's timestamp, and an instant further away than `TOLERANCE_S` is refused. Written to the
documented interface; not run against a live node here.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from functools import partial

import cbor2

from onchain.errors import Kind, ReadError, RpcError
from onchain.readings import Read, Reading, kept
from onchain.rpc.endpoint import Endpoint
from onchain.rpc.pin import Pin, confirmed
from onchain.rpc.pool import Pool
from onchain.rpc.wire import parse_cbor

TOLERANCE_S = 900
DRIFT = 1e-4  # two boundary nodes answer from replicas seconds apart
_EXPIRY_S = 180
_ANONYMOUS = b"\x04"
_NO_ARGUMENTS = b"DIDL\x00\x00"
_ONE_NAT, _ONE_NAT8 = b"DIDL\x00\x01\x7d", b"DIDL\x00\x01\x7b"


async def read(pool: Pool, reads: Sequence[Read], *, at: int | None, confirm: int) -> dict[Read, Reading]:
    """Every supply now. Raises ReadError when `at` is too far from now: a query cannot look back."""
    now = int(pool.wall())
    if at is not None and abs(now - at) > TOLERANCE_S:
        raise ReadError(f"a canister query answers now ({now}), not at {at}; use an imported value")
    pin = Pin(pool.chain.name, 0, "", now, "query", ())
    return {r: await kept(r, partial(_supply, pool, r, confirm=confirm), pin) for r in reads}


async def _supply(pool: Pool, read: Read, *, confirm: int) -> tuple[int, tuple[str, ...]]:
    if read.what != "supply":
        raise ReadError(f"the Internet Computer reader has no {read.what!r}")

    async def ask(endpoint: Endpoint) -> int:
        await pool.ready(endpoint)
        digits = _nat(await _query(pool, endpoint, read.asset, "icrc1_decimals"))
        if digits != read.decimals:
            raise ReadError(f"ledger {read.asset} has {digits} decimals, {read.decimals} are configured")
        return _nat(await _query(pool, endpoint, read.asset, "icrc1_total_supply"))

    return await confirmed(
        pool,
        ask,
        what="icrc1_total_supply",
        count=confirm,
        same=lambda a, b: abs(a - b) <= DRIFT * max(a, b),
    )


async def _query(pool: Pool, endpoint: Endpoint, canister: str, method: str) -> bytes:
    """The Candid reply of a query method without arguments."""
    content = {
        "request_type": "query",
        "canister_id": principal(canister),
        "method_name": method,
        "arg": _NO_ARGUMENTS,
        "sender": _ANONYMOUS,
        "ingress_expiry": int((pool.wall() + _EXPIRY_S) * 1_000_000_000),
    }
    raw = await pool.post_bytes(
        f"/api/v2/canister/{canister}/query",
        cbor2.dumps({"content": content}),
        content_type="application/cbor",
        on=endpoint,
    )
    body = parse_cbor(raw)
    if not isinstance(body, dict):
        raise RpcError("the query answer is not a map", kind=Kind.MALFORMED, endpoint=endpoint.label)
    if body.get("status") != "replied":
        raise ReadError(f"{method} of {canister}: {body.get('reject_message') or body.get('status')!r}")
    _check_fresh(body.get("signatures"), pool, endpoint)
    reply = body.get("reply")
    arg = reply.get("arg") if isinstance(reply, dict) else None
    if not isinstance(arg, bytes):
        raise RpcError("the query answer has no reply", kind=Kind.MALFORMED, endpoint=endpoint.label)
    return arg


def _check_fresh(signatures: object, pool: Pool, endpoint: Endpoint) -> None:
    """A replica signs its answer with the time of its state (ns): one that stands still would state an old supply."""
    for signature in signatures if isinstance(signatures, list) else ():
        time = signature.get("timestamp") if isinstance(signature, dict) else None
        age = None if not isinstance(time, int) else pool.wall() - time / 1e9
        if age is None or abs(age) > TOLERANCE_S:
            text = f"the answer is signed {'without a time' if age is None else f'{age:.0f} s ago'}"
            raise RpcError(text, kind=Kind.NOT_FOUND, endpoint=endpoint.label)


def _nat(arg: bytes) -> int:
    """The single `nat` (LEB128) or `nat8` of a Candid reply."""
    if arg.startswith(_ONE_NAT8) and len(arg) == len(_ONE_NAT8) + 1:
        return arg[-1]
    if not arg.startswith(_ONE_NAT) or len(arg) <= len(_ONE_NAT):
        raise ReadError(f"the reply {arg[:12].hex()} is not one nat")
    value, shift = 0, 0
    for i, byte in enumerate(arg[len(_ONE_NAT) :]):
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            if len(_ONE_NAT) + i + 1 != len(arg):
                break
            return value
    raise ReadError("the reply's nat is cut or followed by more")


def principal(text: str) -> bytes:
    """The bytes of a textual principal. Raises ReadError when its checksum does not hold."""
    letters = text.replace("-", "").upper()
    try:
        raw = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except ValueError:
        raw = b""
    again = base64.b32encode(raw).decode().rstrip("=")  # the last letter has spare bits
    if len(raw) < 5 or again != letters or zlib.crc32(raw[4:]).to_bytes(4, "big") != raw[:4]:
        raise ReadError(f"{text!r} is not a principal")
    return raw[4:]
