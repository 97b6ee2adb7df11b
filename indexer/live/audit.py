"""The audit trail of the scheduled work: raw answers and the record of their calls, kept by hash and linked to a run.

Each run keeps its calls in *manifests*: JSON in the archive, linked to the run as a payload of source `manifest`.

- `fixing`: rules, memory before and after, calls; its hash is in the run's detail too.
- `history`: calls for bars with `interval`, `start_us` and `end_us` of the plan; `subject` is `asset@source`, or a
  quote currency whose dollar rate (`filling.hourly_rate` over all manifests of the run with this plan) the bars priced
  in it were multiplied by. Bars that an earlier run could not price are in the manifest of the run that prices them,
  too. Of a rate that came when bars of its time had been priced, only what lies before `before_us` counts. A killed
  process may leave the calls of the last seconds out; its run is then not `done`.
- `answers`: calls of the other jobs; `subject` is an asset, a benchmark, or what was asked for as a whole.

Readings of chains keep their own proofs (`live.chain.snapshots`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from indexer.errors import InputError, did_you_mean
from indexer.live.context import Live
from indexer.live.quality_log import Exchange, note_rejects
from indexer.sources.base import Ask, Call, Dataset, Parsed, Source
from indexer.sources.http import Answer, Expects
from indexer.store.archive import Archive, read_answers_by_day, read_payloads, write_payloads
from indexer.store.db import Store
from indexer.store.rows import PayloadRow
from indexer.times import from_us

MANIFEST: Final = "manifest"  # the `source` of a manifest among a run's payloads
ANSWERS: Final = "answers"


CALL: Final = ("source", "path", "cost", "expects")
ASK: Final = ("dataset", "symbols", "start_us", "end_us", "now_us", "interval", "quote", "contract_size")


def to_keep(call: Call, answer: Answer) -> dict[str, Any]:
    """A record of one exchange for JSON: the call, when it was answered, and the hash of the body."""
    return {
        **{name: getattr(call, name) for name in CALL},
        **{name: getattr(call.ask, name) for name in ASK},
        "params": dict(call.params),
        "status": answer.status,
        "url": answer.url,
        "fetched_us": answer.fetched_us,
        "sha256": answer.sha256,
    }


def read_exchange(
    record: Mapping[str, Any], archive: Archive, sources: Mapping[str, Source]
) -> tuple[Call, Answer, Parsed]:
    """A kept exchange from the archive: the call, its answer, and the records that the answer gives.

    Raises NotFoundError or VerificationError when the bytes are gone or damaged, InputError when the source is
    not among `sources` or the record lacks something, and what the source's parser raises.
    """
    try:
        asked: dict[str, Any] = {name: record[name] for name in ASK}
        sent: dict[str, Any] = {name: record[name] for name in CALL}
        size = math.nan if asked["contract_size"] is None else asked["contract_size"]
        about = {"dataset": Dataset(asked["dataset"]), "symbols": tuple(asked["symbols"]), "contract_size": size}
        expects = {"params": record["params"], "expects": Expects(sent["expects"])}
        call = Call(**(sent | expects), ask=Ask(**(asked | about)))
        name, status, at = record["sha256"], record["status"], from_us(record["fetched_us"])
    except (KeyError, ValueError) as cause:
        raise InputError(f"the kept exchange cannot be read: {cause!r} is missing or not known") from None
    if call.source not in sources:
        raise InputError(f'"{call.source}" is not among the sources in use.{did_you_mean(call.source, sources)}')
    answer = Answer(record.get("url", ""), status, {}, archive.get(name), at)
    return call, answer, sources[call.source].parse(call, answer)


def keep_answers(live: Live, run_id: int, exchanges: Sequence[Exchange]) -> list[dict[str, Any]]:
    """Archive answers, link them to the run and enter their refused rows; the record of each call with its subject."""
    for _, _, answer, _ in exchanges:
        live.archive.put(answer.body)
    note_rejects(live, run_id, exchanges)
    rows = [
        PayloadRow(answer.sha256, call.source, answer.url, answer.fetched_at, len(answer.body))
        for _, call, answer, _ in exchanges
    ]
    write_payloads(live.store, run_id, rows)
    return [{"subject": subject, **to_keep(call, answer)} for subject, call, answer, _ in exchanges]


def keep_manifest(live: Live, run_id: int, manifest: Mapping[str, Any]) -> str:
    """Archive a run's own record (its calls under `exchanges`, and what else is needed) and link it; gives its hash."""
    body = orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY)
    return keep_bytes(live, run_id, body, source=MANIFEST)


def keep_bytes(live: Live, run_id: int, body: bytes, *, source: str, what: str = "") -> str:
    """Archive bytes and link them to the run as a payload of this source; gives their hash."""
    name = live.archive.put(body).sha256
    write_payloads(live.store, run_id, [PayloadRow(name, source, what, live.clock(), len(body))])
    return name


def manifests_of(store: Store, archive: Archive, run_id: int) -> Iterator[dict[str, Any]]:
    """The manifests of a run in the order they were kept.

    Raises NotFoundError or VerificationError when one is gone from the archive or damaged.
    """
    for payload in read_payloads(store, run_id):
        if payload.source == MANIFEST:
            yield orjson.loads(archive.get(payload.sha256))


@dataclass(slots=True)
class PackReport:
    """What was packed: containers written, answers in them, their bytes as files and as containers."""

    containers: int = 0
    answers: int = 0
    before_bytes: int = 0
    after_bytes: int = 0


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
    loose, report = archive.loose(), PackReport()
    for day, source, names in read_answers_by_day(store, before=before, since=since):
        if own := [name for name in names if name in loose]:
            report.before_bytes += archive.size_of(own)
            report.after_bytes += archive.pack(source, day, own).kept_bytes
            report.containers += 1
            report.answers += len(own)
            progress(report.answers, len(loose))
    return report
