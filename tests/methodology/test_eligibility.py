"""Each test of a candidate with its reason in words, and the buffers of the selection."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from indexer.engine.eligibility import Candidate, failures, select, unmeasurable
from indexer.methodology.spec import Eligibility, Methodology, Scheme, Selection, UnknownVolume, Weighting

RULE = Eligibility(effective_from=datetime(2023, 1, 1, tzinfo=UTC))
GOOD = Candidate(
    slug="near", incumbent=False, venues=3, history_days=400.0, successor=False, price_age_hours=1.0, supply=1e9,
    supply_source=1, total=1.2e9, cap_usd=4e9, adv_usd=2e7, adv_days=30, atvr=1.8, atvr_days=30, fundamental=None,
)  # fmt: skip


def scheme_of(scheme: Scheme) -> Methodology:
    at = RULE.effective_from
    return Methodology("x", "X", "1.0.0", at, at, weighting=Weighting(scheme, weights={"fet": 1.0}))


def why(rule: Eligibility = RULE, **changes: Any) -> list[str]:
    return list(failures(replace(GOOD, **changes), rule))


def test_a_good_candidate_fails_nothing() -> None:
    assert why() == []
    assert list(unmeasurable(GOOD, RULE, methodology=scheme_of(Scheme.FREE_FLOAT_CAP))) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"history_days": 89.96}, "89.9 days of history, 90 needed"),
        ({"history_days": 12.5}, "12.5 days of history, 90 needed"),
        ({"history_days": -3.0}, "0.0 days of history, 90 needed"),
        ({"history_days": 29.0, "successor": True}, "29.0 days of history, 30 needed"),
        ({"venues": 1}, "qualified venues: 1, needed: 2"),
        ({"venues": 0, "incumbent": True}, "qualified venues: 0, needed: 1"),
        ({"supply": 1.2e8}, "free float is 10.00% of total supply, 15.00% needed"),
        ({"adv_usd": 608_822.8}, "median daily volume $608,823, $1,000,000 needed"),
        ({"atvr": 0.031}, "annual turnover 3.10% of free-float cap, 5.00% needed"),
    ],
)
def test_each_test_has_its_reason(changes: dict[str, Any], reason: str) -> None:
    assert why(**changes) == [reason]


def test_limits_are_inclusive() -> None:
    assert why(history_days=90.0, venues=2, supply=1.8e8, adv_usd=1e6, atvr=0.05) == []
    assert why(history_days=30.0, successor=True) == []
    assert why(venues=1, incumbent=True) == []


def test_free_float_is_only_tested_where_the_total_is_known() -> None:
    assert why(supply=1.0, total=None) == []


def test_unknown_volume_keeps_members_and_bars_newcomers() -> None:
    unknown = {"adv_days": 3, "atvr": None, "atvr_days": 0}
    assert why(**unknown) == [
        "volume known on 3 days of 30, 15 needed; a newcomer is not admitted without evidence",
        "turnover (volume over free-float cap) known on 0 days of 30, 15 needed; "
        "a newcomer is not admitted without evidence",
    ]
    assert why(**unknown, incumbent=True) == []
    strict = replace(RULE, unknown_volume=UnknownVolume.EXCLUDE)
    assert why(strict, **unknown, incumbent=True)[0] == "volume known on 3 days of 30, 15 needed"
    without = replace(RULE, min_median_adv_usd=0.0, min_atvr=0.0)
    assert why(without, **unknown) == []


@pytest.mark.parametrize(
    ("scheme", "changes", "reason"),
    [
        (Scheme.EQUAL, {"price_age_hours": None}, "no price known at the reference date"),
        (Scheme.EQUAL, {"price_age_hours": 48.5}, "last price is 48.5 hours old, at most 48 allowed"),
        (
            Scheme.FREE_FLOAT_CAP,
            {"supply": None},
            "no supply known within 400 days of the reference date, needed for weighting",
        ),
        (Scheme.EQUAL, {"supply": None}, "no supply known within 400 days of the reference date, needed for ranking"),
        (Scheme.FIXED, {}, "no weight of its own in weighting.weights"),
        (Scheme.LIQUIDITY, {"adv_days": 4}, "volume known on 4 days, 15 needed to weigh by liquidity"),
        (Scheme.FUNDAMENTAL, {}, "no positive metric known in the 30 days before the reference date"),
    ],
)
def test_what_cannot_be_measured_has_its_reason(scheme: Scheme, changes: dict[str, Any], reason: str) -> None:
    assert list(unmeasurable(replace(GOOD, **changes), RULE, methodology=scheme_of(scheme))) == [reason]


@pytest.mark.parametrize("scheme", [Scheme.EQUAL, Scheme.LIQUIDITY, Scheme.FUNDAMENTAL, Scheme.FREE_FLOAT_CAP])
def test_a_supply_is_asked_for_only_where_a_rule_uses_it(scheme: Scheme) -> None:
    line = replace(GOOD, supply=None, cap_usd=None, fundamental=5.0)
    open_rule = replace(RULE, min_free_float=0.0, min_atvr=0.0)
    needed = scheme is Scheme.FREE_FLOAT_CAP
    assert bool([*unmeasurable(line, open_rule, methodology=scheme_of(scheme))]) is needed
    for rule in (replace(open_rule, min_free_float=0.1), replace(open_rule, min_atvr=0.1)):
        assert [*unmeasurable(line, rule, methodology=scheme_of(scheme))]


def ranking(*incumbents: int, count: int = 8) -> list[Candidate]:
    return [replace(GOOD, slug=f"rank-{rank}", incumbent=rank in incumbents) for rank in range(1, count + 1)]


BUFFERED = Selection(target=4, entry_rank=3, exit_rank=6, min_constituents=1)


def members(*incumbents: int, count: int = 8) -> list[int]:
    return [one.rank or 0 for one in select(ranking(*incumbents, count=count), BUFFERED) if one.member]


def test_without_members_the_seats_are_filled_by_rank() -> None:
    assert members() == [1, 2, 3, 4]
    assert members(count=2) == [1, 2]


def test_a_member_in_the_buffer_goes_before_a_better_newcomer() -> None:
    assert members(1, 2, 3, 6) == [1, 2, 3, 6]
    assert members(1, 2, 3, 5, 6) == [1, 2, 3, 5]
    assert members(1, 2, 3, 7) == [1, 2, 3, 4]  # beyond the exit rank


def test_a_newcomer_within_the_entry_rank_displaces() -> None:
    assert members(2, 4, 5, 6) == [1, 2, 3, 4]


def test_reasons_of_the_selection() -> None:
    reasons = {one.rank: one.reason for one in select(ranking(1, 4, 5, 7), BUFFERED)}
    assert reasons == {
        1: "member at rank 1, within entry rank 3",
        2: "newcomer at rank 2, within entry rank 3",
        3: "newcomer at rank 3, within entry rank 3",
        4: "member at rank 4, kept by the buffer up to exit rank 6",
        5: "member at rank 5, beyond entry rank 3 and all 4 seats taken",
        6: "newcomer at rank 6, beyond entry rank 3 and all 4 seats taken",
        7: "member at rank 7, beyond exit rank 6",
        8: "newcomer at rank 8, beyond exit rank 6",
    }
    filled = {one.rank: one.reason for one in select(ranking(), BUFFERED)}
    assert filled[4] == "newcomer at rank 4, fills a free seat of 4"
