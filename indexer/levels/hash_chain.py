"""The hash chain of published levels: what each level was computed from, and what was published before it. Pure.

inputs hash = SHA-256 of methodology hash, instant, divisor, and every constituent's (slug, units, price used);
level hash  = SHA-256 of the previous hash, the inputs hash, instant, revision, level and status.
Rows are chained in the order of publication (run, then time), so a later correction is appended, never inserted.
Numbers enter as little-endian 8-byte IEEE doubles or integers: equal bytes or a different hash.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexer.arrays import F64, I8, I64

GENESIS = b"\0" * 32


@dataclass(frozen=True, slots=True)
class Segment:
    """Units and divisor in force for rows [start, stop) of the levels; `members` are columns in slug order."""

    start: int
    stop: int
    members: I64
    slugs: tuple[str, ...]
    units: F64
    divisor: float


def inputs_hashes(
    times_us: I64, prices: F64, *, segments: Sequence[Segment], methodology_hash: str | Sequence[str]
) -> list[bytes]:
    """One 32-byte hash for each level; prices (K, N) are those used, carried ones included.

    `methodology_hash` is one for all, or each level's own.
    """
    hashes: list[bytes] = []
    for segment in segments:
        # instant and prices of a level lie side by side, so each level is one update of the hash
        table = np.empty((segment.stop - segment.start, len(segment.members) + 1), dtype="<f8")
        table[:, 0] = np.ascontiguousarray(times_us[segment.start : segment.stop], dtype="<i8").view("<f8")
        table[:, 1:] = prices[segment.start : segment.stop][:, segment.members]
        body, width = memoryview(table.tobytes()), table.shape[1] * 8
        heads: dict[str, hashlib._Hash] = {}
        for n in range(segment.stop - segment.start):
            rules = methodology_hash if isinstance(methodology_hash, str) else methodology_hash[segment.start + n]
            if rules not in heads:
                heads[rules] = _head(segment, rules)
            digest = heads[rules].copy()
            digest.update(body[n * width : (n + 1) * width])
            hashes.append(digest.digest())
    return hashes


def _head(segment: Segment, methodology_hash: str) -> hashlib._Hash:
    head = hashlib.sha256(methodology_hash.encode())
    head.update(struct.pack("<d", segment.divisor))
    head.update("\n".join(segment.slugs).encode())
    head.update(np.ascontiguousarray(segment.units, dtype="<f8").tobytes())
    return head


def chain(
    times_us: I64, levels: F64, *, revisions: I64, status: I8, inputs: Sequence[bytes], previous: bytes = GENESIS
) -> tuple[list[bytes], list[bytes]]:
    """The previous and the own hash of each row, continuing after `previous`."""
    before: list[bytes] = []
    after: list[bytes] = []
    pack = struct.Struct("<qqdq").pack
    rows = zip(times_us.tolist(), revisions.tolist(), levels.tolist(), status.tolist(), inputs, strict=True)
    for time_us, revision, level, state, hashed in rows:
        before.append(previous)
        previous = hashlib.sha256(previous + hashed + pack(time_us, revision, level, state)).digest()
        after.append(previous)
    return before, after
