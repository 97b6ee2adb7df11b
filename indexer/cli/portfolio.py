"""Commands about one's own money: portfolio, scenario, hedge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from indexer.cli.analysis import Benchmarks, End, show_notes
from indexer.cli.command import Answer, AsOf, instant_us, opened, say, table_of
from indexer.errors import InputError
from indexer.studies.report.blocks import percent
from indexer.times import iso

if TYPE_CHECKING:
    from indexer.studies.portfolio import PortfolioStudy


def portfolio(
    file: Annotated[Path, typer.Argument(help="CSV, TOML, JSON or a sheet: a symbol and an amount in each row.")],
    *,
    index: Annotated[str, typer.Option(help="Index id.")] = "deai",
    benchmark: Benchmarks = None,
    sessions: Annotated[int | None, typer.Option(min=20, help="Window; 90, or all after --since.")] = None,
    since: Annotated[str | None, typer.Option(help="Since when the holdings are as they are.")] = None,
    end: End = None,
) -> Answer:
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
    return Answer(study, lambda: _show_portfolio(study), wire=True)


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
        "token: asset, amount, price USD: price, value USD: value, weight, in index: index_weight, "
        "return: own_return, contribution, priced: priced_at_us",
    )
    own, index = percent(study.total), percent(study.index_return)
    span = f"{iso(study.start_us)} to {iso(study.end_us)}"
    table_of(
        study.betas,
        "beta to: benchmark, beta, s.e.: se, low: ci_low, high: ci_high, R²: r2, n, missing because: reason",
        title=f"{study.title}, {span}: {own}, {study.index_id} {index}",
    )
    show_notes(study.notes)


def scenario(
    moves: Annotated[list[str], typer.Argument(help="Benchmark and supposed move of one session, e.g. NVDA=-17%.")],
    *,
    index: Annotated[str, typer.Option(help="Index id.")] = "deai",
    sessions: Annotated[int, typer.Option(min=20, help="Window in exchange sessions.")] = 250,
    end: End = None,
    as_of: AsOf = None,
) -> Answer:
    """Show what a benchmark's move may do to an index, and how often such intervals have held.

    Example: deai scenario NVDA=-17% QQQ=-3%
    """
    from indexer.studies.scenario import study_scenario

    supposed = [_move(text) for text in moves]
    with opened(as_of) as (store, _):
        studies = [
            study_scenario(store, index, name, move, sessions=sessions, end_us=instant_us(end))
            for name, move in supposed
        ]

    def text() -> None:
        for study in studies:
            say(f"{study.statement} (fitted on {study.sessions} sessions up to {iso(study.last_session_us)})")
            show_notes(study.notes)

    return Answer(studies, text, wire=True)


def _move(text: str) -> tuple[str, float]:
    """Benchmark and fraction of `NVDA=-17%`. Raises InputError for another form."""
    name, _, size = text.replace("\u2212", "-").rpartition("=")
    try:
        return name.strip(), float(size.strip().removesuffix("%")) / (100.0 if size.strip().endswith("%") else 1.0)
    except ValueError:
        raise InputError(f'"{text}" is no move; write benchmark and size, such as NVDA=-17%') from None


def hedge(
    notional: Annotated[float, typer.Argument(min=0.0, help="What your position in the index is worth, in USD.")],
    *,
    instrument: Annotated[
        list[str] | None, typer.Option("--with", "-w", help="Benchmark, or NQ or MNQ futures; repeatable.")
    ] = None,
    index: Annotated[str, typer.Option(help="Index id.")] = "deai",
    sessions: Annotated[int, typer.Option(min=20, help="Window in exchange sessions.")] = 250,
    end: End = None,
    as_of: AsOf = None,
) -> Answer:
    """Show how much to sell against a position in an index, and what such a hedge has removed out of sample.

    Example: deai hedge 100000 --with QQQ --with MNQ
    """
    from indexer.studies.scenario import study_hedge

    with opened(as_of) as (store, _):
        studies = [
            study_hedge(store, index, name, notional, sessions=sessions, end_us=instant_us(end))
            for name in instrument or ["QQQ", "MNQ"]
        ]

    def text() -> None:
        columns = (
            "with: instrument, units, USD a unit: unit_value, verdict, beta, removed, in the largest: removed_largest, "
            "at the close of: last_session_us, days old: stale_days"
        )
        table_of(studies, columns, title=f"Against {notional:,.0f} USD of {index}; negative units are sold")
        show_notes(f"{study.instrument}: {study.verdict}: {study.reason}" for study in studies)
        show_notes(note for study in studies for note in study.notes)

    return Answer(studies, text, wire=True)


COMMANDS = (portfolio, scenario, hedge)
