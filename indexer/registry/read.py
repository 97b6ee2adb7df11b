"""Reads a registry file: TOML in, a checked `Registry` out, or one error with every problem; and the simulated one.

What must hold across entries: identities, labels through time, successions, addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final

from indexer.errors import MethodologyError, did_you_mean
from indexer.registry.records import MARKETS, Asset, Label, Registry, Succession
from indexer.times import to_us
from onchain.strict_toml import Text, one_of, parse_toml, read_table, read_tables, refuse, toml_text

EVM_CHAINS = frozenset({"ethereum", "arbitrum", "base", "optimism", "bsc", "polygon", "worldchain", "avalanche"})
EVM_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
BEFORE_ALL, AFTER_ALL = -(2**63), 2**63 - 1


def check_assets(assets: Sequence[Asset], sub_sectors: Iterable[str], problems: list[str]) -> None:
    """Notes a slug, a (chain, contract) or a symbol that two assets share, and unknown sub-sectors."""
    _check_unique([(asset.slug, f'slug "{asset.slug}"') for asset in assets], problems)
    _check_unique(_identities(assets), problems)
    _check_labels(assets, problems)
    for asset in assets:
        if not asset.source:
            problems.append(f'asset "{asset.slug}".source: is missing; say where its identity was read')
        if asset.sub_sector not in sub_sectors:
            problems.append(
                f'asset "{asset.slug}".sub_sector: "{asset.sub_sector}" is not in [sub_sectors].'
                f"{did_you_mean(asset.sub_sector, sub_sectors)} Use one of those or add it there"
            )


def check_successions(successions: Sequence[Succession], slugs: Iterable[str], problems: list[str]) -> None:
    """Notes unknown slugs, two successors or predecessors of one asset, steps out of order, and circles."""
    slugs = set(slugs)
    successor: dict[str, str] = {}
    for step in successions:
        if not step.source:
            problems.append(f'succession "{step.from_}".source: is missing; say where the ratio and date were read')
        for end in (step.from_, step.to):
            if end and end not in slugs:
                problems.append(
                    f'succession "{step.from_}": there is no asset "{end}".{did_you_mean(end, slugs)} '
                    "Add an [[asset]] with that slug"
                )
        if step.from_ in successor:
            problems.append(f'succession "{step.from_}": it has two successors; keep one [[succession]]')
        successor[step.from_] = step.to
    _check_lines([step for step in successions if step.continues_line], problems)
    for start in successor:
        walk = [start]
        while (after := successor.get(walk[-1])) is not None and after not in walk:
            walk.append(after)
        if after == start and start == min(walk):
            problems.append(f"succession of {' -> '.join([*walk, start])}: it is a circle; remove one step")


def _check_lines(steps: Sequence[Succession], problems: list[str]) -> None:
    """A line is one token at a time: each has one predecessor, and later steps take effect later."""
    before: dict[str, Succession] = {}
    for step in steps:
        if step.to in before:
            problems.append(
                f'succession "{step.from_}": "{step.to}" already continues "{before[step.to].from_}"; a line has '
                'one token at a time, write kind = "merger" for the token whose prices end'
            )
        before[step.to] = step
    for step in steps:
        earlier = before.get(step.from_)
        if earlier is not None and earlier.effective >= step.effective:
            problems.append(
                f'succession "{step.from_}".effective: {step.effective.isoformat()} is not after that of '
                f'"{earlier.from_}", {earlier.effective.isoformat()}; correct one of the dates'
            )


def check_addresses(assets: Sequence[Asset], problems: list[str], *, checksums: bool) -> None:
    """Notes contracts that cannot be addresses on their chain; `checksums` adds EIP-55 (imports eth_utils)."""
    for asset in assets:
        places = [("contract", asset.chain, asset.contract)]
        places += [(f"other_contracts ({other.chain})", other.chain, other.contract) for other in asset.other_contracts]
        for place, chain, contract in places:
            fault = address_fault(chain, contract, checksums=checksums)
            if fault:
                problems.append(f'asset "{asset.slug}".{place}: {contract} {fault}')


def address_fault(chain: str, contract: str, *, checksums: bool) -> str:
    """What is wrong with an address on its chain and what to do, or '' when nothing is."""
    if contract == "native":
        return ""
    if chain in EVM_CHAINS or contract.startswith("0x"):
        if not EVM_ADDRESS.fullmatch(contract):
            return 'is not an address: give 0x and 40 hexadecimal digits, or "native"'
        return _checksum_fault(contract) if checksums else ""
    if chain == "solana" and not _is_32_bytes(contract):
        return "is not a Solana mint: base58 of 32 bytes; copy it again from the issuer's page"
    return ""


def _checksum_fault(contract: str) -> str:
    from eth_utils.address import is_checksum_address

    if is_checksum_address(contract):
        return ""
    digits = contract[2:]
    if digits in (digits.lower(), digits.upper()):
        return "carries no EIP-55 checksum (one letter case only); copy the mixed-case form from the issuer's page"
    return "has a wrong EIP-55 checksum: a character or a letter's case is wrong; copy it again from the issuer's page"


def _is_32_bytes(mint: str) -> bool:
    number = 0
    for character in mint:
        if character not in BASE58:
            return False
        number = number * 58 + BASE58.index(character)
    leading_zeros = len(mint) - len(mint.lstrip("1"))
    return leading_zeros + (number.bit_length() + 7) // 8 == 32


def _identities(assets: Sequence[Asset]) -> list[tuple[str, str]]:
    """(chain, contract) in one spelling, and how to name it in a message."""
    pairs = []
    for asset in assets:
        for chain, contract in [
            (asset.chain, asset.contract),
            *((other.chain, other.contract) for other in asset.other_contracts),
        ]:
            spelled = contract.lower() if contract.startswith("0x") else contract
            pairs.append((f"{chain}:{spelled}", f'asset "{asset.slug}": {contract} on {chain}'))
    return pairs


def _check_unique(named: Sequence[tuple[str, str]], problems: list[str]) -> None:
    first: dict[str, str] = {}
    for identity, name in named:
        if identity in first:
            same = f"{name} is there twice" if name == first[identity] else f"{name} is also {first[identity]}"
            problems.append(f"{same}; one identity is one asset, remove one")
        first.setdefault(identity, name)


def _check_labels(assets: Sequence[Asset], problems: list[str]) -> None:
    by_symbol: dict[str, list[tuple[int, int, str]]] = {}
    for asset in assets:
        for label in asset.symbols:
            start, end = _span(label)
            if start >= end:
                problems.append(f'asset "{asset.slug}".symbols: {label.symbol} ends before it begins; swap the dates')
            by_symbol.setdefault(label.symbol, []).append((start, end, asset.slug))
    for symbol, spans in by_symbol.items():
        problems += [
            f'symbol {symbol}: "{earlier[2]}" and "{later[2]}" carry it at the same time; '
            "give one of them valid_to and the other valid_from, or another symbol"
            for earlier, later in pairwise(sorted(spans))
            if later[0] < earlier[1]
        ]


def _span(label: Label) -> tuple[int, int]:
    start = BEFORE_ALL if label.valid_from is None else to_us(label.valid_from)
    return start, AFTER_ALL if label.valid_to is None else to_us(label.valid_to)


def lines_of(slugs: Iterable[str], successions: Sequence[Succession]) -> Mapping[str, tuple[str, float]]:
    """slug -> (line slug, units of the line's token per unit), by following migrations and redenominations."""
    step_of = {step.from_: step for step in successions if step.continues_line}
    lines: dict[str, tuple[str, float]] = {}
    for slug in slugs:
        end, ratio = slug, 1.0
        while (step := step_of.get(end)) is not None:
            end, ratio = step.to, ratio * step.ratio
        lines[slug] = (end, ratio)
    return lines


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
