"""The raw archive: every answer and every imported file that fed a number, and the links from runs to them.

Content decides the name, so the same answer is kept once, and a damaged file is noticed when it is read. What is some
days old lies packed, all answers of a source and day in one container (`store.packs`); reading knows both.
"""

from __future__ import annotations

import gzip
import io
import os
import tempfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import IO, Final

from sqlalchemy import delete, func
from sqlmodel import col, select

from indexer.errors import NotFoundError, VerificationError
from indexer.store.bulk import upsert
from indexer.store.db import Store
from indexer.store.packs import Packed, Packs
from indexer.store.rows import PayloadRow, as_row, as_values
from indexer.store.tables import Payload, Run
from indexer.times import from_us

LEVEL: Final = 6
FAST: Final = 1  # of whole files: three quarters of the saving for a quarter of the time
COMPRESSED: Final = (b"\x1f\x8b", b"PAR1")  # gzip and Parquet: packing these again gains nothing
_PIECE: Final = 1 << 20
_HASH_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class Kept:
    """Where an answer is: its hash, and its size as received."""

    sha256: str
    raw_bytes: int


class Archive:
    """A folder of `ab/abcd….gz` and containers. Safe for several processes: a file appears whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._packs = Packs(folder / "packs")

    def put(self, body: bytes) -> Kept:
        """Keep the bytes; gives their hash. Keeping the same bytes again only refreshes their age."""
        return self._put(io.BytesIO(body), LEVEL)

    def put_file(self, source: Path) -> Kept:
        """Keep a file's bytes, whatever its size; as `put`. Raises OSError when it cannot be read or kept."""
        with source.open("rb") as body:
            level = 0 if body.peek(len(COMPRESSED[1])).startswith(COMPRESSED) else FAST
            return self._put(body, level)

    def _put(self, body: IO[bytes], level: int) -> Kept:
        """Packs bytes beside where they will be, and gives them their place when their hash is known."""
        self._folder.mkdir(parents=True, exist_ok=True)
        digest, size = sha256(), 0
        handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                with gzip.GzipFile("", "wb", level, file, mtime=0) as packed:  # 0: the same bytes give the same file
                    while piece := body.read(_PIECE):
                        digest.update(piece)
                        size += packed.write(piece)
                file.flush()
                os.fsync(file.fileno())
            path = self._path(digest.hexdigest())
            if path.exists():
                os.utime(path)
            else:
                path.parent.mkdir(exist_ok=True)
                Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        return Kept(digest.hexdigest(), size)

    def pieces(self, name: str) -> Iterator[bytes]:
        """The bytes of a hash, some at a time. Raises as `get`, at the end where they are not what the name says."""
        path, digest = self._path(name), sha256()
        try:
            with gzip.open(path) as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
                    yield piece
        except FileNotFoundError:
            body = self._packs.get(name)
            if body is None:
                raise NotFoundError(
                    f"answer {name[:12]}… is not in the archive {self._folder}; it was never kept, or its retention is "
                    "over"
                ) from None
            digest.update(body)
            yield body
        except (OSError, EOFError, zlib.error) as cause:
            raise VerificationError(f"archive file {path.name} is damaged ({cause}); restore it from a copy") from None
        if digest.hexdigest() != name:
            raise VerificationError(f"archive file {path.name} holds other bytes than its name says")

    def get(self, name: str) -> bytes:
        """The bytes of a hash. Raises NotFoundError when they are not kept (any more), VerificationError when
        the file does not hold what its name says."""
        return b"".join(self.pieces(name))

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

    def sweep(self, *, before_s: float, keep: Collection[str] = frozenset()) -> Packed:
        """Remove what was last kept before an instant (seconds since the epoch), except the hashes in `keep`.

        Half-written files older than that go too. `keep` are the hashes that published levels still refer to.
        """
        answers = kept = 0
        for path in sorted([*self._folder.glob("??/*"), *self._folder.glob(".*.part")]):
            state = path.stat()
            if state.st_mtime >= before_s or path.name.removesuffix(".gz") in keep:
                continue
            path.unlink(missing_ok=True)
            answers += 1
            kept += state.st_size
        day = datetime.fromtimestamp(before_s, UTC).date().isoformat()
        packed = self._packs.sweep(before_day=day, keep=keep)
        return Packed(answers + packed.answers, kept + packed.kept_bytes)

    def _path(self, name: str) -> Path:
        if len(name) != _HASH_LENGTH or not set(name) <= set("0123456789abcdef"):
            raise NotFoundError(f'"{name}" is not the hash of an answer (64 hexadecimal digits)')
        return self._folder / name[:2] / f"{name}.gz"


RECENT_ANSWERS = 5_000  # links looked at for the last answer of each source: some days of them


def write_payloads(store: Store, run_id: int, payloads: Sequence[PayloadRow]) -> None:
    """Links raw answers in the archive to the run they fed; once per answer and run."""
    rows = list({row.sha256: as_values(row, run_id=run_id) for row in payloads}.values())
    with store.writing_session(log=True) as session:
        upsert(session, Payload, rows, key=["sha256", "run_id"])


def read_payloads(store: Store, run_id: int) -> list[PayloadRow]:
    """The raw answers that a run was fed with, in the order they were kept."""
    query = select(Payload).where(Payload.run_id == run_id).order_by(col(Payload.id))
    return [as_row(PayloadRow, payload) for payload in store.all(query)]


def read_payload_links(store: Store, *, since_us: int | None = None) -> list[Payload]:
    """Every link to archived bytes, or those that came since an instant, in the order they were kept."""
    query = select(Payload).order_by(col(Payload.id))
    return store.all(query if since_us is None else query.where(Payload.fetched_at >= from_us(since_us)))


def read_last_answers(store: Store) -> dict[str, datetime]:
    """When each source last gave an answer that was used; sources silent for long are absent."""
    newest = select(func.coalesce(func.max(Payload.id), 0) - RECENT_ANSWERS).scalar_subquery()
    query = select(Payload.source, func.max(Payload.fetched_at)).where(col(Payload.id) > newest)
    return dict(store.all(query.group_by(col(Payload.source))))


def read_answers_by_day(
    store: Store, *, before: datetime, since: datetime | None = None
) -> Iterator[tuple[str, str, list[str]]]:
    """Day (ISO date), source and hashes of the answers that came before the day of an instant, oldest first.

    Imported files are not among them. A day and source may come in more than one part.
    """
    query = select(Payload.sha256, Payload.source, Payload.fetched_at).join(Run).where(Run.kind != "import")
    query = query.where(col(Payload.fetched_at) < before.replace(hour=0, minute=0, second=0, microsecond=0))
    if since is not None:
        query = query.where(col(Payload.fetched_at) >= since)
    with store.reading() as connection:
        rows = connection.execution_options(yield_per=10_000).execute(query.order_by(col(Payload.id)))
        for day, answers in groupby(rows, key=lambda row: row.fetched_at.date().isoformat()):
            by_source: dict[str, list[str]] = {}
            for row in answers:
                by_source.setdefault(row.source, []).append(row.sha256)
            yield from ((day, source, hashes) for source, hashes in by_source.items())


def kept_for_good(store: Store) -> set[str]:
    """The hashes of imported files and their records, which no retention removes."""
    return set(store.all(select(Payload.sha256).join(Run).where(Run.kind == "import")))


def forget_payloads(store: Store, *, before: datetime) -> int:
    """Removes links to answers that came before an instant (their retention is over); how many.

    Those of imported files stay, as the files do.
    """
    imports = select(Run.id).where(Run.kind == "import")
    old = delete(Payload).where(col(Payload.fetched_at) < before, col(Payload.run_id).not_in(imports))
    with store.writing_session(log=True) as session:
        return session.exec(old).rowcount
