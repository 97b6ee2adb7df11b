"""What is announced of a constituent that leaves between reviews, by hand-computed numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from baskets import BASE, BASE_US, market, methodology

from indexer.engine.history import BasketEvent, Effect, Settled
from indexer.engine.level import compute_index
from indexer.engine.second import compare, second_index
from indexer.levels.announcing import News, announced, notes_of
from indexer.methodology.policy import load_policy
from indexer.methodology.spec import Missing, Scheme, Weighting
from indexer.times import DAY_US

POLICY = load_policy()
RULES = methodology(weighting=Weighting(Scheme.EQUAL), missing=Missing(48))


def test_who_leaves_is_announced_with_its_last_price_and_what_that_is_worth() -> None:
    # b's last price is 20 on day 2; a falls from 10 to 5 on day 4, so b has 2/3 of the weight when it leaves on day 5.
    # Had it halved too, the level would differ by 2/3 · −50 %.
    times = BASE_US + np.arange(6) * DAY_US
    prices = [[10, 20], [10, 20], [10, np.nan], [5, np.nan], [5, np.nan], [5, np.nan]]
    world = market(times, prices, [3.0, 2.0])
    history = compute_index(world, RULES)
    (row,) = list(News(world, RULES, history, None, (), POLICY, BASE).exits())
    assert row.title == (
        "token-01 leaves test at 2023-01-05T00:00:00Z at its last traded price, 20 of 2023-01-02T00:00:00Z, with 66.7% "
        "of the weight; had it moved like the others since then, the level would differ by -33.33%, were it worth "
        "nothing by -66.67%"
    )
    assert json.loads(row.detail)["worth"] == pytest.approx(-1 / 3)
    known = Settled(history.rebalances, int(times[-1]))
    again = compute_index(world, RULES, settled=known)
    assert list(News(world, RULES, again, known, (), POLICY, BASE).exits()) == [], "said once"


@pytest.mark.parametrize(
    ("event", "levels", "said"),
    [
        (
            # 600 of a and 500 of b; b leaves at a quarter of its price: 600 + 125 = 725, which goes on as a does
            BasketEvent(0, "token-01", Effect.REMOVE, reason="delisted", value=5.0),
            [1000, 1000, 1100, 725, 1450],
            "at the stated value 5, with 45.5% of the weight; the level moves by -34.09% against its last traded "
            "price, 20 of 2023-01-03T00:00:00Z",
        ),
        (
            BasketEvent(0, "token-01", Effect.REMOVE, reason="delisted"),
            [1000, 1000, 1100, 1100, 2200],
            "at its last traded price, 20 of 2023-01-03T00:00:00Z, with 45.5% of the weight; had it moved like the "
            "others since then, the level would differ by +0.00%, were it worth nothing by -45.45%",
        ),
        (
            # 2 of a at 12 for one b of 20: a fifth more, which the divisor takes
            BasketEvent(0, "token-01", Effect.ABSORB, ratio=2.0, into="token-00", reason="merged"),
            [1000, 1000, 1100, 1100, 2200],
            "for 2 token-00 each, with 45.5% of the weight; that is worth +20.00% of its last traded price, 20 of "
            "2023-01-03T00:00:00Z, and the divisor takes the difference, +9.09% of the level",
        ),
    ],
)
def test_what_a_leaving_token_is_worth_by_hand_and_by_both_calculators(event, levels, said) -> None:
    times = BASE_US + np.arange(5) * DAY_US
    world = market(times, [[10, 20], [10, 20], [12, 20], [12, 3], [24, 3]], [3.0, 2.0])
    events = [replace(event, at_us=int(times[2]))]
    history = compute_index(world, RULES, events=events)
    assert history.levels == pytest.approx(levels, rel=1e-14)
    assert compare(history, second_index(world, RULES, events=events)).max_relative < 1e-14
    (row,) = list(News(world, RULES, history, None, events, POLICY, BASE).exits())
    assert row.title == f"token-01 leaves test at 2023-01-03T00:00:00Z {said}"


def test_the_end_of_an_impairment_is_announced_unless_it_is_a_suspension() -> None:
    times = BASE_US + np.arange(30) * DAY_US
    prices = np.full((30, 2), 10.0)
    prices[1, 0] = np.nan
    prices[3:, :] = np.nan
    history = compute_index(market(times, prices, [1.0, 1.0]), RULES)
    rows = announced("test", notes_of(history), now=BASE)
    assert [(row.kind, row.title.split(":")[0].split("2023")[0].strip()) for row in rows] == [
        ("impaired", "test is impaired since"),
        ("impaired", "test is impaired no more from"),
        ("impaired", "test is impaired since"),
        ("suspended", "test is suspended, its last level is that of"),
    ]
