"""Reads a registry file: TOML in, a checked `Registry` out, or one error with every problem in the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from indexer.errors import MethodologyError
from indexer.registry.checks import check_addresses, check_assets, check_successions, lines_of
from indexer.registry.records import Asset, Contract, Label, Registry, Succession, VenueListing
from indexer.registry.strict_toml import Table, parse_toml, refuse

SHIPPED = Path(__file__).with_name("assets.toml")
STATUSES = ("core", "watch", "special", "legacy", "universe", "reference")
LISTING_STATUSES = ("verified", "seen", "unverified")
KINDS = ("migration", "redenomination", "merger")
PROVIDERS = frozenset(
    {"coingecko", "coinmetrics", "yahoo", "defillama", "defillama_chain", "defillama_fees", "defillama_dexs"}
)


def load_registry(path: Path | None = None) -> Registry:
    """The shipped registry, or the one in a file of the user's own.

    An own file stands alone unless it says `extends = "shipped"`. Its addresses' EIP-55 checksums are verified;
    those of the shipped file are verified by the tests instead, because that import costs more than all the rest.
    Raises MethodologyError naming the file, every entry that does not hold and what to do.
    """
    shipped = read_registry(_text(SHIPPED), source="assets.toml (shipped)", checksums=False)
    if path is None:
        return shipped
    return read_registry(_text(path), source=str(path), shipped=shipped)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MethodologyError(f"{path}: the asset registry cannot be read ({error}); give a TOML file") from None


def read_registry(text: str, *, source: str, shipped: Registry | None = None, checksums: bool = True) -> Registry:
    """The registry in a TOML text.

    `shipped` is what `extends = "shipped"` at the head of the file adds to: an entry with a slug that is there
    already replaces it. `checksums` verifies EIP-55 (imports eth_utils). Raises MethodologyError with all problems.
    """
    problems: list[str] = []
    top = Table(parse_toml(text, source=source), "", problems)
    base = shipped if top.choice("extends", ("shipped", "nothing"), "nothing") == "shipped" else None
    sub_sectors = {**(base.sub_sectors if base else {}), **top.strings("sub_sectors")}
    own_assets = [_asset(table) for table in top.tables("asset")]
    own_steps = [_succession(table) for table in top.tables("succession")]
    top.finish()
    check_addresses(own_assets, problems, checksums=checksums)
    assets, steps = _over(base, own_assets, own_steps)
    check_assets(assets, sub_sectors, problems)
    check_successions(steps, [asset.slug for asset in assets], problems)
    if not assets:
        problems.append("asset: there is none; give at least one [[asset]]")
    refuse(problems, source=source)
    lines = lines_of([asset.slug for asset in assets], steps)
    lined = (replace(asset, line=lines[asset.slug][0], line_ratio=lines[asset.slug][1]) for asset in assets)
    return Registry(assets=tuple(lined), successions=tuple(steps), sub_sectors=sub_sectors, source=source)


def _over(base: Registry | None, assets: list[Asset], steps: list[Succession]) -> tuple[list[Asset], list[Succession]]:
    """The base's entries, those replaced left out, then the file's own."""
    if base is None:
        return assets, steps
    slugs = {asset.slug for asset in assets}
    ended = {step.from_ for step in steps}
    kept = [asset for asset in base.assets if asset.slug not in slugs]
    return [*kept, *assets], [*(step for step in base.successions if step.from_ not in ended), *steps]


def _asset(table: Table) -> Asset:
    slug = table.text("slug")
    table.path = f'asset "{slug}"' if slug else table.path
    if slug != slug.lower() or " " in slug:
        table.note("slug", f'"{slug}" must be in lower case without spaces')
    asset = Asset(
        slug=slug,
        name=table.text("name"),
        chain=table.text("chain"),
        contract=table.text("contract"),
        decimals=table.integer("decimals", low=0, high=36),
        sub_sector=table.text("sub_sector"),
        status=table.choice("status", STATUSES),
        symbols=tuple(_label(inner) for inner in table.tables("symbols")) or _missing_label(table),
        venues=tuple(_listing(inner) for inner in table.tables("venues")),
        ids=_ids(table),
        other_contracts=tuple(_contract(inner) for inner in table.tables("other_contracts")),
        launched=table.optional_instant("launched"),
        supply_method=table.text("supply_method", ""),
        notes=table.text("notes", ""),
        source=table.text("source"),
    )
    table.finish()
    return asset


def _missing_label(table: Table) -> tuple[Label, ...]:
    table.note("symbols", 'is missing; give at least one, e.g. symbols = [{ symbol = "FET" }]')
    return (Label("?" + table.path),)


def _label(table: Table) -> Label:
    label = Label(
        table.text("symbol").upper(), table.optional_instant("valid_from"), table.optional_instant("valid_to")
    )
    table.finish()
    return label


def _listing(table: Table) -> VenueListing:
    listing = VenueListing(table.text("venue"), table.text("symbol"), table.choice("status", LISTING_STATUSES))
    table.finish()
    return listing


def _contract(table: Table) -> Contract:
    contract = Contract(
        chain=table.text("chain"),
        contract=table.text("contract"),
        decimals=table.integer("decimals", low=0, high=36),
        verified=table.choice("status", ("verified", "unverified")) == "verified",
    )
    table.finish()
    return contract


def _ids(table: Table) -> dict[str, str]:
    inner = table.table("ids")
    ids = {provider: inner.text(provider, "") for provider in sorted(PROVIDERS)}
    inner.finish()
    return {provider: name for provider, name in ids.items() if name}


def _succession(table: Table) -> Succession:
    start = table.text("from")
    table.path = f'succession of "{start}"' if start else table.path
    ratio = table.number("ratio", low=-1e300)
    if ratio <= 0 and "ratio" in table.raw:
        table.note("ratio", f"{ratio:g} must be above 0: how many new units one old unit became")
    step = Succession(
        from_=start,
        to=table.text("to"),
        ratio=ratio,
        effective=table.instant("effective"),
        kind=table.choice("kind", KINDS),
        source=table.text("source"),
    )
    table.finish()
    return step
