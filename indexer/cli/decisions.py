"""Commands of judgement under control: overrides and states. A name, a reason, an end; all public."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from indexer.cli.output import emit, say, table

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead of text.")]
By = Annotated[str, typer.Option(help="Who decides (a person's name).")]
Reason = Annotated[str, typer.Option(help="Why, in 10 characters or more.")]
Number = Annotated[int, typer.Argument(help="Its number.")]

override = typer.Typer(help="Decisions over a value, a membership or an event.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(override, name="override")
    app.command()(state)


@override.command()
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
    from indexer.cli.session import opened
    from indexer.levels.overrides import decide
    from indexer.store.rows import OverrideRow
    from indexer.times import from_us, parse_instant, utc_now
    from indexer.workflow.work import registry_of

    detail = {"value": value} if kind == "value" else {"effect": effect, "ratio": ratio, "into": into}
    now = utc_now()
    row = OverrideRow(
        kind=kind,
        asset=asset,
        starts_at=from_us(parse_instant(starts)),
        expires_at=from_us(parse_instant(expires)),
        reason=reason,
        proposed_by=by,
        proposed_at=now,
        index_id=index,
        detail=json.dumps(detail),
    )
    with opened() as (store, settings):
        number = decide(store, row, registry=registry_of(settings), now=now)
    say(f"override {number} is in force until {row.expires_at:%Y-%m-%d %H:%M}; `deai update` computes with it")


@override.command()
def withdraw(number: Number, by: By) -> None:
    """End an override before its expiry."""
    from indexer.cli.session import opened
    from indexer.levels.overrides import withdraw as withdrawn
    from indexer.times import utc_now

    with opened() as (store, _):
        withdrawn(store, number, by=by, now=utc_now())
    say(f"override {number} is withdrawn")


@override.command(name="list")
def list_overrides(as_json: Json = False) -> None:
    """Show every override there ever was."""
    from indexer.cli.session import opened
    from indexer.store.administration import read_overrides

    with opened() as (store, _):
        rows = read_overrides(store)
    headers = ("no", "kind", "token", "from", "until", "by", "withdrawn", "reason")
    body = [
        (
            r.id,
            r.kind,
            r.asset,
            f"{r.starts_at:%Y-%m-%d}",
            f"{r.expires_at:%Y-%m-%d}",
            r.proposed_by,
            r.withdrawn_by,
            r.reason,
        )
        for r in rows
    ]
    emit(rows, as_json=as_json, text=lambda: table(headers, body))


def state(
    index: Annotated[str, typer.Argument(help="Index id.")],
    state: Annotated[str, typer.Argument(help="proposed, active, suspended or terminated.")],
    reason: Reason,
    by: By,
    effective: Annotated[str | None, typer.Option(help="When it takes effect; now when not given.")] = None,
) -> None:
    """Change the state of an index, by a named person and with a reason. Example: deai state deai suspended …"""
    from indexer.cli.session import opened
    from indexer.levels.lifecycle import change_state
    from indexer.times import from_us, parse_instant, utc_now

    with opened() as (store, _):
        row = change_state(
            store,
            index,
            state=state,
            reason=reason,
            by=by,
            now=utc_now(),
            effective_at=from_us(parse_instant(effective)) if effective else None,
        )
    say(row.title)
