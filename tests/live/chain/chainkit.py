"""A small world: two chains, three tokens with own registry and supply rules, a market in a store, an index of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from evmkit import Node

from indexer.config import Settings
from indexer.levels.pipeline import UpdateReport, update
from indexer.live.context import Live, chain_work
from indexer.methodology.load import load_methodology
from indexer.registry import Registry, load_registry
from indexer.store.assets import ensure_listings, write_registry
from indexer.store.bars import write_bars
from indexer.store.db import Store, open_store
from indexer.store.rebalancings import read_rebalancings
from indexer.store.rows import BarColumns, ListingRow, SupplyRow
from indexer.store.runs import finish_run, start_run
from indexer.store.supplies import write_supplies
from indexer.times import DAY_US, parse_instant

START = datetime(2026, 3, 9, 12, tzinfo=UTC)
GENESIS = int(START.timestamp())
NOW = datetime(2026, 6, 2, tzinfo=UTC)
TREASURY = "0x00000000000000000000000000000000000000A1"
DEAD = "0x000000000000000000000000000000000000dEaD"
NOBODY = "0x00000000000000000000000000000000000000E5"
PRICES = {"aaa": 1.0, "bbb": 2.0, "ccc": 3.0}
IMPORTED = {"aaa": 100.0, "bbb": 200.0, "ccc": 300.0}
FILLER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
MINT = "So11111111111111111111111111111111111111112"

INDEX = """
id = "three"
name = "Three"
version = "1.0.0"
base_date = 2026-04-01T00:00:00Z
effective_from = 2026-03-01T00:00:00Z
[universe]
assets = ["aaa", "bbb", "ccc"]
[schedule]
reconstitution_months = [4]
[[eligibility]]
effective_from = 2026-03-01T00:00:00Z
min_venues = 1
min_atvr = 0.0
adv_min_days = 1
{eligibility}
[selection]
target = 3
entry_rank = 3
exit_rank = 3
min_constituents = 2
[weighting]
{weighting}
"""


@dataclass
class World:
    """Nodes and tokens (None without chains), files of the user's own, and the store."""

    one: Node | None
    two: Node | None
    aaa: Any
    bbb: Any
    settings: Settings
    registry: Registry
    store: Store

    def work(self, now: datetime = NOW) -> Live:
        """Chain work on this world's chains and tokens only, so that nothing but loopback is asked."""
        made = chain_work(self.store, self.settings, registry=self.registry, clock=lambda: now)
        chains = {name: made.chains[name] for name in ("ethereum", "base")}
        return replace(made, chains=chains, tokens={symbol: made.tokens[symbol] for symbol in ("AAA", "BBB")})

    def points_aaa_at(self, address: str) -> None:
        """Have the registry and the supply rules mean another contract by AAA."""
        for path in (self.settings.registry, self.settings.supply_rules):
            path.write_text(path.read_text().replace(self.aaa.address, address))
        self.registry = load_registry(self.settings.registry)

    def run(self, kind: str = "onchain-supply", now: datetime = NOW) -> int:
        self.runs = getattr(self, "runs", 0) + 1
        made = start_run(self.store, kind=kind, key=f"{kind}:{self.runs}", now=now)
        assert made is not None
        return made

    def finished(self, run: int) -> None:
        finish_run(self.store, run, now=NOW)

    def update(self, weighting: str = 'scheme = "free_float_cap"', eligibility: str = "") -> UpdateReport:
        text = INDEX.format(weighting=weighting, eligibility=eligibility)
        rules = load_methodology(text, source="three.toml", registry=self.registry)
        return update(self.store, registry=self.registry, methodologies={"three": rules}, clock=lambda: NOW)

    def base(self) -> dict[str, Any]:
        """The items of the index's base by asset."""
        return {item.asset: item for item in read_rebalancings(self.store, "three")[0].items}


def world_on(one: Node | None, two: Node | None, folder: Path) -> World:
    """The world on these nodes, or with nobody answering."""
    aaa = one.deploy("token", "A", "AAA", 18, 1000 * 10**18) if one else None
    bbb = two.deploy("token", "B", "BBB", 6, 2000 * 10**6) if two else None
    for node, token, treasury, burnt in ((one, aaa, 250 * 10**18, 10 * 10**18), (two, bbb, 500 * 10**6, 0)):
        if node is not None:
            token.do("transfer", TREASURY, treasury)
            token.do("transfer", DEAD, burnt)
            node.mine(5, interval=12)
    addresses = (aaa.address if aaa else FILLER, bbb.address if bbb else FILLER)
    settings = Settings(data_dir=folder, rpc_confirm=1, **_files(folder, addresses, one, two))
    registry = load_registry(settings.registry)
    store = open_store(settings.store_url)
    store.migrate()
    _market(store, registry)
    return World(one, two, aaa, bbb, settings, registry, store)


def _files(folder: Path, addresses: tuple[str, str], one: Node | None, two: Node | None) -> dict[str, Path]:
    """The user's registry, supply rules and chains."""
    tokens = (("aaa", "ethereum", addresses[0], 18), ("bbb", "base", addresses[1], 6), ("ccc", "solana", MINT, 9))
    registry = 'extends = "shipped"\n' + "".join(
        f'[[asset]]\nslug = "{slug}"\nname = "{slug.upper()}"\nsymbols = [{{ symbol = "{slug.upper()}" }}]\n'
        f'status = "core"\nsub_sector = "compute"\nchain = "{chain}"\ncontract = "{contract}"\ndecimals = {decimals}\n'
        f'source = "test"\n'
        for slug, chain, contract, decimals in tokens
    )
    rules = "".join(
        f'[{slug.upper()}]\nname = "{slug.upper()}"\ndecimals = {decimals}\n'
        f'legs = [{{chain = "{chain}", asset = "{contract}", decimals = {decimals}}}]\n'
        f'gaps = ["a gap of {slug}"]\n'
        f'[[{slug.upper()}.exclude]]\ncomponent = "treasury"\nchain = "{chain}"\nholder = "{TREASURY}"\n'
        f'valid_from = 2020-01-01\nreason = "treasury"\nsource = "test"\n'
        for slug, chain, contract, decimals in tokens[:2]
    )
    chains = "".join(
        f'[{name}]\nfamily = "evm"\nidentity = "{hex(node.chain_id) if node else number}"\n'
        f'endpoints = ["{node.url if node else "http://127.0.0.1:9/secret"}"]\nfinality = "{finality}"\n'
        f"rate_per_s = 1000000\n"
        for name, node, number, finality in (("ethereum", one, "0x1", "finalized"), ("base", two, "0x2105", "safe"))
    )
    made = {}
    for name, key, text in (
        ("registry.toml", "registry", registry),
        ("rules.toml", "supply_rules", rules),
        ("chains.toml", "chains_file", chains),
    ):
        made[key] = folder / name
        made[key].write_text(text, encoding="utf-8")
    return made


def _market(store: Store, registry: Registry) -> None:
    """Daily bars of half a year for the three tokens, and imported supplies."""
    write_registry(store, registry)
    run = start_run(store, kind="import", key="market", now=NOW)
    assert run is not None
    times = parse_instant("2025-12-01") + np.arange(180, dtype=np.int64) * DAY_US
    listings = [ListingRow(slug, "kraken", "file", slug.upper(), "1d", "bar_close") for slug in PRICES]
    unknown = np.full(len(times), np.nan)
    for listing, price in zip(ensure_listings(store, listings), PRICES.values(), strict=True):
        close = np.full(len(times), price)
        volume = np.full(len(times), 1e7)
        ids = np.full(len(times), listing, dtype=np.int64)
        write_bars(store, run, BarColumns(ids, times, unknown, unknown, unknown, close, unknown, volume))
    seen = START - timedelta(days=60)
    rows = [
        SupplyRow(slug, "circulating", "imported", "file", seen, int(tokens * 10 ** registry.by_slug[slug].decimals))
        for slug, tokens in IMPORTED.items()
    ]
    write_supplies(store, run, rows)
    finish_run(store, run, now=NOW)
