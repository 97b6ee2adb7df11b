"""Calls and answers of the EVM: selectors, hand encoding of the hot path, exact decoding. Pure.

Place in the flow: under `multicall`, `erc20`, `univ3`, `chainlink`. Rare shapes go through eth_abi.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from onchain.errors import ReadError

WORD = 32
_SIGNED = {"int256", "int192", "int128", "int64", "int56", "int32", "int24", "int16", "int8"}


@dataclass(frozen=True, slots=True)
class Call:
    """One read of one contract. `returns` are ABI types; static ones must come back as exactly that many words."""

    target: str
    data: bytes
    returns: tuple[str, ...]
    label: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call gave: its decoded value, or why there is none. `raw` is the returned data as evidence."""

    value: object = None
    error: str = ""
    raw: bytes = b""

    def integer(self, what: str) -> int:
        """The value as int. Raises ReadError with the reason when the call failed: never a silent zero."""
        if self.error or not isinstance(self.value, int):
            raise ReadError(f"{what}: {self.error or 'not an integer'}")
        return self.value


@lru_cache(maxsize=512)
def selector(signature: str) -> bytes:
    """The four bytes of `name(type,…)`."""
    return bytes(keccak(text=signature)[:4])


def word(value: int | str) -> bytes:
    """One argument word: an unsigned or signed int, or a 0x address."""
    if isinstance(value, str):
        return bytes(12) + address_bytes(value)
    return value.to_bytes(WORD, "big", signed=value < 0)


def address_bytes(address: str) -> bytes:
    """The 20 bytes of a 0x address. Raises ReadError for anything else."""
    try:
        raw = bytes.fromhex(address.removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != 20:
        raise ReadError(f"{address!r} is not a 20-byte address")
    return raw


def call(target: str, signature: str, *args: int | str, returns: str | tuple[str, ...], label: str = "") -> Call:
    """A `Call` with word-sized arguments (ints and addresses)."""
    kinds = (returns,) if isinstance(returns, str) else returns
    data = selector(signature) + b"".join(word(arg) for arg in args)
    return Call(target, data, kinds, label or signature)


def decode_output(raw: bytes, returns: tuple[str, ...]) -> object:
    """The single value, or the tuple, of returned data. Raises ReadError unless the length is exactly right."""
    if all(_is_word(kind) for kind in returns):
        if len(raw) != WORD * len(returns):
            raise ReadError(f"returned {len(raw)} bytes where {WORD * len(returns)} were expected")
        values = tuple(_word_value(raw[WORD * i : WORD * i + WORD], kind) for i, kind in enumerate(returns))
        return values[0] if len(values) == 1 else values
    try:
        many = abi_decode(list(returns), raw)
    except (DecodingError, ValueError, OverflowError) as error:
        raise ReadError(f"returned data does not decode as {','.join(returns)}: {error}") from None
    return many[0] if len(many) == 1 else tuple(many)


def encode_aggregate3(calls: list[tuple[str, bytes]]) -> bytes:
    """Calldata of `aggregate3((address,bool,bytes)[])` with failures allowed."""
    heads, tails, offset = [], [], WORD * len(calls)
    for target, data in calls:
        padded = data + bytes(-len(data) % WORD)
        tail = word(target) + word(1) + word(96) + word(len(data)) + padded
        heads.append(word(offset))
        tails.append(tail)
        offset += len(tail)
    return selector("aggregate3((address,bool,bytes)[])") + word(WORD) + word(len(calls)) + b"".join(heads + tails)


def decode_aggregate3(raw: bytes, count: int) -> list[tuple[bool, bytes]]:
    """(success, returned data) of each call. Raises ReadError when the layout or the count does not hold."""
    if len(raw) < 2 * WORD or _int(raw, 0) != WORD or _int(raw, WORD) != count:
        raise ReadError(f"aggregate3 returned {len(raw)} bytes that do not hold {count} results")
    results, base = [], 2 * WORD
    for i in range(count):
        at = base + _int(raw, base + WORD * i)
        size = _int(raw, at + 2 * WORD)
        start = at + 3 * WORD
        if _int(raw, at + WORD) != 2 * WORD or start + size > len(raw):
            raise ReadError(f"aggregate3 result {i} runs past the end of the answer")
        results.append((_int(raw, at) == 1, raw[start : start + size]))
    return results


def _int(raw: bytes, at: int) -> int:
    if at + WORD > len(raw):
        raise ReadError(f"the answer is cut at byte {len(raw)}")
    return int.from_bytes(raw[at : at + WORD], "big")


def _is_word(kind: str) -> bool:
    return kind in {"address", "bool", "bytes32"} or (kind.startswith("uint") and "[" not in kind) or kind in _SIGNED


def _word_value(raw: bytes, kind: str) -> object:
    if kind == "bytes32":
        return raw
    value = int.from_bytes(raw, "big", signed=kind in _SIGNED)
    if kind == "address":
        if any(raw[:12]):
            raise ReadError("an address word has non-zero upper bytes")
        return "0x" + raw[12:].hex()
    if kind == "bool":
        if value not in (0, 1):
            raise ReadError(f"a bool word holds {value}")
        return value == 1
    if kind.startswith("uint") and kind != "uint" and value >> int(kind[4:]):
        raise ReadError(f"a {kind} word overflows")
    return value
