"""The invented tokens of the simulated market: on an invented chain, so that nobody can take them for real ones."""

from __future__ import annotations

from typing import Final

from indexer.registry.records import Asset, Label, Registry

SOURCE: Final = "simulation"
TOKENS: Final = 12
DECIMALS: Final = 18
SECTORS: Final = ("compute", "agents", "storage", "network")


def simulated_registry() -> Registry:
    """The registry of the simulated market."""
    assets = tuple(
        Asset(
            slug=f"sim{n:02d}",
            name=f"Simulated token {n}",
            chain="simulated",
            contract=f"sim-{n:02d}",
            decimals=DECIMALS,
            sub_sector=SECTORS[n % len(SECTORS)],
            status="core",
            symbols=(Label(f"SIM{n:02d}"),),
            line=f"sim{n:02d}",
        )
        for n in range(1, TOKENS + 1)
    )
    return Registry(assets, (), {sector: sector for sector in SECTORS}, source=SOURCE)
