"""The pure parts and the settings of chain work: units, finality, fallbacks, columns of metrics, endpoints."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from indexer.config import Settings
from indexer.engine.known import SupplyTokens, supply_as_of
from indexer.engine.market import SupplyHistory
from indexer.errors import ConfigError
from indexer.levels.assemble import LineFacts, assemble
from indexer.levels.markets import metric_columns
from indexer.live.chain.configured import chains_of, is_on, own_endpoints, tokens_of
from indexer.live.chain.recheck import PROVISIONAL
from indexer.live.chain.status import block_link, float_status
from indexer.live.chain.supply_rows import in_units, provisional, supply_rows, weakest
from indexer.live.context import asset_of
from indexer.reference.rates import RateSeries
from indexer.registry import load_registry
from indexer.registry.records import LinePart
from indexer.store.rows import MetricSeries, SupplyRow
from indexer.times import DAY_US, HOUR_US
from onchain.chains import load_chains
from onchain.rpc.pin import Pin
from onchain.supply import Supply
from onchain.tokens import load_tokens

REGISTRY = load_registry()
NOW = datetime(2026, 11, 24, tzinfo=UTC)


@given(st.integers(0, 2**256 - 1), st.integers(0, 30), st.integers(0, 30))
def test_units_are_exact_where_they_can_be_and_cut_off_where_not(amount: int, decimals: int, wanted: int) -> None:
    made = in_units(amount, decimals, wanted)
    if wanted >= decimals:
        assert made * 10**decimals == amount * 10**wanted
    else:
        assert 0 <= amount - made * 10 ** (decimals - wanted) < 10 ** (decimals - wanted)


def test_the_weakest_finality_stands_for_all() -> None:
    pins = [Pin("a", 1, "0x1", 1, level) for level in ("finalized", "safe", "latest-3", "final")]
    assert [weakest(pins), weakest(pins[:2]), weakest(pins[:1]), weakest([])] == ["latest-3", "safe", "finalized", None]
    assert all(provisional(level) for level in PROVISIONAL)
    assert not any(provisional(level) for level in ("finalized", "final", "query", "orphaned", None))
    shipped = {chain.finality for chain in load_chains().values()}
    assert {level for level in shipped if provisional(level)} <= set(PROVISIONAL)


def test_a_supply_fixed_by_protocol_is_a_reported_one_and_a_missing_one_has_no_rows() -> None:
    theta = REGISTRY.by_slug["theta"]
    fixed = Supply("THETA", 1_700_000_000, 18, "reported", "fixed", total=10**27)
    rows = supply_rows(fixed, theta)
    assert {(row.kind, row.origin, row.source, row.amount) for row in rows} == {
        ("total", "reported", "protocol", 10**27), ("circulating", "reported", "protocol", 10**27)
    }  # fmt: skip
    assert supply_rows(Supply("THETA", 1, 18, "missing", "why"), theta) == []
    only = Supply("THETA", 1, 18, "reported", "why", circulating_reported=5)
    assert supply_rows(only, theta) == []  # the store has it from its provider already


def test_every_supply_rule_is_about_an_asset_of_the_registry_found_by_its_ledger() -> None:
    found = {symbol: asset_of(token, REGISTRY, at_us=0) for symbol, token in load_tokens().items() if token.legs}
    assert all(asset is not None and asset.symbol == symbol for symbol, asset in found.items())


origins = st.sampled_from(["on_chain", "reported", "imported"])
kinds = st.sampled_from(["free_float", "circulating", "total"])


@given(st.lists(st.tuples(origins, kinds, st.integers(1, 10**6)), max_size=8, unique_by=lambda one: one[:2]))
def test_what_is_shown_as_in_use_is_what_the_engine_and_the_library_take(found: list[tuple[str, str, int]]) -> None:
    rows = [SupplyRow("x", kind, origin, "s", NOW, amount) for origin, kind, amount in found]
    shown = float_status(rows)
    table = {(origin, kind): float(amount) for origin, kind, amount in found}
    names = ("on_chain", "reported", "imported")
    columns = {
        kind: np.array([table.get((origin, kind), np.nan) for origin in names])
        for kind in ("circulating", "free_float", "total")
    }
    history = SupplyHistory(
        np.zeros(3, np.int64),
        columns["circulating"],
        columns["free_float"],
        columns["total"],
        np.arange(3, dtype=np.int8),
    )
    taken = supply_as_of(history, np.array([0]), max_age_us=1)
    assert (shown.row.amount if shown.row else None) == (None if taken.source[0] < 0 else taken.tokens[0])
    assert shown.status == ([*names, "missing"][int(taken.source[0])] if taken.source[0] >= 0 else "missing")


def test_the_reason_of_the_ledger_says_why_a_better_source_is_passed_over() -> None:
    row = SupplyRow("x", "circulating", "imported", "file", NOW, 5)
    assert float_status([row], reason="every endpoint failed").passed_over == (
        "on-chain: every endpoint failed; reported: no circulating"
    )


def test_burnt_tokens_do_not_count_in_the_total_that_a_share_is_of() -> None:
    line = LineFacts("x", "all", 1, (LinePart(1, "x", 2.0, None, None),))
    one = np.array([1], np.int64)
    rows = [
        SupplyTokens(1, kind, "on_chain", DAY_US, n)
        for kind, n in (("free_float", 30.0), ("total", 100.0), ("burnt", 40.0))
    ]
    rows.append(SupplyTokens(1, "total", "imported", DAY_US, 90.0))
    made = assemble(
        [line],
        RateSeries(one, one * DAY_US, np.array([1.0]), np.zeros(1, np.int8), np.zeros(1, np.int8)),
        supplies=rows,
    )
    supply = made.lines[0].supply
    assert supply.total.tolist() == [120.0, 180.0] and supply.free_float[0] == 60.0


def test_metric_columns_take_the_token_not_a_ledger_and_the_last_of_each_day() -> None:
    def series(subject: str, source: str, times: list[int], values: list[float], name: str = "transfers"):
        return MetricSeries(subject, name, source, np.array(times, np.int64), np.array(values))

    found = metric_columns(
        [
            series("a", "alpha", [DAY_US], [9.0]),
            series("a", "onchain", [HOUR_US, DAY_US, DAY_US + 1], [1.0, 2.0, 3.0]),
            series("a", "onchain:base", [DAY_US], [99.0]),
            series("b", "beta", [DAY_US], [5.0]),
            series("gone", "beta", [DAY_US], [5.0]),
        ],
        {"a": 7, "b": 8},
    )
    (one,) = found
    rows = sorted(zip(one.asset_id.tolist(), one.day_us.tolist(), one.value.tolist(), strict=True))
    assert rows == [(7, DAY_US, 2.0), (7, 2 * DAY_US, 3.0), (8, DAY_US, 5.0)]


def test_blocks_have_links_where_an_explorer_is_known() -> None:
    assert block_link("base", 5, None) == "https://basescan.org/block/5"
    assert block_link("near", 5, "abc") == "https://nearblocks.io/blocks/abc"
    assert block_link("near", 5, None) is block_link("akash", None, "x") is block_link("nowhere", 1, "x") is None


def test_endpoints_are_read_from_one_setting_and_never_shown() -> None:
    assert own_endpoints(" base=https://a , https://b;ethereum=http://c ") == {
        "base": ("https://a", "https://b"), "ethereum": ("http://c",)
    }  # fmt: skip
    for text in ("https://key123", "base=", "base=ftp://key123"):
        with pytest.raises(ConfigError, match=r"DEAI_RPC_ENDPOINTS: part 1 is not CHAIN=ADDRESS") as caught:
            own_endpoints(text)
        assert "key123" not in str(caught.value)
    settings = Settings(rpc_endpoints=SecretStr("base=https://key123"))
    assert is_on(settings) and is_on(Settings()) and not is_on(Settings(onchain=False))
    assert not is_on(Settings(sources=("none",))) and is_on(settings.model_copy(update={"sources": ("none",)}))
    assert "key123" not in repr(settings)
    assert chains_of(settings)["base"].endpoints[0] == "https://key123"
    mirrored = chains_of(
        Settings(source_base_url="http://127.0.0.1:9/", rpc_endpoints=SecretStr("base=https://key123"))
    )
    assert mirrored["base"].endpoints[:2] == (
        "http://127.0.0.1:9/chain/base/key123",
        "http://127.0.0.1:9/chain/base/publicnode",
    )
    with pytest.raises(ConfigError, match=r'there is no chain "etherium"\. Did you mean "ethereum"\?'):
        chains_of(Settings(rpc_endpoints=SecretStr("etherium=https://x")))


def test_own_chains_and_rules_are_added_and_their_mistakes_named(tmp_path: Path) -> None:
    chains = tmp_path / "chains.toml"
    chains.write_text('[mine]\nfamily = "evm"\nidentity = "0x5"\nendpoints = ["https://a"]\n')
    made = chains_of(Settings(chains_file=chains, rpc_endpoints=SecretStr("mine=https://b;base=https://c")))
    assert made["mine"].endpoints == ("https://b", "https://a") and made["base"].endpoints[0] == "https://c"
    chains.write_text("[mine]\nfamly = 1\n")
    with pytest.raises(ConfigError, match=r'mine\.famly: there is no such key here\. Did you mean "family"'):
        chains_of(Settings(chains_file=chains))
    rules = tmp_path / "rules.toml"
    rules.write_text('[GRT]\nname = "mine"\ndecimals = 3\nreported_reason = "test"\n')
    assert tokens_of(Settings(supply_rules=rules))["GRT"].name == "mine"
    with pytest.raises(ConfigError, match="the file cannot be read"):
        tokens_of(Settings(supply_rules=tmp_path / "absent.toml"))
