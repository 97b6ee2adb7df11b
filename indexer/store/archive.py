"""The raw archive: every answer and every imported file that fed a number, kept under the hash of its bytes.

Place in the flow: live jobs put each answer here and an import its files, and both link the returned hash to their
run (table `payload`); a replay takes the bytes back and must come to the same records. Content decides the name, so
the same answer is kept once, and a damaged file is noticed when it is read. What is some days old lies packed, all
answers of a source and day in one container (`store.packs`); `get` reads both.
"""

from __future__ import annotations

import gzip
import os
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, Final

from indexer.errors import NotFoundError, VerificationError
from indexer.store.packs import Packed, Packs

LEVEL: Final = 6
FAST: Final = 1  # of whole files: three quarters of the saving for a quarter of the time
COMPRESSED: Final = (b"\x1f\x8b", b"PAR1")  # gzip and Parquet: packing these again gains nothing
_PIECE: Final = 1 << 20
_HASH_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class Kept:
    """Where an answer is: its hash, its size as received and as kept, and whether it was there already."""

    sha256: str
    raw_bytes: int
    kept_bytes: int
    was_there: bool


@dataclass(frozen=True, slots=True)
class Swept:
    """What retention removed."""

    files: int
    kept_bytes: int


class Archive:
    """A folder of `ab/abcd….gz` and containers. Safe for several processes: a file appears whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._packs = Packs(folder / "packs")

    def put(self, body: bytes) -> Kept:
        """Keep the bytes; gives their hash. Keeping the same bytes again only refreshes their age."""
        name = sha256(body).hexdigest()
        path = self._path(name)
        if path.exists():
            os.utime(path)
            return Kept(name, len(body), path.stat().st_size, was_there=True)
        packed = gzip.compress(body, LEVEL, mtime=0)  # mtime 0: the same bytes give the same file
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._appearing(path.parent) as (file, finish):
            file.write(packed)
            finish(path)
        return Kept(name, len(body), len(packed), was_there=False)

    def put_file(self, source: Path) -> Kept:
        """Keep a file's bytes, whatever its size; as `put`. Raises OSError when it cannot be read or kept."""
        self._folder.mkdir(parents=True, exist_ok=True)
        digest, size = sha256(), 0
        with source.open("rb") as whole, self._appearing(self._folder) as (file, finish):
            piece = whole.read(_PIECE)
            level = 0 if piece.startswith(COMPRESSED) else FAST
            with gzip.GzipFile("", "wb", level, file, mtime=0) as packed:
                while piece:
                    digest.update(piece)
                    size += len(piece)
                    packed.write(piece)
                    piece = whole.read(_PIECE)
            path = self._path(digest.hexdigest())
            if path.exists():
                os.utime(path)
                return Kept(digest.hexdigest(), size, path.stat().st_size, was_there=True)
            path.parent.mkdir(exist_ok=True)
            finish(path)
        return Kept(digest.hexdigest(), size, path.stat().st_size, was_there=False)

    @contextmanager
    def _appearing(self, folder: Path) -> Iterator[tuple[IO[bytes], Callable[[Path], None]]]:
        """A file to write, and what gives it its place once it is whole; without that it is gone."""
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".", suffix=".part")

        def finish(path: Path) -> None:
            file.flush()
            os.fsync(file.fileno())
            Path(temporary).replace(path)

        try:
            with os.fdopen(handle, "wb") as file:
                yield file, finish
        finally:
            Path(temporary).unlink(missing_ok=True)

    def get(self, name: str) -> bytes:
        """The bytes of a hash. Raises NotFoundError when they are not kept (any more), VerificationError when
        the file does not hold what its name says."""
        path = self._path(name)
        try:
            body: bytes | None = gzip.decompress(path.read_bytes())
        except FileNotFoundError:
            body = self._packs.get(name)
        except (OSError, EOFError, zlib.error) as cause:
            raise VerificationError(f"archive file {path.name} is damaged ({cause}); restore it from a copy") from None
        if body is None:
            raise NotFoundError(
                f"answer {name[:12]}… is not in the archive {self._folder}; it was never kept, or its retention is over"
            )
        if sha256(body).hexdigest() != name:
            raise VerificationError(f"archive file {path.name} holds other bytes than its name says")
        return body

    def names(self) -> Iterator[str]:
        """The hashes of all kept answers, in order."""
        yield from sorted({*self.loose(), *self._packs.names()})

    def pack(self, source: str, day: str, names: Iterable[str]) -> Packed:
        """Put the files of these hashes into the container of a source and day (ISO date); how it stands then.

        A file goes when the container is in its place. A damaged one is left where it is.
        """
        whole: list[str] = []

        def bodies() -> Iterator[tuple[str, bytes]]:
            for name in names:
                try:
                    yield name, self.get(name)
                except (NotFoundError, VerificationError):
                    continue
                whole.append(name)

        packed = self._packs.write(source, day, bodies())
        for name in whole:
            self._path(name).unlink(missing_ok=True)
        return packed

    def size_of(self, names: Iterable[str]) -> int:
        """The bytes that the files of these hashes take on disk."""
        return sum(path.stat().st_size for path in map(self._path, names) if path.exists())

    def loose(self) -> set[str]:
        """The hashes that lie in files of their own."""
        return {path.name.removesuffix(".gz") for path in self._folder.glob("??/*.gz")}

    def sweep(self, *, before_s: float, keep: Collection[str] = frozenset()) -> Swept:
        """Remove what was last kept before an instant (seconds since the epoch), except the hashes in `keep`.

        Half-written files older than that go too. `keep` are the hashes that published levels still refer to.
        """
        files = kept = 0
        for path in sorted([*self._folder.glob("??/*"), *self._folder.glob(".*.part")]):
            state = path.stat()
            if state.st_mtime >= before_s or path.name.removesuffix(".gz") in keep:
                continue
            path.unlink(missing_ok=True)
            files += 1
            kept += state.st_size
        day = datetime.fromtimestamp(before_s, UTC).date().isoformat()
        packed = self._packs.sweep(before_day=day, keep=keep)
        return Swept(files + packed.answers, kept + packed.kept_bytes)

    def _path(self, name: str) -> Path:
        if len(name) != _HASH_LENGTH or not set(name) <= set("0123456789abcdef"):
            raise NotFoundError(f'"{name}" is not the hash of an answer (64 hexadecimal digits)')
        return self._folder / name[:2] / f"{name}.gz"
