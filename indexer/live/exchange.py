"""An archived answer → the same records as on the day. What the run keeps beside the hash is made here.

The archive holds bytes under a hash; a parser also needs what was asked and when the answer came. `to_keep` writes
both as JSON for the run's ledger, and `replay` brings records back from it, with no network and no clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson

from indexer.errors import InputError, did_you_mean
from indexer.sources.base import Ask, Call, Dataset, Parsed, Source
from indexer.sources.http import Answer, Expects
from indexer.store.archive import Archive
from indexer.times import from_us


def to_keep(call: Call, answer: Answer) -> dict[str, Any]:
    """A JSON-ready record of one exchange: the call, when it was answered, and the hash of the body."""
    ask = call.ask
    return {
        "source": call.source,
        "path": call.path,
        "params": dict(call.params),
        "rows": call.rows,
        "cost": call.cost,
        "expects": str(call.expects),
        "dataset": str(ask.dataset),
        "symbols": list(ask.symbols),
        "start_us": ask.start_us,
        "end_us": ask.end_us,
        "now_us": ask.now_us,
        "interval": ask.interval,
        "quote": ask.quote,
        "contract_size": None if math.isnan(ask.contract_size) else ask.contract_size,
        "status": answer.status,
        "url": answer.url,
        "fetched_us": answer.fetched_us,
        "sha256": answer.sha256,
    }


def replay(kept: Mapping[str, Any] | bytes | str, archive: Archive, sources: Mapping[str, Source]) -> Parsed:
    """The records of a kept exchange, from the archive.

    Raises NotFoundError or VerificationError when the bytes are gone or damaged, InputError when the source is
    not among `sources` or the record lacks something, and what the source's parser raises.
    """
    record: Mapping[str, Any] = orjson.loads(kept) if isinstance(kept, bytes | str) else kept
    try:
        size = record["contract_size"]
        ask = Ask(
            dataset=Dataset(record["dataset"]),
            symbols=tuple(record["symbols"]),
            start_us=record["start_us"],
            end_us=record["end_us"],
            now_us=record["now_us"],
            interval=record["interval"],
            quote=record["quote"],
            contract_size=float("nan") if size is None else size,
        )
        call = Call(
            source=record["source"],
            path=record["path"],
            params=record["params"],
            ask=ask,
            rows=record["rows"],
            cost=record["cost"],
            expects=Expects(record["expects"]),
        )
        name, status, at = record["sha256"], record["status"], from_us(record["fetched_us"])
    except (KeyError, ValueError) as cause:
        raise InputError(f"the kept exchange cannot be read: {cause!r} is missing or not known") from None
    if call.source not in sources:
        raise InputError(f'"{call.source}" is not among the sources in use.{did_you_mean(call.source, sources)}')
    answer = Answer(record.get("url", ""), status, {}, archive.get(name), at)
    return sources[call.source].parse(call, answer)
