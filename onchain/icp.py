"""ICRC-1 ledger supplies on the Internet Computer by canister query (CBOR over HTTPS), without an SDK.

A query is answered by one replica and has no height: the time of reading is the pin's. Written to the documented
interface; not run against a live node here.
"""

from __future__ import annotations

import base64
import zlib

import cbor2

from onchain.errors import Kind, ReadError, RpcError
from onchain.family import TOLERANCE_S, Family
from onchain.rpc.pin import Pin
from onchain.rpc.pool import Endpoint, Pool
from onchain.rpc.wire import parse_cbor, parsing
from onchain.tokens import Read

DRIFT = 1e-4  # two boundary nodes answer from replicas seconds apart
_EXPIRY_S = 180
MOST_DIGITS = 40  # of seven bits: no amount is longer
_ANONYMOUS = b"\x04"
_NO_ARGUMENTS = b"DIDL\x00\x00"
_ONE_NAT, _ONE_NAT8 = b"DIDL\x00\x01\x7d", b"DIDL\x00\x01\x7b"


async def _tip(pool: Pool, _endpoint: Endpoint) -> Pin:
    """Now: that the endpoint is of this network was checked before."""
    return Pin(pool.chain.name, 0, "", int(pool.wall()), "query")


async def _figure(pool: Pool, endpoint: Endpoint, read: Read, _pin: Pin) -> int:
    if read.what != "supply":
        raise ReadError(f"the Internet Computer reader has no {read.what!r}")
    digits = _nat(await _query(pool, endpoint, read.asset, "icrc1_decimals"))
    if digits != read.decimals:
        raise ReadError(f"ledger {read.asset} has {digits} decimals, {read.decimals} are configured")
    return _nat(await _query(pool, endpoint, read.asset, "icrc1_total_supply"))


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
    path, asked = f"/api/v2/canister/{canister}/query", cbor2.dumps({"content": content})
    kind = {"Content-Type": "application/cbor"}
    body, _ = await pool.fetch(endpoint, path, decode=parse_cbor, body=asked, headers=kind)
    with parsing("the query answer", endpoint.label):
        status, signatures = body["status"], body.get("signatures")
    if status != "replied":
        raise ReadError(f"{method} of {canister}: {body.get('reject_message') or status!r}")
    _check_fresh(signatures, pool, endpoint)
    with parsing("the query answer", endpoint.label):
        arg = body["reply"]["arg"]
        assert isinstance(arg, bytes)
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
    digits = arg.removeprefix(_ONE_NAT)
    if len(digits) == len(arg) or not 0 < len(digits) <= MOST_DIGITS:
        raise ReadError(f"the reply {arg[:12].hex()} is not one nat")
    if digits[-1] & 0x80 or any(not byte & 0x80 for byte in digits[:-1]):
        raise ReadError("the reply's nat is cut or followed by more")
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(digits))


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


FAMILY = Family(_tip, _figure, drift=DRIFT)
