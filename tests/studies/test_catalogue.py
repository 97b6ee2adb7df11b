"""The shipped events and FOMC decisions, and event files that do not hold."""

from itertools import pairwise

import pytest

from indexer.errors import MethodologyError, NotFoundError
from indexer.studies.catalogue import find_event, fomc_decisions, load_events, parse_events, policy_distance
from indexer.times import iso, parse_instant


def test_shipped_events():
    events = load_events()
    shock = find_event(events, "deepseek")
    assert (iso(shock.at_us), iso(shock.until_us)) == ("2025-01-26T20:00:00Z", "2025-01-27T21:00:00Z")
    assert [claim.told for claim in shock.claims] == [-0.025, 0.98, 48000, 38000, 70000]
    assert events["chatgpt"].until_us == events["chatgpt"].at_us, "no window of its own"
    assert iso(events["nvda-2026-05"].at_us)[:10] == "2026-05-20"
    assert iso(events["btc-etf-approval"].at_us)[:10] == "2024-01-10"
    assert {"earnings", "fomc", "token", "regulation", "shock", "launch", "policy"} == {
        event.kind for event in events.values()
    }
    assert all(event.sources for event in events.values())
    assert list(events) == sorted(events, key=lambda key: events[key].at_us)
    with pytest.raises(NotFoundError, match=r'no event "deepsek"\. Did you mean "deepseek"'):
        find_event(events, "deepsek")


GOOD = '[[event]]\nid = "a"\nname = "A"\nat = 2025-01-01T00:00:00Z\nkind = "own"\nsources = ["s"]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = [", "not a TOML file"),
        ("", r"no \[\[event\]\] in the file"),
        (GOOD + GOOD, 'event id "a" is used twice'),
        (GOOD.replace("T00:00:00Z", ""), "event a: at = 2025-01-01 must be an instant with an offset"),
        (GOOD.replace("Z", ""), "must be an instant with an offset, e.g. 2025-01-27T14:30:00Z"),
        (GOOD.replace('sources = ["s"]', "sources = []"), "event a: at least one source is needed"),
        (GOOD.replace("kind", "kynd"), 'event a: unknown key "kynd". Did you mean "kind"'),
        (GOOD.replace('"A"', '" "'), 'event a: "name" must be a text that is not empty'),
        (GOOD + "until = 2024-12-31T00:00:00Z\n", "event a: until must not be before at"),
        (GOOD + "until = 2025-01-02\n", "event a: until = 2025-01-02 must be an instant with an offset"),
        (GOOD + '[[event.claim]]\ntext = "x"\ntold = "much"\nmeasure = "y"\n', "event a: a claim has text, told"),
        (GOOD + 'precision = "week"\n', 'precision "week" is not known; use "instant" or "day"'),
    ],
)
def test_an_event_file_that_does_not_hold(text, message):
    with pytest.raises(MethodologyError, match=message):
        parse_events(text)


def test_every_decision_is_an_event_named_by_what_it_did():
    events = {key: event for key, event in load_events().items() if event.kind == "fomc"}
    assert len(events) == 40
    assert events["fomc-2022-03"].name == "FOMC raises to 0.25-0.50 %"
    assert events["fomc-2025-01"].name == "FOMC holds at 4.25-4.50 %"
    assert events["fomc-2024-09"].name == "FOMC cuts to 4.75-5.00 %"
    assert events["fomc-2022-01"].name == "FOMC decision: 0.00-0.25 %"
    assert events["fomc-2026-12"].name == "FOMC decision, range not sourced"
    assert all(one.kind == "fomc" and one.sources for one in events.values())


def test_policy_calendar():
    decisions = fomc_decisions()
    assert all(early.at_us < late.at_us for early, late in pairwise(decisions))
    assert all(row.low is row.high is None or 0 <= row.low <= row.high < 1 for row in decisions)
    assert len(decisions) == 40 and iso(decisions[24].at_us) == "2025-01-29T19:00:00Z"
    monday = policy_distance(parse_instant("2025-01-27T21:00:00Z"))
    assert monday.days_until == pytest.approx(2 - 2 / 24) and (monday.low, monday.high) == (0.0425, 0.045)
    assert monday.days_since == pytest.approx(40 + 2 / 24)
    at = policy_distance(decisions[21].at_us)
    assert at.days_since == 0.0 and at.low == 0.0475  # a decision counts from its own instant
    unsourced = policy_distance(parse_instant("2026-04-01"))
    assert unsourced.low is None and unsourced.days_since is not None
    before = policy_distance(parse_instant("2020-01-01"))
    assert before.days_since is None and before.high is None
    assert policy_distance(parse_instant("2027-06-01")).days_until is None
