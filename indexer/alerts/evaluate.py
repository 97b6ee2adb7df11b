"""Rules held against what was published: each crossing becomes an event, stored with its messages at once.

A rule remembers how far it has looked, so levels that came while nobody evaluated are looked at too, one by one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import numpy as np

from indexer.alerts.rules import ABOUT, ABOVE, BELOW, INSIDE, Alerts, Rule
from indexer.analytics.breaks import beta_difference
from indexer.engine.market import STATUS_NAMES
from indexer.errors import DeaiError, NotEnoughDataError
from indexer.levels.lifecycle import standing_of
from indexer.store.administration import forget_alert_states, read_alert_states, read_announcements, write_alert_state
from indexer.store.db import Store
from indexer.store.levels import read_latest_level, read_level_page, read_levels
from indexer.store.quality import read_quality
from indexer.store.runs import first_fill_is_open
from indexer.store.tables import AlertMessage, AlertState
from indexer.studies.beta import windowed_beta
from indexer.studies.series import benchmark_series, make_frame, subject_series
from indexer.times import DAY_US, HOUR_US, MINUTE_US, iso, to_us

MOST_LEVELS, MOST_SESSIONS = 10_000, 60  # looked at in one evaluation; the next goes on from there
LOOK_BACK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a rule watches, at an instant: a number, or a word that is a side itself. `seen`: how far it has looked."""

    at_us: int
    value: float | str
    seen: int
    text: str = ""


def evaluate(store: Store, alerts: Alerts, *, now: datetime) -> dict[str, Exception]:
    """Stores what crossed since the last evaluation, with its messages; what hindered rules, by name.

    Nothing is looked at during a first fill, for its levels are computed again, nor while there is nobody to tell.
    """
    problems, now = dict[str, Exception](), now.replace(microsecond=0)
    states, keys = read_alert_states(store), {rule.key for rule in alerts.rules}
    if gone := {key for key, _ in states} - keys:
        forget_alert_states(store, gone)
    if not (alerts.rules and alerts.targets) or first_fill_is_open(store, now=now):
        return problems
    for rule in alerts.rules:
        names = [target.name for target in alerts.targets if not rule.to or target.name in rule.to]
        try:
            for subject, readings in _read_rule(store, rule, states, now=now).items():
                before = states.get((rule.key, subject))
                after, events = crossings(rule, subject, readings, before=before)
                messages = [message for event in events for message in _messages(rule, event, names, now=now)]
                if after is not None:
                    write_alert_state(store, before=before, after=after, messages=messages)
        except Exception as error:  # a defect in one rule must not stop the others
            problems[rule.name] = error
    return problems


def crossings(
    rule: Rule, subject: str, readings: Sequence[Reading], *, before: AlertState | None
) -> tuple[AlertState | None, list[dict[str, Any]]]:
    """Where a subject stands after these readings (None: as before), and the data of the events between."""
    side, events = before.side if before else INSIDE, []
    for reading in readings:
        was, value = side, reading.value
        side = value if isinstance(value, str) else rule.side_of(value, before=was)
        begins = isinstance(value, str) and before is None and reading is readings[0]  # how it begins is no news
        if side != was and not begins and (side != INSIDE or rule.back):
            events.append(_event(rule, subject, reading, side=side, was=was))
    if not readings or (before and (side, readings[-1].seen) == (before.side, before.seen)):
        return None, events
    return AlertState(rule=rule.key, subject=subject, side=side, seen=readings[-1].seen), events


def _event(rule: Rule, subject: str, reading: Reading, *, side: str, was: str) -> dict[str, Any]:
    bound = {ABOVE: rule.above, BELOW: rule.below}.get(side)
    where = ", inside its bounds again" if bound is None else f", {side} {bound:{ABOUT[rule.kind].form}}"
    text = f"{_sentence(rule, reading, subject)}{'' if reading.text else where} ({iso(reading.at_us)})"
    data = {"rule": rule.name, "kind": rule.kind, "subject": subject, "state": side, "was": was, "text": text}
    return data | {"value": reading.value, "above": rule.above, "below": rule.below, "at": iso(reading.at_us)}


def _messages(rule: Rule, event: Mapping[str, Any], targets: Sequence[str], *, now: datetime) -> list[AlertMessage]:
    """One message of an event for each target."""
    about, name = ABOUT[rule.kind], f"msg_{uuid4().hex}"
    kind = about.end_type or about.type if event["state"] == INSIDE else about.type
    body = json.dumps({"type": kind, "timestamp": iso(to_us(now)), "data": event}, ensure_ascii=False)
    return [
        AlertMessage(
            webhook_id=name, target=target, rule=rule.name, created_at=now, text=event["text"], body=body, due_at=now
        )
        for target in targets
    ]


def _sentence(rule: Rule, reading: Reading, subject: str) -> str:
    value = reading.value if isinstance(reading.value, str) else format(reading.value, ABOUT[rule.kind].form)
    terms = {"benchmark": rule.benchmark, "sessions": rule.sessions, "hours": rule.hours}
    return reading.text or ABOUT[rule.kind].says.format(subject=subject, value=value, **terms)


def present(store: Store, rule: Rule, *, now: datetime) -> str:
    """What a rule sees now, in words, or why it sees nothing yet."""
    try:
        seen = _read_rule(store, rule, {}, now=now)
    except DeaiError as error:
        return str(error)
    lines = [_sentence(rule, readings[-1], subject) for subject, readings in seen.items() if subject and readings]
    return "; ".join(line for line in lines if line) or "nothing to tell"


def _read_rule(
    store: Store, rule: Rule, states: Mapping[tuple[str, str], AlertState], *, now: datetime
) -> Mapping[str, Sequence[Reading]]:
    """What the rule watches, by subject, from where it last looked on; the newest only when it looks first."""
    if rule.kind == "source-down":
        return _sources(store, rule, states, now=now)
    state = states.get((rule.key, rule.index))
    return {rule.index: READERS[rule.kind](store, rule, state.seen if state else None, now)}


def _levels(store: Store, rule: Rule, seen: int | None, now: datetime) -> list[Reading]:
    """Levels, or moves over the rule's hours from the last level before."""
    newest = _newest(store, rule)
    span = round(rule.hours * HOUR_US) if rule.kind == "move" else 0
    start = newest if seen is None else seen + 1
    rows = read_level_page(
        store, rule.index, start_us=start - span - DAY_US * (span > 0), end_us=None, step_us=None, as_of_us=None,
        limit=MOST_LEVELS + span // MINUTE_US,
    )  # fmt: skip
    times, values = rows.times_us, rows.levels
    before = np.searchsorted(times, times - span, side="right") - 1
    own = np.flatnonzero((times >= start) & (before >= 0))
    values = values[own] / values[before[own]] - 1.0 if span else values[own]
    readings = [Reading(at, value, at) for at, value in zip(times[own].tolist(), values.tolist(), strict=True)]
    return readings or [Reading(newest, INSIDE, newest)] * (seen is None)  # no move yet: it looks from here on


def _statuses(store: Store, rule: Rule, seen: int | None, now: datetime) -> list[Reading]:
    """The status of each level, and how the index stands at the newest: it may be suspended after it."""
    newest = _newest(store, rule)
    start = newest if seen is None else min(seen + 1, newest)
    rows = read_levels(store, rule.index, start_us=start, limit=MOST_LEVELS)
    standing = standing_of(store, rule.index, newest=rows)
    words = [*((STATUS_NAMES[status], "") for status in rows.status[:-1]), (standing.status, standing.reason)]
    texts = [f"{rule.index} is {word}{f': {why}' if why else ''}" for word, why in words]
    times = rows.times_us.tolist()
    return [Reading(at, word, at, text) for at, (word, _), text in zip(times, words, texts, strict=True)]


def _age(store: Store, rule: Rule, seen: int | None, now: datetime) -> list[Reading]:
    return [Reading(to_us(now), (to_us(now) - _newest(store, rule)) / HOUR_US, 0)]


def _newest(store: Store, rule: Rule) -> int:
    """The instant of the newest level. Raises NotEnoughDataError before the first."""
    newest = read_latest_level(store, rule.index)
    if newest is None:
        raise NotEnoughDataError(f"index {rule.index} has no levels yet")
    return int(newest.times_us[-1])


def _betas(store: Store, rule: Rule, seen: int | None, now: datetime) -> list[Reading]:
    """The beta at each session's close, as `deai beta` has it, or how far it is from that of the sessions before."""
    frame = make_frame(store, subject_series(store, rule.index), [benchmark_series(store, rule.benchmark)])
    whole = frame.rows(np.flatnonzero(frame.complete))
    ends = whole.times_us[-1:] if seen is None else whole.times_us[whole.times_us > seen][:MOST_SESSIONS]
    readings = []
    for end in ends.tolist():
        late = windowed_beta(whole, sessions=rule.sessions, end_us=end)
        value = late.estimate.beta
        if rule.kind == "break":
            early = windowed_beta(whole, sessions=rule.sessions, end_us=late.first_us)
            value = (beta_difference(early.result, late.result) or (None,))[0]
        if value is not None:
            readings.append(Reading(end, float(value), end))
    return readings


def _announcements(store: Store, rule: Rule, seen: int | None, now: datetime) -> list[Reading]:
    """Announcements of the rule's kinds, by their numbers; when it looks first, the number of the last one."""
    rows = read_announcements(store, index_id=rule.index, after_id=seen, limit=1 if seen is None else None)
    if seen is None:
        last = (rows[0].id or 0) if rows else 0
        return [Reading(to_us(now), str(last), last)]
    own = [row for row in rows[::-1] if row.kind in rule.announcements]
    return [Reading(to_us(row.published_at), str(row.id), row.id or 0, row.title) for row in own]


def _sources(
    store: Store, rule: Rule, states: Mapping[tuple[str, str], AlertState], *, now: datetime
) -> Mapping[str, Sequence[Reading]]:
    """How long sources were down, by the data-quality log: each time that ended since it was looked at, and now."""
    now_us, begun = to_us(now), states.get((rule.key, ""))
    readings: dict[str, list[Reading]] = {} if begun else {"": [Reading(now_us, INSIDE, now_us)]}
    for entry in read_quality(store, kind="source_down", since=now - LOOK_BACK):
        subject, end = entry.subject, to_us(entry.closed_at or now)
        state = states.get((rule.key, subject)) or begun
        looked_at = entry.closed_at is not None and end <= (state.seen if state else now_us)
        if looked_at or "/" in subject or rule.source not in ("", subject):  # the second: one symbol of a source
            continue
        down = Reading(end, (end - to_us(entry.opened_at)) / HOUR_US, to_us(entry.opened_at))
        up = [Reading(end, 0.0, end, f"source {subject} answers again")] if entry.closed_at else []
        readings[subject] = [*readings.get(subject, ()), down, *up]
    return readings


READERS: Final[Mapping[str, Callable[[Store, Rule, int | None, datetime], list[Reading]]]] = {
    **{"level": _levels, "move": _levels, "status": _statuses, "stale": _age},
    **{"beta": _betas, "break": _betas, "rebalance": _announcements},
}
