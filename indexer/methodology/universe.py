"""Which lines of tokens an index may choose from: a methodology's universe against the registry. Pure.

Place in the flow: `load.py` checks names with it, the pipeline takes prices and supplies for these lines only.
"""

from __future__ import annotations

from indexer.errors import did_you_mean
from indexer.methodology.spec import Universe
from indexer.registry import Asset, Registry


def universe_lines(universe: Universe, registry: Registry) -> tuple[str, ...]:
    """The line slugs of the universe, in the registry's order, each once.

    A token that became another one (RNDR, now RENDER) is in when it or its successor is; unknown names are left
    out here and reported by `unknown_names`.
    """
    chosen = {asset.line for asset in registry.assets if _in(asset, universe)}
    excluded = {registry.by_slug[slug].line for slug in universe.exclude if slug in registry.by_slug}
    return tuple(line for line in registry.lines() if line in chosen and line not in excluded)


def unknown_names(universe: Universe, registry: Registry) -> list[str]:
    """Every name in the universe that the registry does not have, as a message with its place in the file."""
    slugs, sub_sectors = list(registry.by_slug), list(registry.sub_sectors)
    problems = [
        f'universe.{key}: there is no asset "{name}" in the registry.{did_you_mean(name, slugs)}'
        for key, names in (("assets", universe.assets), ("exclude", universe.exclude))
        for name in names
        if name not in registry.by_slug
    ]
    problems += [
        f'universe.sub_sectors: there is no sub-sector "{name}".{did_you_mean(name, sub_sectors)}'
        for name in universe.sub_sectors
        if name not in registry.sub_sectors
    ]
    return problems


def _in(asset: Asset, universe: Universe) -> bool:
    if universe.assets:
        return asset.slug in universe.assets
    fits = not universe.sub_sectors or asset.sub_sector in universe.sub_sectors
    return fits and asset.status in universe.statuses
