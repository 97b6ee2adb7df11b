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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.engine.market import Market
from indexer.errors import InputError
from indexer.levels.assemble import LineFacts, assemble
from indexer.levels.markets import line_facts, taken
from indexer.levels.published import settled_of
from indexer.methodology.load import load_methodology
from indexer.methodology.spec import Methodology
from indexer.reference.rates import RateSeries
from indexer.registry import Registry
from indexer.registry.records import LinePart
from indexer.store.assets import read_assets
from indexer.store.columnar import Columns, array_of, last_of_each, pick
from indexer.store.db import Store
from indexer.store.drafts import draft
from indexer.store.indices import read_indices, read_methodologies
from indexer.store.levels import published_rows
from indexer.store.rates import read_rate_history
from indexer.store.rebalancings import read_rebalancings
from indexer.store.rows import LevelRows, RebalancingItemRow, RebalancingRow
from indexer.store.runs import deciding_runs
from indexer.store.seals import read_heads
from indexer.times import from_us, iso, to_us
from indexer.verify.levels import levels_problem
from indexer.verify.store import broken_chain

FORMAT = 1
NAMES = {"times_us": "time", "levels": "level", "published_at_us": "known"}
ITEM = ("asset", "units_before", "units_after", "weight_drifted", "weight_target", "price")
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
    levels = {row.id: published_rows(store, row.id) for row in indices}
    manifest = _manifest(store, registry, ids=[row.id for row in indices], levels=levels)
    changes = {row.id: _changes(store, row.id) for row in indices}
    with draft(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as bundle:
        bundle.writestr(_named("README.txt"), README.format(indices=", ".join(levels)))
        bundle.writestr(_named("manifest.json"), json.dumps(manifest, indent=1, sort_keys=True))
        bundle.writestr(_named("rebalancings.json"), json.dumps(changes, sort_keys=True))
        bundle.writestr(_named("rates.parquet"), _parquet(rates))
        for name, rows in levels.items():
            bundle.writestr(_named(f"levels-{name}.parquet"), _parquet(rows))
    count = sum(len(rows["time"]) for rows in levels.values())
    return Exported(str(path), tuple(levels), count, len(rates["time"]), str(manifest["head"]))


def _named(name: str) -> zipfile.ZipInfo:
    """An entry without the time of writing, so that the same content is the same file."""
    return zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))


def _changes(store: Store, index_id: str) -> list[dict[str, Any]]:
    """Every change of units ever stored, revisions and withdrawals included, with when it was decided."""
    known = {number: started_us for number, (started_us, _) in deciding_runs(store, index_id).items()}
    every: dict[int, RebalancingRow] = {}
    until: dict[int, int | None] = {}
    for moment in sorted(set(known.values())):
        rows = {row.id: row for row in read_rebalancings(store, index_id, as_of_us=moment)}
        gone = {number: moment for number in every if number not in rows and until[number] is None}
        until |= {**dict.fromkeys(rows.keys() - every.keys(), None), **gone}
        every |= rows
    return [_written(row, known=known[row.id], until=until[row.id]) for row in every.values()]


def _written(row: RebalancingRow, *, known: int, until: int | None) -> dict[str, Any]:
    body = {name: getattr(row, name) for name in RebalancingRow.__dataclass_fields__ if name != "items"}
    items = [
        {name: getattr(item, name) for name in ITEM} for item in row.items if item.units_before or item.units_after
    ]
    body |= {"reference_at": to_us(row.reference_at), "effective_at": to_us(row.effective_at)}
    return {**body, "known": known, "until": until, "items": items}


def _manifest(
    store: Store, registry: Registry, *, ids: Sequence[str], levels: dict[str, dict[str, NDArray[Any]]]
) -> dict[str, Any]:
    numbers = {asset.slug: int(asset.id) for asset in read_assets(store)}
    return {
        "format": FORMAT,
        "head": read_heads(store)["seals"]["hash"],
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


@dataclass(frozen=True, slots=True)
class ProofVerdict:
    """The verdict on one index of a proof; `head` is the last hash of its chain, to compare with one published."""

    index_id: str
    levels: int
    revisions: int
    max_difference: float
    head: str
    problem: str

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.problem


def check_proof(path: Path, *, progress: Callable[[int, int], None] = lambda done, total: None) -> list[ProofVerdict]:
    """The verdicts on every index in a proof file. Raises InputError when it is no proof that can be read."""
    try:
        with zipfile.ZipFile(path) as bundle:
            manifest = json.loads(bundle.read("manifest.json"))
            changes = json.loads(bundle.read("rebalancings.json"))
            rates = _columns(bundle.read("rates.parquet"))
            levels = {name: _columns(bundle.read(f"levels-{name}.parquet")) for name in manifest["heads"]}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, zipfile.error) as error:
        raise InputError(f"{path} is not a proof that can be read ({error}); export it again") from None
    except Exception as error:
        if type(error).__module__.startswith("pyarrow"):
            raise InputError(f"{path} is not a proof that can be read ({error}); export it again") from None
        raise
    if manifest.get("format") != FORMAT:
        raise InputError(f"{path} has format {manifest.get('format')}; this program reads format {FORMAT}")
    verdicts = []
    for n, (name, rows) in enumerate(levels.items()):
        verdicts.append(_Check(name, manifest, rates=rates, changes=changes.get(name, []), rows=rows).run())
        progress(n + 1, len(levels))
    return verdicts


@dataclass
class _Check:
    """One index of a proof: `rows` are its published levels, `changes` its changes of units."""

    name: str
    manifest: Mapping[str, Any]
    rates: Columns
    changes: Sequence[Mapping[str, Any]]
    rows: Columns
    difference: float = 0.0

    def run(self) -> ProofVerdict:
        """The verdict."""
        rows = self.rows
        head = rows["hash"][-1].hex() if len(rows["hash"]) else ""
        problem = broken_chain(rows)
        if not problem and head != self.manifest["heads"][self.name]:
            problem = "the chain does not end in the head that the manifest names"
        problem = problem or self._every_revision()
        revisions = int(rows["revision"].max()) if len(rows["revision"]) else 0
        return ProofVerdict(self.name, len(rows["time"]), revisions, self.difference, head, problem)

    def _every_revision(self) -> str:
        """The rows as they stood before each run that restated, and as they stand now."""
        moments = sorted(set(self.rows["known"][self.rows["revision"] > 1].tolist()))
        for moment in [*(at - 1 for at in moments), None]:
            rows = _latest(self.rows, by=("time",), moment=moment)
            problem = self._as_known(rows, moment) if len(rows["time"]) else ""
            if problem:
                return problem if moment is None else f"as it was before {iso(moment + 1)}: {problem}"
        return ""

    def _as_known(self, rows: Columns, moment: int | None) -> str:
        rules = {number: self._rules(number) for number in np.unique(rows["methodology_id"]).tolist()}
        windows = rules[int(rows["methodology_id"][-1])].perpetual_windows
        market = taken(self._market(moment, last_us=int(rows["time"].max())), windows)
        known = [
            _change(change)
            for change in self.changes
            if (moment is None or change["known"] <= moment)
            and (change["until"] is None or (moment is not None and moment < change["until"]))
        ]
        settled = settled_of(known, until_us=int(rows["time"].max()), market=market)
        stored = _level_rows(rows)
        difference, problem = levels_problem(stored, market=market, settled=settled, rules=rules)
        self.difference = max(self.difference, difference)
        return problem

    def _market(self, moment: int | None, *, last_us: int) -> Market:
        rates = _latest(self.rates, by=("asset_id", "time"), moment=moment)
        rates = pick(rates, rates["time"] <= last_us)
        slugs = {item["asset"] for change in self.changes for item in change["items"]}
        market = assemble(
            [_line(one) for one in self.manifest["lines"] if one["slug"] in slugs],
            RateSeries(
                rates["asset_id"],
                rates["time"],
                rates["rate"],
                rates["status"].astype(np.int8),
                rates.get("flags", np.zeros(len(rates["time"]))).astype(np.int8),
            ),
            clock=[us for us in self.rows["time"].tolist() if us <= last_us],  # 00:00 UTC has a level without any rate
        )
        # the clock of an index has the instants of all its candidates; only its published ones count here
        published = np.isin(market.times_us, self.rows["time"])
        return market.rows(published | (market.times_us < self.rows["time"].min()))

    def _rules(self, number: int) -> Methodology:
        entry = next((one for one in self.manifest["methodologies"] if one["id"] == number), None)
        if entry is None:
            raise InputError(f"the proof of {self.name} lacks the rules (version {number}) of some of its levels")
        rules = load_methodology(entry["text"], source=f"{self.name} {entry['version']}")
        if rules.hash != entry["hash"]:
            raise InputError(f"the rules of {self.name} {entry['version']} are not those they were hashed from")
        return rules


def _level_rows(rows: Columns) -> LevelRows:
    """Columns of a proof as a store's rows."""
    none = np.zeros(len(rows["time"]))  # older proofs do not tell
    rows = {"perpetual_weight": none, "constituents": none.astype(np.int64), **rows}
    rows = {**rows, "status": rows["status"].astype(np.int8)}
    columns: dict[str, Any] = {name: rows[NAMES.get(name, name)] for name in LevelRows.__dataclass_fields__}
    return LevelRows(**{name: one.tolist() if one.dtype == object else one for name, one in columns.items()})


def _line(given: Mapping[str, Any]) -> LineFacts:
    return LineFacts(given["slug"], given["sub_sector"], 1, tuple(LinePart(**part) for part in given["parts"]))


def _change(given: Mapping[str, Any]) -> RebalancingRow:
    unknown = {
        name: "" if name in ("symbol", "sub_sector", "reason") else None
        for name in RebalancingItemRow.__dataclass_fields__
    }
    body = {name: given[name] for name in RebalancingRow.__dataclass_fields__}
    body["items"] = tuple(RebalancingItemRow(**{**unknown, **item}) for item in given["items"])
    return RebalancingRow(**{**body, **{name: from_us(body[name]) for name in ("reference_at", "effective_at")}})


def _latest(rows: Columns, *, by: Sequence[str], moment: int | None) -> Columns:
    """The last revision of each key, of the rows known by a moment, in key order."""
    known = rows if moment is None else pick(rows, rows["known"] <= moment)
    known = pick(known, np.lexsort([known["revision"], *(known[name] for name in reversed(by))]))
    return pick(known, last_of_each(*(known[name] for name in by)))


def _columns(body: bytes) -> Columns:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(pa.BufferReader(body))
    return {
        name: array_of(column.to_pylist(), np.dtype(object)) if pa.types.is_binary(column.type) else column.to_numpy()
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
