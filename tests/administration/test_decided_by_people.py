"""Overrides and challenges: what people decide, with names, reasons and dates."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from worlds import APRIL, HOURS, START_US, TO_APRIL, prices, registry

from indexer.administration.challenges import frozen_holds, open_challenge, settle_challenge
from indexer.errors import InputError, NotFoundError
from indexer.levels.lifecycle import status_of
from indexer.levels.overrides import approve, propose, withdraw
from indexer.methodology.policy import load_policy
from indexer.store.read import read_rates, read_rebalancings
from indexer.store.read_administration import read_announcements, read_challenges, read_overrides
from indexer.store.records_administration import OverrideRow
from indexer.times import DAY_US, HOUR_US, from_us, to_us


def override(one, **more):
    row = OverrideRow(
        kind="membership",
        asset="token-7",
        index_id="small",
        starts_at=from_us(APRIL - DAY_US),
        expires_at=from_us(APRIL + 40 * DAY_US),
        reason="custodian found a backdoor in the contract",
        proposed_by="Ada",
        proposed_at=one.now,
    )
    return replace(row, **more)


def to_april(one):
    for slug, closes in prices(hours=HOURS + 100).items():
        one.bars(slug, closes[TO_APRIL - 29 : TO_APRIL + 20], first=TO_APRIL - 29)
    one.now = from_us(APRIL + 21 * HOUR_US)
    return one.update()


def test_an_override_needs_reason_second_approver_and_expiry(in_march):
    one = in_march
    with pytest.raises(InputError, match=r"the reason must say why.*expires_at must be after starts_at"):
        propose(
            one.store,
            override(one, reason="", expires_at=from_us(APRIL - 2 * DAY_US)),
            registry=registry(),
            now=one.now,
        )
    with pytest.raises(InputError, match=r'there is no asset "token-9". Did you mean'):
        propose(one.store, override(one, asset="token-9"), registry=registry(), now=one.now)
    number = propose(one.store, override(one), registry=registry(), now=one.tick())
    with pytest.raises(InputError, match=r"was proposed by Ada; someone else must approve it"):
        approve(one.store, number, by=" ada", now=one.tick())
    with pytest.raises(NotFoundError, match="there is no override 99"):
        approve(one.store, 99, by="Grace", now=one.tick())
    to_april(one)
    held = read_rebalancings(one.store, "small")[-1]
    assert "token-7" in {item.asset for item in held.items if item.units_after}, "a proposal alone does nothing"


def test_a_membership_override_keeps_a_line_out_and_is_public(in_march):
    one, rules = in_march, in_march.methodology.hash
    number = propose(one.store, override(one), registry=registry(), now=one.tick())
    approve(one.store, number, by="Grace", now=one.tick())
    to_april(one)
    change = read_rebalancings(one.store, "small")[-1]
    item = next(item for item in change.items if item.asset == "token-7")
    assert item.units_after == 0.0
    assert item.reason == f"override {number}: custodian found a backdoor in the contract"
    told = [row.title for row in read_announcements(one.store, kind="override")]
    assert [title.split(":")[0] for title in told] == [
        f"Override {number} approved by Grace",
        f"Override {number} proposed by Ada",
    ]
    assert one.methodology.hash == rules
    assert one.verify().ok, one.verify().problem


def test_a_value_override_stands_in_its_window_and_ends(in_march):
    one = in_march
    at = TO_APRIL - 20
    usual = float(prices()["token-7"][at])
    row = override(
        one,
        kind="value",
        index_id=None,
        starts_at=from_us(START_US + at * HOUR_US),
        expires_at=from_us(START_US + (at + 3) * HOUR_US),
        detail=json.dumps({"value": usual * 1.5}),
        reason="all venues showed a stuck feed",
    )
    number = propose(one.store, row, registry=registry(), now=one.tick())
    approve(one.store, number, by="Grace", now=one.tick())
    to_april(one)
    rates = read_rates(one.store, evidence=True)
    held = [
        (float(rate), int(status), "override" in said)
        for rate, status, said, time in zip(rates.rate, rates.status, rates.verdicts, rates.time_us, strict=True)
        if START_US + at * HOUR_US <= time < START_US + (at + 3) * HOUR_US and float(rate) == usual * 1.5
    ]
    assert held == [(usual * 1.5, 2, True)] * 3
    assert one.verify().ok, one.verify().problem
    withdraw(one.store, number, by="Grace", now=one.tick())
    assert read_overrides(one.store)[0].withdrawn_by == "Grace"
    with pytest.raises(InputError, match="override 1 was decided on before"):
        withdraw(one.store, number, by="Ada", now=one.tick())


def test_zero_is_only_ever_a_decision(in_march):
    one = in_march
    with pytest.raises(InputError, match='detail must give an "effect": absorb, remove, write_off, add, scale'):
        propose(one.store, override(one, kind="event"), registry=registry(), now=one.tick())
    at = from_us(START_US + (TO_APRIL - 10) * HOUR_US)
    row = override(one, kind="event", starts_at=at, detail=json.dumps({"effect": "write_off"}))
    number = propose(one.store, row, registry=registry(), now=one.tick())
    approve(one.store, number, by="Grace", now=one.tick())
    to_april(one)
    change = next(row for row in read_rebalancings(one.store, "small") if row.kind == "event")
    assert change.effective_at == at
    assert change.divisor_after == change.divisor_before
    rows = one.levels()
    n = int(np.searchsorted(rows.times_us, to_us(at)))
    lost = next(item.weight_drifted for item in change.items if item.asset == "token-7")
    assert rows.levels[n + 1] / rows.levels[n] == pytest.approx(1 - lost, rel=0.02)
    assert one.verify().ok, one.verify().problem


# --- challenges ---


def test_a_challenge_freezes_the_inputs_of_its_level(in_march):
    one, policy = in_march, load_policy()
    at = int(one.levels().times_us[-1])
    common = {"index_id": "small", "policy": policy}
    row = open_challenge(
        one.store, one.registry, at_us=at, reason="token-3 looks stale to us", by="A user", now=one.tick(), **common
    )
    assert frozen_holds(row)
    frozen = json.loads(row.frozen)
    assert frozen["level"] == one.levels().levels[-1]
    assert frozen["constituents"][0]["quotes"][0]["venue"] == "test"
    one.bars("token-3", [prices()["token-3"][TO_APRIL - 30] * 3], first=TO_APRIL - 30)
    one.update()
    [kept] = read_challenges(one.store)
    assert kept.frozen == row.frozen, "what came later does not touch it"
    assert status_of(one.store, "small", now=one.now).open_challenges == 1
    done = settle_challenge(one.store, row.id, outcome="confirmed: the venue repeated a price", now=one.tick())
    assert done.closed_at == one.now
    with pytest.raises(InputError, match="challenge 1 was closed before"):
        settle_challenge(one.store, row.id, outcome="confirmed once more", now=one.tick())
    assert [row.kind for row in read_announcements(one.store, kind="challenge")] == ["challenge", "challenge"]


def test_after_the_window_a_level_cannot_be_challenged(in_march):
    one = in_march
    with pytest.raises(InputError, match=r"published at .*, more than 48 hours ago"):
        open_challenge(
            one.store, one.registry, index_id="small", at_us=int(one.levels().times_us[-1]),
            reason="this is too late now", by="A user", policy=load_policy(), now=one.now + timedelta(hours=49),
        )  # fmt: skip
