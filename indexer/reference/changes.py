"""From one fixing to the next: which venues fell out and which came back, for the quality ledger. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from indexer.reference.minutes import FixingRate
from indexer.reference.rules import Verdict
from indexer.sources.records import QualityNote

_KINDS: Final = {Verdict.STALE: "stale", Verdict.OUTLIER: "outlier", Verdict.NO_DATA: "no_data"}


def verdict_changes(
    asset: str, before: Mapping[str, Verdict], now: FixingRate
) -> tuple[list[QualityNote], list[tuple[str, str]]]:
    """Entries to open, and (kind, subject) of open entries to close, at this fixing.

    `before` are the verdicts of the fixing before; empty at the first. A venue never seen before opens nothing
    while it has no data: it may not list the asset. The subject is `venue/asset`.
    """
    opened: list[QualityNote] = []
    closed: list[tuple[str, str]] = []
    for venue, verdict in now.verdicts.items():
        earlier = before.get(venue)
        if verdict == earlier:
            continue
        subject = f"{venue}/{asset}"
        if earlier in _KINDS:
            closed.append((_KINDS[earlier], subject))
        if verdict in _KINDS and not (earlier is None and verdict is Verdict.NO_DATA):
            price = now.venue_prices.get(venue, float("nan"))
            rate = f"{now.rate:.8g}" if now.rate is not None else "none"
            opened.append(QualityNote(_KINDS[verdict], subject, now.at_us, None, f"venue {price:.8g}, rate {rate}"))
    return opened, closed
