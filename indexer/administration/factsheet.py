"""The factsheets of an index and of one of its constituents, as of one published level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from indexer.administration.explain import ExplainedConstituent, Explanation
from indexer.analytics.performance import period_returns, risk
from indexer.errors import NotEnoughDataError, NotFoundError, did_you_mean
from indexer.methodology.actions import CorporateAction, EventLog, of_assets
from indexer.registry import Asset, Registry
from indexer.store.db import Store
from indexer.store.indices import read_index, read_indices
from indexer.store.levels import read_levels
from indexer.store.rebalancings import read_memberships, read_rebalancings
from indexer.studies.report.blocks import ACCENT, Block, Cards, Document, Heading, Picture, Table, Text
from indexer.studies.series import token_series
from indexer.times import DAY_US, iso, to_us

REVIEWS = ("base", "rebalance", "reconstitution", "resumption")
MOST = 8

PERIODS = (("30 days", "30d"), ("90 days", "90d"), ("1 year", "1y"))
HEADERS = ("token", "sub-sector", "weight", "target", "price USD", "supply", "supply from")
# A line of more points is no clearer.
POINTS = 800
Figures = tuple[tuple[str, str], ...]


def index_factsheet(store: Store, newest: Explanation) -> Document:
    """The factsheet of an index as of an explained level. Raises NotEnoughDataError with less than two days."""
    rows = read_levels(store, newest.index, step_us=DAY_US, end_us=to_us(newest.time) + 1)
    if len(rows) < 2:
        raise NotEnoughDataError(f"index {newest.index} has {len(rows)} daily levels; a factsheet needs two")
    name = read_index(store, newest.index).name
    weights = np.array([row.weight for row in newest.constituents])
    figures = (
        ("Level", f"{newest.level:,.2f}"),
        ("As of (UTC)", f"{newest.time:%Y-%m-%d}"),
        ("Status", newest.status),
        *_performance(rows.times_us, rows.levels, since="Since base"),
        ("Constituents", f"{len(weights)} (effective {1 / (weights**2).sum():.1f})"),
    )
    picture = _line(rows.times_us, rows.levels, label=f"chart of {len(rows)} daily levels of {name}")
    table = Table(HEADERS, _rows(newest))
    return _document(newest, title=name, of="Index", figures=figures, body=[picture, Heading("Constituents"), table])


def _document(newest: Explanation, *, title: str, of: str, figures: Figures, body: Sequence[Block]) -> Document:
    """The factsheet around its body; at its end what `deai verify` and `deai explain` go by."""
    return Document(
        title,
        f"{of} {newest.index}{' (SIMULATED)' if newest.simulated else ''}, factsheet of {newest.time:%Y-%m-%d}",
        (
            Cards(tuple((label, value, "") for label, value in figures)),
            *body,
            Heading("Evidence"),
            Text(f"Rules {newest.methodology_version}, hash {newest.methodology_hash}."),
            Text(f"Hash of the level: {newest.hash}; check with deai verify."),
        ),
    )


def _performance(times: np.ndarray, values: np.ndarray, *, since: str) -> Figures:
    """Moves over the usual periods, volatility and deepest fall of daily values (T,), T >= 2, as /performance says."""
    moves = {move.period: move.value for move in period_returns(times, values)}
    figures = [(name, f"{moves[period]:+.1%}") for name, period in PERIODS if moves[period] is not None]
    figures.append((since, f"{moves['all']:+.1%}"))
    volatility = risk(times[-366:], values[-366:]).volatility
    figures += [] if volatility is None else [("Volatility, 1 year", f"{volatility:.1%}")]
    return (*figures, ("Deepest fall", f"{risk(times, values).max_drawdown:.1%}"))


def _line(times_us: np.ndarray, values: np.ndarray, *, label: str) -> Picture:
    """A line of daily values, the last one always among its points."""
    step = max(1, len(values) // POINTS)
    rows = np.r_[np.arange(0, len(values) - 1, step), len(values) - 1]
    points = zip((times_us[rows] // 1000).tolist(), values[rows].tolist(), strict=True)
    time = {"title": None, "format": "%b %Y"}
    spec = {
        "data": {"values": [{"t": t, "y": y} for t, y in points]},
        "mark": {"type": "line", "color": ACCENT, "strokeWidth": 1.6},
        "encoding": {
            "x": {"field": "t", "type": "temporal", "scale": {"type": "utc"}, "axis": time},
            "y": {"field": "y", "type": "quantitative", "scale": {"zero": False}, "axis": {"title": None}},
        },
    }
    return Picture(spec, label, height=260)


def _section(title: str, headers: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, empty: str = "") -> list[Block]:
    """A titled table, or what its absence means."""
    return [Heading(title), Table(headers, tuple(rows)) if rows else Text(empty)]


def _rows(newest: Explanation) -> tuple[tuple[str, ...], ...]:
    ordered = sorted(newest.constituents, key=lambda row: -row.weight)
    return tuple(
        (
            row.symbol,
            row.sub_sector,
            f"{row.weight:.2%}",
            f"{row.weight_target:.2%}",
            f"{row.price:,.4g}",
            "–" if row.supply is None else f"{row.supply.tokens:,.0f}",
            "–" if row.supply is None else (row.supply.origin or "–").replace("_", " "),
        )
        for row in ordered
    )


def constituent_factsheet(
    store: Store, registry: Registry, *, newest: Explanation, token: str, log: EventLog
) -> Document:
    """The factsheet of a constituent (slug or symbol) as of an explained level of the index.

    Raises NotFoundError for a token that the index does not hold, NotEnoughDataError with less than two daily rates.
    """
    row = _held(newest, token)
    asset = registry.by_slug.get(row.asset)
    if asset is None:
        raise NotFoundError(
            f"{newest.index} holds {row.symbol}, which this registry does not have; set DEAI_REGISTRY to the one the "
            "index was built with"
        )
    until_us = to_us(newest.time)
    times, prices = _daily(store, row.asset, until_us=until_us)
    contribution = () if row.contribution is None else (("Contribution", f"{row.contribution:+.4%}"),)
    figures: Figures = (
        ("Price USD", f"{row.price:,.6g}"),
        ("As of (UTC)", f"{row.price_at:%Y-%m-%d %H:%M}"),
        ("Rate", f"{row.price_status}{', carried' if row.carried else ''}"),
        ("Weight", f"{row.weight:.2%}"),
        ("Target", f"{row.weight_target:.2%}"),
        ("Units", f"{row.units:,.0f}"),
        *contribution,
        *_performance(times, prices, since="Since first rate"),
    )
    line = [other.slug for other in registry.assets if other.line == asset.line]
    body: list[Block] = [
        _line(times, prices, label=f"chart of {len(prices)} daily rates of {row.symbol} in USD"),
        *_section("Identity", ("what", "value"), _identity(asset, registry)),
        *_quotes(row),
        *_supply(row),
        *_decisions(store, newest.index, row.asset, until_us=until_us),
        *_places(store, row.asset, at_us=until_us),
        *_actions(of_assets(log, line)),
    ]
    title = f"{asset.name} ({row.symbol})"
    return _document(newest, title=title, of="Constituent of", figures=figures, body=body)


def _held(newest: Explanation, token: str) -> ExplainedConstituent:
    wanted = token.casefold()
    matches = [row for row in newest.constituents if wanted in (row.asset.casefold(), row.symbol.casefold())]
    if not matches:
        names = [row.asset for row in newest.constituents]
        raise NotFoundError(
            f'"{token}" is no constituent of {newest.index} at {iso(to_us(newest.time))}.{did_you_mean(wanted, names)} '
            f"It holds: {', '.join(sorted(names))}."
        )
    return matches[0]


def _daily(store: Store, slug: str, *, until_us: int) -> tuple[np.ndarray, np.ndarray]:
    """Rates at 00:00 UTC, in the last token of the line."""
    series = token_series(store, slug)
    rows = (series.times_us % DAY_US == 0) & (series.times_us <= until_us)
    if rows.sum() < 2:
        raise NotEnoughDataError(f"{slug} has {int(rows.sum())} daily rates; a factsheet needs two")
    return series.times_us[rows], series.values[rows]


def _identity(asset: Asset, registry: Registry) -> tuple[tuple[str, str], ...]:
    labels = ", ".join(label.symbol for label in asset.symbols)
    before = [step for step in registry.successions if step.to == asset.slug]
    rows = [
        ("chain and contract", f"{asset.chain} {asset.contract or '(native)'}"),
        ("decimals", str(asset.decimals)),
        ("sub-sector", registry.sub_sectors.get(asset.sub_sector, asset.sub_sector)),
        ("symbols", labels),
        *(("from", f"{step.from_} at {step.ratio:g}, {step.effective:%Y-%m-%d} ({step.kind})") for step in before),
    ]
    if asset.launched:
        rows.append(("launched", f"{asset.launched:%Y-%m-%d}"))
    return tuple(rows)


def _quotes(row: ExplainedConstituent) -> list[Block]:
    rows = tuple(
        (quote.venue, quote.symbol, quote.interval, f"{quote.price:,.6g}", _number(quote.volume_usd), quote.verdict)
        for quote in row.quotes
    )
    headers = ("venue", "symbol", "bar", "price USD", "volume USD", "verdict")
    title = f"Newest rate, by {row.method.replace('_', ' ')}"
    return _section(title, headers, rows, empty="No venue's quote of it is stored.")


def _supply(row: ExplainedConstituent) -> list[Block]:
    headers = ("supply", "tokens", "origin", "source", "observed", "where")
    supply = row.supply
    if supply is None:
        return _section("Supply", headers, (), empty="It was weighed without a supply.")
    where = supply.chain or "–"
    where += f" block {supply.block_number:,}" if supply.block_number is not None else ""
    observed = "–" if supply.observed_at is None else f"{supply.observed_at:%Y-%m-%d}"
    rows = [("weighed with", f"{supply.tokens:,.0f}", supply.origin or "–", supply.source or "–", observed, where)]
    for left in supply.exclusions:
        day = f"{left.observed_at:%Y-%m-%d}"
        rows.append((f"not counted: {left.kind}", f"{left.tokens:,.0f}", left.origin, left.source, day, ""))
    return _section(f"Supply at the review of {supply.reference_at:%Y-%m-%d}", headers, rows)


def _places(store: Store, slug: str, *, at_us: int) -> list[Block]:
    """The indices that hold it."""
    rows = [
        (index.id, f"{row.valid_from:%Y-%m-%d}", row.reason_in)
        for index in read_indices(store)
        for row in read_memberships(store, index.id, at_us=at_us)
        if row.asset == slug
    ]
    return _section("Held by", ("index", "since", "why"), rows, empty="No index holds it.")


def _decisions(store: Store, index_id: str, slug: str, *, until_us: int) -> list[Block]:
    """The newest reviews, with what was decided of it and why."""
    rows: list[tuple[str, ...]] = []
    for change in reversed(read_rebalancings(store, index_id, end_us=until_us + 1)):
        item: Any = next((item for item in change.items if item.asset == slug and item.reason), None)
        if item is not None and change.kind in REVIEWS and len(rows) < MOST:
            rank = "–" if item.rank is None else str(item.rank)
            cap, adv = _number(item.free_float_cap_usd), _number(item.median_adv_usd)
            rows.append((f"{change.effective_at:%Y-%m-%d}", rank, f"{item.weight_target:.2%}", cap, adv, item.reason))
    headers = ("effective", "rank", "target", "float cap USD", "median ADV USD", "why")
    return _section(f"Reviews of {index_id}", headers, rows, empty="None yet.")


def _actions(actions: Sequence[CorporateAction]) -> list[Block]:
    rows = tuple(
        (
            f"{action.effective:%Y-%m-%d}",
            action.kind.value.replace("_", " "),
            action.asset,
            action.into or "–",
            action.source,
        )
        for action in actions
    )
    headers = ("effective", "kind", "token", "into", "source")
    return _section("Corporate actions", headers, rows, empty="None in the log.")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
