"""Commands about one's own money: portfolio."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from indexer.cli.analysis import Benchmarks, End
from indexer.cli.command import Json, emit, instant_us, opened, say, table_of
from indexer.studies.report.blocks import percent
from indexer.times import iso

if TYPE_CHECKING:
    from indexer.studies.portfolio import PortfolioStudy


def register(app: typer.Typer) -> None:
    app.command()(portfolio)


def portfolio(
    file: Annotated[Path, typer.Argument(help="CSV, TOML, JSON or a sheet: a symbol and an amount in each row.")],
    *,
    index: Annotated[str, typer.Option(help="Index id.")] = "deai",
    benchmark: Benchmarks = None,
    sessions: Annotated[int | None, typer.Option(min=20, help="Window; 90, or all after --since.")] = None,
    since: Annotated[str | None, typer.Option(help="Since when the holdings are as they are.")] = None,
    end: End = None,
    as_json: Json = False,
) -> None:
    """Show your own holdings beside an index: value, overlap, what earned what, betas. Nothing of them is kept.

    Example: deai portfolio holdings.csv -b QQQ -b NVDA
    """
    from indexer.files.holdings import read_holdings
    from indexer.studies.portfolio import study_portfolio

    held = read_holdings(file)
    with opened() as (store, _):
        study = study_portfolio(
            store, held, index_id=index, benchmarks=benchmark or (), sessions=sessions, since_us=instant_us(since),
            end_us=instant_us(end),
        )  # fmt: skip
    emit(study, wire=True, as_json=as_json, text=lambda: _show_portfolio(study))


def _show_portfolio(study: PortfolioStudy) -> None:
    overlap = study.overlap
    say(
        f"{study.value:,.2f} USD at {iso(study.at_us)}; {overlap.in_index:.1%} of it in tokens of {study.index_id}, "
        f"{overlap.of_index:.1%} of the index held, {overlap.shared:.1%} of the weights in common"
    )
    for row in study.unpriced:
        say(f"in no figure: {row.amount:g} {row.symbol}: {row.reason}")
    table_of(
        study.holdings,
        "token: asset, amount, price, value, weight, in index: index_weight, return: own_return, contribution",
    )
    own, index = percent(study.total), percent(study.index_return)
    span = f"{iso(study.start_us)} to {iso(study.end_us)}"
    table_of(
        study.betas,
        "beta to: benchmark, beta, s.e.: se, low: ci_low, high: ci_high, R²: r2, n, missing because: reason",
        title=f"{study.title}, {span}: {own}, {study.index_id} {index}",
    )
    for note in study.notes:
        say(f"note: {note}")
