"""Corporate actions: the golden vectors 7 and 8, every treatment continuous, the log strict, the shipped ones true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from baskets import kernel, methodology, random_market, relative
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import HOURS, START, START_US, prices, registry, world

from indexer.engine.history import (
    BasketEvent,
    Effect,
    PlacedEvent,
    units_after,
)
from indexer.engine.known import SupplyTokens
from indexer.engine.level import compute_index
from indexer.engine.second import compare, second_index
from indexer.errors import MethodologyError
from indexer.levels.rules import adjusted, basket_events, load_rules, supply_effects
from indexer.methodology.actions import SHIPPED, TREATMENTS, EventLog, Kind, load_event_log, read_events
from indexer.methodology.policy import load_policy
from indexer.registry import load_registry
from indexer.store.rebalancings import read_rebalancings
from indexer.times import DAY_US, HOUR_US, from_us, to_us

PRICE = st.floats(1e-6, 1e6)
UNITS = st.floats(1e-3, 1e9)


# --- golden vectors ---


def test_golden_vector_7_the_gap_of_a_merger_is_absorbed_by_the_divisor():
    market = np.array([0.55, 1.30, 2.0])
    before = np.array([1000.0, 0.0, 50.0])
    event = BasketEvent(0, "agix", Effect.ABSORB, ratio=0.433350, into="fet")
    after = units_after(PlacedEvent(event, 0, 1), before)
    assert after.tolist() == [0.0, 433.350, 50.0]
    assert market[0] * 1000 == pytest.approx(550.0)
    assert market[1] * after[1] == pytest.approx(563.355)
    assert market[1] * after[1] / 550.0 - 1 == pytest.approx(0.024282, abs=5e-7)
    levels = kernel(np.vstack([market] * 2), np.array([0, 1]), np.array([before, after]), base_level=100.0)
    assert float(market @ after) / levels.divisors[1] == pytest.approx(100.0, rel=1e-15)


def test_golden_vector_8_the_arithmetic_of_the_alliance():
    assert pytest.approx(1.410001e9, rel=1e-6) == 610_849_199 / 0.433226
    assert pytest.approx(2.000001e9, rel=1e-6) == 866_700_367 / 0.433350
    assert pytest.approx(116_971_020, abs=1) == 270e6 * 0.433226
    log = load_event_log(load_registry())
    leaves = next(one for one in log.events if one.id == "ocean-leaves")
    [effect] = [one for one in supply_effects([leaves]) if one.subtract]
    assert (effect.asset, round(effect.subtract)) == ("fet", 116_971_020)
    merged = {one.asset: one.ratio for one in log.events if one.kind is Kind.MERGER}
    assert merged == {"agix": 0.433350, "ocean": 0.433226}


# --- treatments ---


@given(st.lists(st.tuples(PRICE, UNITS), min_size=3, max_size=8), st.sampled_from(list(Effect)), st.floats(1e-3, 1e3))
def test_every_effect_but_a_write_off_keeps_the_level(pairs, effect, ratio):
    market, before = (np.array(part) for part in zip(*pairs, strict=True))
    if effect in (Effect.WRITE_OFF, Effect.BAR):
        return
    after = units_after(PlacedEvent(BasketEvent(0, "a", effect, ratio=ratio, into="b"), 0, 1), before)
    found = kernel(np.vstack([market] * 3), np.array([0, 1]), np.array([before, after]), base_level=100.0)
    np.testing.assert_allclose(found.levels, 100.0, rtol=1e-12)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 6.0, 0.433226, 1e-3, 1e4]), st.floats(0.2, 0.9))
@settings(max_examples=60)
def test_a_redenomination_is_a_split_and_changes_no_level(seed, ratio, share):
    """The raw series jumps by the ratio at its row; divided back, with supplies in the new unit, nothing moves."""
    market = random_market(seed)
    row = int(share * len(market.times_us))
    raw = market.prices.copy()
    raw[row:, 3] /= ratio
    line = market.lines[3]
    supply = replace(line.supply, **{
        name: getattr(line.supply, name) * ratio for name in ("circulating", "free_float", "total")
    })  # fmt: skip
    spliced = raw.copy()
    spliced[:row, 3] /= ratio
    lines = tuple(replace(one, supply=supply) if one is line else one for one in market.lines)
    index = methodology()
    one, other = compute_index(market, index), compute_index(replace(market, prices=spliced, lines=lines), index)
    assert relative(one.levels, other.levels) < 1e-11
    for mine, theirs in zip(one.rebalances, other.rebalances, strict=True):
        np.testing.assert_allclose(theirs.units_after[3], mine.units_after[3] * ratio, rtol=1e-9)
        np.testing.assert_allclose(theirs.divisor_after, mine.divisor_after, rtol=1e-9)


def test_two_mergers_of_one_instant_are_one_change():
    market = random_market(5)
    at = int(market.times_us[120])
    events = [
        BasketEvent(at, market.slugs[0], Effect.ABSORB, ratio=0.43335, into=market.slugs[2], reason="a"),
        BasketEvent(at, market.slugs[1], Effect.ABSORB, ratio=0.433226, into=market.slugs[2], reason="b"),
    ]
    history = compute_index(market, methodology(), events=events)
    [change] = [one for one in history.rebalances if one.kind == "event"]
    gained = change.units_before[0] * 0.43335 + change.units_before[1] * 0.433226
    assert change.units_after[2] == pytest.approx(change.units_before[2] + gained, rel=1e-14)
    assert [one.reason for one in change.decisions] == ["a", "b"]
    assert compare(history, second_index(market, methodology(), events=events)).max_relative < 1e-12


# --- the log ---


def events_text(**fields):
    given = {"id": '"x"', "kind": '"delisting"', "asset": '"token-0"', "effective": "2024-02-01", "source": '"s"'}
    return "[[event]]\n" + "\n".join(f"{name} = {value}" for name, value in {**given, **fields}.items())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": '"merge"'}, 'kind: "merge" is not one of rename, migration'),
        ({"kind": '"merger"'}, "into is missing; a merger needs the other token's slug"),
        ({"into": '"token-1"'}, "into has no meaning for a delisting; leave it out"),
        ({"kind": '"burn"', "value": "1.5"}, "value has no meaning for a burn; leave it out"),
        ({"value": "0"}, "value"),
        ({"kind": '"unlock"'}, "supply_before and supply_after are needed"),
        ({"kind": '"departure"', "into": '"token-1"'}, "unconverted is missing"),
        ({"announced": "2024-03-01"}, "announced (2024-03-01) is after effective; correct one of them"),
        ({"until": "2024-01-01"}, "until must be after effective"),
        ({"asset": '"token-99"'}, 'there is no asset "token-99" in the registry. Did you mean'),
        ({"efective": "2024-02-01"}, "efective: there is no such key here. Did you mean"),
        ({"kind": '"migration"', "into": '"token-1"'}, "the registry has no succession token-0 -> token-1"),
    ],
)
def test_an_event_that_does_not_hold_is_refused_with_its_place(fields, said):
    with pytest.raises(MethodologyError) as caught:
        read_events(events_text(**fields), source="own.toml", registry=registry())
    assert said in str(caught.value)
    assert 'event "x"' in str(caught.value)


def test_the_shipped_log_agrees_with_the_registry_and_names_its_sources():
    shipped = load_registry()
    for path in SHIPPED.glob("*.toml"):
        events = read_events(path.read_text(encoding="utf-8"), source=path.name, registry=shipped)
        assert all(one.source and one.note for one in events)
    log = load_event_log(shipped)
    by_id = {one.id: one for one in log.events}
    assert {"rndr-render", "agix-fet", "ocean-fet", "ocean-leaves", "ai16z-elizaos"} <= set(by_id)
    assert by_id["ai16z-elizaos"].ratio == 6.0
    assert by_id["ai16z-elizaos"].issuance / 6.6e9 == pytest.approx(2 / 3)
    assert by_id["agix-fet"].effective.isoformat() == "2024-07-01T00:00:00+00:00"
    assert set(TREATMENTS) == set(Kind)


def test_an_own_event_with_the_same_id_replaces_the_shipped_one(tmp_path):
    (tmp_path / "events").mkdir()
    text = events_text(id='"ocean-leaves"', asset='"ocean"', effective="2025-10-20")
    (tmp_path / "events" / "own.toml").write_text(text, encoding="utf-8")
    shipped = load_registry()
    log = load_event_log(shipped, folder=tmp_path)
    assert next(one for one in log.events if one.id == "ocean-leaves").kind is Kind.DELISTING
    assert log.hash != load_event_log(shipped).hash


def test_supplies_leave_out_unclaimed_inventory_and_fraudulent_mints():
    text = events_text(kind='"fraudulent_mint"', until="2024-02-10") + "\n" + events_text(
        id='"y"', kind='"departure"', asset='"token-1"', into='"token-2"', ratio="0.5", unconverted="100"
    )  # fmt: skip
    effects = supply_effects(read_events(text, source="own.toml"))
    day = to_us(from_us(START_US)) + 43 * DAY_US  # 2024-02-01
    rows = [
        SupplyTokens(0, "circulating", "imported", day - 1, 1_000.0),
        SupplyTokens(0, "circulating", "imported", day, 9_000.0),
        SupplyTokens(0, "circulating", "imported", day + 9 * DAY_US, 1_001.0),
        SupplyTokens(2, "circulating", "reported", day + 1, 500.0),
        SupplyTokens(2, "total", "reported", day + 1, 900.0),
        SupplyTokens(2, "free_float", "on_chain", day + 1, 40.0),
    ]
    made = adjusted(rows, effects, slugs={0: "token-0", 2: "token-2"})
    assert [row.tokens for row in made] == [1_000.0, 1_001.0, 450.0, 900.0], "a float that would be negative is unknown"


def test_an_unlock_changes_units_at_once_only_beyond_the_threshold():
    small = events_text(kind='"unlock"', supply_before="100", supply_after="102.9")
    large = events_text(kind='"burn"', supply_before="100", supply_after="90")
    rules = {"registry": registry(), "emergency_change": load_policy().emergency_supply_change}
    assert basket_events(read_events(small, source="s"), **rules) == ()
    [event] = basket_events(read_events(large, source="s"), **rules)
    assert (event.effect, event.ratio) == (Effect.SCALE, 0.9)


def with_events(one, text):
    rules = load_rules(one.registry)
    events = read_events(text, source="own.toml")
    basket = basket_events(events, one.registry, emergency_change=0.03)
    one.rules = replace(rules, log=EventLog(events, "h"), basket=basket, supplies=supply_effects(events))


CASES = {
    "delisting": {"asset": '"token-7"'},
    "stated": {"asset": '"token-7"', "value": "0.01"},
    "merger": {"kind": '"merger"', "asset": '"token-7"', "into": '"token-6"', "ratio": "0.433226"},
    "removal": {"kind": '"merger"', "asset": '"token-7"', "into": '"token-6"', "treatment": '"remove"'},
    "fork": {"kind": '"fork"', "asset": '"token-7"', "into": '"token-0"', "ratio": "0.1"},
    "burn": {"kind": '"burn"', "asset": '"token-7"', "supply_before": "8e6", "supply_after": "6e6"},
    "rename": {"kind": '"rename"', "asset": '"token-7"'},
    "airdrop": {"kind": '"airdrop"', "asset": '"token-7"'},
    "halt": {"kind": '"halt"', "asset": '"token-7"'},
}


@pytest.mark.parametrize("name", CASES)
def test_an_event_in_the_log_keeps_the_published_level_and_verifies(tmp_path, name):
    one, untouched = world(_folder(tmp_path, "with")), world(_folder(tmp_path, "without"))
    with_events(one, events_text(effective="2024-02-10T07:00:00Z", **CASES[name]))
    for each in (one, untouched):
        each.fill()
        each.update()
    at = int(np.searchsorted(one.levels().times_us, to_us(START) + (52 * 24 + 7) * HOUR_US))
    mine, theirs = one.levels().levels, untouched.levels().levels
    assert (mine[: at + 1] == theirs[: at + 1]).all(), "the level at the event's instant is by the basket held into it"
    changes = [row for row in read_rebalancings(one.store, "small") if row.kind == "event"]
    assert len(changes) == (0 if name in ("rename", "airdrop", "halt") else 1)
    if changes:
        [change] = changes
        value = sum(item.units_after * item.price for item in change.items)
        lost = next((item.weight_drifted for item in change.items if name == "stated" and item.asset == "token-7"), 0.0)
        assert value / change.divisor_after == pytest.approx(change.level * (1 - lost), rel=0.02 * lost + 1e-12)
        assert abs(np.log(mine[at + 1] / mine[at] / (1 - lost))) < 0.03, "no jump beyond the market's"
        reasons = " ".join(item.reason for item in change.items)
        assert "x (s)" in reasons
    assert one.verify().ok, one.verify().problem
    one.store.close()
    untouched.store.close()


def test_an_event_that_is_logged_late_rewrites_nothing(tmp_path):
    one = world(tmp_path)
    one.fill()
    one.update()
    before = one.levels()
    with_events(one, events_text(effective="2024-02-10T07:00:00Z", **CASES["delisting"]))
    for slug, closes in prices(hours=HOURS + 24).items():
        one.bars(slug, closes[HOURS:], first=HOURS)
    one.update()
    assert one.levels().hash[: len(before)] == before.hash
    assert not [row for row in read_rebalancings(one.store, "small") if row.kind == "event"]
    one.store.close()


def _folder(path, name):
    (path / name).mkdir()
    return path / name
