"""What should be looked at in rows that are taken: quotes that wait for a rate, steps, splits, bars out of hours.

Place in the flow: `rows.py` asks for it once a part of a file is judged; imports and `--explain` report it.
"""

from __future__ import annotations

import numpy as np

from indexer.arrays import Bools
from indexer.files.gates import MOST_STEPS, find_steps
from indexer.files.records import FileRows
from indexer.registry.records import AT_PAR, DOLLAR
from indexer.times import iso


def notes_of(rows: FileRows, *, outside: Bools) -> list[str]:
    """Sentences on what should be looked at; `outside` (R,) are bars that no session of their exchange has."""
    return [*_waiting(rows), *_steps(rows), *_out_of_hours(rows, outside)]


def _waiting(rows: FileRows) -> list[str]:
    """Currencies whose prices need a rate."""
    return [
        f"bars in {quote} are priced by a {quote}/USD rate of their instant alone, and wait where there is none: "
        f'import one as the benchmark "{quote}-USD"'
        for quote in sorted({listing.quote for listing in rows.listings} - {DOLLAR, *AT_PAR})
    ]


def _steps(rows: FileRows) -> list[str]:
    """Lasting steps of a power of ten, and splits that are not adjusted for."""
    if "close" not in rows.numbers:
        return []
    notes = []
    shares = rows.manifest.kind == "benchmarks"
    role = "adjusted_close" if shares and "adjusted_close" in rows.numbers else "close"
    closes = rows.numbers[role].values[rows.order]
    labels = [one.symbol for one in rows.benchmarks] if shares else [one.symbol for one in rows.listings]
    steps = find_steps(rows.series[rows.order], closes, shares=shares)
    for place, factor in steps[:MOST_STEPS]:
        row = int(rows.order[place])
        size = f"×{factor:,.4g}" if factor > 1 else f"×1/{1 / factor:,.4g}"
        reason = "a split that is not adjusted for?" if shares else "a redenomination, or another unit?"
        notes.append(
            f"line {int(rows.lines[row]):,}: {labels[int(rows.series[row])]} changes by {size} for good at "
            f"{iso(int(rows.time_us[row]))}: {reason}"
        )
    return notes


def _out_of_hours(rows: FileRows, outside: Bools) -> list[str]:
    """For each benchmark, its bars that lie outside of its exchange's sessions: they are taken, and named."""
    bars = rows.order[outside[rows.order]]
    notes = []
    for place in np.unique(rows.series[bars]).tolist():
        mine = bars[rows.series[bars] == place]
        notes.append(
            f"line {int(rows.lines[mine[0]]):,}: {len(mine):,} bars of {rows.benchmarks[place].symbol} lie outside of "
            f"the sessions of {rows.benchmarks[place].calendar}, the first at {iso(int(rows.time_us[mine[0]]))}"
        )
    return notes
