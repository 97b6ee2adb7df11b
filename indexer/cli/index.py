"""Commands that read: levels, metrics, export."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from indexer.cli.command import IndexId, Json, emit, instant_us, opened, progress, say, table
from indexer.times import INTERVAL_US, iso

Start = Annotated[str | None, typer.Option(help="First instant (date, ISO, or epoch seconds).")]
End = Annotated[str | None, typer.Option(help="End, not included (date, ISO, or epoch seconds).")]


class Interval(StrEnum):
    """Which levels: those at full minutes, hours or days (00:00 UTC)."""

    MINUTE = "1m"
    FIVE = "5m"
    HOUR = "1h"
    DAY = "1d"


def register(app: typer.Typer) -> None:
    app.command()(levels)
    app.command()(metrics)
    app.command()(export)


def levels(
    index: IndexId = "deai",
    start: Start = None,
    end: End = None,
    interval: Annotated[Interval, typer.Option(help="Spacing of the levels.")] = Interval.DAY,
    last: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 30,
    as_json: Json = False,
) -> None:
    """Show levels of an index. Example: deai levels deai --interval 1h --last 24"""
    from indexer.engine.market import Status
    from indexer.store.read import read_levels

    with opened() as (store, _):
        rows = read_levels(
            store,
            index,
            start_us=instant_us(start),
            end_us=instant_us(end),
            step_us=INTERVAL_US[interval.value],
            limit=last,
        )
    body = [
        (iso(int(t)), float(level), Status(int(status)).name.lower(), round(float(share), 4))
        for t, level, status, share in zip(rows.times_us, rows.levels, rows.status, rows.carried_weight, strict=True)
    ]
    names = ("time", "level", "status", "carried_weight")
    payload = {
        "index": index,
        "interval": interval.value,
        "levels": [dict(zip(names, row, strict=True)) for row in body],
    }
    emit(payload, as_json=as_json, text=lambda: table(names, body, title=f"{index}, {interval.value}"))


def metrics(
    symbol: Annotated[str, typer.Argument(help="Symbol or name of an asset, e.g. TAO.")],
    metric: Annotated[str | None, typer.Option(help="The history of this metric, e.g. fees_usd.")] = None,
    last: Annotated[int, typer.Option(min=1, help="At most so many values of it, the newest.")] = 30,
    as_json: Json = False,
) -> None:
    """Show what is measured of an asset's network and market. Example: deai metrics TAO --metric fees_usd"""
    from indexer.store.assets import read_asset
    from indexer.store.read import read_metrics

    with opened() as (store, _):
        asset = read_asset(store, symbol)
        series = read_metrics(store, subject=asset.slug, name=metric)
    newest = 1 if metric is None else last
    rows = [
        (iso(at), values.name, values.source, value)
        for values in series
        for at, value in zip(values.time_us[-newest:].tolist(), values.value[-newest:].tolist(), strict=True)
    ]
    names = ("time", "metric", "source", "value")
    payload = {
        "asset": asset.slug,
        "symbol": asset.symbol,
        "data": [dict(zip(names, row, strict=True)) for row in rows],
    }

    def show() -> None:
        if rows:
            table(names, rows, title=f"{asset.symbol}: {metric or 'the newest of each metric'}")
        else:
            say(f"Nothing is measured of {asset.symbol}{f' as {metric}' if metric else ''} yet.")

    emit(payload, as_json=as_json, text=show)


def export(
    path: Annotated[Path | None, typer.Argument(help="File to write: .csv, .parquet or .json by its name.")] = None,
    index: Annotated[str, typer.Option(help="Index id.")] = "deai",
    interval: Annotated[Interval, typer.Option(help="Spacing of the levels.")] = Interval.HOUR,
    start: Start = None,
    end: End = None,
    proof: Annotated[
        Path | None, typer.Option(help="Write instead a proof of all indices that needs no database to check.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the levels of an index to a file. Example: deai export deai.parquet --interval 1d

    With --proof FILE.zip: everything that re-derives every level, for `deai verify --from FILE.zip`.
    """
    from indexer.errors import InputError

    if proof is not None:
        from indexer.cli.verify import export_proof_file

        export_proof_file(proof, as_json=as_json)
        return
    if path is None:
        raise InputError("name the file to write, e.g. deai export deai.csv; or --proof FILE.zip")
    from api.answers.exports import write_levels
    from indexer.store.read import read_index, read_levels
    from indexer.store.runs import read_version

    with opened() as (store, _), progress(f"writing {path.name}", quiet=as_json) as tick:
        rows = read_levels(
            store,
            index,
            step_us=INTERVAL_US[interval.value],
            start_us=instant_us(start),
            end_us=instant_us(end),
        )
        write_levels(path, read_index(store, index), rows, version=read_version(store))
        tick(len(rows), len(rows))
    payload = {"index": index, "file": str(path), "rows": len(rows)}
    emit(payload, as_json=as_json, text=lambda: say(f"{len(rows):,} levels of {index} in {path}"))
