"""Rules against a real store: what each kind tells, once, also of what came while nobody looked."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from alertkit import START, publish, rules
from seeded import NOW, seeded_store

from indexer.alerts.evaluate import evaluate
from indexer.store.administration import read_alert_messages, read_alert_states, write_announcements
from indexer.store.db import Store
from indexer.store.quality import write_quality
from indexer.store.rows import AnnouncementRow, QualityRow
from indexer.store.runs import FIRST_FILL, start_run
from indexer.studies.beta import index_beta


def told(store: Store) -> list[dict[str, object]]:
    """The data of every event, oldest first."""
    return [json.loads(row.body)["data"] for row in read_alert_messages(store, limit=100)][::-1]


def rule(kind: str, terms: str = "") -> str:
    return f'[[rule]]\nname = "it"\nkind = "{kind}"\n{terms}\n'


def test_a_level_that_crossed_and_came_back_while_nobody_looked_is_told_once(store: Store) -> None:
    alerts = rules(rule("level", "below = 1000\nback = true"))
    assert "no levels yet" in str(evaluate(store, alerts, now=START)["it"])
    evaluate(store, alerts, now=publish(store, [1010.0]))
    now = publish(store, [990.0, 1001.0, 995.0, 1020.0, 1030.0])
    for _ in range(2):
        assert evaluate(store, alerts, now=now) == {}
    down, up = told(store)
    assert (down["state"], down["value"], down["at"]) == ("below", 990.0, "2026-01-01T01:00:00Z")
    assert down["text"] == "deai is 990.00, below 1,000.00 (2026-01-01T01:00:00Z)"
    assert (up["state"], up["was"], up["value"]) == ("inside", "below", 1020.0)
    first, second = read_alert_messages(store, limit=9)
    assert first.webhook_id != second.webhook_id


def test_a_move_is_over_its_hours_and_only_of_levels_that_are_there(store: Store) -> None:
    alerts = rules(rule("move", "below = -0.1\nhours = 2"))
    evaluate(store, alerts, now=publish(store, [1000.0]))
    evaluate(store, alerts, now=publish(store, [950.0, 899.0, 890.0]))
    [event] = told(store)
    assert event["value"] == pytest.approx(-0.101)
    assert event["text"] == "deai moved -10.1% in 2 hours, below -10.0% (2026-01-01T02:00:00Z)"


def test_every_change_of_status_is_told(store: Store) -> None:
    alerts = rules(rule("status"))
    evaluate(store, alerts, now=publish(store, [1.0], status=[3]))
    evaluate(store, alerts, now=publish(store, [1.0] * 3, status=[0, 0, 2]))
    assert [(event["was"], event["state"]) for event in told(store)] == [("carried", "final"), ("final", "degraded")]
    assert "two venues price less of the weight" in str(told(store)[-1]["text"])


def test_announced_rebalances_are_told_and_nothing_of_before_the_rule(store: Store) -> None:
    now, run = publish(store, [1.0]), start_run(store, kind="x", key="x", now=START)
    assert run is not None

    def announce(*kinds: str) -> None:
        rows = [
            AnnouncementRow(f"{kind}:{number}", kind, f"about {kind}", now, "deai") for number, kind in enumerate(kinds)
        ]
        write_announcements(store, run, rows)

    alerts = rules(rule("rebalance"))
    announce("effective", "proforma")
    evaluate(store, alerts, now=now)
    announce("effective", "proforma", "restatement", "proforma")
    for _ in range(2):
        evaluate(store, alerts, now=now)
    [message] = read_alert_messages(store, limit=9)
    assert json.loads(message.body)["type"] == "index.rebalance.announced"
    assert message.text.startswith("about proforma (")


def test_a_source_that_was_down_and_came_back_while_nobody_looked_is_told(store: Store) -> None:
    alerts, run = rules(rule("source-down", "above = 1\nback = true")), start_run(store, kind="x", key="x", now=START)
    assert run is not None

    def log(subject: str, since: float, until: float | None) -> None:
        hours = [None if hour is None else START + timedelta(hours=hour) for hour in (since, until)]
        write_quality(store, run, [QualityRow("source_down", subject, hours[0], hours[1])])  # type: ignore[arg-type]

    log("kraken", -9, -2)
    evaluate(store, alerts, now=START)
    log("okx", 1, 1.5)
    log("binance/TAO", 1, None)
    log("kraken", 2, 5)
    log("bybit", 8, None)
    for hour in (8.5, 9.5, 9.6):
        evaluate(store, alerts, now=START + timedelta(hours=hour))
    assert [(event["subject"], event["state"]) for event in told(store)] == [
        ("kraken", "above"), ("kraken", "inside"), ("bybit", "above"),
    ]  # fmt: skip
    log("bybit", 8, 10)
    evaluate(store, alerts, now=START + timedelta(hours=10.1))
    last = read_alert_messages(store, limit=1)[0]
    assert json.loads(last.body)["type"] == "source.recovered"
    assert last.text == "source bybit answers again (2026-01-01T10:00:00Z)"


def test_a_level_that_does_not_come_is_told_once(store: Store) -> None:
    alerts, now = rules(rule("stale", "above = 3")), publish(store, [1000.0])
    for hour in (1, 3.2, 4, 9):
        evaluate(store, alerts, now=now + timedelta(hours=hour))
    [event] = told(store)
    assert event["text"] == "newest level of deai is 3.2 h old, above 3.0 (2026-01-01T03:12:00Z)"


def test_betas_are_those_of_the_study_and_a_break_is_their_distance(tmp_path: Path) -> None:
    store = seeded_store(tmp_path / "deai.sqlite")
    beta = index_beta(store, "deai", sessions=60).result
    text = rule("beta", "above = 1.2\nsessions = 60") + rule("break", "above = -9\nsessions = 60").replace(
        '"it"', '"too"'
    )
    assert evaluate(store, rules(text), now=NOW) == {}
    event, apart = told(store)
    assert event["value"] == beta.beta
    early = index_beta(store, "deai", sessions=60, end_us=index_beta(store, "deai", sessions=60).first_us).result
    assert beta.beta is not None and beta.se and early.beta is not None and early.se
    assert apart["value"] == pytest.approx((beta.beta - early.beta) / (beta.se**2 + early.se**2) ** 0.5)
    store.close()


def test_nothing_is_told_of_a_first_fill_and_what_hinders_one_rule_hinders_no_other(store: Store) -> None:
    now = publish(store, [900.0])
    both = rules(rule("level", "below = 1000") + rule("stale", 'above = 1\nindex = "dai"').replace('"it"', '"other"'))
    assert start_run(store, kind=FIRST_FILL, key=FIRST_FILL, now=now, due_at=now) is not None
    assert evaluate(store, both, now=now) == {}
    assert (told(store), read_alert_states(store)) == ([], {})
    problems = evaluate(store, both, now=now + timedelta(days=2))
    assert list(problems) == ["other"]
    assert 'No index "dai"' in str(problems["other"])
    assert len(told(store)) == 1


def test_a_rule_that_is_removed_or_of_another_kind_begins_anew(store: Store) -> None:
    level, moved = rules(rule("level", "below = 1000")), rules(rule("status"))
    evaluate(store, level, now=publish(store, [900.0]))
    evaluate(store, moved, now=publish(store, [1100.0, 900.0, 1100.0]))
    assert {key for key, _ in read_alert_states(store)} == {"status:it"}
    evaluate(store, level, now=publish(store, [1200.0]))
    assert [event["value"] for event in told(store)] == [900.0]
