"""The registry is complete and honest about names; identity is by mapped id or contract, never by ticker."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from indexer.errors import ConfigError, InputError
from indexer.live.mapping import check_identifiers
from indexer.sources.base import Dataset, Kind, Mapped, contract_key, same_contract
from indexer.sources.registry import REGISTRY, build_sources, capabilities

HERE = Path(__file__).parent


def test_every_source_has_its_battery() -> None:
    names = set()
    for file in HERE.glob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef) and any(getattr(b, "id", "") == "SourceBattery" for b in node.bases):
                names |= {
                    s.value.value
                    for s in node.body
                    if isinstance(s, ast.Assign) and getattr(s.targets[0], "id", "") == "name"
                    if isinstance(s.value, ast.Constant)
                }
    assert names == set(REGISTRY)


def test_at_least_three_keyless_sources_may_enter_a_fixing() -> None:
    fixing = [about.name for about in capabilities() if about.fixing and not about.opt_in]
    assert fixing == ["binance", "coinbase", "kraken", "okx", "bybit"]
    assert all(about.kind is Kind.VENUE for about in capabilities() if about.fixing)


def test_somebody_gives_every_dataset_without_a_key() -> None:
    assert {d for about in capabilities() if not about.opt_in for d in about.datasets} == set(Dataset)


def test_opt_in_sources_are_off_until_named() -> None:
    usual = build_sources()
    assert "coinmetrics" not in usual
    assert "ccxt" not in usual
    assert list(build_sources(only=("coinmetrics", "kraken"))) == ["kraken", "coinmetrics"]
    sources = build_sources(base_url="http://127.0.0.1:9/", keys={"coingecko": "k"})
    assert {source.base_url for source in sources.values()} == {f"http://127.0.0.1:9/{name}" for name in sources}
    with pytest.raises(ConfigError, match=r'there is no source "binanse"\. Did you mean "binance"\?'):
        build_sources(only=("binanse",))


def test_one_identifier_belongs_to_one_asset() -> None:
    with pytest.raises(InputError, match="coingecko io is mapped to both io-net and io-other"):
        check_identifiers([Mapped("io-net", "coingecko", "io"), Mapped("io-other", "coingecko", "io")])


def test_base58_keeps_its_case_and_hexadecimal_does_not() -> None:
    assert same_contract("ethereum:0xAB", "Ethereum:0xab")
    assert not same_contract("solana:DtR4D9", "solana:dtr4d9")
    assert contract_key("bittensor") == "bittensor"
