"""Which tables are sealed, by which columns, and what a seal holds of their rows. Pure.

A seal holds one digest over all rows, 8 bytes for each, and their keys, packed: the digest proves, the 8 bytes tell a
row from any other, the keys name a row that is gone.

What a run wrote is sealed by the run (`RUNS`); tables of things that belong to no run are sealed whole (`STATES`).
A seal's `about` is a table and, where its columns have become more since, the number of their list: what was sealed by
an earlier list (`EARLIER`) stays provable by it. Not sealed are `lease` (who works now), `data_version`, what alerts
remember and send, and what Alembic keeps.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlmodel import SQLModel

from indexer.arrays import U64
from indexer.store.columnar import table_of
from indexer.store.tables import (
    Announcement,
    Asset,
    Bar,
    Benchmark,
    BenchmarkBar,
    Challenge,
    Event,
    IndexInfo,
    Level,
    Listing,
    Membership,
    MethodologyVersion,
    Metric,
    Override,
    Payload,
    QualityEntry,
    Rate,
    Rebalancing,
    RebalancingItem,
    Reject,
    ReviewNote,
    Run,
    Supply,
)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A table that is sealed: the columns that name a row, and the others, in the order of the digest.

    Of a whole table that only `grows`, no row may change or go. `number` is that of the list of columns.
    """

    model: type[SQLModel]
    key: tuple[str, ...]
    values: tuple[str, ...]
    grows: bool = False
    number: int = 1

    @property
    def name(self) -> str:
        """The table's name."""
        return table_of(self.model).name

    @property
    def about(self) -> str:
        """What seals by this list of columns are about."""
        return self.name if self.number == 1 else f"{self.name}.{self.number}"


def _list(number: int) -> tuple[Sealed, ...]:
    """The tables of runs by a list of columns: 1 was in use before perpetual weights were stored, 2 since."""
    second = number > 1

    def also(*names: str) -> tuple[str, ...]:
        return names if second else ()

    return (
        Sealed(
            Run, ("run_id",),
            ("kind", "key", *also("due_at"), "started_at", *also("finished_at"), "outcome", "detail"), number=number,
        ),
        Sealed(
            Supply,
            ("asset_id", "kind", "source", "observed_at", "revision"),
            ("origin", "amount", "chain", "block_number", "block_hash", "finality", *also("id")),
            number=number,
        ),
        Sealed(
            Rate, ("asset_id", "time", "revision"), ("rate", "status", "method", "verdicts", *also("flags")),
            number=number,
        ),
        Sealed(
            Membership,
            ("index_id", "asset_id", "valid_from", "revision"),
            ("valid_to", "reason_in", "reason_out", "withdrawn", *also("id")),
            number=number,
        ),
        Sealed(
            Level,
            ("index_id", "time", "revision"),
            (
                "level", "status", "carried_weight", *also("perpetual_weight", "constituents"), "methodology_id",
                "published_at", "inputs_hash", "prev_hash", "hash",
            ),
            number=number,
        ),
        Sealed(
            RebalancingItem,
            ("rebalancing_id", "asset_id"),
            (
                "units_before", "units_after", "weight_drifted", "weight_target", "price", "supply", "supply_source",
                "free_float_cap_usd", "median_adv_usd", "rank", "reason",
                *also("supply_observed_at", "supply_stale_at"),
            ),
            number=number,
        ),
        Sealed(Payload, ("sha256",), ("source", "url", "fetched_at", "bytes", *also("id")), number=number),
        Sealed(
            Announcement,
            ("key",),
            ("kind", "index_id", "published_at", "effective_at", "title", "detail", *also("id")),
            number=number,
        ),
    )  # fmt: skip


SAME = (
    Sealed(Bar, ("listing_id", "time", "revision"), ("open", "high", "low", "close", "volume_base", "volume_usd")),
    Sealed(
        BenchmarkBar,
        ("benchmark_id", "interval", "time", "revision"),
        ("close", "adjusted_close", "volume", "price_basis", "source"),
    ),
    Sealed(
        Rebalancing,
        ("index_id", "effective_at", "kind", "revision"),
        ("id", "reference_at", "withdrawn", "methodology_id", "level", "divisor_before", "divisor_after", "turnover"),
    ),
)  # fmt: skip
NEW = (
    Sealed(Metric, ("subject", "name", "source", "time", "revision"), ("value",), number=2),
    Sealed(Reject, ("file_sha256", "line", "reason"), ("file", "row", "id"), number=2),
)
RUNS = (*_list(2), *SAME, *NEW)
EARLIER = (*_list(1), *SAME)
RUN, EARLIER_RUN = RUNS[0], EARLIER[0]

STATES = (
    Sealed(
        Asset,
        ("slug",),
        ("id", "name", "symbol", "chain", "contract", "decimals", "sub_sector", "status", "line", "line_ratio"),
    ),
    Sealed(
        Listing, ("id",), ("asset_id", "venue", "source", "symbol", "interval", "quote", "price_basis", "stamp"),
        grows=True,
    ),
    Sealed(Benchmark, ("symbol",), ("id", "name", "kind", "calendar"), grows=True),
    Sealed(MethodologyVersion, ("index_id", "hash"), ("id", "version", "text", "loaded_at"), grows=True),
    Sealed(IndexInfo, ("id",), ("name", "description", "simulated", "state", "methodology_id")),
    Sealed(
        Override,
        ("id",),
        (
            "kind", "index_id", "asset", "starts_at", "expires_at", "detail", "reason", "proposed_by", "proposed_at",
            "approved_by", "approved_at", "withdrawn_by", "withdrawn_at",
        ),
    ),
    Sealed(
        Challenge,
        ("id",),
        (
            "index_id", "time", "revision", "reason", "opened_by", "opened_at", "closed_at", "outcome", "frozen",
            "sha256",
        ),
        grows=True,
    ),
    Sealed(Event, ("slug",), ("id", "kind", "time", "title", "source", "detail"), grows=True),
    Sealed(
        ReviewNote, ("index_id", "kind", "start_at", "revision"), ("withdrawn", "end_at", "reference_at", "reason"),
        grows=True, number=2,
    ),
    Sealed(QualityEntry, ("kind", "subject", "opened_at"), ("id", "closed_at", "detail")),
)  # fmt: skip


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
