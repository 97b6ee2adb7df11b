"""The head of the chain of seals, kept outside the database too, so that seals cannot be cut off unnoticed.

A head file (JSON) says how many seals there were, the hash of the last one, and how many levels of each index were
published, with the hash of the last. It stands beside the store, and where `DEAI_HEAD_FILE` says: on another disk, or
where somebody else can read it. A chain that is shorter than its head, or another, is never written over it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import func
from sqlmodel import Session, col, select

from indexer.errors import StoreError
from indexer.store.db import Store
from indexer.store.drafts import draft
from indexer.store.tables import IndexInfo, Level, Seal


@dataclass(frozen=True, slots=True)
class ChainHead:
    """How many links a chain has and the hash of the last (hex), empty before the first."""

    count: int
    hash: str


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads of a store's chains: of its seals, and of the published levels of each index."""

    seals: ChainHead
    levels: Mapping[str, ChainHead]


def read_heads(store: Store) -> Heads:
    """The heads as they are in the store."""
    with store.session() as session:
        ids = session.exec(select(IndexInfo.id).order_by(IndexInfo.id)).all()
        levels = {index_id: level_head(session, index_id) for index_id in ids}
        return Heads(seal_head(session), {index_id: head for index_id, head in levels.items() if head.count})


def seal_head(session: Session) -> ChainHead:
    """The head of the chain of seals: what somebody else can keep to hold us to all that was sealed."""
    count, last = session.exec(select(func.count(), func.max(Seal.id)).select_from(Seal)).one()
    digest = session.exec(select(Seal.hash).where(Seal.id == last)).first()
    return ChainHead(count, digest.hex() if digest else "")


def level_head(session: Session, index_id: str) -> ChainHead:
    """The head of the chain of an index's published levels, revisions included."""
    mine = Level.index_id == index_id
    order = (col(Level.run_id).desc(), col(Level.time).desc(), col(Level.revision).desc())
    count = session.exec(select(func.count()).select_from(Level).where(mine)).one()
    digest = session.exec(select(Level.hash).where(mine).order_by(*order).limit(1)).first()
    return ChainHead(count, bytes(digest).hex() if digest else "")


def chain_of(store: Store, index_id: str) -> dict[str, str | int]:
    """Both heads as answers and files name them."""
    with store.session() as session:
        levels, seals = level_head(session, index_id), seal_head(session)
    return {"levels": levels.count, "hash": levels.hash, "seals": seals.count, "seal": seals.hash}


def write_heads(store: Store) -> None:
    """Brings the head files up to the store's chain; one that says more than the store holds is left as it is.

    Raises StoreError for a file that cannot be written.
    """
    heads: Heads | None = None
    for path in store.head_files:
        known = _read(path)
        heads = heads or read_heads(store)
        if known is not None and (known == asdict(heads) or _problem(store, known)):
            continue
        with draft(path, folder=True, error=StoreError) as part:
            part.write_text(json.dumps(asdict(heads), indent=1), encoding="utf-8")


def broken_heads(store: Store, hashes: Sequence[bytes]) -> Iterator[str]:
    """What head files say and the chain of seals, whose `hashes` are given, does not bear out."""
    for path in store.head_files:
        known = _read(path)
        problem = "" if known is None else _against(known, [value.hex() for value in hashes])
        if problem:
            yield f"{path.name}: {problem}"


def _problem(store: Store, known: Mapping[str, object]) -> bool:
    with store.session() as session:
        hashes = [value.hex() for value in session.exec(select(Seal.hash).order_by(col(Seal.id)))]
    return bool(_against(known, hashes))


def _against(known: Mapping[str, object], hashes: Sequence[str]) -> str:
    head = known.get("seals")
    if not isinstance(head, dict) or not isinstance(head.get("count"), int) or head["count"] < 0:
        return "it is no head file that can be read; put its copy back, or remove it"
    count = head["count"]
    if count > len(hashes):
        return (
            f"it knows {count} seals, the store has {len(hashes)}: seals were taken away, or this is an older copy of "
            "the store (then remove the file)"
        )
    if count and hashes[count - 1] != head.get("hash"):
        return f"seal number {count} is another than the file knows: the chain was made anew after rows were changed"
    return ""


def _read(path: Path) -> dict[str, object] | None:
    """A head file's content, None when there is none; an empty one when it cannot be read."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}
