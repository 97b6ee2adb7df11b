"""A proof that leaves the house: published levels with all that re-derives them, in one file that needs no database.

A zip of Parquet and JSON: official rates (every revision, with when it became known), changes of units, rules,
lines, levels and heads. `check_proof` computes every level again, by both calculators, every revision as it was
known, and follows the hash chain to its head. What the file cannot show is why the units were chosen: that is what
`deai verify` on the store is for.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.errors import InputError
from indexer.levels.markets import line_facts
from indexer.registry import Registry
from indexer.store.db import Store
from indexer.store.levels import published_rows
from indexer.store.rates import read_rate_history
from indexer.store.read import read_assets, read_indices, read_methodologies, read_rebalancings
from indexer.store.rebalancings import read_decisions
from indexer.store.rows import RebalancingRow
from indexer.store.seals import read_heads
from indexer.times import to_us

FORMAT = 1
README = """Levels of {indices} with everything they were computed from, made by deai-index.
Check it with: deai verify --from FILE   (no database is needed; nothing is sent anywhere)

rates.parquet           official reference rates in USD, every revision; `known` is when it became official (us)
rebalancings.json       every change of units: units, divisor, instant, when it was decided
levels-<index>.parquet  every published row in the order of its hash chain
manifest.json           rules (TOML texts with their hashes), lines of tokens, heads of the chains
"""


@dataclass(frozen=True, slots=True)
class Exported:
    """What a proof holds."""

    path: str
    indices: tuple[str, ...]
    levels: int
    rates: int
    head: str


def export_proof(store: Store, registry: Registry, *, path: Path, only: Sequence[str] = ()) -> Exported:
    """Writes the proof of every index, or those named, and says what is in it. Raises InputError for the file."""
    indices = [row for row in read_indices(store) if not only or row.id in only]
    if not indices:
        raise InputError("there is no such index to prove; `deai methodology list` names them")
    rates = read_rate_history(store)
    levels = {row.id: _levels(store, row.id) for row in indices}
    manifest = _manifest(store, registry, ids=[row.id for row in indices], levels=levels)
    changes = {row.id: _changes(store, row.id) for row in indices}
    part = path.with_name(path.name + ".part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as bundle:
            bundle.writestr(_named("README.txt"), README.format(indices=", ".join(levels)))
            bundle.writestr(_named("manifest.json"), json.dumps(manifest, indent=1, sort_keys=True))
            bundle.writestr(_named("rebalancings.json"), json.dumps(changes, sort_keys=True))
            bundle.writestr(_named("rates.parquet"), _parquet(rates))
            for name, rows in levels.items():
                bundle.writestr(_named(f"levels-{name}.parquet"), _parquet(rows))
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error.strerror}; choose another place") from error
    count = sum(len(rows["time"]) for rows in levels.values())
    return Exported(str(path), tuple(levels), count, len(rates["time"]), str(manifest["head"]))


def _named(name: str) -> zipfile.ZipInfo:
    """An entry without the time of writing, so that the same content is the same file."""
    return zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))


def _levels(store: Store, index_id: str) -> dict[str, NDArray[Any]]:
    rows = published_rows(store, index_id)
    hashes = {name: np.array(getattr(rows, name), dtype=object) for name in ("inputs_hash", "prev_hash", "hash")}
    return {
        "time": rows.times_us,
        "revision": rows.revision,
        "level": rows.levels,
        "status": rows.status.astype(np.int64),
        "carried_weight": rows.carried_weight,
        "perpetual_weight": rows.perpetual_weight,
        "methodology_id": rows.methodology_id,
        "known": rows.known_us,
        "run_id": rows.run_id,
        **hashes,
    }


def _changes(store: Store, index_id: str) -> list[dict[str, Any]]:
    """Every change of units ever stored, revisions and withdrawals included, with when it was decided."""
    known = read_decisions(store, index_id)
    found: dict[int, RebalancingRow] = {}
    until: dict[int, int | None] = {}
    for moment in sorted(set(known.values())):
        rows = {row.id: row for row in read_rebalancings(store, index_id, as_of_us=moment)}
        gone = {number: moment for number in found if number not in rows and until[number] is None}
        until |= {**dict.fromkeys(rows.keys() - found.keys(), None), **gone}
        found |= rows
    return [_change(row, known=known[row.id], until=until[row.id]) for row in found.values()]


def _change(row: RebalancingRow, *, known: int, until: int | None) -> dict[str, Any]:
    body = {name: getattr(row, name) for name in RebalancingRow.__dataclass_fields__ if name != "items"}
    items = [
        {
            name: getattr(item, name)
            for name in ("asset", "units_before", "units_after", "weight_drifted", "weight_target", "price")
        }
        for item in row.items
        if item.units_before or item.units_after
    ]
    body |= {"reference_at": to_us(row.reference_at), "effective_at": to_us(row.effective_at)}
    return {**body, "known": known, "until": until, "items": items}


def _manifest(
    store: Store, registry: Registry, *, ids: Sequence[str], levels: dict[str, dict[str, NDArray[Any]]]
) -> dict[str, Any]:
    numbers = {asset.slug: int(asset.id) for asset in read_assets(store)}
    sealed = read_heads(store)
    return {
        "format": FORMAT,
        "head": sealed.hex() if sealed else "",
        "heads": {name: rows["hash"][-1].hex() if len(rows["hash"]) else "" for name, rows in levels.items()},
        "methodologies": [
            {"id": row.id, "index": row.index_id, "version": row.version, "hash": row.hash, "text": row.text}
            for row in read_methodologies(store)
            if row.index_id in ids
        ],
        "lines": [asdict(line) for line in line_facts(registry, ids=numbers, listings=[])],
    }


def _parquet(found: dict[str, NDArray[Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    plain = {name: column.tolist() if column.dtype == object else column for name, column in found.items()}
    pq.write_table(pa.table(plain), out, compression="zstd")
    return out.getvalue()
