"""Containers: one a source and day, every answer still found by its hash, damage noticed, nothing lost on the way."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from indexer.errors import NotFoundError, VerificationError
from indexer.live.audit import pack_answers
from indexer.store.archive import Archive, write_payloads
from indexer.store.db import open_store
from indexer.store.packs import list_of
from indexer.store.rows import PayloadRow
from indexer.store.runs import start_run

DAY = datetime(2026, 11, 29, tzinfo=UTC)


def candles(number: int) -> bytes:
    """Sixty minutes as a venue writes them; each answer differs."""
    rows = [[1_700_000_000_000 + 60_000 * (number * 60 + n), f"{400 + (n * 7 + number) % 13}.25"] for n in range(60)]
    return json.dumps(rows).encode()


def kept(archive: Archive, count: int, *, first: int = 0) -> dict[str, bytes]:
    bodies = [candles(number) for number in range(first, first + count)]
    return {archive.put(body).sha256: body for body in bodies}


def test_packed_answers_come_back_and_take_a_fraction(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    answers = kept(archive, 300)
    before = archive.size_of(answers)
    packed = archive.pack("binance", "2026-11-29", answers)
    assert packed.answers == 300
    assert packed.kept_bytes < before / 2
    assert not list(tmp_path.glob("??/*.gz"))
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.glob("packs/*/*")] == ["packs/2026-11-29/binance.pack"]
    assert list(archive.names()) == sorted(answers)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(archive.get, answers)) == list(answers.values())
    with pytest.raises(NotFoundError):
        archive.get("0" * 64)


def test_a_late_answer_joins_its_container_and_an_old_one_put_again_is_not_lost(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    early, late = kept(archive, 5), kept(archive, 3, first=100)
    archive.pack("okx", "2026-11-29", early)
    assert archive.pack("okx", "2026-11-29", late).answers == 8
    again = next(iter(early))
    archive.put(early[again])  # the same bytes came the next day
    archive.pack("okx", "2026-11-30", [again])
    swept = archive.sweep(before_s=datetime(2026, 11, 30, tzinfo=UTC).timestamp(), keep=frozenset())
    assert swept.answers == 7
    assert list(archive.names()) == [again]
    assert archive.get(again) == early[again]


def test_a_container_that_holds_something_cited_stays(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    answers = kept(archive, 3)
    archive.pack("kraken", "2020-01-01", answers)
    cited = next(iter(answers))
    assert archive.sweep(before_s=DAY.timestamp(), keep={cited}).answers == 0
    assert archive.get(cited) == answers[cited]


def test_the_index_is_made_again_from_the_containers(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    answers = kept(archive, 4)
    archive.pack("bybit", "2026-11-29", answers)
    (tmp_path / "packs" / "index.sqlite").unlink()
    assert {name: Archive(tmp_path).get(name) for name in answers} == answers
    data = (tmp_path / "packs" / "2026-11-29" / "bybit.pack").read_bytes()
    held = list_of(data, "bybit.pack")
    assert (held["source"], held["day"]) == ("bybit", "2026-11-29")
    assert [member[0] for member in held["members"]] == list(answers)


def test_damage_is_noticed_and_a_damaged_file_is_left_alone(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    answers = kept(archive, 3)
    broken, *whole = answers
    file = tmp_path / broken[:2] / f"{broken}.gz"
    file.write_bytes(b"junk")
    assert archive.pack("binance", "2026-11-29", answers).answers == 2
    assert file.exists() and archive.get(whole[0]) == answers[whole[0]]
    container = tmp_path / "packs" / "2026-11-29" / "binance.pack"
    data = bytearray(container.read_bytes())
    data[40] ^= 0xFF
    container.write_bytes(data)
    with pytest.raises(VerificationError, match=r"2026-11-29/binance.pack is damaged"):
        Archive(tmp_path).get(whole[0])
    container.write_bytes(data[:-20])
    with pytest.raises(VerificationError, match="is damaged"):
        list_of(container.read_bytes(), "binance.pack")


def test_past_days_are_packed_by_source_and_today_and_imports_are_not(tmp_path: Path) -> None:
    archive, store = Archive(tmp_path / "archive"), open_store(f"sqlite:///{tmp_path / 'x.sqlite'}")
    store.migrate()
    names: dict[tuple[str, str], list[str]] = {}
    for number, (kind, source, days) in enumerate(
        [("fixing", "binance", 0), ("fixing", "okx", 0), ("fixing", "binance", 1), ("import", "file", 0)]
    ):
        run_id = start_run(store, kind=kind, key=str(number), now=DAY)
        assert run_id is not None
        at = DAY + timedelta(days=days, hours=3)
        rows = [PayloadRow(name, source, "", at, 5) for name in kept(archive, 10, first=100 * number)]
        write_payloads(store, run_id, rows)
        names[kind + source, at.date().isoformat()] = [row.sha256 for row in rows]
    report = pack_answers(store, archive, before=DAY + timedelta(days=1, hours=9))
    assert (report.containers, report.answers) == (2, 20)
    assert report.after_bytes < report.before_bytes
    assert archive.loose() == {*names["fixingbinance", "2026-11-30"], *names["importfile", "2026-11-29"]}
    assert pack_answers(store, archive, before=DAY + timedelta(days=1, hours=9)).answers == 0
    store.close()
