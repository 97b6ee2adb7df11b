"""The file of rules is read strictly; a crossing is one event, however the value wobbles."""

from __future__ import annotations

from pathlib import Path

import pytest
from alertkit import SECRET
from hypothesis import given
from hypothesis import strategies as st

from indexer.alerts.evaluate import Reading, crossings
from indexer.alerts.rules import Rule, add_entry, load_alerts, parse_alerts, remove_entry
from indexer.errors import ConfigError, NotFoundError

VALUES = st.lists(st.floats(80, 120, allow_nan=False), max_size=40)
HOOK = '[[target]]\nname = "hook"\nurl = "https://example.org/x"\n'


@given(values=VALUES, margin=st.floats(0, 8), cuts=st.lists(st.integers(0, 40), max_size=3))
def test_a_side_is_told_once_until_the_value_has_come_back_beyond_the_margin(
    values: list[float], margin: float, cuts: list[int]
) -> None:
    rule = Rule("band", "level", above=110.0, below=90.0, margin=margin)
    readings = [Reading(at, value, at) for at, value in enumerate(values)]
    _, events = crossings(rule, "deai", readings, before=None)
    told = {event["value"]: event["state"] for event in events}
    armed, expected = {"above": True, "below": True}, {}
    for value in values:
        for side, beyond, back in (
            ("above", value > 110.0, value <= 110.0 - margin or value < 90.0),
            ("below", value < 90.0, value >= 90.0 + margin or value > 110.0),
        ):
            if beyond and armed[side]:
                expected[value] = side
            armed[side] = not beyond and (armed[side] or back)
    assert told == expected
    state, pieces = None, []
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), len(readings)], strict=True):
        after, some = crossings(rule, "deai", readings[first:last], before=state)
        state, pieces = after or state, pieces + some
    assert pieces == events, "looked at in pieces it is the same"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[rule]]\nname = "a"\nkind = "levle"\nabove = 1\n', 'Did you mean "level"?'),
        ('[[rule]]\nname = "a"\nkind = "level"\n', "give above or below"),
        ('[[rule]]\nname = "a"\nkind = "level"\nabove = "high"\n', "above: 'high' is text, not a number"),
        ('[[rule]]\nname = "a"\nkind = "stale"\nabove = 3\nbenchmark = "QQQ"\n', "benchmark: a stale rule takes"),
        ('[[rule]]\nname = "a"\nkind = "status"\nto = ["hok"]\n' + HOOK, 'no target "hok". Did you mean "hook"?'),
        ('[[rule]]\nname = "hook"\nkind = "status"\n' + HOOK, '"hook" is there twice'),
        (HOOK + 'secret = "whsec_short"\n', "the base64 of 24 to 64 bytes"),
        (f'[[target]]\nname = "chat"\nurl = "ntfys://x"\nsecret = "{SECRET}"\n', "only a webhook"),
        ('[rules]\nname = "a"\n', "only [[rule]] and [[target]]"),
    ],
)
def test_what_does_not_hold_is_said(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_alerts(text, source="alerts.toml")
    assert problem in str(refusal.value)
    assert "whsec_short" not in str(refusal.value), "what may be a secret goes into no log"


def test_entries_are_added_and_removed_and_the_rest_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "alerts.toml"
    add_entry(path, "target", {"name": "hook", "url": 'https://example.org/é?a="b"', "secret": SECRET})
    assert path.stat().st_mode & 0o077 == 0, "its secrets are the owner's"
    path.write_text(path.read_text() + "# mine\n")
    before = path.read_text()
    add_entry(path, "rule", {"name": "low", "kind": "level", "below": -0.5, "back": True, "to": ["hook"]})
    assert load_alerts(path).rules == (Rule("low", "level", below=-0.5, back=True, to=("hook",)),)
    assert load_alerts(path).targets[0].url == 'https://example.org/é?a="b"'
    with pytest.raises(ConfigError, match='no target "hook"'):
        remove_entry(path, "hook")
    with pytest.raises(NotFoundError, match='Did you mean "low"'):
        remove_entry(path, "lo")
    remove_entry(path, "low")
    (inline := tmp_path / "inline.toml").write_text('rule = [{ name = "low", kind = "status" }]')
    with pytest.raises(ConfigError, match="by hand"):
        remove_entry(inline, "low")
    assert path.read_text().strip() == before.strip()
