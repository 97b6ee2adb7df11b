"""Methodology files to validated, hashed methodologies: the shipped ones and those in a folder of the user's.

Place in the flow: start of the pipeline. Every problem of a file is reported at once, each with its place in it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from indexer.errors import MethodologyError
from indexer.methodology.consistency import inconsistencies, registry_problems
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
    universe_lines,
)
from indexer.registry import Registry
from indexer.registry.read import STATUSES
from indexer.registry.strict_toml import Table, parse_toml, refuse

SHIPPED = Path(__file__).with_name("indices")
# Where a value could not be read, a default stands in for it. A rule between parts is then only reported when the
# parts it rests on were read: what follows from a stand-in would mislead.
RESTS_ON = {
    "schedule": {"schedule"},
    "base_date": {"base_date", "schedule"},
    "eligibility": {"eligibility", "base_date", "schedule"},
    "selection": {"selection"},
    "weighting": {"weighting", "selection"},
    "caps": {"caps", "selection", "universe"},
    "universe": {"universe", "selection"},
}


def load_methodology(text: str, *, source: str, registry: Registry | None = None) -> Methodology:
    """The methodology in a TOML text, with its hash.

    With a `registry`, names of assets and sub-sectors are checked too. Raises MethodologyError that lists every
    problem as `place: what is wrong and what to do`.
    """
    methodology, problems = read_methodology(text, source=source, registry=registry)
    refuse(problems, source=source)
    return methodology


def read_methodology(text: str, *, source: str, registry: Registry | None) -> tuple[Methodology, list[str]]:
    """The methodology as far as it could be read, and what does not hold. Raises only when it is no TOML."""
    problems: list[str] = []
    raw = parse_toml(text, source=source)
    methodology = methodology_of(raw, source=source, text=text, problems=problems)
    unread = {_section(problem) for problem in problems}
    crossed = [*inconsistencies(methodology), *(registry_problems(methodology, registry) if registry else ())]
    problems.extend(problem for problem in crossed if not unread & RESTS_ON[_section(problem)])
    return replace(methodology, hash=content_hash(methodology)), problems


def shipped() -> dict[str, Methodology]:
    """The methodologies that come with the program, by index id, the flagship first."""
    files = sorted(SHIPPED.glob("*.toml"), key=lambda path: path.stem)
    return {m.id: m for m in (load_methodology(_text(path), source=f"{path.name} (shipped)") for path in files)}


def load_folder(folder: Path, *, registry: Registry, taken: Mapping[str, Methodology]) -> dict[str, Methodology]:
    """The methodologies of every `*.toml` in a folder, by index id.

    `taken` are those already loaded: a second file with the same id is refused. Raises one MethodologyError for
    all files that do not hold.
    """
    if not folder.is_dir():
        raise MethodologyError(f"{folder}: there is no such folder of methodologies; create it or name another")
    found: dict[str, Methodology] = {}
    faults: list[str] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            methodology = load_methodology(_text(path), source=str(path), registry=registry)
        except MethodologyError as error:
            faults.append(str(error))
            continue
        other = found.get(methodology.id) or taken.get(methodology.id)
        if other is not None:
            faults.append(f'{path}: id "{methodology.id}" is taken by {other.source}; choose another id')
        found[methodology.id] = methodology
    if faults:
        raise MethodologyError("\n".join(faults))
    return found


def _section(problem: str) -> str:
    """The part of the file a problem lies in: `eligibility[2].min_venues: …` -> `eligibility`."""
    return re.split(r"[.:\[]", problem, maxsplit=1)[0]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MethodologyError(f"{path}: the file cannot be read ({error}); give a TOML file in UTF-8") from None


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


# What describes the index but decides no level: changing it leaves the hash as it is.
NOT_RULES = frozenset({"name", "description", "reason", "hash", "source", "text"})


def canonical_json(methodology: Methodology) -> str:
    """The rules, id and version as JSON: keys sorted, no blanks, dates in UTC, defaults written out.

    Two files with the same rules give the same text, however they are laid out. A key that came later than the
    first version of this format (`spec.LATER`) is written only where it differs from its default.
    """
    return json.dumps(_plain(methodology), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_hash(methodology: Methodology) -> str:
    """SHA-256 of `canonical_json` in hexadecimal, 64 characters."""
    return hashlib.sha256(canonical_json(methodology).encode("utf-8")).hexdigest()


def _plain(value: object) -> object:
    if is_dataclass(value):
        rules = (f for f in fields(value) if f.name not in NOT_RULES)
        kept = (f for f in rules if not (f.metadata.get("later") and getattr(value, f.name) == f.default))
        return {f.name: _plain(getattr(value, f.name)) for f in kept}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    return value


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found. `problems` is empty when the file holds; `methodology` is None when it does not.

    `lines` are the line slugs the index may choose from.
    """

    source: str
    problems: tuple[str, ...]
    methodology: Methodology | None = None
    lines: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the file can be computed."""
        return not self.problems

    @property
    def summary(self) -> str:
        """The report as lines of text."""
        if self.methodology is None:
            count = f"{len(self.problems)} problem{'s' if len(self.problems) > 1 else ''}"
            return "\n".join([f"{self.source}: {count}", *(f"  {problem}" for problem in self.problems)])
        made = self.methodology
        return "\n".join(
            [
                f"{self.source}: {made.id} {made.version} holds",
                f"  rules   {made.hash}",
                f"  base    {made.base_level:g} at {made.base_date.isoformat()}",
                f"  chooses from {len(self.lines)} tokens: {', '.join(self.lines)}",
            ]
        )


def check_file(path: Path, *, registry: Registry) -> CheckReport:
    """The report on one file; a file that cannot be read or is no TOML is a problem, not an exception."""
    source = str(path)
    try:
        text = path.read_text(encoding="utf-8")
        methodology, problems = read_methodology(text, source=source, registry=registry)
    except (OSError, UnicodeDecodeError) as error:
        return CheckReport(source, (f"the file cannot be read ({error}); give a TOML file in UTF-8",))
    except MethodologyError as error:
        return CheckReport(source, (str(error).removeprefix(f"{source}: "),))
    if problems:
        return CheckReport(source, tuple(problems))
    return CheckReport(source, (), methodology, universe_lines(methodology.universe, registry))
