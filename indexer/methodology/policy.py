"""The administrator's policy as data: when a published level is restated, when supply changes at once, and so on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import Field

from indexer.errors import MethodologyError
from onchain.strict_toml import Number, Whole, one_of, parse_toml, read_table, refuse, toml_text

SHIPPED = Path(__file__).with_name("policy.toml")


@dataclass(frozen=True)
class Restatement:
    """When a correction of a published level is applied: it moves the level by more than `threshold`, a fraction."""

    threshold: Annotated[Number, Field(ge=0, le=1)]
    window_days: Annotated[Whole, Field(ge=0, le=36_500)]
    composition_errors: Annotated[str, one_of(("prospective",))]
    setup_hours: Annotated[Whole, Field(ge=0, le=8_760)]


@dataclass(frozen=True)
class Rebalance:
    """What a pro-forma assumes, and the change of supply, a fraction, that acts before the next review."""

    notional_usd: Annotated[Number, Field(ge=1)]
    participation: Annotated[Number, Field(ge=1e-6, le=1)]
    emergency_supply_change: Annotated[Number, Field(ge=0, le=1)]


@dataclass(frozen=True)
class PolicyFile:
    """The policy file as it stands."""

    restatement: Restatement
    rebalance: Rebalance


@dataclass(frozen=True)
class Policy(Restatement, Rebalance):
    """All of the file's rules. `hash` is the SHA-256 of its content, comments included."""

    hash: str = ""


def load_policy(folder: Path | None = None) -> Policy:
    """The policy in `<folder>/administration/policy.toml`, or the shipped one.

    Raises MethodologyError with every problem of the file.
    """
    own = folder / "administration" / "policy.toml" if folder is not None else None
    path = own if own is not None and own.exists() else SHIPPED
    text = toml_text(path, error=MethodologyError, what="the policy")
    return read_policy(text, source=path.name if path is SHIPPED else str(path))


@lru_cache(maxsize=4)
def read_policy(text: str, *, source: str) -> Policy:
    """The policy in a TOML text. Raises MethodologyError with every problem."""
    problems: list[str] = []
    file = read_table(PolicyFile, parse_toml(text, source=source, error=MethodologyError), problems)
    refuse(problems, source=source, error=MethodologyError)
    assert file is not None  # a file without a problem is read
    tables = vars(file.restatement) | vars(file.rebalance)
    return Policy(**tables, hash=hashlib.sha256(text.encode()).hexdigest())
