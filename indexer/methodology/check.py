"""Checks a methodology file and says what is in it, for `deai methodology check FILE`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from indexer.errors import MethodologyError
from indexer.methodology.load import read_methodology
from indexer.methodology.spec import Methodology
from indexer.methodology.universe import universe_lines
from indexer.registry import Registry


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
