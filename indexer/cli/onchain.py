"""Commands that read chains: onchain snapshot, supply, activity, doctor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from indexer.cli.command import Json, emit, opened, progress, say, table_of
from indexer.errors import DeaiError, NotFoundError, SourceUnavailable, did_you_mean
from indexer.times import DAY_US, HOUR_US, from_us, iso, parse_instant, to_us, utc_now

if TYPE_CHECKING:
    from indexer.live.context import Live

Symbols = Annotated[list[str] | None, typer.Argument(help="Symbols of supply rules, e.g. GRT TAO; all when none.")]

FEW = 5  # tokens, of which the known gaps are told without asking

app = typer.Typer(help="Read supplies and activity from chains.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def snapshot(
    symbols: Symbols = None,
    at: Annotated[str | None, typer.Option(help="Instant (date, ISO, epoch seconds); now when not given.")] = None,
    as_json: Json = False,
) -> None:
    """Read supplies from the chains and store them. Example: deai onchain snapshot GRT LPT

    A token whose chain fails has its reason; exit code 5 when no chain gave anything.
    """
    from indexer.live.chain.snapshots import take_snapshot
    from indexer.live.jobs import SUPPLY

    instant = from_us(parse_instant(at)) if at else None
    with _work() as work, progress("chains read", quiet=as_json) as tick, _run(work, SUPPLY) as run:
        seen: dict[str, bool] = {}

        def tell(chain: str, state: str) -> None:
            seen[chain] = state != "reading"
            tick(sum(seen.values()), len(seen))

        snapped = take_snapshot(work, run, symbols=symbols or (), at=instant, progress=tell)
    emit(snapped, as_json=as_json, text=lambda: _show_snapshot(snapped))
    if snapped.readings and not snapped.on_chain:
        raise SourceUnavailable(f"no chain gave a supply ({snapped.first_reason}); see deai onchain doctor")


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


@app.command()
def supply(symbols: Symbols = None, as_json: Json = False) -> None:
    """Show the supplies that are stored, with their block. Reads no chain. Example: deai onchain supply GRT"""
    from indexer.store.supplies import read_latest_supplies

    with _work() as work:
        chosen = work.chosen(tuple(symbols or ()))
        work.asset_ids()
        stored = {symbol: (asset, read_latest_supplies(work.store, asset.slug)) for symbol, asset in chosen.items()}
    payload = [
        {
            "symbol": symbol,
            "asset": asset.slug,
            "kind": row.kind,
            "tokens": row.amount / 10**asset.decimals,
            "amount": str(row.amount),
            "origin": row.origin,
            "source": row.source,
            "observed_at": row.observed_at,
            "chain": row.chain,
            "block": row.block_number,
            "block_hash": row.block_hash,
            "finality": row.finality,
        }
        for symbol, (asset, rows) in stored.items()
        for row in rows
    ]
    columns = "symbol, kind, tokens, origin, observed_at, chain, block, finality"
    emit(payload, as_json=as_json, text=lambda: table_of(payload, columns, title="Stored supplies"))


@app.command()
def activity(
    symbols: Symbols = None,
    day: Annotated[str | None, typer.Option(help="The day (UTC) to read; the last settled one when not given.")] = None,
    as_json: Json = False,
) -> None:
    """Read a day's transfers from the chains and store the metrics. Example: deai onchain activity GRT --day 2026-11-20

    Exit code 5 when no ledger could be read.
    """
    from indexer.live.chain.activity import read_activity_of_day
    from indexer.live.jobs import ACTIVITY

    with _work() as work, progress("blocks", quiet=as_json) as tick, _run(work, ACTIVITY) as run:
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
    emit(activities, as_json=as_json, text=lambda: table_of(activities.ledgers, columns, title=title))
    if activities.ledgers and not activities.read:
        raise SourceUnavailable(f"no ledger's transfers could be read ({activities.ledgers[0].reason})")


@app.command()
def doctor(
    chain: Annotated[list[str] | None, typer.Argument(help="Chains to ask; all when none is named.")] = None,
    as_json: Json = False,
) -> None:
    """Ask every configured endpoint who it is, how fresh, and whether it keeps old state; exit code 5 if none answers.

    Example: deai onchain doctor ethereum
    """
    from indexer.config import load_settings
    from indexer.live.chain.configured import chains_of
    from onchain.health import doctor as ask

    chains = chains_of(load_settings())
    for name in chain or ():
        if name not in chains:
            raise NotFoundError(f'There is no chain "{name}".{did_you_mean(name, chains)}')
    with progress("asking", quiet=as_json):
        rows = ask(chains={name: endpoints for name, endpoints in chains.items() if not chain or name in chain})
    columns = "chain, operator, endpoint, ok, seconds: latency_s, height, age s: age_s, archive, problem: problem cut"
    emit(rows, as_json=as_json, text=lambda: table_of(rows, columns, title="Endpoints"))
    if rows and not any(row.ok for row in rows):
        raise SourceUnavailable("no endpoint answers; is this machine online? Own ones go into DEAI_RPC_ENDPOINTS")


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
