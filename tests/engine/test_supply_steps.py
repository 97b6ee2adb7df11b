"""Steps of supply wait for an acknowledgement: hand-made readings, one a month."""

from __future__ import annotations

from indexer.engine.known import SupplyTokens, acting, provider_of
from indexer.times import DAY_US

MONTH = 31 * DAY_US


def reading(at_us: int, tokens: float, source: str, *, stated: bool = False) -> SupplyTokens:
    return SupplyTokens(1, "circulating", "reported", at_us, tokens, source=source, stated=stated)


def readings(*tokens: float, provider: str = "vendor", every: int = MONTH) -> list[SupplyTokens]:
    return [reading(n * every, amount, provider) for n, amount in enumerate(tokens)]


def test_a_fifth_in_a_month_is_no_step_and_a_little_more_is_one() -> None:
    assert acting(readings(100.0, 120.0, 96.0)) == ([True, True, True], [])
    acts, [step] = acting(readings(100.0, 120.1))
    assert acts == [True, False]
    assert (step.before, step.after, step.until_us) == (100.0, 120.1, None)
    assert abs(step.change - 0.201) < 1e-12


def test_a_longer_gap_allows_more_in_proportion() -> None:
    assert acting(readings(100.0, 164.0, every=100 * DAY_US))[0] == [True, True]
    assert acting(readings(100.0, 165.0, every=100 * DAY_US))[0] == [True, False]


def test_the_same_provider_repeating_itself_acknowledges_nothing() -> None:
    acts, steps = acting(readings(100.0, 150.0, 150.0, 151.0, 152.0))
    assert acts == [True, False, False, False, False]
    assert len(steps) == 1


def test_what_comes_back_acts_again() -> None:
    acts, [step] = acting(readings(100.0, 150.0, 110.0))
    assert acts == [True, False, True]
    assert step.until_us == 2 * MONTH


def test_an_event_between_the_readings_acknowledges() -> None:
    series = readings(100.0, 150.0, 151.0)
    assert acting(series, events=[(MONTH, MONTH + 1)])[0] == [True, True, True]
    assert acting(series, events=[(MONTH + 1, MONTH + 2)])[0] == [True, False, True], "from the event on"
    assert acting(series, events=[(0, 0)])[0] == [True, False, False], "what was before the last reading is no reason"


def test_another_source_within_five_percent_acknowledges_and_its_own_word_does() -> None:
    series = readings(100.0, 150.0)
    assert acting(series, witnesses=[reading(MONTH - DAY_US, 157.0, "other")])[0] == [True, True]
    assert acting(series, witnesses=[reading(MONTH - DAY_US, 158.0, "other")])[0] == [True, False]
    assert acting(series, witnesses=[reading(MONTH + DAY_US, 150.0, "other")])[0] == [True, False], "not from later"
    assert acting([series[0], reading(MONTH, 150.0, "vendor", stated=True)])[0] == [True, True]


def test_a_reading_that_is_too_old_to_weigh_by_holds_nothing_back() -> None:
    acts, [step] = acting(readings(*[100.0, *[200.0] * 14]))
    assert acts == [True] + [False] * 12 + [True, True]
    assert step.until_us == 13 * MONTH, "the first instant more than 400 days after"


def test_a_provider_is_the_first_word_of_its_source() -> None:
    assert provider_of("coinmetrics/data csv/fet.csv") == provider_of("coinmetrics community") == "coinmetrics"
    assert provider_of("coingecko-implied") == provider_of("coingecko")
