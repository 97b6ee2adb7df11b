"""Which tables are sealed, by which columns, and the sealed form of the rows that a run wrote.

The digest over all rows proves, 8 bytes of each tell a row from any other, and the packed keys name one that is gone.
Rows are read and digested some small runs at a time, a large run one series at a time, however long the history is.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    BigInteger,
    Boolean,
    Float,
    LargeBinary,
    Select,
    String,
    Text,
    case,
    cast,
    func,
    literal_column,
    select,
    type_coerce,
)
from sqlmodel import SQLModel

from indexer.arrays import U64
from indexer.store.columnar import Columns, fields, pick, read_columns, table_of
from indexer.store.db import Store
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
    key: Sequence[str]
    values: Sequence[str]
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


def _listed(number: int) -> tuple[Sealed, ...]:
    """The tables of runs by the first or the second list of columns; a table that is alike in both has number 1."""
    tables = []
    for model, key, values in LISTS:
        names = [name for name in values.split() if number > 1 or not name.startswith("+")]
        own = number if "+" in values else 1
        tables.append(Sealed(model, key.split(), [name.lstrip("+") for name in names], number=own))
    return tuple(tables)


# Each table's key and its other columns, in the order of the digest; "+" is before those of the second list alone: the
# first was in use before perpetual weights were stored, and what was sealed by it stays provable by it.
LISTS: tuple[tuple[type[SQLModel], str, str], ...] = (
    (Run, "run_id", "kind key +due_at started_at +finished_at outcome detail"),
    (Supply, "asset_id kind source observed_at revision", "origin amount chain block_number block_hash finality +id"),
    (Rate, "asset_id time revision", "rate status method verdicts +flags"),
    (Membership, "index_id asset_id valid_from revision", "valid_to reason_in reason_out withdrawn +id"),
    (
        Level,
        "index_id time revision",
        "level status carried_weight +perpetual_weight +constituents methodology_id published_at inputs_hash prev_hash "
        "hash",
    ),
    (
        RebalancingItem,
        "rebalancing_id asset_id",
        "units_before units_after weight_drifted weight_target price supply supply_source free_float_cap_usd "
        "median_adv_usd rank reason +supply_observed_at +supply_stale_at",
    ),
    (Payload, "sha256", "source url fetched_at bytes +id"),
    (Announcement, "key", "kind index_id published_at effective_at title detail +id"),
    (Bar, "listing_id time revision", "open high low close volume_base volume_usd"),
    (BenchmarkBar, "benchmark_id interval time revision", "close adjusted_close volume price_basis source"),
    (
        Rebalancing,
        "index_id effective_at kind revision",
        "id reference_at withdrawn methodology_id level divisor_before divisor_after turnover",
    ),
)
EARLIER = _listed(1)
RUNS = (
    *_listed(2),
    Sealed(Metric, ["subject", "name", "source", "time", "revision"], ["value"], number=2),
    Sealed(Reject, ["file_sha256", "line", "reason"], ["file", "row", "id"], number=2),
)
RUN, EARLIER_RUN = RUNS[0], EARLIER[0]

# Tables of things that belong to no run. Not sealed are `lease`, `data_version`, what alerts remember and send, and
# what Alembic keeps.
STATES = tuple(
    Sealed(model, key.split(), values.split(), grows=grows, number=2 if model is ReviewNote else 1)
    for model, grows, key, values in (
        (Asset, False, "slug", "id name symbol chain contract decimals sub_sector status line line_ratio"),
        (Listing, True, "id", "asset_id venue source symbol interval quote price_basis stamp"),
        (Benchmark, True, "symbol", "id name kind calendar"),
        (MethodologyVersion, True, "index_id hash", "id version text loaded_at"),
        (IndexInfo, False, "id", "name description simulated state methodology_id"),
        (
            Override,
            False,
            "id",
            "kind index_id asset starts_at expires_at detail reason proposed_by proposed_at approved_by approved_at "
            "withdrawn_by withdrawn_at",
        ),
        (
            Challenge,
            True,
            "id",
            "index_id time revision reason opened_by opened_at closed_at outcome frozen sha256",
        ),
        (Event, True, "slug", "id kind time title source detail"),
        (ReviewNote, True, "index_id kind start_at revision", "withdrawn end_at reference_at reason"),
        (QualityEntry, False, "kind subject opened_at", "id closed_at detail"),
    )
)


PART_ROWS = 100_000  # rows that are read at once; a run of more is sealed in parts, one for each series
NAMED_RUNS = 1_000  # at most in one statement; of more, the runs of the whole table are counted
FACTOR = np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(29)
HASH = 32
SHORT = 16  # characters of a hash, enough to find it
NULL_TEXT, NULL_NUMBER = "\x01", -(2**62)
MISSING = (NULL_TEXT, NULL_NUMBER, -np.inf)


@dataclass(slots=True)
class Rows:
    """What a run has in a table now, or all that is there (run 0); `keys` are the columns to name rows by."""

    digest: bytes
    marks: U64
    keys: Columns


def read_runs_of(
    store: Store, table: Sealed, *, only: Collection[int] | None = None
) -> Iterator[tuple[int, Iterator[Columns]]]:
    """Each of these runs that has rows in a table, ascending, with their sealed columns in parts by key.

    Without `only`: all rows of a table that belongs to no run, as those of run 0. What is missing is one of `MISSING`.
    """
    parts = _parts(store, table, only) if only is None or only else iter(())
    for run_id, same in groupby(parts, key=itemgetter(0)):
        yield run_id, (part for _, part in same)


def _parts(store: Store, table: Sealed, only: Collection[int] | None) -> Iterator[tuple[int, Columns]]:
    if only is None:
        yield from _by_run(table, read_columns(store, _query(store, table)))
        return
    owner, number = _owner(table)
    count = select(number, func.count()).select_from(table_of(owner)).group_by(number).order_by(number)
    count = count if len(only) > NAMED_RUNS else count.where(number.in_(only))
    with store.reading() as connection:
        runs = [(run, rows) for run, rows in connection.execute(count) if run in only]
    some: list[int] = []
    room = PART_ROWS
    for run, rows in [*runs, (0, PART_ROWS)]:
        if some and (rows > room or len(some) >= NAMED_RUNS):  # a statement has room for few parameters
            yield from _by_run(table, read_columns(store, _query(store, table).where(number.in_(some))))
            some, room = [], PART_ROWS
        if rows > PART_ROWS and "time" in table.key:
            yield from _series(store, table, run)
        elif run:
            some.append(run)
            room -= rows


def _series(store: Store, table: Sealed, run: int) -> Iterator[tuple[int, Columns]]:
    """What a large run has in a table, each series a part; many of them are read at once, in the order of the key."""
    first, number = fields(table.model, table.key[0], "run_id")
    mine = number + 0 == run  # without the index of runs, by which each row would be looked up on its own
    with store.reading() as connection:
        counts = connection.execute(select(first, func.count()).where(mine).group_by(first)).all()
    reads: list[list[Any]] = [[]]
    room = PART_ROWS
    for name, rows in sorted((name, rows) for name, rows in counts):
        reads[-1].append(name)
        room -= rows
        if room <= 0:
            reads.append([])
            room = PART_ROWS
    for names in filter(None, reads):
        [(_, stored)] = _by_run(table, read_columns(store, _query(store, table).where(mine, first.in_(names))))
        edges = np.flatnonzero(stored[table.key[0]][1:] != stored[table.key[0]][:-1]) + 1
        for start, stop in pairwise([0, *edges.tolist(), len(stored["run_id"])]):
            yield run, pick(stored, slice(start, stop))


def _owner(table: Sealed) -> tuple[type[SQLModel], Any]:
    """The table that says which run wrote a row, and its column: an item has that of its rebalancing."""
    owner = Rebalancing if table.model is RebalancingItem else table.model
    return owner, fields(owner, "id" if owner is Run else "run_id")[0]


def _query(store: Store, table: Sealed) -> Select[Any]:
    number = literal_column("0", BigInteger()) if table in STATES else _owner(table)[1]
    names = [name for name in (*table.key, *table.values) if name != "run_id"]
    columns = [_without_null(store, column) for column in fields(table.model, *names)]
    query = select(number.label("run_id"), *columns).select_from(table_of(table.model))
    return query.join_from(RebalancingItem, Rebalancing) if table.model is RebalancingItem else query


def _without_null(store: Store, column: Any) -> Any:
    """The column as both drivers read it alike: no nulls, booleans as numbers, exact amounts as text."""
    kind = column.type.impl_instance if hasattr(column.type, "impl_instance") else column.type
    if isinstance(kind, LargeBinary):
        return column
    if isinstance(kind, Boolean):
        return case((column, 1), else_=0).label(column.key)
    if isinstance(kind, Float):
        infinity = "-9e999" if store.is_sqlite else "CAST('-Infinity' AS double precision)"
        return func.coalesce(column, literal_column(infinity, Float())).label(column.key) if column.nullable else column
    if isinstance(kind, String):
        return func.coalesce(cast(column, Text), NULL_TEXT).label(column.key)
    return func.coalesce(type_coerce(column, BigInteger), NULL_NUMBER).label(column.key)


def _by_run(table: Sealed, stored: Columns) -> Iterator[tuple[int, Columns]]:
    """Rows by run, each run's by key: the bits of a number order as it does when it is not negative, as keys are."""
    runs = stored["run_id"]
    if not len(runs):
        return
    order = np.lexsort([Encoded(stored[name]).numbers for name in reversed(table.key)] + [runs])
    if (np.diff(order) != 1).any():
        stored = pick(stored, order)
    edges = (np.flatnonzero(np.diff(stored["run_id"])) + 1).tolist()
    for start, stop in pairwise([0, *edges, len(order)]):
        yield int(stored["run_id"][start]), pick(stored, slice(start, stop))


class Encoded:
    """One column as exact numbers (R,) with the texts they stand for.

    Hashes (32 bytes each) are four numbers a row, (R, 4). Numbers order rows as their values do, texts included.
    """

    def __init__(self, values: NDArray[Any], *, hashes: bool = False) -> None:
        self.texts: list[bytes] = []
        if hashes and all(len(value) == HASH for value in values.tolist()):
            self.numbers: U64 = np.frombuffer(b"".join(values.tolist()), dtype="<u8").reshape(-1, 4)
        elif values.dtype == object:
            listed = values.tolist()
            known = {value: n for n, value in enumerate(sorted(set(listed), key=_bytes))}
            self.texts = [_bytes(value) for value in known]
            self.numbers = np.fromiter(map(known.__getitem__, listed), np.uint64, count=len(listed))
        else:
            self.numbers = np.ascontiguousarray(values).view(np.uint64)

    def marks(self) -> U64:
        """64 bits for each row (R,)."""
        if self.texts:
            each = [int.from_bytes(blake2b(text, digest_size=8).digest(), "little") for text in self.texts]
            return np.array(each, dtype=np.uint64)[self.numbers]
        return self.numbers if self.numbers.ndim == 1 else np.bitwise_xor.reduce(self.numbers, axis=1)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _encoded(table: Sealed, part: Columns) -> dict[str, Encoded]:
    """The sealed columns of rows, in their order."""
    of = table_of(table.model).c
    return {
        name: Encoded(part[name], hashes=name in of and isinstance(of[name].type, LargeBinary))
        for name in (*table.key, *table.values)
    }


def digest_of(table: Sealed, parts: Iterable[Columns]) -> bytes:
    """SHA-256 over a run's rows in a table, of several parts over their digests."""
    return _joined([_digest(table.name, _encoded(table, part)) for part in parts])


def _joined(digests: Sequence[bytes]) -> bytes:
    return digests[0] if len(digests) == 1 else sha256(b"".join(digests)).digest()


def _digest(name: str, columns: Mapping[str, Encoded]) -> bytes:
    """SHA-256 over rows, column by column, texts included."""
    digest = sha256(name.encode())
    for label, column in columns.items():
        digest.update(f"\n{label}:{len(column.numbers)}:{len(column.texts)}\n".encode())
        for text in column.texts:
            digest.update(len(text).to_bytes(8, "little") + text)
        digest.update(np.ascontiguousarray(column.numbers, dtype="<u8").tobytes())
    return digest.digest()


def rows_of(table: Sealed, parts: Iterable[Columns]) -> Rows:
    """The digest, marks and keys of a run's rows in a table."""
    digests, marks, keys = [], [], []
    for part in parts:
        columns = _encoded(table, part)
        digests.append(_digest(table.name, columns))
        marks.append(_marks(list(columns.values())))
        keys.append({name: part[name] for name in table.key})
    return Rows(_joined(digests), np.concatenate(marks), joined(keys))


def joined(parts: Sequence[Columns]) -> Columns:
    """Parts as one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _marks(columns: Sequence[Encoded]) -> U64:
    """64 bits for each row (R,): a mixture of all its columns. Only to find a row; the digest is what proves."""
    mixed: U64 = np.zeros(len(columns[0].numbers), dtype=np.uint64)
    for number, column in enumerate(columns, 1):
        mixed ^= column.marks() + np.uint64(number)
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
