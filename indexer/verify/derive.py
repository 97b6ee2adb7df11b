"""What a run stored, derived again from its archived inputs: written into another store by the program's own writers.

Place in the flow: `replay.py` goes through the runs; here is what each kind of run was fed with and how its rows come
of it. A file, its manifest and the meaning of its symbols, the calls and answers of a job, the memory and rules of a
fixing, the proof of a reading of chains: all are taken from the archive as they were on the day.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from indexer.errors import SourceError
from indexer.files.archived import read_import
from indexer.files.importing import write_rows
from indexer.live import benchmarks, filling, fixing, measures, supply
from indexer.live.asking import Question, Reply, series_of
from indexer.live.audit import ANSWERS, manifests_of, read_exchange
from indexer.live.bars import write_missing
from indexer.live.chain.snapshots import replayed, rules_mark, usage_series
from indexer.live.chain.supply_rows import SOURCE as ONCHAIN
from indexer.live.chain.supply_rows import supply_rows
from indexer.live.context import asset_of
from indexer.registry import Registry
from indexer.sources.base import Mapped, Source
from indexer.sources.records import Bars, in_usd
from indexer.sources.registry import REGISTRY
from indexer.store.archive import Archive, read_payloads
from indexer.store.assets import read_assets
from indexer.store.bars import write_metrics
from indexer.store.db import Store
from indexer.store.rows import PayloadRow, RunRow, SupplyRow
from indexer.store.runs import HISTORY
from indexer.store.supplies import read_supplies, read_supplies_of, write_supplies
from indexer.times import from_us, parse_instant, to_us

if TYPE_CHECKING:
    from onchain.tokens import Token


@dataclass
class Derivation:
    """Derives runs of one store into another, which has the same assets, listings and benchmarks under their ids."""

    store: Store
    into: Store
    archive: Archive
    registry: Registry
    tokens: Mapping[str, Token]
    _sources: dict[str, Source] = field(default_factory=dict)

    def derive(self, run: RunRow, run_id: int) -> bool:
        """Writes what a run's archived inputs give, as the run `run_id`; False when none were kept that give rows.

        Raises NotFoundError when bytes are gone, VerificationError when they are damaged.
        """
        if "record" in run.detail:
            for rows in read_import(self.archive, str(run.detail["record"])):
                write_rows(self.into, run_id, rows)
            return True
        if run.kind == fixing.KIND and "manifest" in run.detail:
            self._fixing(run_id, str(run.detail["manifest"]))
            return True
        manifests = list(manifests_of(self.store, self.archive, run.id))
        histories = [manifest for manifest in manifests if manifest["kind"] == HISTORY]
        if histories:
            self._history(run_id, histories)
            charts = [self._reply(one) for each in manifests if each["kind"] == ANSWERS for one in each["exchanges"]]
            due = run.due_at or run.started_at
            supply.write_reported(self.into, run_id, charts, registry=self.registry, due=due)
            return True
        linked = read_payloads(self.store, run.id)
        proofs = [one for one in linked if one.source == ONCHAIN and one.url.startswith("snapshot")]
        if proofs:
            return self._chains(run, run_id, proofs)
        exchanges = [exchange for manifest in manifests for exchange in manifest["exchanges"]]
        return bool(exchanges) and self._answers(run, run_id, exchanges)

    def _answers(self, run: RunRow, run_id: int, exchanges: Sequence[Mapping[str, Any]]) -> bool:
        """What the answers of a job give; False for a job whose answers only check what others wrote."""
        due = run.due_at or run.started_at
        if run.kind in ("benchmarks", "benchmark-hours"):
            benchmarks.write_answers(self.into, run_id, [self._reply(one) for one in exchanges])
        elif run.kind == "supply":
            replies = [self._reply(one) for one in exchanges]
            supply.write_reported(self.into, run_id, replies, registry=self.registry, due=due)
        elif run.kind == measures.STRESS:
            measures.write_measures(self.into, run_id, [self._reply(one) for one in exchanges], due=due)
        elif run.kind == measures.USAGE:
            write_metrics(self.into, run_id, series_of([self._reply(one) for one in exchanges]))
        else:
            return False
        return True

    def _fixing(self, run_id: int, manifest: str) -> None:
        again = fixing.replay_fixing(self.archive, manifest)
        at_us = again.fixed.at_us
        bars = fixing.evidence(again.rows, again.got, at_us=at_us)
        write_missing(self.into, run_id, bars, {row.source: self._source(row.source) for row, _ in bars}, interval="1h")
        ids = {asset.slug: int(asset.id) for asset in read_assets(self.into)}
        fixing.write_fixed(self.into, run_id, again.fixed, again.rows, ids=ids)

    def _history(self, run_id: int, manifests: Sequence[Mapping[str, Any]]) -> None:
        """The bars of each plan, in dollars at the rates of its own quote currencies, where none was stored before."""
        plans: dict[tuple[str, int, int], list[Mapping[str, Any]]] = {}
        for manifest in manifests:
            plan = (manifest["interval"], manifest["start_us"], manifest["end_us"])
            plans.setdefault(plan, []).extend(manifest["exchanges"])
        for (interval, start_us, end_us), exchanges in plans.items():
            markets: dict[str, dict[str, list[Bars]]] = {}
            series: dict[Mapped, list[Bars]] = {}
            for exchange in exchanges:
                asset, at, source = exchange["subject"].partition("@")
                bars = self._bars(exchange)
                if bars is not None and at:
                    row = Mapped(asset, source, exchange["symbols"][0], exchange["quote"])
                    series.setdefault(row, []).append(bars)
                elif bars is not None:
                    markets.setdefault(asset, {}).setdefault(exchange["source"], []).append(bars)
            rates = {
                quote: filling.hourly_rate(quote, by_source, interval, start_us=start_us, end_us=end_us)
                for quote, by_source in markets.items()
            }
            sources = {row.source: self._source(row.source) for row in series}
            for answers in zip_longest(*series.values()):  # several of one series may overlap: one after the other
                parts = [
                    (row, bars if bars.quote == "USD" else in_usd(bars, rates[bars.quote]))
                    for row, bars in zip(series, answers, strict=True)
                    if bars is not None and (bars.quote == "USD" or bars.quote in rates)
                ]
                write_missing(self.into, run_id, parts, sources, interval=interval)

    def _bars(self, exchange: Mapping[str, Any]) -> Bars | None:
        """The bars of an exchange; None where the answer was refused on the day too, or had none."""
        try:
            bars = self._reply(exchange).parsed[0][2].bars
        except SourceError:
            return None
        if bars is not None and "before_us" in exchange:  # of a rate that came late, what was still used
            bars = bars.take(bars.time_us < exchange["before_us"])
        return bars if bars is not None and len(bars) else None

    def _reply(self, exchange: Mapping[str, Any]) -> Reply:
        name = exchange["source"]
        call, answer, parsed = read_exchange(exchange, self.archive, {name: self._source(name)})
        return Reply(Question(exchange["subject"], name, call.ask), ((call, answer, parsed),), None)

    def _source(self, name: str) -> Source:
        if name not in self._sources:
            self._sources[name] = REGISTRY[name]()
        return self._sources[name]

    def _chains(self, run: RunRow, run_id: int, proofs: Sequence[PayloadRow]) -> bool:
        """The supplies that the proofs give; False where a supply rule is another than on the day.

        What a look at earlier blocks confirmed or withdrew is not in a proof: those rows are the earlier ones but for
        their finality, and are taken over.
        """
        if any(f"rules {rules_mark(self.tokens, self._symbols(proof))}" not in proof.url for proof in proofs):
            return False
        known = {_reading(row) for row in read_supplies(self.into)}
        rows = read_supplies_of(self.store, run.id)
        write_supplies(self.into, run_id, [row for row in rows if _reading(row) in known])
        for payload in proofs:
            proof = json.loads(self.archive.get(payload.sha256))
            again = payload.url.startswith("snapshot again at ")
            seen = from_us(parse_instant(payload.url.split()[3].rstrip(","))) if again else None
            shot = replayed(self.tokens, proof)
            found = {s: asset_of(self.tokens[s], self.registry, at_us=to_us(run.started_at)) for s in shot.supplies}
            assets = {symbol: asset for symbol, asset in found.items() if asset is not None}
            for symbol, asset in assets.items():
                if shot.supplies[symbol].status == "on_chain" or not again:
                    write_supplies(self.into, run_id, supply_rows(shot.supplies[symbol], asset, observed_at=seen))
            if not again:
                write_metrics(self.into, run_id, list(usage_series(shot, assets)))
        return True

    def _symbols(self, proof: PayloadRow) -> list[str]:
        symbols: list[str] = json.loads(self.archive.get(proof.sha256))["symbols"]
        return symbols


def _reading(row: SupplyRow) -> SupplyRow:
    """A supply without what a later look at its block changes."""
    return replace(row, finality=None, revision=1)
