"""The rules and targets of a TOML file: read strictly, added and removed in it."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from indexer.errors import ConfigError, NotFoundError, did_you_mean
from indexer.store.drafts import draft
from onchain.strict_toml import Flag, Number, Text, Texts, Whole, matching, one_of, parse_toml, read_tables, refuse
from onchain.strict_toml import toml_text as read_text

INSIDE, ABOVE, BELOW = "inside", "above", "below"
HEADER = "# Alerts (docs/alerts.md). Secrets are in here: keep it readable by yourself only."
Name = Annotated[str, matching(r"[a-z0-9][a-z0-9_-]*", "small letters, digits and hyphens")]
Address = Annotated[str, matching(r"[a-z0-9]+://\S+", "an address, e.g. https://… or ntfys://…", secret=True)]
SECRET = r"(whsec_[A-Za-z0-9+/]{32,86}={0,2})?"
Secret = Annotated[str, matching(SECRET, "whsec_ and the base64 of 24 to 64 bytes", secret=True)]


@dataclass(frozen=True, slots=True)
class About:
    """What is true of a kind of rule: the keys it takes, its event's type (and that of its end), a value in words.

    `form` is that of a value; `margin` the share of a bound by which a value must come back before it crosses again.
    """

    keys: str
    type: str
    says: str = ""
    form: str = ""
    margin: float = 0.0
    end_type: str = ""


BOUNDS, CROSSED = "above below margin back", "alert.threshold.crossed"
PAIR = f"{BOUNDS} index benchmark sessions"
ABOUT: Final[Mapping[str, About]] = {
    "level": About(f"{BOUNDS} index", CROSSED, "{subject} is {value}", ",.2f", 0.005),
    "move": About(f"{BOUNDS} index hours", CROSSED, "{subject} moved {value} in {hours:g} hours", "+.1%", 0.1),
    "beta": About(PAIR, CROSSED, "beta of {subject} to {benchmark}, {sessions} sessions: {value}", ".2f", 0.05),
    "break": About(PAIR, CROSSED, "beta of {subject} to {benchmark} changed, z = {value}", "+.1f", 0.25),
    "rebalance": About("index announcements", "index.rebalance.announced"),
    "status": About("index", "index.status.changed"),
    "source-down": About(
        f"{BOUNDS} source", "source.degraded", "source {subject} is down for {value} h", ".1f", 0.0, "source.recovered"
    ),
    "stale": About(
        f"{BOUNDS} index", "index.level.stale", "newest level of {subject} is {value} h old", ".1f", 0.0,
        "index.level.fresh",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Bounds and `margin` are in the unit of its kind: points, a fraction, a beta, a z, or hours.

    `back` tells of its end too; `to` names targets, all when it is empty.
    """

    name: Name
    kind: Annotated[str, one_of(ABOUT)]
    above: Number | None = None
    below: Number | None = None
    margin: Annotated[Number, Field(ge=0)] | None = None
    back: Flag = False
    index: Text = "deai"
    hours: Annotated[Number, Field(gt=0)] = 24.0
    benchmark: Text = "QQQ"
    sessions: Annotated[Whole, Field(ge=20)] = 90
    source: str = ""
    announcements: Texts = ("proforma",)
    to: Texts = ()

    @property
    def key(self) -> str:
        """What its standing is kept under: a rule that becomes one of another kind begins anew."""
        return f"{self.kind}:{self.name}"

    def side_of(self, value: float, *, before: str) -> str:
        """On which side of the bounds a value is, coming from `before`: back inside only beyond the margin."""
        if self.below is not None and value < self.below:
            return BELOW
        if self.above is not None and value > self.above:
            return ABOVE
        if before == ABOVE and self.above is not None and value > self.above - self._margin(self.above):
            return ABOVE
        if before == BELOW and self.below is not None and value < self.below + self._margin(self.below):
            return BELOW
        return INSIDE

    def _margin(self, bound: float) -> float:
        return abs(bound) * ABOUT[self.kind].margin if self.margin is None else self.margin


@dataclass(frozen=True, slots=True)
class Target:
    """Where events go: with a `secret` a webhook, signed by it; else a service that apprise knows by its URL."""

    name: Name
    url: Address = field(repr=False)
    secret: Secret = field(default="", repr=False)

    @property
    def scheme(self) -> str:
        """What may be shown of the address: the rest of it may be a secret."""
        return "webhook" if self.secret else self.url.partition("://")[0]


@dataclass(frozen=True, slots=True)
class Alerts:
    """The rules and targets of a file."""

    rules: tuple[Rule, ...] = ()
    targets: tuple[Target, ...] = ()


def load_alerts(path: Path) -> Alerts:
    """The rules and targets of a file; none where there is no file. Raises ConfigError listing every problem."""
    return parse_alerts(read_text(path, error=ConfigError), source=path.name) if path.exists() else Alerts()


def parse_alerts(text: str, *, source: str) -> Alerts:
    """The rules and targets of a TOML text. Raises ConfigError listing every problem."""
    raw = parse_toml(text, source=source, error=ConfigError)
    problems = [f"{key}: there are only [[rule]] and [[target]] here" for key in {*raw} - {"rule", "target"}]
    rules = read_tables(Rule, raw.get("rule", ()), problems, word="rule", name="name")
    targets = read_tables(Target, raw.get("target", ()), problems, word="target", name="name")
    names, known = [rule.name for rule in rules], [target.name for target in targets]
    problems += [f'"{name}" is there twice' for name in {*names, *known} if [*names, *known].count(name) > 1]
    problems += [problem for entry in raw.get("rule", ()) for problem in _misplaced(entry)]
    problems += [
        f'rule "{rule.name}".to: there is no target "{name}".{did_you_mean(name, known)}'
        for rule in rules
        for name in rule.to
        if name not in known
    ]
    problems += [
        f'target "{target.name}".secret: only a webhook (https://…) has one; leave it out'
        for target in targets
        if target.secret and not re.match("https?://", target.url)
    ]
    refuse(problems, source=source, error=ConfigError)
    return Alerts(tuple(rules), tuple(targets))


def _misplaced(entry: Mapping[str, Any]) -> list[str]:
    """What a rule says that is none of its kind's, or lacks."""
    about, place = ABOUT.get(str(entry.get("kind"))), f'rule "{entry.get("name")}"'
    if about is None:
        return []
    others = {field.name for field in fields(Rule)} - {"name", "kind", "to", *about.keys.split()}
    problems = [f"{place}.{key}: a {entry['kind']} rule takes {about.keys}" for key in others & {*entry}]
    if BOUNDS in about.keys and not {"above", "below"} & {*entry}:
        problems.append(f"{place}: give above or below, or both")
    return problems


def new_secret() -> str:
    """A secret for a webhook."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def add_entry(path: Path, word: str, entry: Mapping[str, Any]) -> None:
    """Adds a [[rule]] or [[target]] to the file, which need not be there. Raises ConfigError when it would not hold."""
    before = read_text(path, error=ConfigError) if path.exists() else HEADER
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()]
    _write(path, "\n".join([before.rstrip("\n"), "", f"[[{word}]]", *lines, ""]))


def remove_entry(path: Path, name: str) -> None:
    """Takes a rule or target out of the file. Raises NotFoundError, and ConfigError while a rule sends to it."""
    alerts = load_alerts(path)
    names = [*(rule.name for rule in alerts.rules), *(target.name for target in alerts.targets)]
    if name not in names:
        raise NotFoundError(f'there is no rule or target "{name}" in {path}.{did_you_mean(name, names)}')
    blocks = re.split(r"(?m)^(?=\[\[)", read_text(path, error=ConfigError))
    named = re.compile(rf"(?m)^\s*name\s*=\s*[\"']{name}[\"']")
    others = [block for block in blocks if not named.search(block)]
    if others == blocks:
        raise ConfigError(f'"{name}" is no [[rule]] or [[target]] of its own in {path}; take it out by hand')
    _write(path, "".join(others))


def _write(path: Path, text: str) -> None:
    parse_alerts(text, source=path.name)
    with draft(path, mode=0o600, folder=True, error=ConfigError) as part:
        part.write_text(text, encoding="utf-8")
