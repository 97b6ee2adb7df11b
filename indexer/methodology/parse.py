"""TOML tables to the parts of a methodology: types, ranges and unknown keys. Cross-rules are in `consistency.py`.

Place in the flow: below `load.py`. Defaults are those of `spec.py`, written nowhere else.
"""

from __future__ import annotations

import re
from typing import Any

from indexer.methodology.spec import (
    Caps,
    Eligibility,
    FloatRules,
    Methodology,
    Missing,
    Schedule,
    Scheme,
    Selection,
    Universe,
    UnknownVolume,
    Weighting,
)
from indexer.registry.read import STATUSES
from indexer.registry.strict_toml import Table

INDEX_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
VERSION = re.compile(r"\d+\.\d+\.\d+")


def methodology_of(raw: dict[str, Any], *, source: str, text: str, problems: list[str]) -> Methodology:
    """The methodology in a parsed TOML, its hash left empty. What does not hold is noted in `problems`."""
    top = Table(raw, "", problems)
    methodology = Methodology(
        id=_matching(top, "id", INDEX_ID, "lower-case letters, digits and single hyphens, e.g. my-index"),
        name=top.text("name"),
        version=_matching(top, "version", VERSION, "three numbers, e.g. 1.0.0"),
        description=top.text("description", ""),
        base_date=top.instant("base_date"),
        base_level=top.number("base_level", 1000.0, low=1e-9),
        decimals=top.integer("decimals", 6, low=0, high=10),
        effective_from=top.instant("effective_from"),
        universe=_universe(top.table("universe")),
        schedule=_schedule(top.table("schedule")),
        eligibility=tuple(_eligibility(table) for table in top.tables("eligibility")),
        selection=_selection(top.table("selection")),
        weighting=_weighting(top.table("weighting")),
        caps=_caps(top.table("caps")),
        missing=_missing(top.table("missing")),
        hash="",
        float_rules=_float(top.table("float")),
        source=source,
        text=text,
    )
    top.finish()
    return methodology


def _matching(table: Table, key: str, pattern: re.Pattern[str], wanted: str) -> str:
    value = table.text(key)
    if value and not pattern.fullmatch(value):
        table.note(key, f'"{value}" must be {wanted}')
    return value


def _universe(table: Table) -> Universe:
    default = Universe()
    statuses = table.texts("statuses")
    for status in statuses:
        if status not in STATUSES:
            table.note("statuses", f'"{status}" is not one of {", ".join(STATUSES)}')
    universe = Universe(
        assets=table.texts("assets"),
        sub_sectors=table.texts("sub_sectors"),
        exclude=table.texts("exclude"),
        statuses=statuses or default.statuses,
    )
    table.finish()
    return universe


def _schedule(table: Table) -> Schedule:
    default = Schedule()
    schedule = Schedule(
        rebalance_months=table.integers("rebalance_months", default.rebalance_months, low=1, high=12),
        reconstitution_months=table.integers("reconstitution_months", default.reconstitution_months, low=1, high=12),
        # Days 29 to 31 are refused: not every month has them.
        effective_day=table.integer("effective_day", default.effective_day, low=1, high=28),
        reference_days_before=table.integer("reference_days_before", default.reference_days_before, low=1, high=31),
        transition_fixings=table.integer("transition_fixings", default.transition_fixings, low=1, high=27),
    )
    table.finish()
    return schedule


def _eligibility(table: Table) -> Eligibility:
    effective_from = table.instant("effective_from")
    default = Eligibility(effective_from=effective_from)
    unknown_volume = table.choice("unknown_volume", tuple(UnknownVolume), default.unknown_volume)
    rules = Eligibility(
        effective_from=effective_from,
        min_history_days=table.integer("min_history_days", default.min_history_days, low=0, high=3650),
        successor_min_history_days=table.integer(
            "successor_min_history_days", default.successor_min_history_days, low=0, high=3650
        ),
        min_median_adv_usd=table.number("min_median_adv_usd", default.min_median_adv_usd),
        adv_window_days=table.integer("adv_window_days", default.adv_window_days, low=1, high=365),
        adv_min_days=table.integer("adv_min_days", default.adv_min_days, low=1, high=365),
        min_atvr=table.number("min_atvr", default.min_atvr),
        min_free_float=table.number("min_free_float", default.min_free_float, high=1.0),
        min_venues=table.integer("min_venues", default.min_venues, low=1, high=50),
        incumbent_min_venues=table.integer("incumbent_min_venues", default.incumbent_min_venues, low=1, high=50),
        supply_max_age_days=table.integer("supply_max_age_days", default.supply_max_age_days, low=1, high=3650),
        price_max_age_hours=table.integer("price_max_age_hours", default.price_max_age_hours, low=1, high=8760),
        unknown_volume=UnknownVolume(unknown_volume),
        min_active_addresses=table.integer(
            "min_active_addresses", default.min_active_addresses, low=0, high=1_000_000_000
        ),
        reason=table.text("reason", ""),
    )
    table.finish()
    return rules


def _selection(table: Table) -> Selection:
    default = Selection()
    selection = Selection(
        target=table.integer("target", default.target, low=1, high=500),
        entry_rank=table.integer("entry_rank", default.entry_rank, low=1, high=500),
        exit_rank=table.integer("exit_rank", default.exit_rank, low=1, high=500),
        min_constituents=table.integer("min_constituents", default.min_constituents, low=1, high=500),
    )
    table.finish()
    return selection


def _weighting(table: Table) -> Weighting:
    default = Weighting()
    weighting = Weighting(
        scheme=Scheme(table.choice("scheme", tuple(Scheme), default.scheme)),
        floor=table.number("floor", default.floor, high=1.0),
        metric=table.text("metric", default.metric),
    )
    table.finish()
    return weighting


def _caps(table: Table) -> Caps:
    caps = Caps(
        single=_share(table, "single"),
        largest=_share(table, "largest"),
        floor=_share(table, "floor"),
        group=_share(table, "group"),
        per_asset=table.numbers("per_asset", high=1.0),
        per_group=table.numbers("per_group", high=1.0),
    )
    table.finish()
    return caps


def _float(table: Table) -> FloatRules:
    rules = FloatRules(bands=table.flag("bands", FloatRules().bands))
    table.finish()
    return rules


def _share(table: Table, key: str) -> float | None:
    value = table.optional_number(key, high=1.0)
    if value == 0.0:
        table.note(key, "0 leaves no weight; leave the key out for no bound")
        return None
    return value


def _missing(table: Table) -> Missing:
    missing = Missing(max_carry_hours=table.integer("max_carry_hours", Missing().max_carry_hours, low=0, high=8760))
    table.finish()
    return missing
