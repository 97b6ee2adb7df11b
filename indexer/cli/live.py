"""Commands about the live sources: doctor, sources, backfill."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from indexer.cli.output import emit, progress, say, table

if TYPE_CHECKING:
    from indexer.live.health import Examination
    from indexer.live.history import BackfillReport, PlanReport

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead of text.")]


def register(app: typer.Typer) -> None:
    app.command()(doctor)
    app.command()(sources)
    app.command()(backfill)


def doctor(as_json: Json = False) -> None:
    """Ask each source once: reachable, limited or blocked, how fast, what a key adds, what is lost without it.

    Exit code 5 when none is reachable.
    """
    from indexer.config import load_settings
    from indexer.errors import SourceUnavailable
    from indexer.live.health import State, examine_all

    found = examine_all(load_settings())
    payload = [_examined(one) for one in found]
    emit(payload, as_json=as_json, text=lambda: _show_examined(found))
    sys.stdout.flush()
    if not any(one.state in (State.REACHABLE, State.LIMITED) for one in found):
        raise SourceUnavailable(
            f"none of {len(found)} sources is reachable: the stored index stays as it is, nothing new comes in. "
            "Check the network, or import files."
        )


def _examined(one: Examination) -> dict[str, object]:
    return {
        "source": one.about.name,
        "state": one.state,
        "latency_ms": None if one.latency_s is None else round(one.latency_s * 1e3, 1),
        "records": one.records,
        "quota": one.quota,
        "has_key": one.has_key,
        "key_adds": one.about.key_adds,
        "loses": one.about.loses,
        "detail": one.detail,
    }


def _show_examined(found: list[Examination]) -> None:
    rows = [
        (
            one.about.name,
            str(one.state),
            None if one.latency_s is None else f"{one.latency_s * 1e3:.0f} ms",
            one.records,
            one.quota.partition(":")[0],
        )
        for one in found
    ]
    table(("source", "state", "latency", "records", "limit we keep"), rows, title="Sources")
    for one in found:
        if one.state != "reachable":
            say(f"{one.detail}\n  without {one.about.name} the index loses {one.about.loses}")
    for one in found:
        if one.about.key_adds and not one.has_key:
            say(f"a key for {one.about.name} (DEAI_{one.about.key_setting.upper()}) adds {one.about.key_adds}")


def sources(as_json: Json = False) -> None:
    """List every source: what it gives, its licence, whether it may enter a rate, and how it is now."""
    from indexer.cli.session import opened
    from indexer.live.health import source_states

    with opened() as (store, settings):
        found = source_states(store, settings)
    rows = [
        (
            one.name,
            one.kind,
            ", ".join(one.datasets),
            ", ".join(one.intervals),
            one.licence,
            "yes" if one.fixing else "no",
            one.state.replace("_", " "),
        )
        for one in found
    ]

    def text() -> None:
        table(("source", "kind", "gives", "bars", "licence", "in a rate", "state"), rows, title="Sources")
        for one in found:
            say(f"{one.name}: {one.said or one.notes}")

    emit(found, as_json=as_json, text=text)


def backfill(
    start: Annotated[str, typer.Option("--from", help="First instant, e.g. 2024-01-01.")],
    end: Annotated[str, typer.Option("--to", help="Last instant, e.g. 2025-01-01; now when not given.")] = "",
    interval: Annotated[str, typer.Option(help="1h or 1d.")] = "1h",
    asset: Annotated[list[str] | None, typer.Option(help="Only these assets (slugs); may be repeated.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be asked, and how long.")] = False,
    as_json: Json = False,
) -> None:
    """Fill missing bars from the sources, both ends and the middle. May be interrupted; running again goes on.

    Example: deai backfill --from 2024-01-01 --to 2025-01-01 --dry-run
    """
    from indexer.cli.session import opened
    from indexer.live.history import backfill as walk
    from indexer.live.history import report_of
    from indexer.live.history_plan import plan_history
    from indexer.times import parse_instant, to_us, utc_now
    from indexer.workflow.work import live_means, run_update

    with opened() as (store, settings), live_means(store, settings) as live:
        plan = plan_history(
            live,
            start_us=parse_instant(start),
            end_us=parse_instant(end) if end else to_us(utc_now()),
            interval=interval,
            assets=asset or (),
            legacy=True,
        )
        planned = report_of(plan)
        if dry_run:
            emit(planned, as_json=as_json, text=lambda: _show_plan(planned))
            return
        if not as_json:
            _show_plan(planned)
        with progress("asking", quiet=as_json) as tick:
            report = walk(live, plan, assets=asset or (), progress=tick)
        run_update(store, settings)
    emit(report, as_json=as_json, text=lambda: _show_filled(report))


def _show_plan(plan: PlanReport) -> None:
    rows = [(one.source, one.calls, one.bars, _time(one.seconds)) for one in plan.sources]
    table(("source", "calls at most", "bars at most", "time at least"), rows, title=f"{plan.start} to {plan.end}")
    say(
        f"{plan.calls:,} calls for {plan.bars:,} bars of {plan.interval}; "
        f"{_time(plan.seconds)} at the limits we keep, sources side by side"
    )
    beyond: dict[tuple[str, str, str], list[str]] = {}
    for one in plan.uncovered:
        beyond.setdefault((one.source, one.start, one.end), []).append(one.asset)
    for (source, start, end), assets in beyond.items():
        say(f"  {source} gives nothing from {start} to {end} for {', '.join(assets)}; other venues may")


def _time(seconds: float) -> str:
    """Seconds in words that tell a minute from an hour."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s" if minutes else f"{seconds:.1f} s"


def _show_filled(report: BackfillReport) -> None:
    for name, made in (("venues", report.venues), ("aggregators", report.fillers)):
        unpriced = sum(made.unpriced.values())
        say(
            f"{name}: {made.bars:,} new bars in {made.calls:,} answers; {made.failed:,} calls failed, "
            f"{made.rejects:,} reasons for refused rows, {unpriced:,} bars without a dollar rate of their quote"
        )
        if made.unlisted:
            say(f"  {made.unlisted:,} calls were spared: those series begin later")
        for source, text in made.failures.items():
            say(f"  {source}: {text}")
    if report.venues.failed or report.fillers.failed:
        say("what failed is asked again by the same command; nothing that came is asked twice")
    say(f"{report.gaps:,} gaps stay open in the range (GET /v1/quality, kind gap)")
