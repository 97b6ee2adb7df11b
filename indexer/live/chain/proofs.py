"""The evidence of chain work in the archive: kept under the hash of its bytes, linked to its run, replayed offline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from indexer.errors import NotFoundError, VerificationError
from indexer.live.chain.context import ChainWork
from indexer.live.chain.supply_rows import SOURCE
from indexer.store.read import read_payloads
from indexer.store.write import write_payload
from onchain.errors import OnchainError

if TYPE_CHECKING:
    from onchain.supply import Supply


def keep(work: ChainWork, run_id: int, evidence: Mapping[str, object], *, what: str) -> str:
    """Archive evidence as JSON and link it to the run; gives the hash of its bytes."""
    text = json.dumps(evidence, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    kept = work.archive.put(text.encode())
    write_payload(
        work.store,
        run_id,
        sha256=kept.sha256,
        source=SOURCE,
        url=what,
        fetched_at=work.clock(),
        size=kept.raw_bytes,
    )
    return kept.sha256


def proofs_of(work: ChainWork, run_id: int) -> list[dict[str, Any]]:
    """The snapshot proofs of a run, in the order they were kept; those whose retention is over are left out."""
    found = []
    for payload in read_payloads(work.store, run_id):
        if payload.source != SOURCE or not payload.url.startswith("snapshot"):
            continue
        try:
            found.append(json.loads(work.archive.get(payload.sha256)))
        except NotFoundError:
            continue
    return found


def replayed(work: ChainWork, proof: Mapping[str, object]) -> dict[str, Supply]:
    """The supplies that a kept proof gives by today's rules, offline. Raises VerificationError if it was altered."""
    from onchain.snapshots import replay

    try:
        return replay(proof, tokens=work.tokens)
    except OnchainError as error:
        raise VerificationError(str(error)) from None
    except KeyError as missing:
        raise VerificationError(f"the supply rule of {missing} is gone, so its proof cannot be replayed") from None
