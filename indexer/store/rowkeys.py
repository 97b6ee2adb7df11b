"""The keys of sealed rows, small: so that a row that is gone can still be named. Pure.

Integers are kept as differences (times of bars repeat one number), texts once each with their place; then packed.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHORT = 16  # characters of a hash, enough to find it


def shown_key(name: str, value: Any) -> Any:
    """A key's value as it is named to people: a number or a text, a hash shortened."""
    plain = value.item() if isinstance(value, np.generic) else value
    return str(plain)[:SHORT] if name == "sha256" else plain


def pack_keys(keys: Mapping[str, NDArray[Any]]) -> bytes:
    """Key columns (R,) of integers or texts as bytes."""
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
    said = json.dumps(head, ensure_ascii=False).encode()
    return zlib.compress(len(said).to_bytes(4, "little") + said + body, 1)


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
