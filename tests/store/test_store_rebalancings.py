"""Rebalancings with their evidence, the constituents at an instant, memberships that follow, withdrawals."""

from __future__ import annotations

import numpy as np
import pytest
from seeds import START, START_US, Seeds, seed

from indexer.engine.history import Decision, Rebalance
from indexer.errors import NotFoundError
from indexer.store.db import Store
from indexer.store.indices import write_index, write_methodology
from indexer.store.rates import write_rates
from indexer.store.rebalancings import read_constituents, read_memberships, read_rebalancings, write_rebalancings
from indexer.store.rows import Written
from indexer.times import DAY_US, HOUR_US

SLUGS = ("fet", "tao")


def _rebalance(
    day: int, units: tuple[float, float], before: tuple[float, float], *, kind: str = "rebalance"
) -> Rebalance:
    decisions = tuple(
        Decision(slug, held > 0, rank, "largest" if held else "below the liquidity floor", 1e9, 2, 5e8, None)
        for rank, (slug, held) in enumerate(zip(SLUGS, units, strict=True), start=1)
    )
    value = np.array(units) * np.array([2.0, 400.0])
    return Rebalance(
        kind=kind,
        reference_us=START_US + (day - 5) * DAY_US,
        effective_us=START_US + day * DAY_US,
        units_before=np.array(before),
        units_after=np.array(units),
        weight_drifted=np.array([0.5, 0.5]),
        weight_target=value / value.sum(),
        prices=np.array([2.0, np.nan if units[1] == 0 else 400.0]),
        divisor_before=1.0,
        divisor_after=1.1,
        level=1000.0,
        turnover=0.25,
        decisions=decisions,
    )


BASE = _rebalance(0, (100.0, 1.0), (0.0, 0.0), kind="base")
OUT = _rebalance(31, (300.0, 0.0), (100.0, 1.0), kind="reconstitution")
BACK = _rebalance(59, (200.0, 0.5), (300.0, 0.0), kind="reconstitution")


@pytest.fixture
def made(store: Store) -> Seeds:
    found = seed(store)
    methodology = write_methodology(store, index_id="deai", version="1", hash="h", text_="", loaded_at=START)
    write_index(store, index_id="deai", name="DeAI", description="", methodology_id=methodology)
    return found


def _write(store: Store, made: Seeds, rebalances: list[Rebalance], *, replace_from_us: int | None = None) -> Written:
    return write_rebalancings(
        store,
        made.run_id,
        index_id="deai",
        methodology_id=1,
        rebalances=rebalances,
        slugs=SLUGS,
        replace_from_us=replace_from_us,
    )


def _spans(store: Store) -> list[tuple[str, int, int | None]]:
    def day(at: object) -> int | None:
        return None if at is None else (at - START).days  # type: ignore[operator]

    return [(one.asset, day(one.valid_from) or 0, day(one.valid_to)) for one in read_memberships(store, "deai")]


def test_written_once_and_read_with_the_evidence(store: Store, made: Seeds) -> None:
    assert _write(store, made, [BASE, OUT]) == Written(new=2)
    assert _write(store, made, [BASE, OUT]) == Written(unchanged=2)
    first, second = read_rebalancings(store, "deai")
    assert (first.kind, second.kind) == ("base", "reconstitution")
    assert [item.asset for item in second.items] == ["fet", "tao"]
    left = second.items[1]
    assert (left.units_before, left.units_after, left.price, left.reason) == (
        1.0,
        0.0,
        None,
        "below the liquidity floor",
    )
    assert (left.supply, left.supply_source, left.median_adv_usd, left.rank) == (1e9, "imported", None, 2)
    assert read_rebalancings(store, "deai", start_us=START_US + DAY_US) == [second]


def test_memberships_follow_the_units(store: Store, made: Seeds) -> None:
    _write(store, made, [BASE, OUT, BACK])
    assert _spans(store) == [("fet", 0, None), ("tao", 0, 31), ("tao", 59, None)]
    left = next(one for one in read_memberships(store, "deai") if one.valid_to)
    assert (left.reason_in, left.reason_out) == ("largest", "below the liquidity floor")
    assert [one.asset for one in read_memberships(store, "deai", at_us=START_US + 40 * DAY_US)] == ["fet"]


def test_appending_one_rebalancing_gives_the_same_memberships(store: Store, made: Seeds) -> None:
    for rebalance in (BASE, OUT, BACK):
        _write(store, made, [rebalance])
    assert _spans(store) == [("fet", 0, None), ("tao", 0, 31), ("tao", 59, None)]


def test_what_a_recomputation_no_longer_finds_is_withdrawn_not_deleted(store: Store, made: Seeds) -> None:
    _write(store, made, [BASE, OUT, BACK])
    assert _write(store, made, [BASE], replace_from_us=START_US) == Written(revised=2, unchanged=1)
    assert [one.kind for one in read_rebalancings(store, "deai")] == ["base"]
    assert _spans(store) == [("fet", 0, None), ("tao", 0, None)]
    with store.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM rebalancing").scalar_one() == 5
    assert _write(store, made, [BASE, OUT, BACK]) == Written(revised=2, unchanged=1)
    assert _spans(store) == [("fet", 0, None), ("tao", 0, 31), ("tao", 59, None)]


def test_constituents_have_units_and_the_weight_of_the_last_rates(store: Store, made: Seeds) -> None:
    _write(store, made, [BASE, OUT])
    at = START_US + DAY_US
    write_rates(
        store,
        made.run_id,
        asset_id=np.array([made.assets["fet"], made.assets["tao"]]),
        time_us=np.array([at, at - HOUR_US]),
        rate=np.array([3.0, 500.0]),
        status=np.zeros(2, dtype=np.int8),
        method="m",
        verdicts=["", ""],
    )
    found = {one.asset: one for one in read_constituents(store, "deai", at)}
    assert found["fet"].weight == pytest.approx(300 / 800)
    assert found["tao"].weight == pytest.approx(500 / 800)
    assert (found["tao"].rate, found["tao"].units, found["tao"].divisor) == (500.0, 1.0, 1.1)
    assert [one.asset for one in read_constituents(store, "deai", START_US + 31 * DAY_US)] == ["fet"]
    early = read_constituents(store, "deai", START_US)
    assert {one.weight for one in early} == {None}


def test_before_the_base_there_are_no_constituents(store: Store, made: Seeds) -> None:
    _write(store, made, [BASE])
    with pytest.raises(NotFoundError, match='Index "deai" has no constituents at 2024-12-31T00:00:00Z: its history'):
        read_constituents(store, "deai", START_US - DAY_US)
