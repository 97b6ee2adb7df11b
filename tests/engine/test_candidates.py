"""A token that was added later is no candidate of earlier dates: neither calculator lets it change what was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from baskets import market, methodology, monthly
from real_market import market as real_market

from indexer.engine.level import compute_index
from indexer.engine.market import Market
from indexer.engine.second import compare, second_index
from indexer.levels.markets import narrowed
from indexer.methodology.load import shipped
from indexer.methodology.spec import Universe
from indexer.registry import load_registry
from indexer.times import parse_instant

REGISTRY = load_registry()
LATER = parse_instant("2023-04-01")


def dated(world: Market, slug: str, since_us: int) -> Market:
    lines = tuple(replace(line, candidate_from_us=since_us if line.slug == slug else 0) for line in world.lines)
    return replace(world, lines=lines)


def test_a_line_joins_at_the_first_review_from_its_date_on() -> None:
    prices = [[10.0, 20.0], [12.0, 20.0], [12.0, 30.0], [12.0, 30.0], [12.0, 60.0]]
    world = dated(market(monthly(5), prices, [100.0, 50.0], slugs=["old", "new"]), "new", LATER)
    index = methodology()
    history = compute_index(world, index)
    # alone until April: 1000 · 12 / 10; then 1200 of 1200 + 1500 move with `new`, which doubles: 1200 · 4200 / 2700
    np.testing.assert_allclose(history.levels, [1000, 1200, 1200, 1200, 1200 * 4200 / 2700], rtol=1e-14)
    assert compare(history, second_index(world, index)).max_relative < 1e-14
    base, april = (change for change in history.rebalances if change.kind in ("base", "reconstitution"))
    assert [one.slug for one in base.decisions] == ["old"]
    assert [one.slug for one in april.decisions] == ["old", "new"]


def test_an_index_that_names_the_token_takes_it_at_any_date() -> None:
    world = dated(market(monthly(2), [[10, 20], [12, 30]], [100, 50], slugs=["old", "new"]), "new", LATER)
    index = methodology(universe=Universe(assets=("old", "new")))
    history = compute_index(world, index)
    np.testing.assert_allclose(history.levels, [1000, 1000 * 2700 / 2000], rtol=1e-14)
    assert compare(history, second_index(world, index)).max_relative < 1e-14


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(shipped()))
def test_tokens_added_now_leave_every_shipped_level_of_history_as_it_was(name: str) -> None:
    """All prices are there, also those of the additions: no instant, member or level moves."""
    index = shipped()[name]
    added = {asset.slug for asset in REGISTRY.assets if asset.candidate_from is not None}
    world = narrowed(real_market(hourly=True), index, REGISTRY)
    before = world.select({line.slug for line in world.lines} - added)
    before = before.rows(np.isfinite(before.prices).any(axis=1))
    assert name != "deai" or {"ip", "0g", "arkm"} <= {line.slug for line in world.lines}
    now, then = compute_index(world, index), compute_index(before, index)
    np.testing.assert_array_equal(now.times_us, then.times_us)
    np.testing.assert_array_equal(np.round(now.levels, index.decimals), np.round(then.levels, index.decimals))
    np.testing.assert_array_equal(now.status, then.status)
    assert [change.decisions for change in now.rebalances] == [change.decisions for change in then.rebalances]
    found = compare(now, second_index(world, index))
    assert found.agree and found.max_relative < 1e-12
