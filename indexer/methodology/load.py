"""Methodology files to validated, hashed methodologies: the shipped ones and those in a folder of the user's.

Place in the flow: start of the pipeline. Every problem of a file is reported at once, each with its place in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from indexer.errors import MethodologyError
from indexer.methodology.canonical import content_hash
from indexer.methodology.consistency import inconsistencies, registry_problems
from indexer.methodology.parse import methodology_of
from indexer.methodology.spec import Methodology
from indexer.registry import Registry
from indexer.registry.strict_toml import parse_toml, refuse

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
