"""What a seal holds of a table's rows: one digest over all, 8 bytes for each, and their keys, packed. Pure.

The digest proves; the 8 bytes tell a row from any other, the keys name a row that is gone.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from hashlib import blake2b, sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.arrays import U64

FACTOR = np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(29)
HASH = 32
SHORT = 16  # characters of a hash, enough to find it


class Encoded:
    """One column as exact numbers (R,) with the texts they stand for, and as 64-bit marks (R,).

    Hashes (32 bytes each) are four numbers a row, (R, 4). Numbers order rows as their values do, texts included.
    """

    def __init__(self, values: NDArray[Any], *, hashes: bool = False) -> None:
        self.texts: list[bytes] = []
        if hashes and all(len(value) == HASH for value in values.tolist()):
            self.numbers: U64 = np.frombuffer(b"".join(values.tolist()), dtype="<u8").reshape(-1, 4)
            self.marks: U64 = np.bitwise_xor.reduce(self.numbers, axis=1)
        elif values.dtype == object:
            listed = values.tolist()
            known = {value: n for n, value in enumerate(sorted(set(listed), key=_bytes))}
            self.texts = [_bytes(value) for value in known]
            self.numbers = np.fromiter(map(known.__getitem__, listed), np.uint64, count=len(listed))
            each = [int.from_bytes(blake2b(text, digest_size=8).digest(), "little") for text in self.texts]
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
    digest = sha256(name.encode())
    for label, column in columns.items():
        digest.update(f"\n{label}:{len(column.numbers)}:{len(column.texts)}\n".encode())
        for text in column.texts:
            digest.update(len(text).to_bytes(8, "little") + text)
        digest.update(np.ascontiguousarray(column.numbers, dtype="<u8").tobytes())
    return digest.digest()


def marks_of(columns: Sequence[Encoded]) -> U64:
    """64 bits for each row (R,): a mixture of all its columns. Only to find a row; the digest is what proves."""
    mixed: U64 = np.zeros(len(columns[0].marks), dtype=np.uint64)
    for number, column in enumerate(columns, 1):
        mixed ^= column.marks + np.uint64(number)
        mixed *= FACTOR
        mixed ^= mixed >> SHIFT
    return mixed


def shown_key(name: str, value: Any) -> Any:
    """A key's value as it is named to people: a number or a text, a hash shortened."""
    plain = value.item() if isinstance(value, np.generic) else value
    return str(plain)[:SHORT] if name == "sha256" else plain


def pack_keys(keys: Mapping[str, NDArray[Any]]) -> bytes:
    """Key columns (R,) of integers or texts as bytes.

    Integers are kept as differences (times of bars repeat one number), texts once each with their place.
    """
    head: list[list[Any]] = []
    body = b""
    for name, column in keys.items():
        texts: list[str] | None = None
        numbers = column
        if column.dtype == object:
            listed = [str(shown_key(name, value)) for value in column.tolist()]
            texts = sorted(set(listed))
            places = {text: n for n, text in enumerate(texts)}
            numbers = np.array([places[text] for text in listed], dtype=np.int64)
        head.append([name, texts])
        body += np.diff(numbers, prepend=0).astype("<i8").tobytes()
    names = json.dumps(head, ensure_ascii=False).encode()
    return zlib.compress(len(names).to_bytes(4, "little") + names + body, 1)


def unpack_keys(packed: bytes, rows: Sequence[int]) -> list[dict[str, Any]]:
    """The keys of some rows, in words and numbers."""
    plain = zlib.decompress(packed)
    start = 4 + int.from_bytes(plain[:4], "little")
    head = json.loads(plain[4:start])
    columns = np.frombuffer(plain, dtype="<i8", offset=start).reshape(len(head), -1).cumsum(axis=1)
    return [
        {
            name: int(column[row]) if texts is None else texts[int(column[row])]
            for (name, texts), column in zip(head, columns, strict=True)
        }
        for row in rows
    ]
