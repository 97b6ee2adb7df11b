"""Commands of the benchmark administrator: explain, rebuild, decide, what is planned and what was said."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from indexer.cli.command import (
    Answer,
    AsOf,
    IndexId,
    group,
    instant_us,
    opened,
    progress,
    say,
    settings_in_force,
    table_of,
)
from indexer.errors import NotFoundError
from indexer.times import DAY_US, from_us, iso, parse_instant, to_us, utc_now

if TYPE_CHECKING:
    from indexer.administration.explain import Explanation


def explain(
    index: IndexId,
    time: Annotated[str, typer.Argument(help="Instant of the level (the last one at or before it).")],
    as_of: AsOf = None,
    since: Annotated[str | None, typer.Option(help="Also link contributions from this instant on (Cariño).")] = None,
) -> Answer:
    """Show everything a level was computed from. Example: deai explain deai 2025-01-27T21:00Z"""
    from indexer.administration.explain import explain as explained
    from indexer.levels.published import registry_for
    from indexer.studies.attribution import study_attribution

    at = parse_instant(time)
    with opened() as (store, settings):
        level = explained(store, registry_for(store, settings), index_id=index, at_us=at, as_of_us=instant_us(as_of))
        linked = study_attribution(store, index, start_us=parse_instant(since), end_us=at) if since else None
    payload = level if linked is None else {"level": level, "linked": linked}

    def text() -> None:
        _show(level)
        if linked is not None:
            table_of(
                linked.constituents,
                "token: asset, linked contribution: contribution, own return: own_return, mean weight: mean_weight",
                title=f"{linked.total:.4%} in all",
            )

    return Answer(payload, text)


def _show(level: Explanation) -> None:
    say(f"{level.index} at {iso(to_us(level.time))}: {level.level} ({level.status}, revision {level.revision})")
    say(f"  = value {level.value_usd:,.2f} USD / divisor {level.divisor!r} = {level.level_exact!r}, rounded")
    say(f"  basket of the {level.basket_kind} at {iso(to_us(level.basket_since))}; state {level.state}")
    rules, run = f"{level.methodology_version} {level.methodology_hash[:16]}…", level.run
    say(f"  rules {rules}; run {run['id']} ({run['kind']})")
    inputs = "hold" if level.inputs_hold else "DIFFER"
    say(f"  hash {level.hash[:16]}… after {level.previous_hash[:16]}…; inputs {inputs}")
    rows = [
        {
            "row": row,
            "venues": [f"{quote.venue} {quote.price:.6g} {quote.verdict}" for quote in row.quotes],
            "from": row.supply and (row.supply.grade or row.supply.origin),
        }
        for row in level.constituents
    ]
    moved = "first level" if level.return_since_previous is None else f"{level.return_since_previous:+.6%}"
    table_of(
        rows,
        "token: row.asset, weight: row.weight, units: row.units, price USD: row.price, rate: row.price_status, venues, "
        "supply: row.supply.tokens, from, contribution: row.contribution",
        title=f"Move since the level before: {moved}",
    )
    if level.without_supply:
        say(f"No supply was known of {', '.join(level.without_supply)}, so they could not be weighed.")
    for announcement in level.announcements:
        say(f"note: {announcement['title']}")
    for decision in level.overrides:
        say(f"override {decision['id']}: {decision['reason']} (decided by {decision['approved_by']})")


def rebuild(
    reason: Annotated[str, typer.Option(help="Why history is stated anew; it is published.")],
) -> Answer:
    """State all history anew by what is known now. Old levels stay; the reason is public.

    Example: deai rebuild --reason "supply of NEAR was misread"
    """
    from indexer.workflow.work import rebuild as rebuilt

    with opened() as (store, settings), progress("rebuilding") as tick:
        report = rebuilt(store, settings, reason=reason, progress=tick)
    title = f"Stated anew: {reason}"
    columns = "index: index_id, levels, restated, level"
    return Answer(report, lambda: table_of(report.indices, columns, title=title))


def status(index: IndexId = "deai") -> Answer:
    """Show where an index stands: how far its history is, state, constituents against the minimum, status and why,
    reviews that were not as planned."""
    from indexer.levels.lifecycle import status_of
    from indexer.live.standing import standing_of

    with opened() as (store, _):
        history = standing_of(store, now=utc_now())
        if history.clock_suspect:
            sys.stderr.write(f"clock_suspect: {history.clock_suspect}\n")
        try:
            standing = status_of(store, index, now=utc_now())
        except NotFoundError:
            if not history.sentence:
                raise
            return Answer(history, history.sentence)

    def text() -> None:
        if history.sentence:
            say(history.sentence)
        say(f"{standing.index}: {standing.state}, {standing.constituents} constituents ({standing.minimum} required)")
        if standing.level_status:
            why = f": {standing.note}" if standing.note else ""
            say(f"  {standing.level_status} at {standing.level_at:%Y-%m-%d %H:%M}{why}")
        if standing.worst and standing.worst_status != "final":
            say(f"  worst constituent: {standing.worst}, {standing.worst_status}")
        for alarm in standing.alarms:
            say(f"  alarm: {alarm}")
        for note in standing.notes:
            until = f" to {note.end_at:%Y-%m-%d}" if note.end_at else ""
            say(f"  {note.kind} {note.start_at:%Y-%m-%d}{until}: {note.reason}")
        if standing.planned_state:
            say(f"  {standing.planned_state} from {standing.planned_at}")

    return Answer(standing, text)


def proforma(
    index: IndexId = "deai",
    notional: Annotated[float | None, typer.Option(help="USD to trade, for days to trade.")] = None,
) -> Answer:
    """Show the next rebalance before it happens (from its reference date on). Example: deai proforma deai"""
    from indexer.workflow.work import pro_forma

    with opened() as (store, settings):
        ahead = pro_forma(store, settings, index_id=index, notional_usd=notional)
    columns = (
        "token: asset, now: weight_now, target: weight_target, trade USD: trade_usd, ADV USD: median_adv_usd, "
        "days: days_to_trade, why: reason"
    )
    title = f"{ahead.index}: {ahead.kind} at {ahead.effective_at:%Y-%m-%d}, turnover {ahead.turnover:.2%} (pro-forma)"
    return Answer(ahead, lambda: table_of(ahead.items, columns, title=title))


def calendar_command(
    index: IndexId = "deai",
    form: Annotated[
        Literal["table", "json", "ical", "rss"], typer.Option("--format", help="How to write it.")
    ] = "table",
    months: Annotated[int, typer.Option(min=1, max=60, help="How many months ahead.")] = 12,
) -> None:
    """Show when an index rebalances. Example: deai calendar deai --format ical > deai.ics"""
    from indexer.administration.calendar import as_ical, as_rss, entries
    from indexer.levels.published import methodology_of
    from indexer.store.administration import read_announcements

    now = utc_now()
    with opened() as (store, settings):
        methodology = methodology_of(store, settings, index_id=index)
        news = read_announcements(store, index_id=index, limit=100)
    planned = entries(methodology, start_us=to_us(now), end_us=to_us(now) + months * 31 * DAY_US)
    if form == "ical":
        sys.stdout.write(as_ical(planned, name=f"{methodology.name}: rebalances", now=now))
    elif form == "rss":
        sys.stdout.write(as_rss(news, title=f"{methodology.name}: announcements", link="", now=now) + "\n")
    elif form == "json":
        Answer(planned, "").show(as_json=True)
    else:
        table_of(planned, "at, what, kind, New York: new_york, exchange", title=methodology.name)


def announcements(
    index: Annotated[str | None, typer.Option(help="Only of this index (and of all).")] = None,
    kind: Annotated[str | None, typer.Option(help="restatement, deferred, proforma, effective, state, …")] = None,
    last: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 30,
) -> Answer:
    """Show what users were told: restatements, corrections not applied, rebalances, decisions."""
    from indexer.store.administration import read_announcements

    with opened() as (store, _):
        rows = read_announcements(store, index_id=index, kind=kind, limit=last)
    columns = "published: published_at, kind, index: index_id, said: title"
    return Answer(rows, lambda: table_of(rows, columns))


def actions() -> Answer:
    """Show the log of corporate actions and how each kind is treated."""
    from indexer.methodology.actions import load_event_log
    from indexer.workflow.work import registry_of

    settings = settings_in_force()
    log = load_event_log(registry_of(settings), folder=settings.methodology_dir)
    columns = (
        "effective: effective, event: id, kind: kind.value, price: treated.price, units: treated.units, "
        "divisor: treated.divisor, supply: treated.supply"
    )
    return Answer(log.events, lambda: table_of(log.events, columns))


By = Annotated[str, typer.Option(help="Who decides (a person's name).")]
Reason = Annotated[str, typer.Option(help="Why, in 10 characters or more.")]
Number = Annotated[int, typer.Argument(help="Its number.")]


def add(
    kind: Annotated[str, typer.Argument(help="value, membership or event.")],
    asset: Annotated[str, typer.Argument(help="Token, e.g. near.")],
    starts: Annotated[str, typer.Option(help="First instant it acts.")],
    expires: Annotated[str, typer.Option(help="When it ends.")],
    reason: Reason,
    by: By,
    index: Annotated[str | None, typer.Option(help="Only this index.")] = None,
    value: Annotated[float | None, typer.Option(help="USD, for a value.")] = None,
    effect: Annotated[str | None, typer.Option(help="absorb, remove, write_off, add, scale: for an event.")] = None,
    ratio: Annotated[float, typer.Option(help="For absorb, add and scale.")] = 1.0,
    into: Annotated[str, typer.Option(help="The other token, for absorb and add.")] = "",
) -> None:
    """Decide over a value, a membership or an event. It acts from the next update on and is public at once."""
    from indexer.levels.rules import decide
    from indexer.store.rows import OverrideRow
    from indexer.workflow.work import registry_of

    detail = {"value": value} if kind == "value" else {"effect": effect, "ratio": ratio, "into": into}
    now = utc_now()
    row = OverrideRow(
        kind=kind, asset=asset, starts_at=from_us(parse_instant(starts)), expires_at=from_us(parse_instant(expires)),
        reason=reason, proposed_by=by, proposed_at=now, index_id=index, detail=json.dumps(detail),
    )  # fmt: skip
    with opened() as (store, settings):
        number = decide(store, row, registry=registry_of(settings), now=now)
    say(f"override {number} is in force until {row.expires_at:%Y-%m-%d %H:%M}; `deai update` computes with it")


def withdraw(number: Number, by: By) -> None:
    """End an override before its expiry."""
    from indexer.levels.rules import withdraw as withdrawn

    with opened() as (store, _):
        withdrawn(store, number, by=by, now=utc_now())
    say(f"override {number} is withdrawn")


def list_command() -> Answer:
    """Show every override there ever was."""
    from indexer.store.administration import read_overrides

    with opened() as (store, _):
        rows = read_overrides(store)
    columns = (
        "no: id, kind, token: asset, from: starts_at, until: expires_at, by: proposed_by, "
        "withdrawn: withdrawn_by, reason"
    )
    return Answer(rows, lambda: table_of(rows, columns))


def state(
    index: Annotated[str, typer.Argument(help="Index id.")],
    state: Annotated[str, typer.Argument(help="proposed, active, suspended or terminated.")],
    reason: Reason,
    by: By,
    effective: Annotated[str | None, typer.Option(help="When it takes effect; now when not given.")] = None,
) -> None:
    """Change the state of an index, by a named person and with a reason. Example: deai state deai suspended …"""
    from indexer.levels.lifecycle import change_state

    with opened() as (store, _):
        when = from_us(parse_instant(effective)) if effective else None
        row = change_state(store, index, state=state, reason=reason, by=by, now=utc_now(), effective_at=when)
    say(row.title)


COMMANDS = (
    explain,
    rebuild,
    state,
    status,
    proforma,
    announcements,
    actions,
    calendar_command,
    group("override", "Decisions over a value, a membership or an event.", add, withdraw, list_command),
)
