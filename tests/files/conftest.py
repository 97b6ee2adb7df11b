"""A store, the shipped registry, a fixed clock, and a folder to put small files into."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from import_samples import DATA, HEADER, HOURLY, NOW

from indexer.files.importing import FileReport, import_files
from indexer.registry import Registry, load_registry
from indexer.store.db import Store, open_store

sys.path.insert(0, str(Path(__file__).parents[1] / "levels"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'store' / 'store.db'}")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load_registry()


@pytest.fixture
def data() -> Path:
    if not (DATA / "tokens_hourly.csv.gz").is_file():
        pytest.skip("the real market data (../shared/data) is not here")
    return DATA


@pytest.fixture
def take(store: Store, registry: Registry, tmp_path: Path) -> Callable[..., FileReport]:
    """Imports lines as a file with the hourly manifest (or another) and gives its report."""

    def imported(
        *lines: str | bytes, manifest: str = HOURLY, header: str = HEADER, name: str = "prices.csv"
    ) -> FileReport:
        path = tmp_path / name
        content = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in (header, *lines))
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        path.with_name(f"{name.split('.', maxsplit=1)[0]}.toml").write_text(manifest)
        return import_files(store, [path], registry=registry, clock=lambda: NOW).files[0]

    return imported
