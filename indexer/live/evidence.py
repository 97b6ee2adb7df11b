"""Answers → archive, and their link to the run they fed: what makes a number re-derivable years later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from indexer.live.context import Live
from indexer.live.exchange import to_keep
from indexer.sources.base import Call
from indexer.sources.http import Answer
from indexer.store.records import PayloadRow
from indexer.store.write import write_payloads


def keep_answers(live: Live, run_id: int, answers: Iterable[tuple[Call, Answer]]) -> list[dict[str, Any]]:
    """Archive the answers and link them to the run; gives what a replay of each needs."""
    kept: list[dict[str, Any]] = []
    rows: list[PayloadRow] = []
    for call, answer in answers:
        live.archive.put(answer.body)
        kept.append(to_keep(call, answer))
        rows.append(PayloadRow(answer.sha256, call.source, answer.url, answer.fetched_at, len(answer.body)))
    write_payloads(live.store, run_id, rows)
    return kept


def keep_manifest(live: Live, run_id: int, manifest: Mapping[str, Any]) -> str:
    """Archive a run's own record (calls, rules, state before and after) and link it; gives its hash."""
    body = orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY)
    name = live.archive.put(body).sha256
    write_payloads(live.store, run_id, [PayloadRow(name, "manifest", "", live.clock(), len(body))])
    return name
