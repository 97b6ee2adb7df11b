"""Alert rules and their targets: added, listed, removed, tried."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from indexer.cli.command import Answer, group, opened, settings_in_force, table_of
from indexer.errors import InputError, NotFoundError, SourceUnavailable
from indexer.times import utc_now

NEWEST = 20
Words = Annotated[
    list[str] | None, typer.Argument(help="Its terms: above=1200 back=true to=phone,hook", metavar="TERM")
]


def add(
    name: Annotated[str, typer.Argument(help="What the rule or target is called.")],
    what: Annotated[str, typer.Argument(help="A kind of rule (level, move, beta, …), or a target's address.")],
    words: Words = None,
) -> Answer:
    """Add a rule or a target. Example: deai alert add low level below=900

    A target: deai alert add hook https://example.org/hook (its secret is made and shown), or ntfys://ntfy.sh/topic.
    """
    from indexer.alerts.evaluate import present
    from indexer.alerts.rules import add_entry, load_alerts, new_secret

    terms = dict(_term(word) for word in words or ())
    with opened() as (store, settings):
        if "://" in what:
            secret = {"secret": new_secret()} if what.startswith("http") else {}
            entry = {"name": name, "url": what, **secret, **terms}
            add_entry(settings.alerts_file, "target", entry)
            lines = [f"{name} is added; try it: deai alert test {name}"]
            lines += [f"its secret, for whoever checks the signature: {entry['secret']}"] if "secret" in entry else []
        else:
            entry = {"name": name, "kind": what, **terms}
            add_entry(settings.alerts_file, "rule", entry)
            rule = next(rule for rule in load_alerts(settings.alerts_file).rules if rule.name == name)
            lines = [f"{name} is added", f"now: {present(store, rule, now=utc_now())}"]
    return Answer(entry, "\n".join(lines))


def _term(word: str) -> tuple[str, Any]:
    """`key=value` as the TOML file has it: numbers and true/false are such, `to` and `announcements` are lists."""
    import tomllib

    key, equals, text = word.partition("=")
    if not equals:
        raise InputError(f'"{word}" is no term: write key=value, e.g. above=1200')
    if key in ("to", "announcements"):
        return key, text.split(",")
    try:
        return key, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key, text


def list_command() -> Answer:
    """Show rules and where they stand, targets without their secrets, and the newest messages with their fate."""
    from indexer.alerts.rules import load_alerts
    from indexer.store.administration import read_alert_messages, read_alert_states

    with opened() as (store, settings):
        alerts = load_alerts(settings.alerts_file)
        states = [state for state in read_alert_states(store).values() if state.subject]
        messages = read_alert_messages(store, limit=NEWEST)

    def text() -> None:
        rows = [
            {"rule": rule, "stands": [f"{row.subject} {row.side}" for row in states if row.rule == rule.key]}
            for rule in alerts.rules
        ]
        columns = "rule: rule.name, kind: rule.kind, above: rule.above, below: rule.below, stands"
        table_of(rows, columns, title=str(settings.alerts_file))
        table_of(alerts.targets, "target: name, by: scheme")
        table_of(messages, "time: created_at, target, outcome, tries, answer, text", title="Newest messages")

    payload = {
        "rules": [asdict(rule) for rule in alerts.rules],
        "targets": [{"name": target.name, "by": target.scheme} for target in alerts.targets],
        "standing": [state.model_dump() for state in states],
        "messages": [message.model_dump() for message in messages],
    }
    return Answer(payload, text)


def remove(name: Annotated[str, typer.Argument(help="A rule or target.")]) -> Answer:
    """Remove a rule or target. What waits for a target that is gone is not sent."""
    from indexer.alerts.rules import remove_entry

    remove_entry(settings_in_force().alerts_file, name)
    return Answer({"removed": name}, f"{name} is removed")


def resend(name: Annotated[str, typer.Argument(help="A target.")]) -> Answer:
    """Try again what is dead of a target, once the reason is gone. The scheduler or `deai update` sends it."""
    from indexer.store.administration import revive_alert_messages

    with opened() as (store, _):
        count = revive_alert_messages(store, name, now=utc_now())
    return Answer({"target": name, "messages": count}, f"{count:,} messages wait for {name}")


def test(name: Annotated[str, typer.Argument(help="A target; all when not given.")] = "") -> Answer:
    """Send a test event now, once. Exit code 5 when a target did not take it."""
    from indexer.alerts.deliver import send_tests
    from indexer.alerts.rules import load_alerts

    settings = settings_in_force()
    targets = [target for target in load_alerts(settings.alerts_file).targets if name in ("", target.name)]
    if not targets:
        raise NotFoundError(
            f'there is no target "{name}" in {settings.alerts_file}; deai alert add NAME ADDRESS adds it'
        )
    tries = send_tests(targets, clock=utc_now, private=settings.alerts_private)
    refused = [str(row["target"]) for row in tries if not row["taken"]]
    failed = SourceUnavailable(f"not taken by {', '.join(refused)}") if refused else None
    return Answer(tries, "\n".join(f"{row['target']}: {row['answer']}" for row in tries), failed=failed)


COMMANDS = (
    group(
        "alert",
        "Be told when an index crosses a bound, changes, or stands still.",
        add,
        list_command,
        remove,
        resend,
        test,
    ),
)
