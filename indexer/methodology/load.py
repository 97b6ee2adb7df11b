"""Methodology files to validated, hashed methodologies: the shipped ones and those in a folder of the user's.

Every problem of a file is reported at once, each with its place in it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from indexer.errors import MethodologyError
from indexer.methodology.consistency import cautions, inconsistencies, registry_problems
from indexer.methodology.spec import Methodology, universe_lines
from indexer.registry import Registry
from onchain.strict_toml import parse_toml, read_table, refuse, toml_text

SHIPPED = Path(__file__).with_name("indices")
FLAGSHIP = "deai"  # the index that stands for the market where none is named
# Where a part could not be read, a default stands in for it. A rule between parts is then only reported when the
# parts it rests on were read: what follows from a stand-in would mislead.
STAND_INS: dict[str, Any] = {
    "id": "none",
    "name": "None",
    "version": "0.0.0",
    "base_date": datetime(2000, 1, 1, tzinfo=UTC),
    "effective_from": datetime(2000, 1, 1, tzinfo=UTC),
}
RESTS_ON = {
    "schedule": {"schedule"},
    "base_date": {"base_date", "schedule"},
    "eligibility": {"eligibility", "base_date", "schedule"},
    "selection": {"selection"},
    "weighting": {"weighting", "selection"},
    "caps": {"caps", "selection", "universe"},
    "universe": {"universe", "selection"},
    "perpetual_fallback": {"perpetual_fallback"},
}


def load_methodology(text: str, *, source: str, registry: Registry | None = None) -> Methodology:
    """The methodology in a TOML text, with its hash.

    With a `registry`, names of assets and sub-sectors are checked too. Raises MethodologyError that lists every
    problem as `place: what is wrong and what to do`.
    """
    methodology, problems = read_methodology(text, source=source, registry=registry)
    refuse(problems, source=source, error=MethodologyError)
    return methodology


def read_methodology(text: str, *, source: str, registry: Registry | None) -> tuple[Methodology, list[str]]:
    """The methodology as far as it could be read, and what does not hold. Raises only when it is no TOML."""
    problems: list[str] = []
    raw = parse_toml(text, source=source, error=MethodologyError)
    rules = methodology_of(raw, problems)
    unread = {_section(problem) for problem in problems}
    crossed = [*inconsistencies(rules), *(registry_problems(rules, registry) if registry else ())]
    problems.extend(problem for problem in crossed if not unread & RESTS_ON[_section(problem)])
    return replace(rules, hash=content_hash(rules), source=source, text=text), problems


def methodology_of(raw: Mapping[str, Any], problems: list[str]) -> Methodology:
    """The methodology in a parsed TOML, its hash left empty. What does not hold is noted in `problems`.

    Stand-ins take the place of parts that do not hold, so that rules between the other parts can be judged.
    """
    rules = read_table(Methodology, raw, problems)
    if rules is None:
        refused = {_section(problem) for problem in problems}
        held = {key: part for key, part in raw.items() if key not in refused}
        rules = read_table(Methodology, STAND_INS | held, [])
    return rules or Methodology(**STAND_INS)


@cache
def shipped() -> Mapping[str, Methodology]:
    """The methodologies that come with the program, by index id, the flagship first."""
    files = sorted(SHIPPED.glob("*.toml"), key=lambda path: path.stem)
    loaded = (load_methodology(path.read_text(encoding="utf-8"), source=f"{path.name} (shipped)") for path in files)
    return MappingProxyType({methodology.id: methodology for methodology in loaded})


@dataclass(frozen=True, slots=True)
class Loaded:
    """The shipped methodologies and those of a folder, by index id; `refused` says of files why they do not hold."""

    methodologies: Mapping[str, Methodology]
    refused: Mapping[str, str]


def load_methodologies(folder: Path | None, *, registry: Registry) -> Loaded:
    """The shipped methodologies and those of every `*.toml` in a folder of the user's.

    A file that does not hold, or whose id is taken, stops its own index only. Raises MethodologyError where there is
    no such folder.
    """
    known = dict(shipped())
    if folder is None:
        return Loaded(known, {})
    if not folder.is_dir():
        raise MethodologyError(f"{folder}: there is no such folder of methodologies; create it or name another")
    refused: dict[str, str] = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            methodology = _own(toml_text(path, error=MethodologyError), source=str(path), registry=registry)
        except MethodologyError as error:
            refused[path.name] = str(error)
            continue
        if (other := known.get(methodology.id)) is not None:
            refused[path.name] = f'{path}: id "{methodology.id}" is taken by {other.source}; choose another id'
        else:
            known[methodology.id] = methodology
    return Loaded(known, refused)


@lru_cache(maxsize=256)  # an update reads them all, every hour
def _own(text: str, *, source: str, registry: Registry) -> Methodology:
    return load_methodology(text, source=source, registry=registry)


def _section(problem: str) -> str:
    """The part of the file a problem lies in: `eligibility[2].min_venues: …` -> `eligibility`."""
    return re.split(r"[.:\[]", problem, maxsplit=1)[0]


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


def _default(rule: Field[Any]) -> object:
    return rule.default if rule.default_factory is MISSING else rule.default_factory()


def _plain(value: object) -> object:
    if is_dataclass(value):
        rules = (f for f in fields(value) if f.name not in NOT_RULES)
        written = (f for f in rules if not (f.metadata.get("later") and getattr(value, f.name) == _default(f)))
        return {f.name: _plain(getattr(value, f.name)) for f in written}
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

    `warnings` name compositions that the rules allow and whose caps would be raised, or whose review changes nothing.
    `lines` are the line slugs the index may choose from.
    """

    source: str
    problems: tuple[str, ...]
    methodology: Methodology | None = None
    lines: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

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
        rules = self.methodology
        return "\n".join(
            [
                f"{self.source}: {rules.id} {rules.version} holds",
                f"  rules   {rules.hash}",
                f"  base    {rules.base_level:g} at {rules.base_date.isoformat()}",
                f"  chooses from {len(self.lines)} tokens: {', '.join(self.lines)}",
                *(f"  warning {warning}" for warning in self.warnings),
            ]
        )


def check_file(path: Path, *, registry: Registry) -> CheckReport:
    """The report on one file; a file that cannot be read or is no TOML is a problem, not an exception."""
    source = str(path)
    try:
        text = toml_text(path, error=MethodologyError)
        methodology, problems = read_methodology(text, source=source, registry=registry)
    except MethodologyError as error:
        return CheckReport(source, (str(error).removeprefix(f"{source}: "),))
    if problems:
        return CheckReport(source, tuple(problems))
    lines, warnings = universe_lines(methodology.universe, registry), tuple(cautions(methodology, registry))
    return CheckReport(source, (), methodology, lines, warnings)
