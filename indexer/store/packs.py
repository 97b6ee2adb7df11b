"""Containers of the archive: the answers of one source and day in one file, each still found by its hash.

A container is a row of blocks, each some answers compressed together by xz (answers of one source resemble each other,
so together they take a fraction), then its own list of what it holds, so that it can be read without anything else:

    DEAIPACK1\n | block … block | list (JSON, xz) | length of the list, 8 bytes, big-endian | DEAIPACK1\n

The list has `source`, `day` and `members`: hash, block's offset and length in the file, answer's offset and length in
the block. `index.sqlite` beside the containers says where a hash is; it is made from their lists and can be made again.
"""

from __future__ import annotations

import json
import lzma
import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from indexer.errors import StoreError, VerificationError
from indexer.store.drafts import draft

MAGIC: Final = b"DEAIPACK1\n"
BLOCK: Final = 1 << 18  # bytes before compression; one answer is read by unpacking no more than about so much
BLOCKS_READ: Final = 64  # unpacked blocks kept at hand
XZ: Final = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 20}]
TABLES: Final = """
CREATE TABLE IF NOT EXISTS pack (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS member (
  sha256 BLOB PRIMARY KEY, pack INTEGER NOT NULL, block INTEGER NOT NULL, packed INTEGER NOT NULL,
  start INTEGER NOT NULL, size INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS member_pack ON member (pack);
"""
PLACE: Final = "SELECT path, block, packed, start, size FROM member JOIN pack ON pack.id = pack WHERE sha256 = ?"
COMPLETE: Final = 1  # the index's user_version once every container's list is in it


@dataclass(frozen=True, slots=True)
class Packed:
    """How many answers a container holds, or were removed, and the bytes that they take on disk."""

    answers: int
    kept_bytes: int


class Packs:
    """The containers under a folder: `<day>/<source>.pack`. Safe for several readers and one writer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._block = lru_cache(maxsize=BLOCKS_READ)(_block_at)

    def write(self, source: str, day: str, answers: Iterable[tuple[str, bytes]]) -> Packed:
        """Put answers (hash, bytes) into the container of a source and day, beside what it has; how it stands then.

        It takes its place whole or not at all, and only then its answers are found in it.
        """
        path = self._folder / day / f"{re.sub(r'[^a-zA-Z0-9.-]+', '-', source)}.pack"
        older = self._members(path) if path.exists() else []
        with draft(path, folder=True, error=StoreError) as part, part.open("wb") as file:
            members = _write(file, _all(older, answers), source=source, day=day)
        self._enter(path, members)
        return Packed(len(members), path.stat().st_size)

    def get(self, name: str) -> bytes | None:
        """The bytes of a hash as they are in their container, None when no container has it.

        Raises VerificationError when the container is gone or damaged.
        """
        if not self._folder.is_dir():
            return None
        with closing(self._index()) as index:
            row = index.execute(PLACE, (bytes.fromhex(name),)).fetchone()
        if row is None:
            return None
        path, block, packed, start, size = row
        try:
            file = self._folder / path
            raw = self._block(file, file.stat().st_mtime_ns, block, packed)  # a container may have been written anew
        except (OSError, lzma.LZMAError) as cause:
            raise VerificationError(f"container {path} is damaged ({cause}); restore it from a copy") from None
        return raw[start : start + size]

    def names(self) -> Iterator[str]:
        """The hashes of all answers in containers, in order."""
        if not self._folder.is_dir():
            return
        with closing(self._index()) as index:
            yield from (sha.hex() for (sha,) in index.execute("SELECT sha256 FROM member ORDER BY sha256"))

    def sweep(self, *, before_day: str, keep: Collection[str]) -> Packed:
        """Remove containers of days before one (ISO date), except those that hold a hash in `keep`; what went."""
        answers = kept = 0
        if not self._folder.is_dir():
            return Packed(0, 0)
        with closing(self._index()) as index:
            for number, path in index.execute("SELECT id, path FROM pack WHERE path < ?", (before_day,)).fetchall():
                held = index.execute("SELECT sha256 FROM member WHERE pack = ?", (number,)).fetchall()
                if any(sha.hex() in keep for (sha,) in held):
                    continue
                file = self._folder / path
                answers, kept = answers + len(held), kept + (file.stat().st_size if file.exists() else 0)
                with index:
                    index.execute("DELETE FROM member WHERE pack = ?", (number,))
                    index.execute("DELETE FROM pack WHERE id = ?", (number,))
                file.unlink(missing_ok=True)
        return Packed(answers, kept)

    def _members(self, path: Path) -> list[tuple[str, bytes]]:
        data = path.read_bytes()
        held = list_of(data, path.name)["members"]
        blocks = {(block, packed): lzma.decompress(data[block : block + packed]) for _, block, packed, _, _ in held}
        return [(sha, blocks[block, packed][start : start + size]) for sha, block, packed, start, size in held]

    def _enter(self, path: Path, members: list[tuple[str, int, int, int, int]]) -> None:
        with closing(self._index()) as index, index:
            _enter(index, str(path.relative_to(self._folder)), members)

    def _index(self) -> sqlite3.Connection:
        """The index, made from the containers' own lists where it is not there."""
        self._folder.mkdir(parents=True, exist_ok=True)
        index = sqlite3.connect(self._folder / "index.sqlite", timeout=30.0)
        if index.execute("PRAGMA user_version").fetchone()[0] != COMPLETE:
            index.executescript(TABLES)
            for pack in sorted(self._folder.glob("*/*.pack")):
                with index:
                    _enter(index, str(pack.relative_to(self._folder)), list_of(pack.read_bytes(), pack.name)["members"])
            index.execute(f"PRAGMA user_version = {COMPLETE}")
        return index


def list_of(data: bytes, name: str) -> dict[str, Any]:
    """What a container says that it holds. Raises VerificationError when it is no whole container."""
    end = len(data) - len(MAGIC) - 8
    try:
        if not (data.startswith(MAGIC) and data.endswith(MAGIC)):
            raise ValueError("it does not begin and end as one")
        size = int.from_bytes(data[end : end + 8], "big")
        held: dict[str, Any] = json.loads(lzma.decompress(data[end - size : end]))
    except (ValueError, lzma.LZMAError) as cause:
        raise VerificationError(f"container {name} is damaged ({cause}); restore it from a copy") from None
    return held


def _all(older: Iterable[tuple[str, bytes]], answers: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Each hash once, in the order they came."""
    seen: set[str] = set()
    for pairs in (older, answers):
        for name, body in pairs:
            if name not in seen:
                seen.add(name)
                yield name, body


def _write(
    file: Any, answers: Iterable[tuple[str, bytes]], *, source: str, day: str
) -> list[tuple[str, int, int, int, int]]:
    """Write a container; its members. Answers are gathered to blocks as they come."""
    file.write(MAGIC)
    members: list[tuple[str, int, int, int, int]] = []
    gathered: list[tuple[str, bytes]] = []

    def flush() -> None:
        raw = b"".join(body for _, body in gathered)
        block, packed = file.tell(), file.write(lzma.compress(raw, format=lzma.FORMAT_XZ, filters=XZ))
        start = 0
        for name, body in gathered:
            members.append((name, block, packed, start, len(body)))
            start += len(body)
        gathered.clear()

    for name, body in answers:
        gathered.append((name, body))
        if sum(len(one) for _, one in gathered) >= BLOCK:
            flush()
    if gathered:
        flush()
    held = lzma.compress(json.dumps({"source": source, "day": day, "members": members}).encode())
    file.write(held + len(held).to_bytes(8, "big") + MAGIC)
    return members


def _enter(index: sqlite3.Connection, path: str, members: Iterable[Iterable[Any]]) -> None:
    index.execute("INSERT OR IGNORE INTO pack (path) VALUES (?)", (path,))
    (number,) = index.execute("SELECT id FROM pack WHERE path = ?", (path,)).fetchone()
    rows = ((bytes.fromhex(sha), number, block, packed, start, size) for sha, block, packed, start, size in members)
    index.executemany("INSERT OR REPLACE INTO member VALUES (?, ?, ?, ?, ?, ?)", rows)


def _block_at(path: Path, written_ns: int, offset: int, length: int) -> bytes:
    """A block's bytes; `written_ns` tells containers of one name apart for the cache."""
    with path.open("rb") as file:
        file.seek(offset)
        return lzma.decompress(file.read(length))
