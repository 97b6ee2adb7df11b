"""Columns of rows → one digest over all of them, and 8 bytes for each row that tell it from any other. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b, sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.arrays import U64

FACTOR = np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(29)
HASH = 32


class Encoded:
    """One column as exact numbers (R,) with the texts they stand for, and as 64-bit marks (R,).

    Hashes (32 bytes each) are four numbers a row, (R, 4). Numbers order rows as their values do, texts included.
    """

    def __init__(self, values: NDArray[Any], *, hashes: bool = False) -> None:
        self.texts: list[bytes] = []
        if hashes and all(len(one) == HASH for one in values.tolist()):
            self.numbers: U64 = np.frombuffer(b"".join(values.tolist()), dtype="<u8").reshape(-1, 4)
            self.marks: U64 = np.bitwise_xor.reduce(self.numbers, axis=1)
        elif values.dtype == object:
            listed = values.tolist()
            known = {value: n for n, value in enumerate(sorted(set(listed), key=_bytes))}
            self.texts = [_bytes(value) for value in known]
            self.numbers = np.fromiter(map(known.__getitem__, listed), np.uint64, count=len(listed))
            each = [int.from_bytes(blake2b(one, digest_size=8).digest(), "little") for one in self.texts]
            self.marks = np.array(each, dtype=np.uint64)[self.numbers] if each else self.numbers
        else:
            self.numbers = np.ascontiguousarray(values).view(np.uint64)
            self.marks = self.numbers

    def take(self, rows: NDArray[Any]) -> Encoded:
        """Some of the rows, with only the texts they use."""
        part = Encoded.__new__(Encoded)
        numbers, part.marks, part.texts = self.numbers[rows], self.marks[rows], []
        if self.texts:
            used, back = np.unique(numbers, return_inverse=True)
            part.texts = [self.texts[n] for n in used.tolist()]
            numbers = back.ravel().astype(np.uint64)
        part.numbers = numbers
        return part


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def digest_of(name: str, columns: Mapping[str, Encoded]) -> bytes:
    """SHA-256 over a table's rows, column by column, texts included."""
    said = sha256(name.encode())
    for label, column in columns.items():
        said.update(f"\n{label}:{len(column.numbers)}:{len(column.texts)}\n".encode())
        for one in column.texts:
            said.update(len(one).to_bytes(8, "little") + one)
        said.update(np.ascontiguousarray(column.numbers, dtype="<u8").tobytes())
    return said.digest()


def marks_of(columns: Sequence[Encoded]) -> U64:
    """64 bits for each row (R,): a mixture of all its columns. Only to find a row; the digest is what proves."""
    mixed: U64 = np.zeros(len(columns[0].marks), dtype=np.uint64)
    for number, column in enumerate(columns, 1):
        mixed ^= column.marks + np.uint64(number)
        mixed *= FACTOR
        mixed ^= mixed >> SHIFT
    return mixed
