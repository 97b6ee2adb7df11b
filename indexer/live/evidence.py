"""The audit trail of the scheduled work: raw answers and the record of their calls, kept by hash and linked to a run.

Every answer that fed a number is in the archive under its hash. A parser also needs what was asked, so each run keeps
its calls in one or more *manifests*: JSON in the archive, linked to the run as a payload of source `manifest`.
`exchanges_of` reads them back; `live.exchange.replay` gives the records of each. `kind` says whose manifest it is:

- `fixing`: rules, state before and after, calls (see `live.fixing`); its hash is in the run's detail too.
- `history`: calls for bars with `interval`, `start_us` and `end_us` of the plan; `subject` is `asset@source`, or a
  quote currency (`USDT`) whose dollar rate the bars priced in it were multiplied by (`live.fill.hourly_rate`).
- `answers`: calls of the other jobs (benchmarks, supplies, stress, cross-check); `subject` is the asset's slug, the
  benchmark's symbol, or what the job asked for as a whole.

Readings of chains keep their own proofs (`live.chain.proofs`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

from indexer.live.context import Live
from indexer.live.exchange import to_keep
from indexer.sources.base import Call
from indexer.sources.http import Answer
from indexer.store.archive import Archive
from indexer.store.db import Store
from indexer.store.read import read_payloads
from indexer.store.records import PayloadRow
from indexer.store.write import write_payloads

MANIFEST: Final = "manifest"  # the `source` of a manifest among a run's payloads
ANSWERS: Final = "answers"


def keep_answers(live: Live, run_id: int, answers: Iterable[tuple[str, Call, Answer]]) -> list[dict[str, Any]]:
    """Archive answers and link them to the run; the record of each call, with the subject that it was made for."""
    calls: list[dict[str, Any]] = []
    rows: list[PayloadRow] = []
    for subject, call, answer in answers:
        live.archive.put(answer.body)
        calls.append({"subject": subject, **to_keep(call, answer)})
        rows.append(PayloadRow(answer.sha256, call.source, answer.url, answer.fetched_at, len(answer.body)))
    write_payloads(live.store, run_id, rows)
    return calls


def keep_manifest(live: Live, run_id: int, manifest: Mapping[str, Any]) -> str:
    """Archive a run's own record (its calls under `exchanges`, and what else is needed) and link it; gives its hash."""
    body = orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY)
    name = live.archive.put(body).sha256
    write_payloads(live.store, run_id, [PayloadRow(name, MANIFEST, "", live.clock(), len(body))])
    return name


def manifests_of(store: Store, archive: Archive, run_id: int) -> Iterator[dict[str, Any]]:
    """The manifests of a run in the order they were kept.

    Raises NotFoundError or VerificationError when one is gone from the archive or damaged.
    """
    for payload in read_payloads(store, run_id):
        if payload.source == MANIFEST:
            yield orjson.loads(archive.get(payload.sha256))


def exchanges_of(store: Store, archive: Archive, run_id: int) -> Iterator[dict[str, Any]]:
    """Every call of a run as `live.exchange.replay` takes it, with its `subject`; raises as `manifests_of`."""
    for manifest in manifests_of(store, archive, run_id):
        yield from manifest["exchanges"]
