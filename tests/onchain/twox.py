"""xxHash64 by its published specification, and the storage key hash of Substrate: an oracle for written-out keys."""

from __future__ import annotations

P1, P2, P3, P4, P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
MASK = (1 << 64) - 1


def twox128(text: str) -> str:
    """Hex of the two 64-bit hashes with seeds 0 and 1, little-endian."""
    return "".join(xxh64(text.encode(), seed).to_bytes(8, "little").hex() for seed in (0, 1))


def xxh64(data: bytes, seed: int) -> int:
    """The hash of at most 31 bytes (all the names here are shorter than a stripe)."""
    assert len(data) < 32
    total = (seed + P5 + len(data)) & MASK
    at = 0
    while at + 8 <= len(data):
        lane = _rotated(_word(data, at, 8) * P2 & MASK, 31) * P1 & MASK
        total, at = (_rotated(total ^ lane, 27) * P1 + P4) & MASK, at + 8
    if at + 4 <= len(data):
        total, at = (_rotated(total ^ (_word(data, at, 4) * P1 & MASK), 23) * P2 + P3) & MASK, at + 4
    for byte in data[at:]:
        total = _rotated(total ^ (byte * P5 & MASK), 11) * P1 & MASK
    total = (total ^ total >> 33) * P2 & MASK
    total = (total ^ total >> 29) * P3 & MASK
    return total ^ total >> 32


def _word(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & MASK
