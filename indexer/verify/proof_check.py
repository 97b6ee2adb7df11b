"""Checks a proof file without any database: rules, levels by both calculators, every revision, the hash chain."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.engine.level import compute_index
from indexer.engine.market import Market
from indexer.engine.second import compare, second_index
from indexer.errors import InputError
from indexer.levels.assemble import LineFacts, LinePart, VolumeColumns, assemble
from indexer.levels.hash_chain import broken_link
from indexer.levels.markets import taken
from indexer.levels.publish import candidates
from indexer.levels.published import settled_of
from indexer.levels.versions import Versions
from indexer.methodology.load import load_methodology
from indexer.methodology.spec import Methodology
from indexer.store.rows import RateSeries, RebalancingItemRow, RebalancingRow
from indexer.times import from_us, iso

TOLERANCE = 1e-9
Columns = dict[str, NDArray[Any]]


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
    if manifest.get("format") != 1:
        raise InputError(f"{path} has format {manifest.get('format')}; this program reads format 1")
    out = []
    for n, (name, rows) in enumerate(levels.items()):
        out.append(_Check(name, manifest, rates=rates, changes=changes.get(name, []), rows=rows).run())
        progress(n + 1, len(levels))
    return out


class _Check:
    """One index of a proof."""

    def __init__(
        self,
        name: str,
        manifest: Mapping[str, Any],
        *,
        rates: Columns,
        changes: Sequence[Mapping[str, Any]],
        rows: Columns,
    ) -> None:
        self.name, self.manifest, self.rates, self.changes, self.rows = name, manifest, rates, changes, rows
        self.difference = 0.0

    def run(self) -> ProofVerdict:
        """The verdict."""
        head = self.rows["hash"][-1].hex() if len(self.rows["hash"]) else ""
        problem = self._chain(head) or self._every_revision()
        revisions = int(self.rows["revision"].max()) if len(self.rows["revision"]) else 0
        return ProofVerdict(self.name, len(self.rows["time"]), revisions, self.difference, head, problem)

    def _chain(self, head: str) -> str:
        rows = self.rows
        inputs, before, own = (rows[key].tolist() for key in ("inputs_hash", "prev_hash", "hash"))
        broken = broken_link(
            rows["time"],
            rows["level"],
            revisions=rows["revision"],
            status=rows["status"].astype(np.int8),
            inputs=inputs,
            before=before,
            own=own,
        )
        if not broken and head != self.manifest["heads"][self.name]:
            return "the chain does not end in the head that the manifest names"
        return broken

    def _every_revision(self) -> str:
        """The rows as they stood after each run that restated, and as they stand now."""
        rows = self.rows
        moments = sorted(set(rows["known"][rows["revision"] > 1].tolist()))
        for moment in [*(at - 1 for at in moments), None]:
            problem = self._as_known(moment)
            if problem:
                return problem if moment is None else f"as it was before {iso(moment + 1)}: {problem}"
        return ""

    def _as_known(self, moment: int | None) -> str:
        rows = _latest(self.rows, by=("time",), moment=moment)
        if not len(rows["time"]):
            return ""
        last = int(rows["time"].max())
        ids = rows["methodology_id"]
        rules = {number: self._rules(number) for number in np.unique(ids).tolist()}
        methodology = rules[int(ids[-1])]
        market = taken(self._market(moment, last_us=last), methodology.perpetual_windows)
        settled = settled_of(self._changes(moment), until_us=last, market=market)
        history = compute_index(market, methodology, settled=settled)
        against = compare(history, second_index(market, methodology, settled=settled))
        self.difference = max(self.difference, against.max_relative)
        if against.max_relative > TOLERANCE:
            return f"the plain calculator differs by {against.max_relative:.3g} at {iso(against.first_us or 0)}"
        versions = Versions(
            ids, {n: one.hash for n, one in rules.items()}, {n: one.decimals for n, one in rules.items()}
        )
        if not np.array_equal(history.times_us, rows["time"]):
            return f"{len(rows['time'])} levels are given, recomputing gives {len(history.times_us)}"
        made = candidates(history, market, methodology=methodology, versions=versions)
        for n, given in enumerate(rows["inputs_hash"].tolist()):
            apart = abs(float(rows["level"][n]) - float(made.levels[n])) > 1.5 * float(versions.units()[n])
            if given != made.inputs[n] or apart or int(rows["status"][n]) != int(made.status[n]):
                return f"{iso(int(rows['time'][n]))}: given {rows['level'][n]!r}, recomputed {made.levels[n]!r}"
        return ""

    def _market(self, moment: int | None, *, last_us: int) -> Market:
        rates = _latest(self.rates, by=("asset_id", "time"), moment=moment)
        keep = rates["time"] <= last_us
        slugs = {item["asset"] for change in self.changes for item in change["items"]}
        lines = [_line(one) for one in self.manifest["lines"] if one["slug"] in slugs]
        none = np.zeros(0, dtype=np.int64)
        market = assemble(
            lines,
            RateSeries(
                rates["asset_id"][keep],
                rates["time"][keep],
                rates["rate"][keep],
                rates["status"][keep].astype(np.int8),
                rates.get("flags", np.zeros(len(keep)))[keep].astype(np.int8),
            ),
            volumes=VolumeColumns(none, none, np.zeros(0)),
            supplies=[],
        )
        # the clock of an index has the instants of all its candidates; only its published ones count here
        inside = np.isin(market.times_us, self.rows["time"])
        first = int(self.rows["time"].min())
        before = market.times_us < first
        pick = inside | before
        return market.rows(pick)

    def _changes(self, moment: int | None) -> list[RebalancingRow]:
        """The changes that were known at a moment, or that stand now."""
        return [
            _change(one)
            for one in self.changes
            if (one["until"] is None if moment is None else one["known"] <= moment)
            and (moment is None or one["until"] is None or moment < one["until"])
        ]

    def _rules(self, number: int) -> Methodology:
        given = next((one for one in self.manifest["methodologies"] if one["id"] == number), None)
        if given is None:
            raise InputError(f"the proof of {self.name} lacks the rules (version {number}) of some of its levels")
        made = load_methodology(given["text"], source=f"{self.name} {given['version']}")
        if made.hash != given["hash"]:
            raise InputError(f"the rules of {self.name} {given['version']} are not those they were hashed from")
        return made


def _line(given: Mapping[str, Any]) -> LineFacts:
    return LineFacts(given["slug"], given["sub_sector"], 1, tuple(LinePart(**part) for part in given["parts"]))


def _change(given: Mapping[str, Any]) -> RebalancingRow:
    items = tuple(
        RebalancingItemRow(
            asset=one["asset"], symbol="", sub_sector="", units_before=one["units_before"],
            units_after=one["units_after"], weight_drifted=one["weight_drifted"], weight_target=one["weight_target"],
            price=one["price"], supply=None, supply_source=None, free_float_cap_usd=None, median_adv_usd=None,
            rank=None, reason="",
        )
        for one in given["items"]
    )  # fmt: skip
    return RebalancingRow(
        id=given["id"],
        index_id=given["index_id"],
        kind=given["kind"],
        reference_at=from_us(given["reference_at"]),
        effective_at=from_us(given["effective_at"]),
        revision=given["revision"],
        methodology_id=given["methodology_id"],
        level=given["level"],
        divisor_before=given["divisor_before"],
        divisor_after=given["divisor_after"],
        turnover=given["turnover"],
        items=items,
    )


def _latest(rows: Columns, *, by: Sequence[str], moment: int | None) -> Columns:
    """The last revision of each key, of the rows known by a moment, in key order."""
    known = np.ones(len(rows["time"]), dtype=np.bool_) if moment is None else rows["known"] <= moment
    picked = {name: column[known] for name, column in rows.items()}
    order = np.lexsort([picked["revision"], *(picked[name] for name in reversed(by))])
    picked = {name: column[order] for name, column in picked.items()}
    if not len(order):
        return picked
    new = np.zeros(len(order) - 1, dtype=np.bool_)
    for name in by:
        new |= picked[name][1:] != picked[name][:-1]
    return {name: column[np.r_[new, True]] for name, column in picked.items()}


def _columns(body: bytes) -> Columns:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(pa.BufferReader(body))
    out: Columns = {}
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_binary(column.type):
            values = np.empty(len(column), dtype=object)
            values[:] = column.to_pylist()
            out[name] = values
        else:
            out[name] = column.to_numpy()
    return out
