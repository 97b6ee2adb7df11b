"""The content of a methodology in one spelling, and its hash. Pure.

Place in the flow: `load.py` puts the hash into every `Methodology`; every level is stored with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime

from indexer.methodology.spec import Methodology

# What describes the index but decides no level: changing it leaves the hash as it is.
NOT_RULES = frozenset({"name", "description", "reason", "hash", "source", "text"})


def canonical_json(methodology: Methodology) -> str:
    """The rules, id and version as JSON: keys sorted, no blanks, dates in UTC, defaults written out.

    Two files with the same rules give the same text, however they are laid out. A key that came later than the
    first version of this format (`spec.LATER`) is written only where it differs from its default.
    """
    return json.dumps(_plain(methodology), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_hash(methodology: Methodology) -> str:
    """SHA-256 of `canonical_json` in hexadecimal, 64 characters."""
    return hashlib.sha256(canonical_json(methodology).encode("utf-8")).hexdigest()


def _plain(value: object) -> object:
    if is_dataclass(value):
        rules = (f for f in fields(value) if f.name not in NOT_RULES)
        kept = (f for f in rules if not (f.metadata.get("later") and getattr(value, f.name) == f.default))
        return {f.name: _plain(getattr(value, f.name)) for f in kept}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    return value
