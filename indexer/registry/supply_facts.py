"""Circulating supplies of the past that are shipped: sparse, dated, each with its origin and grade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from indexer.errors import MethodologyError
from onchain.strict_toml import Instant, Text, Whole, one_of, parse_toml, read_table, refuse

SHIPPED: Final = Path(__file__).with_name("supply_facts.toml")
SOURCE: Final = "shipped-facts"
GRADES: Final = ("rule", "schedule", "published")
STEPS: Final = ("unlock", "migration", "definition")


@dataclass(frozen=True, slots=True)
class SupplyFact:
    """Tokens in circulation at 00:00 UTC of a day.

    `grade`: rule (arithmetic on a protocol's rule), schedule (the project's own), published (a dated figure, three
    digits). `origin` is a key of the file's origins. `step` says why the figure moved since the fact before, where
    that is known: unlock, migration, or definition (counted otherwise, nothing issued).
    """

    day: Instant
    tokens: Annotated[Whole, Field(gt=0)]
    grade: Annotated[str, one_of(GRADES)]
    origin: Text
    step: Annotated[str, one_of(STEPS)] | None = None


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """The facts of one token, oldest first."""

    slug: Text
    facts: Annotated[tuple[SupplyFact, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class SupplyFacts:
    """The file: what each origin is, and the facts by token."""

    origins: Mapping[str, Text]
    token: tuple[TokenFacts, ...] = field(default=())

    def of(self, slug: str) -> tuple[SupplyFact, ...]:
        """The facts of a token, oldest first; none for one that is not in the file."""
        return next((entry.facts for entry in self.token if entry.slug == slug), ())

    def at(self, slug: str, day: datetime) -> SupplyFact | None:
        """The fact of exactly that day."""
        return next((fact for fact in self.of(slug) if fact.day == day), None)


@cache
def load_supply_facts() -> SupplyFacts:
    """The shipped facts. Raises MethodologyError with every problem of the file."""
    return read_supply_facts(SHIPPED.read_text(encoding="utf-8"), source=SHIPPED.name)


def read_supply_facts(text: str, *, source: str) -> SupplyFacts:
    """The facts in a TOML text: each token once, its days ascending, each origin explained."""
    problems: list[str] = []
    file = read_table(SupplyFacts, parse_toml(text, source=source, error=MethodologyError), problems)
    for number, entry in enumerate(file.token if file else (), 1):
        place = f'token "{entry.slug}"'
        if any(other.slug == entry.slug for other in (file.token[: number - 1] if file else ())):
            problems.append(f"{place}: is there twice; put its facts together")
        days = [fact.day for fact in entry.facts]
        if sorted(set(days)) != days:
            problems.append(f"{place}: days must ascend, each once")
        unknown = sorted({fact.origin for fact in entry.facts} - set(file.origins if file else ()))
        problems += [f'{place}: origin "{name}" is not among [origins]; say there what it is' for name in unknown]
    refuse(problems, source=source, error=MethodologyError)
    assert file is not None  # a file without a problem is read
    return file
