"""Is what is stored what the archived inputs give? Bytes first, then the rows that come of them.

Place in the flow: `deai verify`, beside `store.py`, which goes on from the stored facts. Together they rebuild all
history from the archive without touching the store: files and answers -> bars, supplies, fixings -> rates -> units
-> levels -> hash chain. What was never kept, or whose time is over, is counted and said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from indexer.errors import NotFoundError, VerificationError
from indexer.files.kept import FILE, RECORD
from indexer.files.kept import KIND as IMPORT
from indexer.live.fixing import KIND as FIXING
from indexer.store.archive import Archive
from indexer.store.db import Store
from indexer.store.read import PayloadLink, RunRow, forgotten_before, read_payload_links, read_runs
from indexer.times import to_us
from indexer.verify.inputs_files import FileCheck
from indexer.verify.inputs_fixings import FixingCheck

MOST = 20
WORDS = {FILE: "file", RECORD: "record"}
KEPT_IN = {IMPORT: "record", FIXING: "manifest"}


@dataclass(frozen=True, slots=True)
class InputsVerdict:
    """What was read from the archive and what of it does not hold.

    `answers` were read and are the bytes that came; `files` imports (with `rows` good rows) and `fixings` (with
    `rates`) were computed again. `not_kept` imports and fixings have no archived input; of `over` its time was over.
    """

    answers: int
    files: int
    rows: int
    fixings: int
    rates: int
    not_kept: int
    over: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything that was kept holds."""
        return not self.problems


def check_inputs(
    store: Store,
    archive: Archive,
    *,
    since: datetime | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> InputsVerdict:
    """Reads every archived input again, or those that came since an instant, and compares."""
    links = read_payload_links(store, since_us=None if since is None else to_us(since))
    runs = [run for run in _runs(store) if since is None or run.started_at >= since]
    steps = len(links) + len(runs)
    found = list(_damaged(archive, links, progress=lambda n: progress(n, steps)))
    names = {link.sha256 for link, _ in found}
    damaged = {link.run_id for link in links if link.sha256 in names}
    problems = [text for _, text in found]
    gone = forgotten_before(store)
    files, fixings = FileCheck(store, archive), FixingCheck(store, archive)
    checks = {IMPORT: files.problems, FIXING: fixings.problems}
    count = dict.fromkeys((IMPORT, FIXING, "not_kept", "over"), 0)
    for n, run in enumerate(runs):
        progress(len(links) + n + 1, steps)
        if KEPT_IN[run.kind] not in run.detail:
            count["not_kept"] += 1
        elif run.kind != IMPORT and gone is not None and run.started_at < gone:
            count["over"] += 1
        elif run.id not in damaged and len(problems) < MOST:
            problems += _of_run(checks[run.kind], run)
            count[run.kind] += 1
    return InputsVerdict(
        answers=len({link.sha256 for link in links}) - len(found),
        files=count[IMPORT],
        rows=files.rows,
        fixings=count[FIXING],
        rates=fixings.rates,
        not_kept=count["not_kept"],
        over=count["over"],
        problems=tuple(problems[:MOST]),
    )


def _runs(store: Store) -> list[RunRow]:
    """The runs whose rows can be had from the archive, oldest first."""
    found = [run for kind in KEPT_IN for run in read_runs(store, kind=kind) if run.outcome == "done"]
    return sorted(found, key=lambda run: (run.started_at, run.id))


def _of_run(check: Callable[[RunRow], Iterator[str]], run: RunRow) -> list[str]:
    try:
        return list(check(run))
    except (NotFoundError, VerificationError) as error:
        return [f"what run {run.id} ({run.kind}) was fed with: {error}"]


def _damaged(
    archive: Archive, links: Sequence[PayloadLink], *, progress: Callable[[int], None]
) -> Iterator[tuple[PayloadLink, str]]:
    """The links whose bytes are not what came, each file read once; reading uses all cores."""
    once = list({link.sha256: link for link in links}.values())

    def problem(link: PayloadLink) -> str:
        try:
            size = len(archive.get(link.sha256))
        except (NotFoundError, VerificationError) as error:
            return str(error)
        return "" if size == link.bytes else f"it has {size} bytes, {link.bytes} came"

    with ThreadPoolExecutor(thread_name_prefix="archive") as pool:
        for n, (link, said) in enumerate(zip(once, pool.map(problem, once), strict=True), 1):
            if n % 100 == 0:
                progress(n)
            if said:
                what = WORDS.get(link.source, f"answer of {link.source}")
                yield link, f"archived {what} {link.sha256} (run {link.run_id}): {said}"
