"""Answers of closed days into containers, one a source and day, so that years of them are no millions of files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from indexer.store.archive import Archive
from indexer.store.db import Store
from indexer.store.payloads import read_answers_by_day


@dataclass(frozen=True, slots=True)
class PackReport:
    """What was packed: containers written, answers in them, their bytes as files and as containers."""

    containers: int
    answers: int
    before_bytes: int
    after_bytes: int


def pack_answers(
    store: Store,
    archive: Archive,
    *,
    before: datetime,
    since: datetime | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PackReport:
    """Pack what came before the day of an instant (and since another) and lies in files of its own; how much.

    Imported files stay as they are. Safe to repeat, and to be killed anywhere.
    """
    loose = archive.loose()
    total, containers, answers, sizes = len(loose), 0, 0, [0, 0]
    for day, source, names in read_answers_by_day(store, before=before, since=since):
        mine = [name for name in names if name in loose]
        if not mine:
            continue
        taken = archive.size_of(mine)
        packed = archive.pack(source, day, mine)
        containers += 1
        answers += len(mine)
        sizes = [sizes[0] + taken, sizes[1] + packed.kept_bytes]
        progress(answers, total)
    return PackReport(containers, answers, *sizes)
