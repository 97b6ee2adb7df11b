"""The administrator's policy as data: when a published level is restated, when supply changes at once, and so on.

Place in the flow: read once at the start of an update; `corrections.py` and `pipeline.py` obey it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import MethodologyError
from indexer.registry.strict_toml import Table, parse_toml, refuse

SHIPPED = Path(__file__).with_name("policy.toml")


@dataclass(frozen=True, slots=True)
class Policy:
    """Shares are fractions. `hash` is the SHA-256 of the file's content, comments included."""

    threshold: float
    window_days: int
    composition_errors: str
    setup_hours: int
    notional_usd: float
    participation: float
    emergency_supply_change: float
    challenge_window_hours: int
    hash: str = ""


def load_policy(folder: Path | None = None) -> Policy:
    """The policy in `<folder>/administration/policy.toml`, or the shipped one.

    Raises MethodologyError with every problem of the file.
    """
    own = folder / "administration" / "policy.toml" if folder is not None else None
    path = own if own is not None and own.exists() else SHIPPED
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MethodologyError(f"{path}: the policy cannot be read ({error}); give a TOML file in UTF-8") from None
    return read_policy(text, source=path.name if path is SHIPPED else str(path))


def read_policy(text: str, *, source: str) -> Policy:
    """The policy in a TOML text. Raises MethodologyError with every problem."""
    problems: list[str] = []
    top = Table(parse_toml(text, source=source), "", problems)
    restatement, rebalance, challenge = top.table("restatement"), top.table("rebalance"), top.table("challenge")
    policy = Policy(
        threshold=restatement.number("threshold", high=1.0),
        window_days=restatement.integer("window_days", low=0, high=36_500),
        composition_errors=restatement.choice("composition_errors", ("prospective",)),
        setup_hours=restatement.integer("setup_hours", low=0, high=8_760),
        notional_usd=rebalance.number("notional_usd", low=1.0),
        participation=rebalance.number("participation", low=1e-6, high=1.0),
        emergency_supply_change=rebalance.number("emergency_supply_change", high=1.0),
        challenge_window_hours=challenge.integer("window_hours", low=0, high=8_760),
        hash=hashlib.sha256(text.encode()).hexdigest(),
    )
    for table in (restatement, rebalance, challenge, top):
        table.finish()
    refuse(problems, source=source)
    return policy
