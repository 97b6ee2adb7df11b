"""Files that people write: every problem at once, each with its place, what is wrong and the closest known word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

import pytest
from pydantic import Field

from onchain.strict_toml import COMPUTED, Flag, Instant, Number, Text, Texts, Whole, parse_toml, read_table, refuse


@dataclass(frozen=True, slots=True)
class Part:
    count: Annotated[Whole, Field(ge=1, le=5)] = 3
    share: Annotated[Number, Field(ge=0, le=1)] | None = None
    shares: Mapping[str, Annotated[Number, Field(gt=0, le=1)]] = field(default_factory=dict)
    live: Flag = False


@dataclass(frozen=True, slots=True)
class Document:
    name: Text
    when: Instant
    from_: Annotated[Text, Field(alias="from")]
    part: Part = Part()
    parts: tuple[Part, ...] = ()
    names: Texts = ()
    hash: str = field(default="", metadata=COMPUTED)


GOOD = 'name = "x"\nwhen = 2023-01-01\nfrom = "y"\n'


def problems_of(text: str) -> list[str]:
    problems: list[str] = []
    record = read_table(Document, parse_toml(text, source="a.toml", error=ValueError), problems)
    assert record is None
    return problems


def test_a_file_that_holds_becomes_its_record() -> None:
    problems: list[str] = []
    raw = parse_toml(GOOD + 'names = ["a"]\npart = { share = 1 }\n', source="a.toml", error=ValueError)
    record = read_table(Document, raw, problems)
    assert problems == []
    assert record == Document("x", datetime(2023, 1, 1, tzinfo=UTC), "y", Part(share=1.0), names=("a",))


def test_every_problem_is_reported_with_its_place() -> None:
    text = 'name = " "\nform = 3\nparts = [{ count = true }, 3]\npart = { count = 9, shares = { x = "s", y = 2.0 } }'
    assert problems_of(text) == [
        "name: ' ' is empty, not text, e.g. \"…\"",
        "when: is missing; give a date without quotes, e.g. 2023-01-01T00:00:00Z",
        'from: is missing; give text, e.g. "…"',
        "part.count: 9 must be at most 5",
        "part.shares.x: 's' is text, not a number",
        "part.shares.y: 2.0 must be at most 1",
        "parts[1].count: True is true/false, not a whole number",
        "parts[2]: 3 is a number, not a table",
        'form: there is no such key here. Did you mean "from"?',
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("part = { share = nan }", "part.share: nan must be finite"),
        (f"part = {{ share = 1{'0' * 400} }}", "part.share: 1000000000"),
        ('part = { count = "3" }', "part.count: '3' is text, not a whole number"),
        ("part = { count = 2.5 }", "part.count: 2.5 is a number, not a whole number"),
        ("part = { live = 1 }", "part.live: 1 is a number, not true or false"),
        ("part = { lively = true }", 'part.lively: there is no such key here. Did you mean "live"?'),
        ("part = 5", "part: 5 is a number, not a table"),
        ("parts = {}", "parts: {} is a table, not a list of tables"),
        ('names = "x"', "names: 'x' is text, not a list of texts"),
        ('names = ["x", "x"]', 'names: "x" is there twice; name it once'),
        ('names = ["a\\u0001b"]', r"names[1]: 'a\x01b' has '\x01', which pages and pictures cannot hold; leave it out"),
        ('hash = "x"', "hash: there is no such key here; leave it out"),
    ],
)
def test_wrong_types_and_ranges(line: str, problem: str) -> None:
    (only,) = problems_of(GOOD + line)
    assert only.startswith(problem)


@pytest.mark.parametrize(
    ("when", "problem"),
    [
        ("2023-01-01T00:00:00", "when: 2023-01-01T00:00:00 has no time zone; write 2023-01-01T00:00:00Z"),
        ("0001-01-01", "when: 0001-01-01 is not from 2000 to 2199"),
        ('"2023-01-01"', "when: '2023-01-01' is text, not a date without quotes, e.g. 2023-01-01T00:00:00Z"),
    ],
)
def test_instants_are_aware_and_of_these_centuries(when: str, problem: str) -> None:
    assert problems_of(GOOD.replace("2023-01-01", when)) == [problem]


def test_errors_are_those_of_the_caller_and_name_the_file() -> None:
    with pytest.raises(LookupError, match=r"a\.toml: this is not TOML: .*line 1"):
        parse_toml("name = = 1", source="a.toml", error=LookupError)
    with pytest.raises(LookupError, match=r"a\.toml: 2 problems\n  one\n  two"):
        refuse(["one", "two"], source="a.toml", error=LookupError)
