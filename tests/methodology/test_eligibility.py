"""Each test of a candidate with its reason in words, and the buffers of the selection."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from indexer.engine.eligibility import failures, select, unmeasurable
from indexer.engine.known import Inputs
from indexer.methodology.spec import Eligibility, Methodology, Scheme, Selection, UnknownVolume, Weighting
from indexer.times import DAY_US, HOUR_US

NAN = np.nan
RULE = Eligibility(effective_from=datetime(2023, 1, 1, tzinfo=UTC))
GOOD = Inputs(
    price=np.float64(4.0), price_age_us=HOUR_US, history_us=400 * DAY_US, successor=False, supply=np.float64(1e9),
    supply_source=1, supply_us=0, supply_stale_us=0, supply_age_days=1.0, total=np.float64(1.2e9),
    adv_usd=np.float64(2e7), adv_days=30, atvr=np.float64(1.8), atvr_days=30, fundamental=np.float64(NAN),
    free_float=np.float64(1 / 1.2), active_addresses=np.float64(NAN), active_days=0, venues=3,
)  # fmt: skip


def scheme_of(scheme: Scheme) -> Methodology:
    at = RULE.effective_from
    return Methodology("x", "X", "1.0.0", at, at, weighting=Weighting(scheme, weights={"fet": 1.0}))


def why(rule: Eligibility = RULE, *, member: bool = False, **changes: Any) -> list[str]:
    tests = failures(replace(GOOD, **changes), rule, member=np.bool_(member))
    return [reason() for failed, reason in tests if failed]


def unknown(scheme: Scheme, rule: Eligibility = RULE, *, member: bool = False, **changes: Any) -> list[str]:
    line, rules = replace(GOOD, **changes), scheme_of(scheme)
    tests = unmeasurable(line, rule, slugs="near", member=np.bool_(member), methodology=rules)
    return [reason() for failed, reason in tests if failed]


def test_a_good_candidate_fails_nothing() -> None:
    assert why() == []
    assert unknown(Scheme.FREE_FLOAT_CAP) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"history_us": int(89.96 * DAY_US)}, "89.9 days of history, 90 needed"),
        ({"history_us": int(12.5 * DAY_US)}, "12.5 days of history, 90 needed"),
        ({"history_us": -3 * DAY_US}, "0.0 days of history, 90 needed"),
        ({"history_us": 29 * DAY_US, "successor": True}, "29.0 days of history, 30 needed"),
        ({"venues": 1}, "qualified venues: 1, needed: 2"),
        ({"venues": 0, "member": True}, "qualified venues: 0, needed: 1"),
        ({"free_float": 0.1}, "free float is 10.00% of total supply, 15.00% needed"),
        ({"adv_usd": np.float64(608_822.8)}, "median daily volume $608,823, $1,000,000 needed"),
        ({"atvr": np.float64(0.031)}, "annual turnover 3.10% of free-float cap, 5.00% needed"),
    ],
)
def test_each_test_has_its_reason(changes: dict[str, Any], reason: str) -> None:
    assert why(**changes) == [reason]


def test_limits_are_inclusive() -> None:
    assert why(history_us=90 * DAY_US, venues=2, free_float=0.15, adv_usd=np.float64(1e6), atvr=np.float64(0.05)) == []
    assert why(history_us=30 * DAY_US, successor=True) == []
    assert why(venues=1, member=True) == []


def test_free_float_is_only_tested_where_the_total_is_known() -> None:
    assert why(supply=1.0, free_float=NAN) == []


def test_unknown_volume_keeps_members_and_bars_newcomers() -> None:
    few = {"adv_days": 3, "atvr": NAN, "atvr_days": 0}
    assert why(**few) == [
        "volume known on 3 days of 30, 15 needed; a newcomer is not admitted without evidence",
        "turnover (volume over free-float cap) known on 0 days of 30, 15 needed; "
        "a newcomer is not admitted without evidence",
    ]
    assert why(**few, member=True) == []
    strict = replace(RULE, unknown_volume=UnknownVolume.EXCLUDE)
    assert why(strict, **few, member=True)[0] == "volume known on 3 days of 30, 15 needed"
    without = replace(RULE, min_median_adv_usd=0.0, min_atvr=0.0)
    assert why(without, **few) == []


@pytest.mark.parametrize(
    ("scheme", "changes", "reason"),
    [
        (Scheme.EQUAL, {"price": NAN}, "no price known at the reference date"),
        (Scheme.EQUAL, {"price_age_us": int(48.5 * HOUR_US)}, "last price is 48.5 hours old, at most 48 allowed"),
        (
            Scheme.FREE_FLOAT_CAP,
            {"supply": NAN, "free_float": NAN},
            "no supply known within 400 days of the reference date, needed for weighting",
        ),
        (
            Scheme.EQUAL,
            {"supply": NAN, "free_float": NAN},
            "no supply known within 400 days of the reference date, needed for ranking",
        ),
        (Scheme.FIXED, {}, "no weight of its own in weighting.weights"),
        (Scheme.LIQUIDITY, {"adv_days": 4}, "volume known on 4 days, 15 needed to weigh by liquidity"),
        (Scheme.FUNDAMENTAL, {}, "no positive metric known in the 30 days before the reference date"),
    ],
)
def test_what_cannot_be_measured_has_its_reason(scheme: Scheme, changes: dict[str, Any], reason: str) -> None:
    assert unknown(scheme, **changes) == [reason]


@pytest.mark.parametrize("scheme", [Scheme.EQUAL, Scheme.LIQUIDITY, Scheme.FUNDAMENTAL, Scheme.FREE_FLOAT_CAP])
def test_a_supply_is_asked_for_only_where_a_rule_uses_it(scheme: Scheme) -> None:
    without = {"supply": NAN, "free_float": NAN, "fundamental": np.float64(5.0)}
    open_rule = replace(RULE, min_free_float=0.0, min_atvr=0.0)
    assert bool(unknown(scheme, open_rule, **without)) is (scheme is Scheme.FREE_FLOAT_CAP)
    for rule in (replace(open_rule, min_free_float=0.1), replace(open_rule, min_atvr=0.1)):
        assert unknown(scheme, rule, **without)


def test_an_old_supply_bars_newcomers_only() -> None:
    assert unknown(Scheme.SQRT_CAP, supply_age_days=401.0) == ["supply is 401 days old, a newcomer's may be 400"]
    assert unknown(Scheme.SQRT_CAP, supply_age_days=401.0, member=True) == []


def places(*incumbents: int, count: int = 8) -> list[tuple[bool, str]]:
    return select([rank in incumbents for rank in range(1, count + 1)], BUFFERED)


BUFFERED = Selection(target=4, entry_rank=3, exit_rank=6, min_constituents=1)


def members(*incumbents: int, count: int = 8) -> list[int]:
    return [rank for rank, (member, _) in enumerate(places(*incumbents, count=count), 1) if member]


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
    reasons = {rank: reason for rank, (_, reason) in enumerate(places(1, 4, 5, 7), 1)}
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
    assert places()[3] == (True, "newcomer at rank 4, fills a free seat of 4")
