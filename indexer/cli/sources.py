"""Commands about where data comes from: doctor, sources, backfill, and the chains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from indexer.cli.command import Answer, Json, group, opened, progress, say, settings_in_force, table_of
from indexer.errors import ConfigError, DeaiError, NotFoundError, SourceUnavailable, did_you_mean
from indexer.times import DAY_US, HOUR_US, from_us, iso, parse_instant, to_us, utc_now

if TYPE_CHECKING:
    from indexer.live.context import Live
    from indexer.live.health import Examination
    from indexer.live.history import BackfillReport, PlanReport
    from onchain.health import ChainHealth

Symbols = Annotated[list[str] | None, typer.Argument(help="Symbols of supply rules, e.g. GRT TAO; all when none.")]

FEW = 5  # tokens, of which the known gaps are told without asking


def doctor(
    url: Annotated[str, typer.Option(help="A server of this index instead, asked as a page of another site.")] = "",
    origin: Annotated[str, typer.Option(help="With --url: the site that the page is of.")] = "https://pro.openbb.co",
) -> Answer:
    """Ask each source once: reachable, limited or blocked, how fast, what a key adds, what is lost without it.

    Then each chain's endpoints: who answers, and whether enough operators do to confirm each other. Exit code 5 when no
    source is reachable. With --url: whether a browser could use a server from another site (CORS, https, sub-path).
    """
    if url:
        return _examine_served(url, origin=origin)
    from indexer.live.chain.configured import chains_of, is_on
    from indexer.live.health import State, examine_all
    from onchain.health import by_chain
    from onchain.health import doctor as ask_chains

    settings = settings_in_force()
    examined = examine_all(settings)
    chains = by_chain(ask_chains(chains=chains_of(settings)), confirm=settings.rpc_confirm) if is_on(settings) else []
    payload = [*map(_examined, examined), *map(_examined_chain, chains)]

    def text() -> None:
        _show_examined(examined)
        rows = [{"row": row, "operators": f"{len(row.answering)} of {row.operators}"} for row in chains]
        table_of(rows, "chain: row.chain, operators, what that means: row.verdict", title="Chains")

    failed = None
    if not examined:
        failed = SourceUnavailable("no source is in use (DEAI_SOURCES=none): only files bring in prices. Unset it")
    elif not any(row.state in (State.REACHABLE, State.LIMITED) for row in examined):
        failed = SourceUnavailable(
            f"none of {len(examined)} sources is reachable: the stored index stays as it is, nothing new comes in. "
            "Check the network, or import files."
        )
    return Answer(payload, text, failed=failed)


def _examine_served(url: str, *, origin: str) -> Answer:
    from indexer.client.browser import examine_url

    checks = examine_url(url, origin=origin)
    broken = ", ".join(check.name for check in checks if not check.holds)
    failed = ConfigError(f"a page of {origin} could not use {url}: {broken}; the table says what to do")
    text = partial(table_of, checks, "check: name, holds, detail", title=url)
    return Answer(checks, text, failed=failed if broken else None)


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


def sources() -> Answer:
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

    return Answer(states, text)


def backfill(
    start: Annotated[str, typer.Option("--from", help="First instant, e.g. 2024-01-01.")],
    end: Annotated[str, typer.Option("--to", help="Last instant, e.g. 2025-01-01; now when not given.")] = "",
    interval: Annotated[str, typer.Option(help="1h or 1d.")] = "1h",
    asset: Annotated[list[str] | None, typer.Option(help="Only these assets (slugs); may be repeated.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be asked, and how long.")] = False,
    as_json: Json = False,
) -> Answer:
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
            return Answer(planned, lambda: _show_plan(planned))
        if not as_json:
            _show_plan(planned)
        with progress("asking") as tick:
            report = walk(live, plan, assets=asset or (), progress=tick)
        run_update(store, settings)
    return Answer(report, lambda: _show_filled(report))


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


def snapshot(
    symbols: Symbols = None,
    at: Annotated[str | None, typer.Option(help="Instant (date, ISO, epoch seconds); now when not given.")] = None,
) -> Answer:
    """Read supplies from the chains and store them. Example: deai onchain snapshot GRT LPT

    A token whose chain fails has its reason; exit code 5 when no chain gave anything.
    """
    from indexer.live.chain.recheck import recheck_first
    from indexer.live.chain.snapshots import take_snapshot
    from indexer.live.jobs import SUPPLY

    instant = from_us(parse_instant(at)) if at else None
    with _work() as work, progress("chains read") as tick, _run(work, SUPPLY) as run:
        seen: dict[str, bool] = {}

        def tell(chain: str, state: str) -> None:
            seen[chain] = state != "reading"
            tick(sum(seen.values()), len(seen))

        recheck_first(work, run)
        snapped = take_snapshot(work, run, symbols=symbols or (), at=instant, progress=tell)
    failed = None
    if snapped.readings and not snapped.on_chain:
        failed = SourceUnavailable(f"no chain gave a supply ({snapped.first_reason}); see deai onchain doctor")
    return Answer(snapped, lambda: _show_snapshot(snapped), failed=failed)


def _show_snapshot(snapped: Any) -> None:
    columns = "symbol, status, free float: free_float, total, stored: rows, note: reason cut"
    table_of(snapped.readings, columns, title="Supplies, in tokens")
    for reading in snapped.readings:
        for alert in reading.alerts:
            say(f"  {reading.symbol}: {alert}")
        for gap in reading.gaps if len(snapped.readings) <= FEW else ():
            say(f"  {reading.symbol}, known gap: {gap}")
    say(
        f"{snapped.written.new} new, {snapped.written.revised} revised, {snapped.written.unchanged} unchanged; "
        f"proof {snapped.proof}"
    )


def supply(symbols: Symbols = None) -> Answer:
    """Show the supplies that are stored, with their block. Reads no chain. Example: deai onchain supply GRT"""
    from indexer.store.supplies import read_latest_supplies

    with _work() as work:
        chosen = work.chosen(tuple(symbols or ()))
        work.asset_ids()
        stored = {symbol: (asset, read_latest_supplies(work.store, asset.slug)) for symbol, asset in chosen.items()}
    same = ("kind", "origin", "source", "observed_at", "chain", "block_hash", "finality")
    payload = [
        {"symbol": symbol, "asset": asset.slug, "tokens": row.amount / 10**asset.decimals, "amount": str(row.amount)}
        | {"block": row.block_number, **{name: getattr(row, name) for name in same}}
        for symbol, (asset, rows) in stored.items()
        for row in rows
    ]
    columns = "symbol, kind, tokens, origin, observed_at, chain, block, finality"
    return Answer(payload, lambda: table_of(payload, columns, title="Stored supplies"))


def activity(
    symbols: Symbols = None,
    day: Annotated[str | None, typer.Option(help="The day (UTC) to read; the last settled one when not given.")] = None,
) -> Answer:
    """Read a day's transfers from the chains and store the metrics. Example: deai onchain activity GRT --day 2026-11-20

    Exit code 5 when no ledger could be read.
    """
    from indexer.live.chain.activity import read_activity_of_day
    from indexer.live.jobs import ACTIVITY

    with _work() as work, progress("blocks") as tick, _run(work, ACTIVITY) as run:
        settled = (to_us(work.clock()) - HOUR_US) // DAY_US * DAY_US
        end = from_us(settled if day is None else parse_instant(day) // DAY_US * DAY_US + DAY_US)
        activities = read_activity_of_day(
            work, run, end=end, symbols=symbols or (), progress=lambda symbol, chain, done, total: tick(done, total)
        )
    columns = (
        "symbol, chain, transfers, active addresses: active_addresses, tokens moved: volume_tokens, "
        "USD moved: volume_usd, supply gap: identity_gap, note: reason cut"
    )
    title = f"Activity of the day to {iso(to_us(activities.end))}"
    failed = None
    if activities.ledgers and not activities.read:
        failed = SourceUnavailable(f"no ledger's transfers could be read ({activities.ledgers[0].reason})")
    return Answer(activities, lambda: table_of(activities.ledgers, columns, title=title), failed=failed)


def doctor_command(
    chain: Annotated[list[str] | None, typer.Argument(help="Chains to ask; all when none is named.")] = None,
) -> Answer:
    """Ask every configured endpoint who it is, how fresh, and whether it keeps old state; exit code 5 if none answers.

    Example: deai onchain doctor ethereum
    """
    from indexer.live.chain.configured import chains_of
    from onchain.health import doctor as ask

    chains = chains_of(settings_in_force())
    for name in chain or ():
        if name not in chains:
            raise NotFoundError(f'There is no chain "{name}".{did_you_mean(name, chains)}')
    with progress("asking"):
        rows = ask(chains={name: endpoints for name, endpoints in chains.items() if not chain or name in chain})
    columns = "chain, operator, endpoint, ok, seconds: latency_s, height, age s: age_s, archive, problem: problem cut"
    failed = SourceUnavailable("no endpoint answers; is this machine online? Own ones go into DEAI_RPC_ENDPOINTS")
    text = partial(table_of, rows, columns, title="Endpoints")
    return Answer(rows, text, failed=failed if rows and not any(row.ok for row in rows) else None)


@contextmanager
def _work() -> Iterator[Live]:
    """The means of chain work for this process's settings."""
    from indexer.live.context import chain_work
    from indexer.workflow.work import registry_of

    with opened() as (store, settings):
        yield chain_work(store, settings, registry=registry_of(settings), clock=utc_now)


@contextmanager
def _run(work: Live, kind: str) -> Iterator[int]:
    """A run of this kind for what is done by hand, closed as it ended."""
    from indexer.store.runs import finish_run, start_run

    store = work.store
    run = start_run(store, kind=kind, key=f"{kind}:by-hand:{iso(to_us(work.clock()))}", now=work.clock())
    assert run is not None, "two runs by hand never share a microsecond"
    try:
        yield run
    except DeaiError as error:
        finish_run(store, run, now=work.clock(), outcome="failed", detail={"error": str(error)})
        raise
    except BaseException:
        finish_run(store, run, now=work.clock(), outcome="interrupted")
        raise
    finish_run(store, run, now=work.clock(), detail={"by": "hand"})


COMMANDS = (
    doctor,
    sources,
    backfill,
    group("onchain", "Read supplies and activity from chains.", snapshot, supply, activity, doctor_command),
)
