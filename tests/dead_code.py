"""What no command, route, client or other code calls: every such function, class and method stands in the list.

`make check` runs it. A name is dead when nothing in the three packages says it; a test alone keeps no code alive.
`dead_code.toml` holds the names that live by another way (a protocol of Python or of a library, a later use), each
with its reason. A name in the list that is called again, or is gone, is refused too, so that the list stays true.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from vulture import Vulture

ROOT = Path(__file__).parents[1]
PACKAGES = ("indexer", "api", "onchain")
KINDS = ("function", "method", "class", "property", "import", "unreachable_code")
# What these decorators take is called by the framework.
CALLED_BY_A_FRAMEWORK = ["@router.*", "@app.*", "@*.command*", "@*.callback*", "@*.get*", "@*.post*", "@*_validator*"]


def unused() -> dict[str, str]:
    """Name → `path:line` of every definition that nothing in the packages says."""
    finder = Vulture(ignore_decorators=CALLED_BY_A_FRAMEWORK)
    finder.scavenge([str(ROOT / name) for name in PACKAGES], exclude=["*/migrations/*"])
    return {
        f"{item.filename.relative_to(ROOT).as_posix()}:{item.name}": f"line {item.first_lineno}, {item.typ}"
        for item in finder.get_unused_code()
        if item.typ in KINDS
    }


def main() -> int:
    """0 when the list and the code agree; 1 with one line for each name that does not."""
    listed: dict[str, str] = tomllib.loads((ROOT / "tests" / "dead_code.toml").read_text(encoding="utf-8"))["alive"]
    dead = unused()
    for name in sorted(dead.keys() - listed.keys()):
        print(f"{name} ({dead[name]}) is called by nothing: delete it, or say in tests/dead_code.toml why it lives")
    for name in sorted(listed.keys() - dead.keys()):
        print(f"{name} is called again, or is gone: take it out of tests/dead_code.toml")
    return int(dead.keys() != listed.keys())


if __name__ == "__main__":
    sys.exit(main())
