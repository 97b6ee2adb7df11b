"""Commands of the benchmark administrator: explain, rebuild, what is planned and what was said."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from indexer.cli.output import emit, progress, say, table

if TYPE_CHECKING:
    from indexer.administration.explain import Explanation

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead of text.")]
IndexId = Annotated[str, typer.Argument(help="Index id, e.g. deai.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="By what was published until then (date or instant).")]


class CalendarForm(StrEnum):
    """How the calendar is written."""

    TABLE = "table"
    JSON = "json"
    ICAL = "ical"
    RSS = "rss"


def register(app: typer.Typer) -> None:
    for command in (explain, rebuild, status, proforma, announcements, actions):
        app.command()(command)
    app.command(name="calendar")(calendar_command)


def explain(
    index: IndexId,
    time: Annotated[str, typer.Argument(help="Instant of the level (the last one at or before it).")],
    as_of: AsOf = None,
    since: Annotated[str | None, typer.Option(help="Also link contributions from this instant on (Cariño).")] = None,
    as_json: Json = False,
) -> None:
    """Show everything a level was computed from. Example: deai explain deai 2025-01-27T21:00Z"""
    from indexer.administration.explain import explain as explained
    from indexer.cli.session import opened
    from indexer.studies.attribution import study_attribution
    from indexer.times import parse_instant
    from indexer.workflow.decide import registry_for

    at = parse_instant(time)
    with opened() as (store, settings):
        said = explained(
            store,
            registry_for(store, settings),
            index_id=index,
            at_us=at,
            as_of_us=parse_instant(as_of) if as_of else None,
        )
        linked = study_attribution(store, index, start_us=parse_instant(since), end_us=at) if since else None
    payload = said if linked is None else {"level": said, "linked": linked}
    emit(payload, as_json=as_json, text=lambda: _show(said))
    if linked is not None and not as_json:
        rows = [(row.asset, row.contribution, row.own_return, row.mean_weight) for row in linked.constituents]
        table(("token", "linked contribution", "own return", "mean weight"), rows, title=f"{linked.total:.4%} in all")


def _show(said: Explanation) -> None:
    from indexer.times import iso, to_us

    say(f"{said.index} at {iso(to_us(said.time))}: {said.level} ({said.status}, revision {said.revision})")
    say(f"  = value {said.value_usd:,.2f} USD / divisor {said.divisor!r} = {said.level_exact!r}, rounded")
    say(f"  basket of the {said.basket_kind} at {iso(to_us(said.basket_since))}; state {said.state}")
    say(f"  rules {said.methodology_version} {said.methodology_hash[:16]}…; run {said.run['id']} ({said.run['kind']})")
    say(f"  hash {said.hash[:16]}… after {said.previous_hash[:16]}…; inputs {'hold' if said.inputs_hold else 'DIFFER'}")
    headers = ("token", "weight", "units", "price USD", "rate", "venues", "supply", "from", "contribution")
    rows = [
        (
            one.asset,
            one.weight,
            one.units,
            one.price,
            one.price_status,
            ", ".join(f"{quote.venue} {quote.price:.6g} {quote.verdict}" for quote in one.quotes),
            None if one.supply is None else one.supply.tokens,
            "" if one.supply is None else one.supply.origin or "",
            one.contribution,
        )
        for one in said.constituents
    ]
    moved = "first level" if said.return_since_previous is None else f"{said.return_since_previous:+.6%}"
    table(headers, rows, title=f"Move since the level before: {moved}")
    for one in said.announcements:
        say(f"note: {one['title']}")
    for decision in said.overrides:
        say(f"override {decision['id']}: {decision['reason']} (decided by {decision['approved_by']})")


def rebuild(
    reason: Annotated[str, typer.Option(help="Why history is stated anew; it is published.")],
    as_json: Json = False,
) -> None:
    """State all history anew by what is known now. Old levels stay; the reason is public.

    Example: deai rebuild --reason "supply of NEAR was misread"
    """
    from indexer.cli.session import opened
    from indexer.workflow.decide import rebuild as rebuilt

    with opened() as (store, settings), progress("rebuilding", quiet=as_json) as tick:
        report = rebuilt(store, settings, reason=reason, progress=tick)
    rows = [(one.index_id, one.levels, one.restated, one.level) for one in report.indices]
    headers = ("index", "levels", "restated", "level")
    emit(report, as_json=as_json, text=lambda: table(headers, rows, title=f"Stated anew: {reason}"))


def status(index: IndexId = "deai", as_json: Json = False) -> None:
    """Show where an index stands: state, constituents against the minimum, what is planned."""
    from indexer.cli.session import opened
    from indexer.levels.lifecycle import status_of
    from indexer.times import utc_now

    with opened() as (store, _):
        said = status_of(store, index, now=utc_now())

    def text() -> None:
        say(f"{said.index}: {said.state}, {said.constituents} constituents ({said.minimum} required)")
        if said.note:
            say(f"  {said.note}")
        if said.planned_state:
            say(f"  {said.planned_state} from {said.planned_at}")

    emit(said, as_json=as_json, text=text)


def proforma(
    index: IndexId = "deai",
    notional: Annotated[float | None, typer.Option(help="USD to trade, for days to trade.")] = None,
    as_json: Json = False,
) -> None:
    """Show the next rebalance before it happens (from its reference date on). Example: deai proforma deai"""
    from indexer.cli.session import opened
    from indexer.workflow.decide import pro_forma

    with opened() as (store, settings):
        made = pro_forma(store, settings, index_id=index, notional_usd=notional)
    headers = ("token", "now", "target", "trade USD", "ADV USD", "days", "why")
    rows = [
        (one.asset, one.weight_now, one.weight_target, one.trade_usd, one.median_adv_usd, one.days_to_trade, one.reason)
        for one in made.items
    ]
    title = f"{made.index}: {made.kind} at {made.effective_at:%Y-%m-%d}, turnover {made.turnover:.2%} (pro-forma)"
    emit(made, as_json=as_json, text=lambda: table(headers, rows, title=title))


def calendar_command(
    index: IndexId = "deai",
    form: Annotated[CalendarForm, typer.Option("--format", help="How to write it.")] = CalendarForm.TABLE,
    months: Annotated[int, typer.Option(min=1, max=60, help="How many months ahead.")] = 12,
) -> None:
    """Show when an index rebalances. Example: deai calendar deai --format ical > deai.ics"""
    import json
    import sys

    from indexer.administration.calendar import as_ical, as_rows, as_rss, entries
    from indexer.cli.session import opened
    from indexer.store.administration import read_announcements
    from indexer.times import DAY_US, to_us, utc_now
    from indexer.workflow.decide import methodology_of

    now = utc_now()
    with opened() as (store, settings):
        methodology = methodology_of(store, settings, index_id=index)
        said = read_announcements(store, index_id=index, limit=100)
    found = entries(methodology, start_us=to_us(now), end_us=to_us(now) + months * 31 * DAY_US)
    if form is CalendarForm.ICAL:
        sys.stdout.write(as_ical(found, name=f"{methodology.name}: rebalances", now=now))
    elif form is CalendarForm.RSS:
        sys.stdout.write(as_rss(said, title=f"{methodology.name}: announcements", link="", now=now) + "\n")
    elif form is CalendarForm.JSON:
        sys.stdout.write(json.dumps(as_rows(found), indent=2) + "\n")
    else:
        headers = ("at", "what", "kind", "New York", "exchange")
        body = [(row["at"], row["what"], row["kind"], row["new_york"], row["exchange"]) for row in as_rows(found)]
        table(headers, body, title=methodology.name)


def announcements(
    index: Annotated[str | None, typer.Option(help="Only of this index (and of all).")] = None,
    kind: Annotated[str | None, typer.Option(help="restatement, deferred, proforma, effective, state, …")] = None,
    last: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 30,
    as_json: Json = False,
) -> None:
    """Show what users were told: restatements, corrections not applied, rebalances, decisions."""
    from indexer.cli.session import opened
    from indexer.store.administration import read_announcements

    with opened() as (store, _):
        rows = read_announcements(store, index_id=index, kind=kind, limit=last)
    body = [(row.published_at.strftime("%Y-%m-%d %H:%M"), row.kind, row.index_id or "all", row.title) for row in rows]
    emit(rows, as_json=as_json, text=lambda: table(("published", "kind", "index", "said"), body))


def actions(as_json: Json = False) -> None:
    """Show the log of corporate actions and how each kind is treated."""
    from indexer.config import load_settings
    from indexer.methodology.actions import load_event_log
    from indexer.workflow.work import registry_of

    settings = load_settings()
    log = load_event_log(registry_of(settings), folder=settings.methodology_dir)
    headers = ("effective", "event", "kind", "price", "units", "divisor", "supply")
    rows = [
        (
            one.effective.date().isoformat(),
            one.id,
            one.kind.value,
            *(getattr(one.treated, name) for name in headers[3:]),
        )
        for one in log.events
    ]
    emit(log.events, as_json=as_json, text=lambda: table(headers, rows))
