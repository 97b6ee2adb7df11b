"""An imported file in the raw archive, with all that its rows were read by; and the same rows read from there again.

Beside the file's bytes stands a record (JSON): the manifest's text, the instant of the import and what every symbol
meant then, so that neither today's registry nor the clock can change what is read.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from indexer.errors import ImportFileError, InputError
from indexer.files.containers import Table, tables_of
from indexer.files.manifest import Manifest, parse_manifest
from indexer.files.records import FileRows
from indexer.files.rows import gated
from indexer.registry import Asset, Label, Registry
from indexer.store.archive import Archive
from indexer.store.rows import PayloadRow
from indexer.times import from_us

KIND = "import"
FILE, RECORD = "file", "manifest"  # the `source` of the two payloads


def keep_import(
    archive: Archive, table: Table, *, sha256: str, manifest: Manifest, registry: Registry, at_us: int
) -> tuple[str, list[PayloadRow]]:
    """Puts a file and its record into the archive: the record's hash, and the two links to enter for the run.

    Raises ImportFileError when the file is not what it was just now.
    """
    path = table.path
    stored = archive.put_file(path)
    if stored.sha256 != sha256:
        raise ImportFileError(f"{path.name} was changed while it was imported; import it again")
    record = {
        "kind": KIND,
        "file": path.name,
        "inner": table.part,
        "sha256": sha256,
        "at_us": at_us,
        "manifest": {"name": manifest.name, "text": manifest.text},
        "assets": [_plain(asset) for asset in registry.assets],
    }
    body = json.dumps(record, sort_keys=True, ensure_ascii=False).encode()
    name, at = archive.put(body).sha256, from_us(at_us)
    links = [(sha256, FILE, path.name, stored.raw_bytes), (name, RECORD, manifest.name, len(body))]
    return name, [PayloadRow(hash_, source, called, at, size) for hash_, source, called, size in links]


def read_import(archive: Archive, record: str) -> Iterator[FileRows]:
    """The rows of a kept file, judged as on the day, part by part.

    Raises NotFoundError or VerificationError when bytes are gone or damaged, InputError for another kind of record.
    """
    document: Mapping[str, Any] = json.loads(archive.get(record))
    if document.get("kind") != KIND:
        raise InputError(f"{record[:12]}… is not the record of an import but of {document.get('kind')!r}")
    name = Path(str(document["file"])).name
    manifest = parse_manifest(document["manifest"]["text"], name=document["manifest"]["name"])
    registry = Registry(tuple(map(_asset, document["assets"])), (), {}, source="as it was at the import")
    with tempfile.TemporaryDirectory(prefix="deai-") as folder:
        path = Path(folder) / name
        with path.open("wb") as file:
            file.writelines(archive.pieces(document["sha256"]))
        tables = (table for table in tables_of(path) if table.part == document.get("inner", ""))
        table = next(tables, Table(path, "text"))
        yield from gated(table, manifest, registry=registry, now_us=int(document["at_us"]))


def _plain(asset: Asset) -> dict[str, Any]:
    """What reading a file needs of an asset."""
    labels = [
        [label.symbol, *(at and at.isoformat() for at in (label.valid_from, label.valid_to))] for label in asset.symbols
    ]
    return {"slug": asset.slug, "chain": asset.chain, "decimals": asset.decimals, "symbols": labels}


def _asset(plain: Mapping[str, Any]) -> Asset:
    labels = tuple(
        Label(symbol, *(at and datetime.fromisoformat(at) for at in span)) for symbol, *span in plain["symbols"]
    )
    return Asset(plain["slug"], "", plain["chain"], "", int(plain["decimals"]), "", "", labels)
