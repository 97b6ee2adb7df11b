"""The raw archive: one file a content, whole or not at all, damage noticed, retention that spares what is cited."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from indexer.errors import NotFoundError, VerificationError
from indexer.store.archive import Archive


def test_bytes_come_back_and_the_same_bytes_are_kept_once(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "raw")
    body = b'[[1,2,3],"x"]' * 1000
    first, second = archive.put(body), archive.put(body)
    assert first.sha256 == sha256(body).hexdigest()
    [file] = (tmp_path / "raw").rglob("*.gz")
    assert second == first
    assert file.stat().st_size < first.raw_bytes / 10
    assert archive.get(first.sha256) == body
    assert list(archive.names()) == [first.sha256]


def test_a_missing_or_misnamed_answer_is_said_to_be_so(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    with pytest.raises(NotFoundError, match=r"answer 000000000000… is not in the archive"):
        archive.get("0" * 64)
    with pytest.raises(NotFoundError, match="is not the hash of an answer"):
        archive.get("../../etc/passwd")


def test_damage_is_noticed(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    one, two = archive.put(b"one"), archive.put(b"two")
    path = {kept.sha256: tmp_path / kept.sha256[:2] / f"{kept.sha256}.gz" for kept in (one, two)}
    path[one.sha256].write_bytes(path[two.sha256].read_bytes())
    with pytest.raises(VerificationError, match="holds other bytes than its name says"):
        archive.get(one.sha256)
    path[two.sha256].write_bytes(path[two.sha256].read_bytes()[:12])
    with pytest.raises(VerificationError, match="is damaged"):
        archive.get(two.sha256)


def test_retention_spares_the_cited_and_the_recent(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    old, cited, recent = (archive.put(name).sha256 for name in (b"old", b"cited", b"recent"))
    for name in (old, cited):
        os.utime(tmp_path / name[:2] / f"{name}.gz", (1000, 1000))
    part = tmp_path / old[:2] / ".x.part"
    part.write_bytes(b"half")
    os.utime(part, (1000, 1000))
    swept = archive.sweep(before_s=2000, keep={cited})
    assert swept.answers == 2
    assert sorted(archive.names()) == sorted([cited, recent])


def test_several_writers_of_one_answer_leave_one_whole_file(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    body = os.urandom(200_000)
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(archive.put, [body] * 16))
    assert len({k.sha256 for k in kept}) == 1
    assert [path.suffix for path in tmp_path.glob("??/*")] == [".gz"]
    assert archive.get(kept[0].sha256) == body
