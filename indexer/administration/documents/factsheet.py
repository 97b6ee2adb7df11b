"""The factsheets of an index and of one of its constituents, as of one published level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from indexer.administration.documents.sheet import Figures, Sheet, SheetTable, performance
from indexer.administration.explain import ExplainedConstituent, Explanation
from indexer.errors import NotEnoughDataError, NotFoundError, did_you_mean
from indexer.methodology.actions import CorporateAction, EventLog, of_assets
from indexer.registry import Asset, Registry
from indexer.store.db import Store
from indexer.store.read import read_index, read_indices, read_levels, read_memberships, read_rebalancings
from indexer.studies.series import token_series
from indexer.times import DAY_US, iso, to_us

REVIEWS = ("base", "rebalance", "reconstitution")
MOST = 8

HEADERS = ("token", "sub-sector", "weight", "target", "price USD", "supply", "supply from")


def index_sheet(store: Store, newest: Explanation) -> Sheet:
    """The factsheet of an index as of an explained level. Raises NotEnoughDataError with less than two days."""
    rows = read_levels(store, newest.index, step_us=DAY_US, end_us=to_us(newest.time) + 1)
    if len(rows) < 2:
        raise NotEnoughDataError(f"index {newest.index} has {len(rows)} daily levels; a factsheet needs two")
    name = read_index(store, newest.index).name
    weights = np.array([one.weight for one in newest.constituents])
    head = (
        ("Level", f"{newest.level:,.2f}"),
        ("As of (UTC)", f"{newest.time:%Y-%m-%d}"),
        ("Status", newest.status),
    )
    effective = f"{len(weights)} (effective {1 / (weights**2).sum():.1f})"
    figures = (*head, *performance(rows.times_us, rows.levels, since="Since base"), ("Constituents", effective))
    return Sheet(
        title=name,
        kicker=f"Index {newest.index}{' (SIMULATED)' if newest.simulated else ''}, factsheet",
        figures=figures,
        times_us=rows.times_us,
        values=rows.levels,
        label=f"chart of {len(rows)} daily levels of {name}",
        tables=(SheetTable("Constituents", HEADERS, _rows(newest), numeric=frozenset({2, 3, 4, 5})),),
        evidence=evidence_of(newest),
    )


def evidence_of(said: Explanation) -> tuple[str, ...]:
    """Which rules, and which level: what `deai verify` and `deai explain` go by."""
    return (
        f"Rules {said.methodology_version}, hash {said.methodology_hash}.",
        f"Hash of the level: {said.hash}; check with deai verify.",
    )


def _rows(said: Explanation) -> tuple[tuple[str, ...], ...]:
    ordered = sorted(said.constituents, key=lambda one: -one.weight)
    return tuple(
        (
            one.symbol,
            one.sub_sector,
            f"{one.weight:.2%}",
            f"{one.weight_target:.2%}",
            f"{one.price:,.4g}",
            "–" if one.supply is None else f"{one.supply.tokens:,.0f}",
            "–" if one.supply is None else (one.supply.origin or "–").replace("_", " "),
        )
        for one in ordered
    )


def constituent_sheet(store: Store, registry: Registry, *, newest: Explanation, token: str, log: EventLog) -> Sheet:
    """The factsheet of a constituent (slug or symbol) as of an explained level of the index.

    Raises NotFoundError for a token that the index does not hold, NotEnoughDataError with less than two daily rates.
    """
    one = _held(newest, token)
    asset = registry.by_slug.get(one.asset)
    if asset is None:
        said = f"{newest.index} holds {one.symbol}, which this registry does not have"
        raise NotFoundError(f"{said}; set DEAI_REGISTRY to the one the index was built with")
    times, prices = _daily(store, one.asset, until_us=to_us(newest.time))
    head: Figures = (
        ("Price USD", f"{one.price:,.6g}"),
        ("As of (UTC)", f"{one.price_at:%Y-%m-%d %H:%M}"),
        ("Rate", f"{one.price_status}{', carried' if one.carried else ''}"),
        ("Weight", f"{one.weight:.2%}"),
        ("Target", f"{one.weight_target:.2%}"),
        ("Units", f"{one.units:,.0f}"),
    )
    contribution = () if one.contribution is None else (("Contribution", f"{one.contribution:+.4%}"),)
    return Sheet(
        title=f"{asset.name} ({one.symbol})",
        kicker=f"Constituent of {newest.index}{' (SIMULATED)' if newest.simulated else ''}, factsheet",
        figures=(*head, *contribution, *performance(times, prices, since="Since first rate")),
        times_us=times,
        values=prices,
        label=f"chart of {len(prices)} daily rates of {one.symbol} in USD",
        tables=(
            SheetTable("Identity", ("what", "value"), _identity(asset, registry)),
            _quotes(one),
            _supply(one),
            _decisions(store, newest.index, one.asset, until_us=to_us(newest.time)),
            _places(store, one.asset, at_us=to_us(newest.time)),
            _actions(of_assets(log, [one.slug for one in registry.assets if one.line == asset.line])),
        ),
        evidence=evidence_of(newest),
    )


def _held(newest: Explanation, token: str) -> ExplainedConstituent:
    wanted = token.casefold()
    found = [one for one in newest.constituents if wanted in (one.asset.casefold(), one.symbol.casefold())]
    if not found:
        names = [one.asset for one in newest.constituents]
        raise NotFoundError(
            f'"{token}" is no constituent of {newest.index} at {iso(to_us(newest.time))}.{did_you_mean(wanted, names)} '
            f"It holds: {', '.join(sorted(names))}."
        )
    return found[0]


def _daily(store: Store, slug: str, *, until_us: int) -> tuple[np.ndarray, np.ndarray]:
    """Rates at 00:00 UTC, in the last token of the line."""
    series = token_series(store, slug)
    rows = (series.times_us % DAY_US == 0) & (series.times_us <= until_us)
    if rows.sum() < 2:
        raise NotEnoughDataError(f"{slug} has {int(rows.sum())} daily rates; a factsheet needs two")
    return series.times_us[rows], series.values[rows]


def _identity(asset: Asset, registry: Registry) -> tuple[tuple[str, str], ...]:
    labels = ", ".join(one.symbol for one in asset.symbols)
    before = [step for step in registry.successions if step.to == asset.slug]
    rows = [
        ("chain and contract", f"{asset.chain} {asset.contract or '(native)'}"),
        ("decimals", str(asset.decimals)),
        ("sub-sector", registry.sub_sectors.get(asset.sub_sector, asset.sub_sector)),
        ("symbols", labels),
        *(("from", f"{one.from_} at {one.ratio:g}, {one.effective:%Y-%m-%d} ({one.kind})") for one in before),
    ]
    if asset.launched:
        rows.append(("launched", f"{asset.launched:%Y-%m-%d}"))
    return tuple(rows)


def _quotes(one: ExplainedConstituent) -> SheetTable:
    rows = tuple(
        (quote.venue, quote.symbol, quote.interval, f"{quote.price:,.6g}", _number(quote.volume_usd), quote.verdict)
        for quote in one.quotes
    )
    headers = ("venue", "symbol", "bar", "price USD", "volume USD", "verdict")
    title = f"Newest rate, by {one.method.replace('_', ' ')}"
    return SheetTable(title, headers, rows, frozenset({3, 4}), empty="No venue's quote of it is stored.")


def _supply(one: ExplainedConstituent) -> SheetTable:
    headers = ("supply", "tokens", "origin", "source", "observed", "where")
    said = one.supply
    if said is None:
        return SheetTable("Supply", headers, (), empty="It was weighed without a supply.")
    where = said.chain or "–"
    where += f" block {said.block_number:,}" if said.block_number is not None else ""
    seen = "–" if said.observed_at is None else f"{said.observed_at:%Y-%m-%d}"
    rows = [("weighed with", f"{said.tokens:,.0f}", said.origin or "–", said.source or "–", seen, where)]
    rows += [
        (
            f"not counted: {left.kind}",
            f"{left.tokens:,.0f}",
            left.origin,
            left.source,
            f"{left.observed_at:%Y-%m-%d}",
            "",
        )
        for left in said.exclusions
    ]
    return SheetTable(f"Supply at the review of {said.reference_at:%Y-%m-%d}", headers, tuple(rows), frozenset({1}))


def _places(store: Store, slug: str, *, at_us: int) -> SheetTable:
    """The indices that hold it."""
    rows = [
        (index.id, f"{row.valid_from:%Y-%m-%d}", row.reason_in)
        for index in read_indices(store)
        for row in read_memberships(store, index.id, at_us=at_us)
        if row.asset == slug
    ]
    return SheetTable("Held by", ("index", "since", "why"), tuple(rows), empty="No index holds it.")


def _decisions(store: Store, index_id: str, slug: str, *, until_us: int) -> SheetTable:
    """The newest reviews, with what was decided of it and why."""
    rows: list[tuple[str, ...]] = []
    for change in reversed(read_rebalancings(store, index_id, end_us=until_us + 1)):
        item: Any = next((item for item in change.items if item.asset == slug and item.reason), None)
        if item is not None and change.kind in REVIEWS and len(rows) < MOST:
            rank = "–" if item.rank is None else str(item.rank)
            cap, adv = _number(item.free_float_cap_usd), _number(item.median_adv_usd)
            rows.append((f"{change.effective_at:%Y-%m-%d}", rank, f"{item.weight_target:.2%}", cap, adv, item.reason))
    headers = ("effective", "rank", "target", "float cap USD", "median ADV USD", "why")
    return SheetTable(f"Reviews of {index_id}", headers, tuple(rows), frozenset({1, 2, 3, 4}), empty="None yet.")


def _actions(actions: Sequence[CorporateAction]) -> SheetTable:
    rows = tuple(
        (f"{one.effective:%Y-%m-%d}", one.kind.value.replace("_", " "), one.asset, one.into or "–", one.source)
        for one in actions
    )
    headers = ("effective", "kind", "token", "into", "source")
    return SheetTable("Corporate actions", headers, rows, empty="None in the log.")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
