"""`make bench`: every benchmark, side by side with its alternative in one process, as ratios.

`python -m benchmarks index store` runs only those; `--json FILE` keeps the rows. Nothing timed decides a test.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
from pathlib import Path
from typing import Any

NAMES = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


def main() -> None:
    """Run the benchmarks asked for and print one table each."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("names", nargs="*", choices=[[], *NAMES], help=f"which: {', '.join(NAMES)}")
    asked.add_argument("--quick", action="store_true", help="the smallest cases, once each: does it run at all?")
    asked.add_argument("--json", type=Path, help="also write the rows to this file")
    options = asked.parse_args()
    print(
        f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"
    )
    rows: list[dict[str, Any]] = []
    for name in options.names or NAMES:
        measured = importlib.import_module(f"benchmarks.bench_{name}").run(quick=options.quick)
        rows += [{"benchmark": name, **row} for row in measured]
        _print(name, measured)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2), encoding="utf-8")


def _print(name: str, rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=name, title_justify="left", box=None)
    for header in ("what", "ours ms", "against", "ms", "ratio", "goal"):
        table.add_column(header, justify="left" if header in ("what", "against", "goal") else "right")
    for row in rows:
        cells = [row[key] for key in ("name", "ours_ms", "peer", "peer_ms", "ratio", "goal")]
        table.add_row(*("–" if c is None else f"{c:,.4g}" if isinstance(c, float) else str(c) for c in cells))
    Console().print(table)


if __name__ == "__main__":
    main()
