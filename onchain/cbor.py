"""The part of CBOR (RFC 8949) that Internet Computer queries use: ints, bytes, text, arrays, maps, tags. Pure.

Place in the flow: under `icp`.
"""

from __future__ import annotations

from onchain.errors import Kind, RpcError

MAX_DEPTH = 16


def encode(value: object) -> bytes:
    """CBOR bytes of nested dicts, lists, str, bytes and non-negative ints."""
    if isinstance(value, int):
        return _head(0, value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        raw = value.encode()
        return _head(3, len(raw)) + raw
    if isinstance(value, list):
        return _head(4, len(value)) + b"".join(encode(item) for item in value)
    if isinstance(value, dict):
        return _head(5, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    raise TypeError(f"no CBOR for {type(value).__name__}")


def _head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes([major << 5 | value])
    for code, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << (8 * width):
            return bytes([major << 5 | code]) + value.to_bytes(width, "big")
    raise OverflowError(f"{value} does not fit 64 bits")


def decode(raw: bytes) -> object:
    """The value of CBOR bytes; tags are looked through. Raises RpcError(MALFORMED) for anything broken."""
    try:
        value, at = _item(raw, 0, 0)
    except (IndexError, UnicodeDecodeError, TypeError):
        raise RpcError(f"the answer is not CBOR: {raw[:20]!r}", kind=Kind.MALFORMED) from None
    if at != len(raw):
        raise RpcError("bytes follow the CBOR answer", kind=Kind.MALFORMED)
    return value


def _item(raw: bytes, at: int, depth: int) -> tuple[object, int]:
    if depth > MAX_DEPTH:
        raise IndexError
    major, info = raw[at] >> 5, raw[at] & 31
    if major == 7:
        if info not in (20, 21, 22):
            raise IndexError
        return {20: False, 21: True, 22: None}[info], at + 1
    number, at = _argument(raw, at + 1, info)
    if major == 0:
        return number, at
    if major == 1:
        return -1 - number, at
    if major in (2, 3):
        if at + number > len(raw):
            raise IndexError
        part = raw[at : at + number]
        return (part if major == 2 else part.decode()), at + number
    if major == 6:
        return _item(raw, at, depth + 1)
    items: list[object] = []
    for _ in range(number * (2 if major == 5 else 1)):
        item, at = _item(raw, at, depth + 1)
        items.append(item)
    return (dict(zip(items[::2], items[1::2], strict=True)) if major == 5 else items), at


def _argument(raw: bytes, at: int, info: int) -> tuple[int, int]:
    if info < 24:
        return info, at
    if info > 27:  # indefinite lengths are not used by the interface
        raise IndexError
    width = 1 << (info - 24)
    if at + width > len(raw):
        raise IndexError
    return int.from_bytes(raw[at : at + width], "big"), at + width
