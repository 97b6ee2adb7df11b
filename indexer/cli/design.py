"""Commands of index design and of documents: backtest, sweep, document, proofs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from indexer.cli.output import emit, progress, say, table

if TYPE_CHECKING:
    from indexer.backtest.sweep import Tried

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead of text.")]


def register(app: typer.Typer) -> None:
    app.command()(backtest)
    app.command()(sweep)
    app.command()(document)


def backtest(
    file: Annotated[Path, typer.Argument(help="An index TOML file.")],
    hourly: Annotated[bool, typer.Option("--hourly", help="Over hourly levels instead of daily ones.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the daily levels to this Parquet file.")] = None,
    as_json: Json = False,
) -> None:
    """Run a methodology over the stored history; nothing is stored. Example: deai backtest my-index.toml"""
    from indexer.backtest.design import run_backtest
    from indexer.cli.session import opened

    with opened() as (store, settings):
        made = run_backtest(store, settings, file=file, hourly=hourly, out=out)
    rows = [(name, getattr(made, name)) for name in made.__dataclass_fields__ if name not in ("index", "note")]
    emit(made, as_json=as_json, text=lambda: table(("figure", "value"), rows, title=f"{made.index} ({made.note})"))


def sweep(
    file: Annotated[Path, typer.Argument(help="An index TOML file with a table [sweep] of lists.")],
    by: Annotated[str, typer.Option(help="Rank by: tracking_error, turnover, effective_number, …")] = "tracking_error",
    top: Annotated[int, typer.Option(min=1, help="Show so many.")] = 15,
    out: Annotated[Path | None, typer.Option(help="Write every row to this Parquet file.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; as many as cores when not given.")] = None,
    as_json: Json = False,
) -> None:
    """Try a grid of parameters over the daily history and rank them. Example: deai sweep grid.toml --by turnover

    The grid: [sweep] with lists at dotted places, e.g. "caps.single" = [0.15, 0.2].
    """
    from indexer.backtest.design import run_sweep
    from indexer.backtest.sweep import as_table
    from indexer.cli.session import opened

    with opened() as (store, settings), progress("trying", quiet=as_json) as tick:
        tried = run_sweep(store, settings, file=file, by=by, out=out, workers=workers, progress=tick)
    rows = as_table(tried)
    emit(rows, as_json=as_json, text=lambda: _show(tried, by, top=top, out=out))


def _show(tried: list[Tried], by: str, *, top: int, out: Path | None) -> None:
    places = list(tried[0].values) if tried else []
    headers = ("rank", *places, "turnover", "eff. N", "largest", "TE", "return/y", "vol/y")
    body = [
        (
            one.rank,
            *(str(one.values[place]) for place in places),
            one.result.turnover,
            one.result.effective_number,
            one.result.largest_weight,
            one.result.tracking_error,
            one.result.annual_return,
            one.result.volatility,
        )
        for one in tried[:top]
        if one.result is not None
    ]
    table(headers, body, title=f"{len(tried):,} combinations by {by}")
    without = [one for one in tried if one.result is None]
    if without:
        say(f"{len(without):,} give no index, e.g.: {without[0].problem}")
    if out is not None:
        say(f"every row is in {out}")


def document(
    index: Annotated[str, typer.Argument(help="Index id.")],
    out: Annotated[Path, typer.Option(help="File to write: .html, .txt; .pdf for a factsheet.")],
    kind: Annotated[str, typer.Option(help="methodology, statement or factsheet.")] = "methodology",
    token: Annotated[str, typer.Option(help="A constituent (slug or symbol): its own factsheet.")] = "",
    at: Annotated[str | None, typer.Option(help="A factsheet as of this instant; the newest when not given.")] = None,
    as_json: Json = False,
) -> None:
    """Write a document of an index, or the factsheet of one of its tokens.

    Example: deai document deai --kind factsheet --token TAO --out tao.pdf
    """
    from indexer.administration.documents.make import FOREVER_US, write_document
    from indexer.cli.session import opened
    from indexer.times import parse_instant, utc_now

    at_us = parse_instant(at) if at else FOREVER_US
    with opened() as (store, settings):
        size = write_document(
            store, settings, index_id=index, kind=kind, path=out, now=utc_now(), token=token, at_us=at_us
        )
    payload = {"index": index, "kind": kind, "token": token or None, "file": str(out), "bytes": size}
    of = f"{token} in {index}" if token else index
    emit(payload, as_json=as_json, text=lambda: say(f"{kind} of {of} is in {out} ({size:,} bytes)"))


def verify_proof(file: Path, *, as_json: bool) -> None:
    """Check a proof file without any database, for `deai verify --from FILE`. Raises VerificationError."""
    from indexer.errors import VerificationError
    from indexer.verify.proof_check import check_proof

    with progress("checking", quiet=as_json) as tick:
        found = check_proof(file, progress=tick)
    headers = ("index", "published rows", "max difference", "head of the chain", "verdict")
    rows = [(v.index_id, v.levels, v.max_difference, v.head[:16] + "…", "holds" if v.ok else v.problem) for v in found]
    emit(found, as_json=as_json, text=lambda: table(headers, rows, title=f"{file}: checked without a database"))
    broken = [v for v in found if not v.ok]
    if broken:
        raise VerificationError("; ".join(f"{v.index_id}: {v.problem}" for v in broken))


def export_proof_file(file: Path, *, as_json: bool) -> None:
    """Write a proof of every index, for `deai export --proof FILE`."""
    from indexer.cli.session import opened
    from indexer.verify.proof import export_proof
    from indexer.workflow.decide import registry_for

    with opened() as (store, settings):
        made = export_proof(store, registry_for(store, settings), path=file)
    said = f"{made.levels:,} levels and {made.rates:,} rates in {made.path}; head of the seals {made.head}"
    emit(made, as_json=as_json, text=lambda: say(said))
