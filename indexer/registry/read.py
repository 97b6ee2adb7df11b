"""Reads a registry file: TOML in, a checked `Registry` out, or one error with every problem; and the simulated one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

from indexer.errors import MethodologyError
from indexer.registry.checks import check_addresses, check_assets, check_successions, lines_of
from indexer.registry.records import MARKETS, Asset, Label, Registry, Succession
from onchain.strict_toml import Text, one_of, parse_toml, read_table, read_tables, refuse, toml_text

SHIPPED = Path(__file__).with_name("assets.toml")


@dataclass(frozen=True, slots=True)
class RegistryFile:
    """A registry file as it stands; its entries are read one by one."""

    extends: Annotated[str, one_of(("shipped", "nothing"))] = "nothing"
    sub_sectors: Mapping[str, Text] = field(default_factory=dict)
    venues: Mapping[str, Annotated[str, one_of(MARKETS)]] = field(default_factory=dict)
    asset: tuple[Mapping[str, Any], ...] = ()
    succession: tuple[Mapping[str, Any], ...] = ()

    def slugs(self) -> list[str]:
        """What the entries call themselves, those included that do not hold."""
        return [str(entry.get("slug")) for entry in self.asset]


def load_registry(path: Path | None = None) -> Registry:
    """The shipped registry, or the one in a file of the user's own.

    An own file stands alone unless it says `extends = "shipped"`. Its addresses' EIP-55 checksums are verified;
    those of the shipped file are verified by the tests instead, because that import costs more than all the rest.
    Raises MethodologyError naming the file, every entry that does not hold and what to do.
    """
    if path is None:
        return _shipped()
    return read_registry(
        toml_text(path, error=MethodologyError, what="the asset registry"), source=str(path), shipped=_shipped()
    )


@cache
def _shipped() -> Registry:
    return read_registry(SHIPPED.read_text(encoding="utf-8"), source="assets.toml (shipped)", checksums=False)


def read_registry(text: str, *, source: str, shipped: Registry | None = None, checksums: bool = True) -> Registry:
    """The registry in a TOML text.

    `shipped` is what `extends = "shipped"` at the head of the file adds to: an entry with a slug that is there
    already replaces it. `checksums` verifies EIP-55 (imports eth_utils). Raises MethodologyError with all problems.
    """
    problems: list[str] = []
    raw = parse_toml(text, source=source, error=MethodologyError)
    file = read_table(RegistryFile, raw, problems) or RegistryFile()
    base = shipped if file.extends == "shipped" else None
    sub_sectors = {**(base.sub_sectors if base else {}), **file.sub_sectors}
    venues = {**(base.venues if base else {}), **file.venues}
    own_assets = read_tables(Asset, file.asset, problems, word="asset", name="slug")
    own_steps = read_tables(Succession, file.succession, problems, word="succession", name="from")
    check_addresses(own_assets, problems, checksums=checksums)
    assets, steps = _over(base, own_assets, own_steps)
    check_assets(assets, sub_sectors, problems)
    check_successions(steps, [*(asset.slug for asset in assets), *file.slugs()], problems)
    if not assets and not problems:
        problems.append("asset: there is none; give at least one [[asset]]")
    refuse(problems, source=source, error=MethodologyError)
    lines = lines_of([asset.slug for asset in assets], steps)
    lined = (replace(asset, line=lines[asset.slug][0], line_ratio=lines[asset.slug][1]) for asset in assets)
    return Registry(tuple(lined), tuple(steps), sub_sectors, source=source, venues=venues)


def _over(base: Registry | None, assets: list[Asset], steps: list[Succession]) -> tuple[list[Asset], list[Succession]]:
    """The base's entries, those replaced left out, then the file's own."""
    if base is None:
        return assets, steps
    slugs = {asset.slug for asset in assets}
    ended = {step.from_ for step in steps}
    inherited = [asset for asset in base.assets if asset.slug not in slugs]
    return [*inherited, *assets], [*(step for step in base.successions if step.from_ not in ended), *steps]


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
