"""Overrides: what people decide, with names, reasons and dates."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from worlds import APRIL, HOURS, START_US, TO_APRIL, prices, registry

from indexer.errors import InputError, NotFoundError
from indexer.levels.rules import decide, withdraw
from indexer.store.administration import read_announcements, read_overrides
from indexer.store.rates import read_rates
from indexer.store.rebalancings import read_rebalancings
from indexer.store.rows import OverrideRow
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


def test_an_override_needs_a_person_a_reason_and_an_expiry(in_march):
    one = in_march
    backwards = override(one, reason="", proposed_by=" ", expires_at=from_us(APRIL - 2 * DAY_US))
    with pytest.raises(InputError, match=r"say why.*name the person who decides.*expires_at must be after starts_at"):
        decide(one.store, backwards, registry=registry(), now=one.now)
    with pytest.raises(InputError, match=r'there is no asset "token-9". Did you mean'):
        decide(one.store, override(one, asset="token-9"), registry=registry(), now=one.now)
    with pytest.raises(NotFoundError, match="there is no override 99"):
        withdraw(one.store, 99, by="Grace", now=one.tick())
    assert read_overrides(one.store) == []
    number = decide(one.store, override(one), registry=registry(), now=one.tick())
    withdraw(one.store, number, by="Grace", now=one.tick())
    to_april(one)
    held = read_rebalancings(one.store, "small")[-1]
    assert "token-7" in {item.asset for item in held.items if item.units_after}, "it was withdrawn before it acted"


def test_a_membership_override_keeps_a_line_out_and_is_public(in_march):
    one, rules = in_march, in_march.methodology.hash
    number = decide(one.store, override(one), registry=registry(), now=one.tick())
    to_april(one)
    change = read_rebalancings(one.store, "small")[-1]
    item = next(item for item in change.items if item.asset == "token-7")
    assert item.units_after == 0.0
    assert item.reason == f"override {number}: custodian found a backdoor in the contract"
    told = [row.title for row in read_announcements(one.store, kind="override")]
    assert [title.split(":")[0] for title in told] == [
        f"Override {number} made by Ada",
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
    number = decide(one.store, row, registry=registry(), now=one.tick())
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
        decide(one.store, override(one, kind="event"), registry=registry(), now=one.tick())
    at = from_us(START_US + (TO_APRIL - 10) * HOUR_US)
    row = override(one, kind="event", starts_at=at, detail=json.dumps({"effect": "write_off"}))
    decide(one.store, row, registry=registry(), now=one.tick())
    to_april(one)
    change = next(row for row in read_rebalancings(one.store, "small") if row.kind == "event")
    assert change.effective_at == at
    assert change.divisor_after == change.divisor_before
    rows = one.levels()
    n = int(np.searchsorted(rows.times_us, to_us(at)))
    lost = next(item.weight_drifted for item in change.items if item.asset == "token-7")
    assert rows.levels[n + 1] / rows.levels[n] == pytest.approx(1 - lost, rel=0.02)
    assert one.verify().ok, one.verify().problem
