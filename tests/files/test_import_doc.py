"""docs/import.md: each download shown there is imported by the command below it, with the bars that it names."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from import_samples import NOW

from indexer.files.importing import import_files
from indexer.registry import Registry
from indexer.store.assets import read_benchmarks, read_listings
from indexer.store.bars import read_bars, read_benchmark_bars
from indexer.store.db import Store
from indexer.times import iso

DOC = Path(__file__).parents[2] / "docs" / "import.md"
SHOWN = re.compile(r'```text title="([^"]+)"\n(.*?)```\n\n    deai import ([^\n]*)\n\n→ ([^\n]*)\n', re.DOTALL)
EXAMPLES = {name: (content, command, bars) for name, content, command, bars in SHOWN.findall(DOC.read_text("utf-8"))}


def _stored(store: Store) -> str:
    bars, words = read_bars(store), []
    for listing in read_listings(store):
        mine = bars.listing_id == listing.id
        found = list(zip(bars.time_us[mine], bars.close[mine], strict=True))
        words.append(f"{listing.asset} at {listing.venue} in {listing.quote}, {listing.interval}: {_closes(found)}")
    for row in read_benchmarks(store):
        times, closes, _ = read_benchmark_bars(store, row.symbol, interval="1d")
        words.append(f"{row.symbol}, 1d: {_closes(list(zip(times, closes, strict=True)))}")
    return " · ".join(words)


def _closes(bars: list[tuple[int, float]]) -> str:
    return ", ".join(f"{close} at {iso(int(at)).removesuffix(':00Z')}Z" for at, close in bars)


def test_ten_downloads_are_shown() -> None:
    assert len(EXAMPLES) == 10


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_download_as_it_is_shown(store: Store, registry: Registry, tmp_path: Path, name: str) -> None:
    content, command, bars = EXAMPLES[name]
    (tmp_path / name).write_text(content, encoding="utf-8")
    file, *words = shlex.split(command)
    options = {word.removeprefix("--").replace("-", "_"): value for word, value in zip(*[iter(words)] * 2, strict=True)}
    [report] = import_files(store, [tmp_path / file], registry=registry, clock=lambda: NOW, options=options).files
    assert report.rejected == 0
    assert _stored(store) == bars
