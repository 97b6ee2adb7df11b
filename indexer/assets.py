"""The assets the index knows: identity, labels, listings, successions. The door to `indexer.registry`.

Place in the flow: import, sources, pipeline and on-chain reading ask it who a symbol is and where it trades.
"""

from __future__ import annotations

from pathlib import Path

from indexer.errors import MethodologyError
from indexer.registry.read import read_registry
from indexer.registry.records import Asset, Contract, Label, Registry, Succession, VenueListing

SHIPPED = Path(__file__).with_name("registry") / "assets.toml"

__all__ = ["Asset", "Contract", "Label", "Registry", "Succession", "VenueListing", "load_registry"]


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
