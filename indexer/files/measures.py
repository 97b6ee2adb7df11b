"""Files of measured quantities: whose they are and which series each row belongs to. Pure.

Place in the flow: part of file_rows.py, for manifests of the kind "metrics".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from indexer.arrays import I64, Bools
from indexer.files.columns import Words
from indexer.files.manifest import Manifest
from indexer.registry import Asset

MARKET = "market"


def market_rows(manifest: Manifest, symbols: Words) -> Bools:
    """Rows about the market as a whole, whose symbol is no asset's."""
    whole = [bool(manifest.market) and symbol == manifest.market for symbol in symbols.values]
    return np.array(whole or [False], dtype=np.bool_)[symbols.codes]


def measures_of(
    manifest: Manifest, words: Mapping[str, Words], assets: Sequence[Asset], asset: I64
) -> tuple[list[tuple[str, str, str]], I64]:
    """For files of metrics, the distinct (subject, name, source) and each row's position among them."""
    subjects = np.array([*(one.slug for one in assets), MARKET], dtype=object)[asset]
    names, sources = (np.array(words[role].values, dtype=object)[words[role].codes] for role in ("metric", "source"))
    position: dict[tuple[str, str, str], int] = {}
    keys = zip(subjects.tolist(), names.tolist(), sources.tolist(), strict=True)
    series = [
        position.setdefault((one, manifest.metrics.get(name, ""), source), len(position)) for one, name, source in keys
    ]
    return list(position), np.array(series, dtype=np.int64)
