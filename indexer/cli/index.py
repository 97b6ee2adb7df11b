"""Commands that read: levels, constituents, performance, price, metrics, fundamentals, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote

import typer

from indexer.cli.command import (
    Answer,
    AsOf,
    At,
    IndexId,
    IndexOption,
    instant_us,
    opened,
    progress,
    say,
    table,
    table_of,
)
from indexer.errors import InputError, NotFoundError
from indexer.times import INTERVAL_US, iso

if TYPE_CHECKING:
    from indexer.arrays import F64, I8, I64
    from indexer.studies.fundamentals import FundamentalsStudy
    from indexer.studies.performance import PerformanceStudy

Start = Annotated[str | None, typer.Option(help="First instant (date, ISO, or epoch seconds).")]
End = Annotated[str | None, typer.Option(help="End, not included (date, ISO, or epoch seconds).")]
Interval = Annotated[
    Literal["1m", "5m", "1h", "1d"], typer.Option(help="Levels at full minutes, hours or days (00:00 UTC).")
]


def levels(
    index: IndexId = "deai",
    start: Start = None,
    end: End = None,
    interval: Interval = "1d",
    last: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 30,
) -> Answer:
    """Show levels of an index. Example: deai levels deai --interval 1h --last 24"""
    from indexer.store.levels import read_levels

    step_us = INTERVAL_US[interval]
    with opened() as (store, _):
        rows = read_levels(
            store, index, start_us=instant_us(start), end_us=instant_us(end), step_us=step_us, limit=last
        )
    body = _series(rows.times_us, rows.status, level=rows.levels, carried_weight=rows.carried_weight.round(4))
    if not body:
        span = f" in [{start or 'the beginning'}, {end or 'now'})" if start or end else ""
        raise NotFoundError(f"{index} has no level at a full {interval}{span}; see deai status {index}")
    gaps = rows.times_us[1:] - rows.times_us[:-1]
    daily = interval != "1d" and len(gaps) and gaps.min() >= INTERVAL_US["1d"]
    title = f"{index}, {'daily levels: there is none between them' if daily else interval}"
    payload = {"index": index, "interval": interval, "levels": body}
    return Answer(payload, lambda: table_of(body, "time, level, status, carried_weight", title=title))


def _series(times_us: I64, status: I8, **columns: F64) -> list[dict[str, object]]:
    """A row for each instant: `time`, the columns, and the status in words."""
    from indexer.engine.market import STATUS_NAMES

    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [
        {"time": iso(at), **dict(zip(columns, row, strict=True)), "status": STATUS_NAMES[code]}
        for at, code, row in zip(times_us.tolist(), status.tolist(), values, strict=True)
    ]


def constituents(
    index: IndexId = "deai",
    at: At = None,
) -> Answer:
    """Show who is in an index, heaviest first. Example: deai constituents deai --at 2025-01-27T21:00Z"""
    from api.local import Client

    with opened() as (store, _), Client(store) as client:
        answer = client.get(f"/v1/indices/{index}/constituents", {"at": at})
    columns = (
        "symbol, weight: weight %, target: weight_target %, USD: rate, since rebalance: change_since_rebalance %, "
        "supply: supply_source, sub-sector: sub_sector"
    )
    title = f"{index}: {answer['count']} constituents at {answer['at']}"
    return Answer(answer, lambda: table_of(answer["data"], columns, title=title))


def performance(index: IndexId = "deai", *, as_of: AsOf = None) -> Answer:
    """Show returns, risk and calendar months of an index or token. Example: deai performance deai"""
    from indexer.studies.performance import study_performance

    with opened(as_of) as (store, _):
        study = study_performance(store, index)
    return Answer(study, lambda: _show_performance(study), wire=True)


def _show_performance(study: PerformanceStudy) -> None:
    say(f"{study.subject} {study.level:,.2f} at {iso(study.last_us)}; simple returns of daily levels, no interest")
    periods = {period.period: f"{period.value:.1%}" for period in study.periods if period.value is not None}
    table(list(periods), [list(periods.values())])
    table_of(
        study.risk,
        "window, return: cumulative %, a year: cagr %, vol.: volatility %, Sharpe: sharpe, Sortino: sortino, "
        "deepest: max_drawdown %, best: best_day %, worst day: worst_day %",
        title="Risk",
    )
    years = {month.year: {m.month: m for m in study.months if m.year == month.year} for month in study.months}
    table(
        ("year", *MONTHS),
        [(str(year), *(f"{m.value:.0%}" if (m := known.get(n)) else None for n in range(1, 13)))
         for year, known in years.items()],
        title="Calendar months",
    )  # fmt: skip
    for row in study.tracking:
        say(f"beside {row.beside}: correlation {row.correlation:.2f}, tracking error {row.tracking_error:.1%} a year")
    broken = [row.period for row in study.periods if row.over_gap and row.value is not None]
    broken += [f"{row.year}-{row.month:02d}" for row in study.months if row.over_gap]
    if broken:
        say(f"note: over days without a level: {', '.join(broken)}")
    if study.left_out:
        say(f"note: {study.left_out}")


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def price(
    symbol: Annotated[str, typer.Argument(help="Symbol or name of a token, e.g. TAO.")],
    last: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 10,
) -> Answer:
    """Show the newest reference rates of a token in USD. Example: deai price TAO"""
    from indexer.store.assets import read_asset
    from indexer.store.rates import read_rates

    with opened() as (store, _):
        asset = read_asset(store, symbol)
        rates = read_rates(store, asset_id=asset.id)
    rows = _series(rates.time_us[-last:], rates.status[-last:], usd=rates.rate[-last:])
    if not rows:
        raise NotFoundError(f"{asset.symbol} has no reference rate yet; `deai import` its prices or `deai update`")
    payload = {"asset": asset.slug, "symbol": asset.symbol, "rates": rows}
    title = f"{asset.symbol}, reference rate in USD"
    return Answer(payload, lambda: table_of(rows, "time, usd, status", title=title))


def metrics(
    symbol: Annotated[str, typer.Argument(help="Symbol or name of an asset, e.g. TAO.")],
    metric: Annotated[str | None, typer.Option(help="The history of this metric, e.g. fees_usd.")] = None,
    last: Annotated[int, typer.Option(min=1, help="At most so many values of it, the newest.")] = 30,
) -> Answer:
    """Show what is measured of an asset's network and market. Example: deai metrics TAO --metric fees_usd"""
    from api.local import Client

    asked = {"metric": metric, "last": 1 if metric is None else last}
    with opened() as (store, _), Client(store) as client:
        answer = client.get(f"/v1/assets/{quote(symbol, safe='')}/metrics", asked)

    def show() -> None:
        subject = answer["symbol"]
        if answer["data"]:
            grades = {(series["metric"], series["source"]): series["grade"] for series in answer["series"]}
            rows = [{**row, "grade": grades[row["metric"], row["source"]]} for row in answer["data"]]
            title = f"{subject}: {metric or 'the newest of each metric'}"
            table_of(rows, "time, metric, value, source, grade", title=title)
        else:
            say(f"Nothing is measured of {subject}{f' as {metric}' if metric else ''} yet.")
        for absent in answer["absent"]:
            say(f"not measured: {absent['what']}: {absent['reason']}")

    return Answer(answer, show)


def fundamentals(
    index: IndexId = "deai",
    *,
    at: At = None,
    days: Annotated[int, typer.Option(min=1, help="Days of history of the index's figures (with --json).")] = 1,
    as_of: AsOf = None,
) -> Answer:
    """Show what the networks of an index earn, issue and stake. Example: deai fundamentals deai"""
    from indexer.studies.fundamentals import study_fundamentals

    with opened(as_of) as (store, _):
        study = study_fundamentals(store, index, at_us=instant_us(at), days=days)
    return Answer(study, lambda: _show_fundamentals(study), wire=True)


def _show_fundamentals(study: FundamentalsStudy) -> None:
    say(f"{study.index_id} at {iso(study.at_us)}, over the 30 days before; definitions: docs/onchain.md")
    columns = "figure, value, of weight: coverage %, tokens: members, how: rule"
    table_of(study.aggregates, columns, title="The index")
    columns = "symbol, weight: weight %, dilution, staking_share, price_to_fees, realised_turnover, fees_usd, tvl_usd"
    table_of(study.tokens, columns, title="Its constituents")


def export(
    path: Annotated[Path | None, typer.Argument(help="File to write: .csv, .parquet or .json by its name.")] = None,
    index: IndexOption = "deai",
    interval: Interval = "1h",
    start: Start = None,
    end: End = None,
    proof: Annotated[
        Path | None, typer.Option(help="Write instead a proof of all indices that needs no database to check.")
    ] = None,
) -> Answer:
    """Write the levels of an index to a file. Example: deai export deai.parquet --interval 1d

    With --proof FILE.zip: everything that re-derives every level, for `deai verify --from FILE.zip`.
    """
    if proof is not None:
        from indexer.cli.verify import export_proof_file

        return export_proof_file(proof)
    if path is None:
        raise InputError("name the file to write, e.g. deai export deai.csv; or --proof FILE.zip")
    from api.answers.encode import write_levels
    from indexer.store.indices import read_index
    from indexer.store.levels import read_levels
    from indexer.store.runs import read_version
    from indexer.store.seals import chain_of

    with opened() as (store, _), progress(f"writing {path.name}") as tick:
        step_us = INTERVAL_US[interval]
        rows = read_levels(store, index, step_us=step_us, start_us=instant_us(start), end_us=instant_us(end))
        chain = chain_of(store, index)
        write_levels(path, read_index(store, index), rows, version=read_version(store), chain=chain)
        tick(len(rows), len(rows))
    payload = {"index": index, "file": str(path), "rows": len(rows), "chain": chain}
    return Answer(payload, f"{len(rows):,} levels of {index} in {path}; head {chain['hash']}")


COMMANDS = (levels, constituents, performance, price, metrics, fundamentals, export)
