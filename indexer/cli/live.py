"""Commands about the live sources: doctor, sources, backfill, and the archive of what they answered."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from indexer.cli.command import Json, emit, migrated, opened, progress, say, table_of
from indexer.errors import ConfigError, InputError, SourceUnavailable
from indexer.times import parse_instant, to_us, utc_now

if TYPE_CHECKING:
    from indexer.live.health import Examination
    from indexer.live.history import BackfillReport, PlanReport
    from onchain.health import ChainHealth


def register(app: typer.Typer) -> None:
    for command in (doctor, sources, backfill, clock, backup, restore):
        app.command()(command)
    app.add_typer(archive, name="archive")


def doctor(
    url: Annotated[str, typer.Option(help="A server of this index instead, asked as a page of another site.")] = "",
    origin: Annotated[str, typer.Option(help="With --url: the site that the page is of.")] = "https://pro.openbb.co",
    as_json: Json = False,
) -> None:
    """Ask each source once: reachable, limited or blocked, how fast, what a key adds, what is lost without it.

    Then each chain's endpoints: who answers, and whether enough operators do to confirm each other. Exit code 5 when no
    source is reachable. With --url: whether a browser could use a server from another site (CORS, https, sub-path).
    """
    if url:
        _examine_served(url, origin=origin, as_json=as_json)
        return
    from indexer.config import load_settings
    from indexer.live.chain.configured import chains_of, is_on
    from indexer.live.health import State, examine_all
    from onchain.health import by_chain
    from onchain.health import doctor as ask_chains

    settings = load_settings()
    examined = examine_all(settings)
    chains = by_chain(ask_chains(chains=chains_of(settings)), confirm=settings.rpc_confirm) if is_on(settings) else []
    payload = [*map(_examined, examined), *map(_examined_chain, chains)]

    def text() -> None:
        _show_examined(examined)
        rows = [{"row": row, "operators": f"{len(row.answering)} of {row.operators}"} for row in chains]
        table_of(rows, "chain: row.chain, operators, what that means: row.verdict", title="Chains")

    emit(payload, as_json=as_json, text=text)
    sys.stdout.flush()
    if not examined:
        raise SourceUnavailable("no source is in use (DEAI_SOURCES=none): only files bring in prices. Unset it")
    if not any(row.state in (State.REACHABLE, State.LIMITED) for row in examined):
        raise SourceUnavailable(
            f"none of {len(examined)} sources is reachable: the stored index stays as it is, nothing new comes in. "
            "Check the network, or import files."
        )


def _examine_served(url: str, *, origin: str, as_json: bool) -> None:
    from indexer.client.browser import examine_url

    checks = examine_url(url, origin=origin)
    emit(checks, as_json=as_json, text=lambda: table_of(checks, "check: name, holds, detail", title=url))
    sys.stdout.flush()
    failed = [check.name for check in checks if not check.holds]
    if failed:
        raise ConfigError(f"a page of {origin} could not use {url}: {', '.join(failed)}; the table says what to do")


def _examined(row: Examination) -> dict[str, object]:
    return {
        "source": row.about.name,
        "state": row.state,
        "latency_ms": None if row.latency_s is None else round(row.latency_s * 1e3, 1),
        "records": row.records,
        "quota": row.quota,
        "has_key": row.has_key,
        "key_adds": row.about.key_adds,
        "loses": row.about.loses,
        "detail": row.detail,
    }


def _examined_chain(row: ChainHealth) -> dict[str, object]:
    """In the form of a source's row: `records` are the operators that answer well."""
    return {
        "source": f"chain:{row.chain}",
        "state": "reachable" if row.answering else "unreachable",
        "latency_ms": None if row.latency_s is None else round(row.latency_s * 1e3, 1),
        "records": len(row.answering),
        "quota": f"{row.operators} operators",
        "has_key": False,
        "key_adds": "",
        "loses": f"supplies and usage of the tokens on {row.chain}",
        "detail": row.verdict,
    }


def _show_examined(examined: list[Examination]) -> None:
    table_of(
        [{"row": row, "limit": row.quota.partition(":")[0]} for row in examined],
        "source: row.about.name, state: row.state, latency: row.latency_s ms, records: row.records, "
        "limit we keep: limit",
        title="Sources",
    )
    for row in examined:
        if row.state != "reachable":
            say(f"{row.detail}\n  without {row.about.name} the index loses {row.about.loses}")
    for row in examined:
        if row.about.key_adds and not row.has_key:
            say(f"a key for {row.about.name} (DEAI_{row.about.key_setting.upper()}) adds {row.about.key_adds}")


def sources(as_json: Json = False) -> None:
    """List every source: what it gives, its licence, whether it may enter a rate, and how it is now."""
    from indexer.live.health import source_states

    with opened() as (store, settings):
        states = source_states(store, settings)

    def text() -> None:
        table_of(
            states, "source: name, kind, gives: datasets, bars: intervals, licence, fixing, state", title="Sources"
        )
        for source in states:
            say(f"{source.name}: {source.said or source.notes}")

    emit(states, as_json=as_json, text=text)


def clock(
    word: Annotated[str, typer.Argument(help="accept: this machine's clock is right.", show_default=False)] = "",
    as_json: Json = False,
) -> None:
    """Say whether this machine's clock is doubted (then no scheduled work is done), or end that by `accept`."""
    from indexer.live.standing import accept_clock, clock_doubt

    if word not in ("", "accept"):
        raise InputError(f'deai clock {word}: give "accept" or nothing')
    with opened() as (store, _):
        doubt = (accept_clock if word else clock_doubt)(store, now=utc_now())
    sentence = f"{'accepted; was doubted' if word else 'doubted'}: {doubt}" if doubt else "the clock is not doubted"
    emit({"accepted": bool(word), "clock_suspect": doubt}, as_json=as_json, text=lambda: say(sentence))


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
    from indexer.config import configure_logs
    from indexer.live.history import backfill as walk
    from indexer.live.history import report_of
    from indexer.live.plan import plan_range
    from indexer.workflow.work import live_means, run_update

    configure_logs("error")  # what failed is said once, below; stdout belongs to the answer
    with opened() as (store, settings), live_means(store, settings) as live:
        plan = plan_range(
            live,
            start_us=parse_instant(start),
            end_us=parse_instant(end) if end else to_us(utc_now()),
            interval=interval,
            assets=asset or (),
            legacy=True,
        )
        planned = report_of(live, plan)
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
    rows = [{"row": row, "time": _time(row.seconds)} for row in plan.sources]
    columns = "source: row.source, calls at most: row.calls, bars at most: row.bars, time at least: time"
    table_of(rows, columns, title=f"{plan.start} to {plan.end}")
    say(
        f"{plan.calls:,} calls for {plan.bars:,} bars of {plan.interval}; "
        f"{_time(plan.seconds)} at the limits we keep, sources side by side"
    )
    beyond: dict[tuple[str, str, str], list[str]] = {}
    for row in plan.uncovered:
        beyond.setdefault((row.source, row.start, row.end), []).append(row.asset)
    for (source, start, end), assets in beyond.items():
        say(f"  {source} gives nothing from {start} to {end} for {', '.join(assets)}; other venues may")


def _time(seconds: float) -> str:
    """Seconds in words that tell a minute from an hour."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s" if minutes else f"{seconds:.1f} s"


def _show_filled(report: BackfillReport) -> None:
    for name, done in (("venues", report.venues), ("aggregators", report.fillers)):
        unpriced = sum(done.unpriced.values())
        say(
            f"{name}: {done.bars:,} new bars in {done.calls:,} answers; {done.failed:,} calls failed, "
            f"{done.rejects:,} reasons for refused rows, {unpriced:,} bars without a dollar rate of their quote"
        )
        if done.unlisted:
            say(f"  {done.unlisted:,} calls were spared: those series begin later")
        for source, text in done.failures.items():
            say(f"  {source}: {text}")
    if report.venues.failed or report.fillers.failed:
        say("what failed is asked again by the same command; nothing that came is asked twice")
    say(f"{report.gaps:,} gaps stay open in the range (GET /v1/quality, kind gap)")


archive = typer.Typer(help="The archive of raw answers and imported files.", no_args_is_help=True)


@archive.callback()
def group() -> None:
    """The archive of raw answers and imported files."""


@archive.command()
def pack(as_json: Json = False) -> None:
    """Put the answers of past days into one compressed container a source and day; nothing is lost.

    The scheduler does the same daily. May be interrupted; running again goes on. Example: deai archive pack
    """
    from indexer.live.context import archive_of
    from indexer.live.packing import pack_answers

    with opened() as (store, settings), progress("packing answers", quiet=as_json) as tick:
        report = pack_answers(store, archive_of(settings), before=utc_now(), progress=tick)

    def text() -> None:
        say(
            f"{report.answers:,} answers in {report.containers:,} containers: "
            f"{report.before_bytes:,} bytes of files became {report.after_bytes:,}"
        )

    emit(report, as_json=as_json, text=text)


def backup(
    file: Annotated[Path, typer.Argument(help="Where to write it, e.g. deai-2026-12-01.tar.")], as_json: Json = False
) -> None:
    """Write the store, its archive and the keys into one file, while others may work. Example: deai backup deai.tar"""
    from indexer.store.backup import write_backup

    with opened() as (store, settings):
        size = write_backup(store, settings.data_dir, file)
    emit({"file": str(file), "bytes": size}, as_json=as_json, text=lambda: say(f"{file}: {size:,} bytes"))


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `deai backup` wrote.")], as_json: Json = False
) -> None:
    """Put a backup into an empty data directory and bring it to this version; then `deai verify` checks it."""
    from indexer.config import load_settings
    from indexer.store.backup import BY_SERVER, restore_backup

    settings = load_settings()
    if settings.database_url:
        raise InputError(BY_SERVER.format(folder=settings.data_dir))
    restore_backup(file, settings.data_dir)
    with migrated(settings) as store:
        store.check_whole()
    done = f"restored into {settings.data_dir}; `deai verify` checks every number"
    emit({"restored": str(settings.data_dir)}, as_json=as_json, text=lambda: say(done))
