"""A perpetual stands in for spot only where and when a methodology lets it, counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import FIXED, small

from indexer.administration.explain import explain
from indexer.times import iso, parse_instant

WINDOW = """
[[perpetual_fallback]]
effective_from = 2024-01-01T03:00:00Z
until = 2024-01-01T05:00:00Z
"""
H = "2024-01-01T0{}:00:00Z".format


def world(path: Path, rules: str):
    """aaa has spot throughout, bbb until 01:00Z and perpetual futures all along."""
    made = small(path, rules=rules)
    made.bars("aaa", {"2023-12-27": 10, "2024-01-01": 10} | {H(n): 11 for n in range(1, 7)})
    made.bars("bbb", {"2023-12-27": 20, "2024-01-01": 20, H(1): 21})
    made.bars("bbb", {"2024-01-01": 19} | {H(n): 20 + n for n in range(1, 7)}, venue="futures")
    made.update()
    return made


def test_without_a_rule_a_perpetual_is_no_price(tmp_path: Path) -> None:
    made = world(tmp_path, FIXED)
    rows = made.levels()
    # 1000 · (0.5 · 11/10 + 0.5 · 21/20): the last spot price is carried
    assert rows.levels.tolist() == [1000.0] + [1075.0] * 6
    assert rows.perpetual_weight.tolist() == [0.0] * 7
    assert rows.carried_weight[1] == 0.0
    assert rows.carried_weight[2] == pytest.approx(525 / 1075, abs=1e-12)
    assert made.verified() == ""


def test_in_its_window_it_stands_in_where_no_spot_bar_is_and_the_level_says_its_share(tmp_path: Path) -> None:
    made = world(tmp_path, FIXED + WINDOW)
    rows = made.levels()
    by_hour = dict(zip([iso(at)[11:13] for at in rows.times_us.tolist()], rows.levels.tolist(), strict=True))
    assert by_hour == {
        "00": 1000.0,  # spot: 20, not the perpetual's 19
        "01": 1075.0,  # 550 + 500 · 21/20
        "02": 1075.0,  # before the window: carried
        "03": 1125.0,  # 550 + 500 · 23/20
        "04": 1150.0,  # 550 + 500 · 24/20
        "05": 1150.0,  # the window has ended: the last price that was allowed is carried
        "06": 1150.0,
    }
    assert rows.perpetual_weight[3:5].tolist() == [pytest.approx(575 / 1125), pytest.approx(600 / 1150)]
    assert rows.perpetual_weight[[0, 1, 2, 5, 6]].tolist() == [0.0] * 5
    assert made.verified() == ""


def test_an_explanation_names_the_market_and_one_quote_a_venue(tmp_path: Path) -> None:
    made = world(tmp_path, FIXED + WINDOW)
    made.bars("aaa", {H(4): 12}, interval="1d")
    made.update()
    lines = {
        line.asset: line
        for line in explain(made.store, made.registry, index_id="small", at_us=parse_instant(H(4))).constituents
    }
    assert [(one.venue, one.interval, one.verdict) for one in lines["aaa"].quotes] == [("spot", "1h", "used")]
    assert [(one.venue, one.market) for one in lines["bbb"].quotes] == [("futures", "perpetual")]
    assert (lines["aaa"].perpetual, lines["bbb"].perpetual) == (False, True)
    later = explain(made.store, made.registry, index_id="small", at_us=parse_instant(H(6)))
    assert later.inputs_hold
    assert {line.asset: line.price for line in later.constituents} == {"aaa": 11.0, "bbb": 24.0}
