"""Pro-forma, calendar, states, overrides, challenges: what people decide, by rule, with names, reasons and dates."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from worlds import APRIL, HOURS, RULES, START, START_US, TO_APRIL, live, prices, world

from indexer.administration.calendar import as_ical, as_rss, entries
from indexer.arrays import to_json
from indexer.engine.history import Settled
from indexer.engine.market import STATUS_NAMES
from indexer.errors import InputError, NotEnoughDataError
from indexer.levels.lifecycle import REASONS, change_state, status_of
from indexer.levels.markets import load_market
from indexer.levels.proforma import compute_pro_forma
from indexer.levels.published import read_settled
from indexer.methodology.load import load_methodology, shipped
from indexer.methodology.policy import load_policy
from indexer.store.administration import read_announcements
from indexer.store.archive import Archive
from indexer.store.db import open_store
from indexer.store.quality import write_quality
from indexer.store.rebalancings import read_rebalancings
from indexer.store.rows import QualityRow
from indexer.times import DAY_US, HOUR_US, from_us, parse_instant, to_us
from indexer.verify.replay import replay

# --- pro-forma ---


def test_a_pro_forma_is_the_rebalance_that_comes_when_prices_stand_still(in_march):
    one = in_march
    market = load_market(one.store, one.registry)
    settled = read_settled(one.store, "small", market=market)
    made = compute_pro_forma(market, one.methodology, settled=settled, policy=load_policy(), notional_usd=5e6)
    assert made.effective_at == from_us(APRIL)
    assert made.kind == "reconstitution"
    still = {slug: np.repeat(closes[TO_APRIL - 30], 31) for slug, closes in prices().items()}
    for slug, closes in still.items():
        one.bars(slug, closes, first=TO_APRIL - 30 + 1)
    one.update()
    [change] = [row for row in read_rebalancings(one.store, "small") if row.effective_at == from_us(APRIL)]
    came = {item.asset: item for item in change.items if item.units_before or item.units_after}
    assert {item.asset for item in made.items} == set(came)
    for item in made.items:
        assert item.weight_target == pytest.approx(came[item.asset].weight_target, abs=1e-14)
        assert item.units_after == pytest.approx(came[item.asset].units_after, rel=1e-12)
        assert item.trade_usd == pytest.approx(5e6 * abs(item.weight_target - item.weight_now))
        assert item.days_to_trade == pytest.approx(item.trade_usd / (0.05 * 24e7))
    assert made.turnover == pytest.approx(change.turnover, abs=1e-14)
    assert made.days_to_trade == max(item.days_to_trade for item in made.items)


def test_before_the_reference_date_there_is_no_pro_forma(tmp_path):
    one = live(tmp_path, TO_APRIL - 60)
    market = load_market(one.store, one.registry)
    settled = read_settled(one.store, "small", market=market)
    with pytest.raises(NotEnoughDataError, match=r"is decided by what is known at 2024-03-30T00:00:00Z; prices are"):
        compute_pro_forma(market, one.methodology, settled=settled, policy=load_policy())
    one.store.close()


def test_the_pro_forma_is_announced_once_then_the_change(in_march):
    one = in_march
    [said] = read_announcements(one.store, kind="proforma")
    assert said.effective_at == from_us(APRIL)
    assert json.loads(said.detail)["turnover"] > 0
    for hour in range(TO_APRIL - 29, TO_APRIL + 2):
        one.now = START + timedelta(hours=hour, minutes=1)
        for slug, closes in prices().items():
            one.bars(slug, closes[hour : hour + 1], first=hour)
        if hour % 7 == 0 or hour >= TO_APRIL:
            one.update()
    assert len(read_announcements(one.store, kind="proforma")) == 1
    [told] = read_announcements(one.store, kind="effective")
    assert told.title.startswith("small: reconstitution in effect at 2024-04-01T00:00:00Z; in: ")
    assert one.verify().ok, one.verify().problem


def test_back_history_is_not_news(tmp_path):
    one = world(tmp_path)
    one.fill()
    one.now = START + timedelta(days=400)
    one.update()
    assert read_announcements(one.store) == []
    one.store.close()


def test_a_transition_goes_on_over_its_fixings_when_published_hour_by_hour(tmp_path):
    rules = RULES.replace("effective_day = 1", "effective_day = 1\ntransition_fixings = 3")
    methodology = load_methodology(rules, source="small.toml")
    (tmp_path / "live").mkdir()
    (tmp_path / "whole").mkdir()
    one = live(tmp_path / "live", TO_APRIL - 5, methodology=methodology)
    for hour in range(TO_APRIL - 4, TO_APRIL + 60, 9):
        one.now = START + timedelta(hours=hour + 9)
        for slug, closes in prices(hours=HOURS + 100).items():
            one.bars(slug, closes[hour : hour + 9], first=hour)
        one.update()
    assert one.verify().ok, one.verify().problem
    whole = world(tmp_path / "whole", methodology=methodology)
    for n, (slug, closes) in enumerate(prices(hours=HOURS + 100).items()):
        whole.bars(slug, closes[: int((one.levels().times_us[-1] - START_US) // HOUR_US) + 1])
        whole.supply(slug, (n + 1) * 1e6)
    whole.update()
    np.testing.assert_allclose(one.levels().levels, whole.levels().levels, rtol=1e-9)
    changes = [row for row in read_rebalancings(one.store, "small") if to_us(row.effective_at) >= APRIL]
    assert [(to_us(row.effective_at) - APRIL) // DAY_US for row in changes] == [0, 1, 2]
    one.store.close()
    whole.store.close()


# --- calendar ---


def test_criterion_14_dates_are_utc_whatever_daylight_saving_leap_years_and_new_york_do():
    deai = shipped()["deai"]
    found = entries(deai, start_us=parse_instant("2024-01-01"), end_us=parse_instant("2025-12-31"))
    effective = [one for one in found if one.what == "effective"]
    assert [one.at for one in effective] == [
        datetime(year, month, 1, tzinfo=UTC) for year in (2024, 2025) for month in range(1, 13)
    ]
    assert {one.at.hour for one in found} == {0}
    by_date = {one.at.date().isoformat(): one for one in effective}
    # 00:00 UTC is the evening before in New York, an hour later in summer
    assert by_date["2024-03-01"].new_york == "2024-02-29T19:00:00-05:00", "the leap day in New York"
    assert by_date["2024-04-01"].new_york == "2024-03-31T20:00:00-04:00"
    assert by_date["2024-04-01"].exchange == "closed", "Easter Sunday"
    assert by_date["2024-11-01"].new_york == "2024-10-31T20:00:00-04:00"
    assert by_date["2024-12-01"].new_york == "2024-11-30T19:00:00-05:00"
    assert by_date["2024-12-01"].exchange == "closed", "a Saturday"
    assert by_date["2025-07-01"].exchange == "open"
    references = {one.at.date().isoformat() for one in found if one.what == "reference"}
    assert {"2024-02-25", "2024-12-27", "2025-02-24"} <= references


def test_a_half_day_of_new_york_is_said():
    methodology = load_methodology(
        RULES.replace("effective_day = 1", "effective_day = 25").replace("2024-01-01", "2023-12-25"),
        source="half.toml",
    )
    found = entries(methodology, start_us=parse_instant("2024-12-20"), end_us=parse_instant("2024-12-31"))
    christmas_eve = next(one for one in found if one.what == "effective")
    assert (christmas_eve.new_york, christmas_eve.exchange) == ("2024-12-24T19:00:00-05:00", "half-day")


def test_the_calendar_as_ical_is_what_rfc_5545_asks_for():
    deai = shipped()["deai"]
    found = entries(deai, start_us=parse_instant("2025-01-01"), end_us=parse_instant("2025-03-31"))
    text = as_ical(found, name="DeAI; rebalances, all", now=datetime(2025, 1, 1, tzinfo=UTC))
    lines = text.split("\r\n")
    assert lines[0] == "BEGIN:VCALENDAR"
    assert lines[-2:] == ["END:VCALENDAR", ""]
    assert "X-WR-CALNAME:DeAI\\; rebalances\\, all" in lines
    assert max(len(line.encode()) for line in lines) <= 75
    uids = [line for line in lines if line.startswith("UID:")]
    assert len(uids) == len(set(uids)) == len(found)
    assert text.count("BEGIN:VEVENT") == text.count("END:VEVENT") == len(found)
    assert "DTSTART:20250201T000000Z" in lines
    assert (
        as_ical(found, name="x", now=datetime(2025, 1, 2, tzinfo=UTC)).count("UID:deai-effective-20250201T000000Z") == 1
    )


def test_the_calendar_as_rows_and_announcements_as_rss(in_march):
    rows = to_json(entries(in_march.methodology, start_us=APRIL - 5 * DAY_US, end_us=APRIL))
    assert [(row["what"], row["at"]) for row in rows] == [
        ("pro-forma", "2024-03-30T00:00:00Z"),
        ("reference", "2024-03-30T00:00:00Z"),
        ("effective", "2024-04-01T00:00:00Z"),
    ]
    from xml.etree import ElementTree

    feed = as_rss(read_announcements(in_march.store), title="A & B", link="http://x/", now=in_march.now)
    channel = ElementTree.fromstring(feed).find("channel")
    assert channel.findtext("title") == "A & B"
    assert [item.findtext("category") for item in channel.findall("item")] == ["proforma"]
    assert channel.find("item").findtext("pubDate").startswith("Sat, 30 Mar 2024 18:")


# --- states ---


def test_a_state_changes_by_a_named_person_with_a_reason_and_notice(in_march):
    one, who = in_march, {"by": "Ada"}
    reason = "venues closed for an upgrade"
    with pytest.raises(InputError, match="by must name the person who decides"):
        change_state(one.store, "small", state="suspended", reason=reason, by=" ", now=one.tick())
    with pytest.raises(InputError, match=r"active cannot become proposed; it can become suspended, terminated"):
        change_state(one.store, "small", state="proposed", reason=reason, now=one.tick(), **who)
    with pytest.raises(InputError, match="a termination needs 15 days' notice"):
        change_state(one.store, "small", state="terminated", reason=reason, now=one.tick(), **who)
    with pytest.raises(InputError, match="the reason must say why"):
        change_state(one.store, "small", state="suspended", reason="", now=one.tick(), **who)
    change_state(one.store, "small", state="suspended", reason=reason, now=one.tick(), **who)
    before = one.levels()
    for slug, closes in prices().items():
        one.bars(slug, closes[TO_APRIL - 29 : TO_APRIL - 20], first=TO_APRIL - 29)
    report = one.update()
    assert report.not_started["small"] == "index small is suspended: no levels are computed for it"
    assert one.levels().hash == before.hash
    change_state(one.store, "small", state="active", reason="venues are back again", now=one.tick(), **who)
    one.update()
    assert len(one.levels()) == len(before) + 9
    assert one.verify().ok, one.verify().problem
    empty = open_store(str(one.store.url).replace("small.sqlite", "empty.sqlite"))
    empty.migrate()
    assert replay(one.store, empty, registry=one.registry, archive=Archive(one.store.path.parent)).problems == ()
    empty.close()


def test_a_state_takes_effect_on_its_date(in_march):
    one, who = in_march, {"by": "Ada"}
    at = one.now + timedelta(days=16)
    change_state(
        one.store, "small", state="terminated", reason="no users are left", now=one.tick(), effective_at=at, **who
    )
    write_quality(
        one.store, one.run(), [QualityRow("no_venue", "token-1", one.now, None, '{"text": "nobody lists it"}')]
    )
    status = status_of(one.store, "small", now=one.now)
    assert status.alarms == ("nobody lists it",)
    assert (status.state, status.planned_state, status.planned_at) == ("active", "terminated", at)
    one.now = at
    one.supply("token-0", 1e6 + 1)
    assert "terminated" in one.update().not_started["small"]
    assert status_of(one.store, "small", now=one.now).state == "terminated"
    with pytest.raises(InputError, match="terminated cannot become active; it can become nothing else"):
        change_state(one.store, "small", state="active", reason="changed our minds", now=one.tick(), **who)


def test_fewer_constituents_than_the_minimum_is_said_and_suspends_in_the_end(tmp_path):
    one = world(tmp_path)
    closes = prices()
    for n, (slug, series) in enumerate(closes.items()):
        if n >= 3:
            series[HOURS - 24 * 20 :] = np.nan
        for venue in ("a", "b", "c"):
            one.bars(slug, series, venue=venue)
        one.supply(slug, (n + 1) * 1e6)
    rules = RULES.replace("min_constituents = 3", "min_constituents = 4")
    one.methodology = load_methodology(rules, source="small.toml")
    one.update()
    status = status_of(one.store, "small", now=one.now)
    assert (status.constituents, status.minimum, status.below_minimum) == (2, 4, True)
    assert status.level_status == "suspended"
    assert "fewer constituents than the 4 that are needed" in status.note
    assert [note.kind for note in status.notes] == ["skipped", "suspended", "impaired"]
    rows = one.levels()
    assert rows.status[0] == 0, "three venues: final"
    assert rows.status[-1] == 6, "impaired"
    one.store.close()


# --- overrides ---


def test_settled_is_what_was_published(in_march):
    market = load_market(in_march.store, in_march.registry)
    settled = read_settled(in_march.store, "small", market=market)
    assert isinstance(settled, Settled)
    assert settled.until_us == int(in_march.levels().times_us[-1])
    assert read_settled(in_march.store, "small", market=market, as_of_us=0) is None


def test_every_status_of_a_level_but_final_says_what_it_means() -> None:
    assert set(REASONS) == {name for name in STATUS_NAMES if name not in ("final", "missing")}
