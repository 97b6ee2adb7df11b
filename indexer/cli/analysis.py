"""Commands that answer questions: beta, event, drawdown, breaks, attribution, breadth, stress, report.

Each prints a table for people, or with `--json` the same object that REST answers with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from indexer.analytics.align import Clock
from indexer.analytics.beta import Method
from indexer.analytics.drawdown import Bar
from indexer.cli.analysis_text import (
    show_analogues,
    show_betas,
    show_comparison,
    show_constituents,
    show_drawdowns,
    show_event,
)
from indexer.cli.output import emit, progress, say, table
from indexer.times import iso, parse_instant

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead of text.")]
IndexId = Annotated[str, typer.Argument(help="Index id or token, e.g. deai or btc.", show_default=True)]
Benchmarks = Annotated[
    list[str] | None, typer.Option("--benchmark", "-b", help="Benchmark, or a token such as btc; repeatable.")
]
End = Annotated[str | None, typer.Option(help="Last close to use (date or instant).")]


def register(app: typer.Typer) -> None:
    for command in (beta, event, drawdown, breaks, attribution, breadth, stress, report):
        app.command()(command)


def beta(
    index: IndexId = "deai",
    benchmark: Benchmarks = None,
    *,
    sessions: Annotated[int, typer.Option(help="Window in exchange sessions; 0 takes all there are.")] = 90,
    end: End = None,
    method: Annotated[Method, typer.Option(help="Estimator; multi takes all benchmarks together.")] = Method.OLS,
    clock: Annotated[Clock, typer.Option(help="Instants; date_join is naive, to compare with.")] = Clock.AT_CLOSE,
    tau: Annotated[float, typer.Option(help="Of the quantile method.")] = 0.5,
    compare: Annotated[bool, typer.Option("--compare", help="At the close, by date join, and with Dimson.")] = False,
    constituents: Annotated[bool, typer.Option("--constituents", help="Each member's beta, shrunk.")] = False,
    bootstrap: Annotated[bool, typer.Option("--bootstrap", help="Add a stationary-bootstrap interval.")] = False,
    as_json: Json = False,
) -> None:
    """Show the beta of an index or token to benchmarks, with errors.

    Example: deai beta deai -b QQQ -b NVDA --sessions 90 --end 2025-01-31
    """
    from indexer.arrays import to_json
    from indexer.cli.session import opened
    from indexer.studies.beta import flat_beta, index_beta
    from indexer.studies.compare import compare_betas, constituent_betas
    from indexer.studies.methods import Options

    names, end_us = benchmark or ["QQQ", "NVDA"], parse_instant(end) if end else None
    with opened() as (store, _):
        if compare:
            table_ = compare_betas(store, [index], names, sessions=sessions or None, end_us=end_us)
            emit(to_json(table_, wire=True), as_json=as_json, text=lambda: show_comparison(table_))
            return
        if constituents:
            found = constituent_betas(store, index, names[0], sessions=sessions, end_us=end_us)
            emit(to_json(found, wire=True), as_json=as_json, text=lambda: show_constituents(found))
            return
        groups: list[list[str]] = [names] if method is Method.MULTI else [[name] for name in names]
        made = [
            index_beta(
                store, index, group, method=method, clock=clock, sessions=sessions or None, end_us=end_us,
                options=Options(tau=tau), bootstrap=bootstrap,
            )
            for group in groups
        ]  # fmt: skip
    emit([{"index": index, **flat_beta(one)} for one in made], as_json=as_json, text=lambda: show_betas(made))


def event(
    name: Annotated[str, typer.Argument(help="Event id; `list` shows them all.")] = "deepseek",
    index: Annotated[str, typer.Option(help="Index id.")] = "deai",
    factor: Annotated[
        list[str] | None, typer.Option("--factor", "-f", help="A market model: factors with commas; repeatable.")
    ] = None,
    *,
    first: Annotated[int, typer.Option(min=-60, max=0, help="First interval of the window.")] = -1,
    last: Annotated[int, typer.Option(min=0, max=60, help="Last interval of the window.")] = 5,
    estimation: Annotated[int, typer.Option(min=30, help="Intervals of the estimation window.")] = 120,
    clock: Annotated[Clock, typer.Option(help="at_close, or hourly_utc with token factors.")] = Clock.AT_CLOSE,
    as_json: Json = False,
) -> None:
    """Show what an event did: abnormal returns of the index, the sub-indices and the members of that day.

    Your own events go into events.toml in the data directory. Example: deai event deepseek -f QQQ -f QQQ,btc
    """
    from indexer.analytics.event_study import EventWindows
    from indexer.arrays import to_json
    from indexer.cli.session import opened
    from indexer.studies.events import ONE_FACTOR, TWO_FACTORS, load_events, study_event

    with opened() as (store, settings):
        events = load_events(store, settings.data_dir)
        if name == "list":
            rows = [(one.id, iso(one.at_us), one.kind, one.name) for one in events.values()]
            emit(
                [to_json(one, wire=True) for one in events.values()],
                as_json=as_json,
                text=lambda: table(("event", "at", "kind", "name"), rows),
            )
            return
        models = [part.split(",") for part in factor] if factor else [ONE_FACTOR, TWO_FACTORS]
        windows = EventWindows(first, last, estimation, min(first - 10, -11))
        found = study_event(store, index, name, events=events, models=models, windows=windows, clock=clock)
    emit(to_json(found, wire=True), as_json=as_json, text=lambda: show_event(found))


def drawdown(
    index: IndexId = "deai",
    *,
    min_depth: Annotated[float, typer.Option(min=0.01, max=0.95, help="Least depth as a fraction.")] = 0.10,
    start: Annotated[str | None, typer.Option(help="First level (date or instant).")] = None,
    end: End = None,
    bar: Annotated[Bar, typer.Option(help="Levels at 00:00 UTC, or hourly.")] = Bar.DAILY,
    fall: Annotated[list[float] | None, typer.Option(help="Fall in one bar, 0.05 is 5 %; repeatable.")] = None,
    analogues: Annotated[bool, typer.Option("--analogues", help="2024-01 beside 2025-01, with btc.")] = False,
    as_json: Json = False,
) -> None:
    """Show pullbacks, how long they took to recover, and what followed falls. Example: deai drawdown btc"""
    from indexer.arrays import to_json
    from indexer.cli.session import opened
    from indexer.studies.drawdowns import FALLS, compare_episodes, study_drawdowns

    with opened() as (store, _):
        if analogues:
            beside = compare_episodes(store, list(dict.fromkeys([index, "btc"])), bar=bar)
            emit(to_json(beside, wire=True), as_json=as_json, text=lambda: show_analogues(beside))
            return
        found = study_drawdowns(
            store, index, min_depth=min_depth, start_us=parse_instant(start) if start else None,
            end_us=parse_instant(end) if end else None, bar=bar, falls=fall or FALLS,
        )  # fmt: skip
    emit(to_json(found, wire=True), as_json=as_json, text=lambda: show_drawdowns(found))


def breaks(
    index: IndexId = "deai",
    benchmark: Benchmarks = None,
    *,
    event: Annotated[str, typer.Option(help="Event that parts before and after.")] = "deepseek",
    at: Annotated[str | None, typer.Option(help="An instant instead of an event.")] = None,
    sessions: Annotated[int, typer.Option(min=30, help="Returns on each side, at most.")] = 250,
    as_json: Json = False,
) -> None:
    """Show whether the relation to a benchmark changed: Chow, sup-F, CUSUM, betas, correlations, and a verdict.

    Example: deai breaks deai -b QQQ --event deepseek
    """
    from indexer.analytics.catalogue import find_event
    from indexer.arrays import to_json
    from indexer.cli.session import opened
    from indexer.studies.breaks import study_breaks
    from indexer.studies.events import load_events

    with opened() as (store, settings):
        at_us = parse_instant(at) if at else find_event(load_events(store, settings.data_dir), event).at_us
        made = [study_breaks(store, index, one, at_us=at_us, sessions=sessions) for one in benchmark or ["QQQ", "NVDA"]]

    def text() -> None:
        for one in made:
            rows = [
                (r.regime.name, r.beta.n, r.beta.beta, r.beta.se, r.correlation, r.volatility_x, r.volatility_y)
                for r in one.regimes
            ]
            headers = ("regime", "n", "beta", "s.e.", "correlation", f"vol {one.benchmark}", f"vol {one.subject}")
            table(headers, rows, title=f"{one.subject} and {one.benchmark}, parted at {iso(one.at_us)}")
            say(one.verdict)

    emit([to_json(one, wire=True) for one in made], as_json=as_json, text=text)


def attribution(
    index: Annotated[str, typer.Argument(help="Index id.")] = "deai",
    *,
    start: Annotated[str, typer.Option(help="From the last level at or before it.")],
    end: Annotated[str, typer.Option(help="To the last level at or before it.")],
    as_json: Json = False,
) -> None:
    """Show who moved the index: contributions that add up to its return.

    Example: deai attribution deai --start 2025-01-24T21:00Z --end 2025-01-27T21:00Z
    """
    from indexer.arrays import to_json
    from indexer.cli.session import opened
    from indexer.studies.attribution import study_attribution

    with opened() as (store, _):
        found = study_attribution(store, index, start_us=parse_instant(start), end_us=parse_instant(end))

    def text() -> None:
        rows = [(c.symbol, c.sub_sector, c.contribution, c.own_return, c.mean_weight) for c in found.constituents]
        title = f"{index} {found.total:+.2%} from {iso(found.start_us)} to {iso(found.end_us)}"
        table(("token", "sub-sector", "contribution", "own return", "mean weight"), rows, title=title)
        table(("sub-sector", "contribution"), list(found.sub_sectors.items()))

    emit(to_json(found, wire=True), as_json=as_json, text=text)


def stress(
    index: Annotated[str, typer.Argument(help="Index id.")] = "deai",
    *,
    start: Annotated[str, typer.Option(help="Bars that end after it (date or instant).")],
    end: Annotated[str, typer.Option(help="Bars that end at or before it.")],
    subject: Annotated[str, typer.Option(help="Whose derivatives: the slug of a token.")] = "btc",
    bar: Annotated[Bar, typer.Option(help="Spacing of the bars.")] = Bar.DAILY,
    as_json: Json = False,
) -> None:
    """Show liquidations, funding, open interest and fear & greed beside the index.

    Example: deai stress deai --start 2026-11-20 --end 2026-11-24 --bar hourly
    """
    from indexer.arrays import to_json
    from indexer.cli.session import opened
    from indexer.studies.stress import stored_stress, study_stress
    from indexer.times import DAY_US

    first, last = parse_instant(start), parse_instant(end)
    with opened() as (store, _):
        readings = stored_stress(store, subject, since_us=first - 2 * DAY_US, until_us=last + 1)
        found = study_stress(store, index, readings, start_us=first, end_us=last, subject=subject, bar=bar)

    def text() -> None:
        headers = (
            "bar ends",
            "level",
            "move",
            "z",
            "long USD",
            "short USD",
            "long share",
            "funding",
            "OI",
            "fear/greed",
        )
        rows = [
            (
                *(iso(r.time_us), r.level, r.move, r.move_z, r.long_usd, r.short_usd, r.long_share, r.funding),
                *(r.open_interest_change, r.fear_greed),
            )
            for r in found.rows
        ]
        table(headers, rows, title=f"{index} and the derivatives of {subject}")
        if found.absent:
            say(f"no source has told: {', '.join(found.absent)} (unknown, not zero)")

    emit(to_json(found, wire=True), as_json=as_json, text=text)


def breadth(
    index: Annotated[str, typer.Argument(help="Index id.")] = "deai",
    *,
    at: Annotated[str | None, typer.Option(help="Instant; the newest level's when not given.")] = None,
    as_json: Json = False,
) -> None:
    """Show the market inside the index: breadth, dispersion, correlation, concentration, relative strength."""
    from indexer.arrays import to_json
    from indexer.cli.session import opened
    from indexer.studies.breadth import study_breadth

    with opened() as (store, _):
        found = study_breadth(store, index, at_us=parse_instant(at) if at else None)

    def text() -> None:
        say(f"{index} at {iso(found.at_us)}, {found.members} members")
        rows = [(f"{row.window} days", row.above, row.n, row.share) for row in found.breadth]
        table(("above their mean of", "members", "of", "share"), rows)
        held = found.concentration
        body = [
            ("dispersion of the day", found.dispersion),
            ("median dispersion, 60 days", found.dispersion_median),
            ("mean pairwise correlation, 60 days", found.correlation),
            ("effective number", held.effective_n if held else None),
            ("largest weight", held.largest if held else None),
            ("share of the universe", found.share.share),
        ]
        table(("measure", "value"), body)
        strength = [(s.benchmark, s.unit, *s.change.values()) for s in found.strength]
        table(("against", "in", "5", "20", "60"), strength, title="Relative strength, log change")
        if found.share.reason:
            say(f"note: no share of the universe: {found.share.reason}")
        else:
            say(f"note: the universe is the members and {', '.join(found.share.others)}, by market value")
        for one in found.share.stated:
            say(f"note: no supply known, market value as stated, moved by our rate since: {one}")

    emit(to_json(found, wire=True), as_json=as_json, text=text)


def report(
    name: Annotated[str, typer.Argument(help="Which report: an event id.")] = "deepseek",
    index: Annotated[str, typer.Option(help="Index id.")] = "deai",
    *,
    out: Annotated[Path | None, typer.Option(help="File to write, .html or .pdf; NAME.html when not given.")] = None,
    as_json: Json = False,
) -> None:
    """Write one self-contained page that tells an event from the data, with intervals and caveats.

    Example: deai report deepseek --out deepseek.html
    """
    from indexer.cli.session import opened
    from indexer.studies.report.page import write_report

    path = out or Path(f"{name}.html")
    with opened() as (store, settings), progress("computing and drawing", quiet=as_json) as tick:
        size = write_report(store, index, name, path=path, data_dir=settings.data_dir, progress=tick)
    payload = {"report": name, "index": index, "file": str(path), "bytes": size}
    emit(payload, as_json=as_json, text=lambda: say(f"{path}: {size / 1024:,.0f} KB, opens without a network"))
