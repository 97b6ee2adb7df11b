"""Once a day the venues' own lists of pairs: what of the registry trades where, and what has changed.

A pair that is gone is not asked for any more; that, a pair that the registry lacks and an announced end are entries of
the data-quality log, a token of an index that no venue in use lists is an alarm. What trades is in the run log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from indexer.errors import SourceUnavailable
from indexer.live.asking import Question, ask_all
from indexer.live.context import Live, newest_lists
from indexer.live.mapping import base_and_quote, spelled, usable
from indexer.live.quality_log import settle
from indexer.registry import Asset, Registry
from indexer.sources.base import Ask, Dataset
from indexer.sources.records import Instrument
from indexer.times import DAY_US, iso, to_us

QUOTED_IN: Final = ("USD", "USDT", "USDC")
CONSTITUENTS: Final = ("core", "watch", "special")
KINDS: Final = ("unlisted", "delisting", "newly_listed")

Lists = Mapping[str, Sequence[Instrument]]
"""Venue → every pair in its list."""
Entries = dict[str, dict[str, str]]
"""Kind → `venue/asset` → text."""


def check_listings(live: Live, due: datetime, run_id: int) -> Mapping[str, Any]:
    """Read every venue's list, enter what differs and keep what trades; the counts.

    Raises SourceUnavailable when no venue gave its list.
    """
    now_us = to_us(live.clock())
    ask = Ask(Dataset.INSTRUMENTS, (), now_us - DAY_US, now_us, now_us)
    venues = [name for name, source in live.sources.items() if Dataset.INSTRUMENTS in source.capabilities.datasets]
    replies = ask_all(live, [Question(venue, venue, ask) for venue in venues])
    lists = {reply.question.source: parsed.instruments for reply in replies for _, _, parsed in reply.parsed}
    unread = {reply.question.source: str(reply.error) for reply in replies if reply.error is not None}
    if venues and not lists:
        raise SourceUnavailable(f"no venue gave its list of pairs: {'; '.join(unread.values())}")
    entries, trading = compare_listings(live.registry, lists, at_us=now_us)
    for kind in KINDS:
        settle(live, run_id, kind, entries[kind], concerns=lambda subject: subject.partition("/")[0] in lists)
    new = {venue: {"read_at": iso(now_us), "trading": symbols} for venue, symbols in trading.items()}
    newest = {**newest_lists(live.store, now=live.clock()), **new}
    lost = without_venue(live.registry, live.sources, {venue: one["trading"] for venue, one in newest.items()})
    settle(live, run_id, "no_venue", lost, concerns=lambda subject: True)
    counts = {kind: len(entries[kind]) for kind in KINDS}
    return {**counts, "no_venue": sorted(lost), "unread": sorted(unread), "lists": newest}


def compare_listings(registry: Registry, lists: Lists, *, at_us: int) -> tuple[Entries, dict[str, list[str]]]:
    """What the lists say against the registry by kind and `venue/asset`, and our symbols that trade by venue. Pure."""
    entries: Entries = {kind: {} for kind in KINDS}
    trading: dict[str, list[str]] = {}
    for venue, instruments in lists.items():
        pairs = {one.symbol: one for one in instruments}
        listed: set[str] = set()
        trading[venue] = []
        living = [token for token in registry.assets if token.status != "legacy"]
        for asset, listing in ((token, place) for token in living for place in token.venues if place.venue == venue):
            symbol, known = spelled(venue, listing.symbol), listing.status != "unverified"
            if symbol in pairs and pairs[symbol].state != "closed":
                trading[venue].append(symbol)
            if known or symbol in pairs:
                listed.add(asset.slug)
            kind, text = _verdict(symbol, pairs, names={base_and_quote(listing.symbol)[0], asset.symbol}, known=known)
            if kind:
                entries[kind][f"{venue}/{asset.slug}"] = text
        for asset, one in _unknown(registry, instruments, at_us=at_us):
            if asset.slug not in listed:
                text = f"{venue} lists {one.symbol}; if it is this token, add the pair to the registry"
                entries["newly_listed"].setdefault(f"{venue}/{asset.slug}", text)
    return entries, trading


def _verdict(symbol: str, pairs: Mapping[str, Instrument], *, names: set[str], known: bool) -> tuple[str, str]:
    """Kind of the entry and its text for one listing of the registry; ('', '') when all is as it says."""
    one = pairs.get(symbol)
    if one is None and not known:
        return "", ""
    if one is None:
        others = sorted(other.symbol for other in pairs.values() if other.base.upper() in names)
        instead = f"; it lists {', '.join(others[:5])} instead" if others else ""
        return "unlisted", f"{symbol} is not in the venue's list{instead}; it is not asked for"
    if one.state == "closed":
        return "unlisted", f"{symbol} is listed but does not trade; it is not asked for"
    if one.state == "ending":
        return "delisting", f"the venue restricts {symbol} or has announced its end"
    return ("", "") if known else ("newly_listed", f"{symbol} is in the venue's list now and is asked for")


def _unknown(
    registry: Registry, instruments: Iterable[Instrument], *, at_us: int
) -> Iterator[tuple[Asset, Instrument]]:
    """Pairs in dollars whose symbol is a token's of the registry. A ticker is no identity: a person decides."""
    for one in instruments:
        if one.quote in QUOTED_IN and one.state == "trading":
            asset = registry.resolve(one.base, at_us)
            if asset is not None and asset.status in CONSTITUENTS:
                yield asset, one


def without_venue(
    registry: Registry, sources: Mapping[str, Any], trading: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Tokens that may be constituents and that no venue in use lists (any more), with the alarm's words. Pure."""
    lost = {}
    for asset in registry.assets:
        had = [listing for listing in asset.venues if listing.status != "unverified"]
        newcomer = asset.candidate_from is not None or not had  # watched, in no index so far
        if asset.status not in CONSTITUENTS or (asset.status != "core" and newcomer):
            continue
        if not any(listing.venue in sources and usable(listing, trading) for listing in asset.venues):
            names = ", ".join(sorted({listing.venue for listing in had})) or "none in the registry"
            lost[asset.slug] = f"no venue in use lists {asset.symbol} (it had: {names}); it has no price"
    return lost
