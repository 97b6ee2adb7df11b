"""Any document of any index, from the store and the settings, as text, HTML or PDF.

The sentences of the methodology's page and of the benchmark statement stand in `texts/`. The statement's headings are
those of Regulation (EU) 2016/1011, Article 27; whether a given use makes it one is for its administrator and counsel.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from indexer.administration.explain import explain
from indexer.administration.factsheet import constituent_factsheet, index_factsheet
from indexer.config import Settings
from indexer.engine.market import Status
from indexer.errors import InputError
from indexer.levels.lifecycle import IndexStatus, status_of
from indexer.levels.published import methodology_of, registry_for
from indexer.methodology.actions import TREATMENTS, CorporateAction, load_event_log, of_assets
from indexer.methodology.policy import Policy, load_policy
from indexer.methodology.spec import Methodology, Scheme, universe_lines
from indexer.registry import Registry
from indexer.store.administration import read_announcements, read_overrides
from indexer.store.db import Store
from indexer.store.drafts import draft
from indexer.store.indices import read_methodologies
from indexer.store.levels import read_levels
from indexer.store.rows import AnnouncementRow, MethodologyRow, OverrideRow
from indexer.studies.report.blocks import (
    Block,
    Bullets,
    Document,
    Heading,
    Lines,
    Table,
    Text,
    as_html,
    as_text,
    join_names,
)

KINDS = ("methodology", "statement", "factsheet")
FOREVER_US = 2**55
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
SCHEMES = {
    Scheme.FREE_FLOAT_CAP: "in proportion to free-float market capitalisation (price times free-float supply)",
    Scheme.SQRT_CAP: "in proportion to the square root of free-float market capitalisation",
    Scheme.EQUAL: "equally",
    Scheme.FLOOR_PLUS_CAP: "by a floor for each and the rest in proportion to free-float market capitalisation",
    Scheme.LIQUIDITY: "in proportion to the median daily traded value",
    Scheme.FUNDAMENTAL: "in proportion to an on-chain metric",
    Scheme.FIXED: "by fixed weights",
}


def make_document(store: Store, settings: Settings, *, index_id: str, kind: str, now: datetime) -> Document:
    """One document of an index. Raises InputError for an unknown kind, NotFoundError for the index or its levels."""
    if kind not in KINDS:
        raise InputError(f'"{kind}" is no document; there are {", ".join(KINDS)}')
    if kind == "factsheet":
        return make_factsheet(store, settings, index_id=index_id)
    registry = registry_for(store, settings)
    policy = load_policy(settings.methodology_dir)
    methodology = methodology_of(store, settings, index_id=index_id)
    if kind == "methodology":
        lines = universe_lines(methodology.universe, registry)
        log = load_event_log(registry, folder=settings.methodology_dir)
        events = of_assets(log, [asset.slug for asset in registry.assets if asset.line in lines])
        versions = read_methodologies(store, index_id)
        return methodology_document(methodology, registry=registry, policy=policy, events=events, versions=versions)
    return statement_document(
        methodology,
        status=status_of(store, index_id, now=now),
        policy=policy,
        quality=Counter(Status(int(code)).name.lower() for code in read_levels(store, index_id).status.tolist()),
        overrides=[row for row in read_overrides(store) if row.index_id in (None, index_id)],
        announcements=read_announcements(store, index_id=index_id),
        now=now,
    )


def make_factsheet(
    store: Store, settings: Settings, *, index_id: str, token: str = "", at_us: int = FOREVER_US
) -> Document:
    """The factsheet of an index, or of one of its constituents, as of its last level at or before an instant.

    Raises as `make_document`.
    """
    registry = registry_for(store, settings)
    newest = explain(store, registry, index_id=index_id, at_us=at_us)
    if not token:
        return index_factsheet(store, newest)
    actions = load_event_log(registry, folder=settings.methodology_dir)
    return constituent_factsheet(store, registry, newest=newest, token=token, log=actions)


def write_document(
    store: Store, settings: Settings, *, index_id: str, kind: str, path: Path, now: datetime,
    token: str = "", at_us: int = FOREVER_US,
) -> int:  # fmt: skip
    """Writes a document as .html, .txt or (a factsheet) .pdf, whole or not at all; its size in bytes.

    `token` and `at_us` are for factsheets.
    """
    ending, factsheet = path.suffix.lower(), kind == "factsheet"
    if token and not factsheet:
        raise InputError(f"a token has a factsheet only, no {kind}; leave --token out, or give --kind factsheet")
    if at_us != FOREVER_US and not factsheet:
        raise InputError(f"only a factsheet is of an instant, a {kind} is as things are now; leave --at out")
    if ending not in (".html", ".txt") and not (ending == ".pdf" and factsheet):
        raise InputError(f'"{path.name}" must end in .html or .txt, or in .pdf for a factsheet (print the others)')
    if factsheet:
        document = make_factsheet(store, settings, index_id=index_id, token=token, at_us=at_us)
    else:
        document = make_document(store, settings, index_id=index_id, kind=kind, now=now)
    if ending == ".pdf":
        from indexer.studies.report.pdf import as_pdf

        body = as_pdf(document)
    else:
        body = (as_html if ending == ".html" else as_text)(document).encode()
    with draft(path) as part:
        part.write_bytes(body)
    return len(body)


def methodology_document(
    methodology: Methodology,
    *,
    registry: Registry,
    policy: Policy,
    events: Sequence[CorporateAction] = (),
    versions: Sequence[MethodologyRow] = (),
) -> Document:
    """The page of an index: aim, universe, eligibility, weights, calendar, prices, events, policy and versions."""
    schedule = methodology.schedule
    months = join_names([MONTHS[n - 1] for n in schedule.rebalance_months])
    blocks = _blocks(
        "methodology",
        {"facts": _facts(methodology), "actions": _actions(events), "versions": _versions(versions)},
        rules=methodology,
        policy=policy,
        names=join_names,
        lines=universe_lines(methodology.universe, registry),
        scheme=SCHEMES[methodology.weighting.scheme],
        weights="every month" if len(schedule.rebalance_months) == 12 else f"in {months}",
        members=join_names([MONTHS[n - 1] for n in schedule.reconstitution_months]),
        on=f"on day {schedule.effective_day}"
        if schedule.weekday is None
        else f"on every {schedule.weekday.capitalize()} (members on a month's first)",
    )
    kicker = f"Index {methodology.id}, version {methodology.version}"
    return Document(f"{methodology.name}: methodology", kicker, blocks)


def statement_document(
    methodology: Methodology,
    *,
    status: IndexStatus,
    policy: Policy,
    quality: Mapping[str, int],
    overrides: Sequence[OverrideRow],
    announcements: Sequence[AnnouncementRow],
    now: datetime,
) -> Document:
    """The statement as of `now`. `quality` counts published levels by status."""
    total = sum(quality.values())
    blocks = _blocks(
        "statement",
        {},
        rules=methodology,
        policy=policy,
        status=status,
        now=now,
        shares=[f"{name} {count / total:.1%}" for name, count in quality.items() if count],
        approved=[row for row in overrides if row.approved_at is not None],
        said=Counter(row.kind for row in announcements),
    )
    return Document(f"{methodology.name}: benchmark statement", f"Index {methodology.id}", blocks)


def difference(old: MethodologyRow, new: MethodologyRow) -> str:
    """What changed between two versions, as a unified difference of their files; '' when nothing did."""
    before, after = (f"version {one.version}" for one in (old, new))
    return "\n".join(
        difflib.unified_diff(old.text.splitlines(), new.text.splitlines(), before, after, lineterm="", n=1)
    )


def _blocks(text: str, parts: Mapping[str, Iterable[Block]], **values: Any) -> tuple[Block, ...]:
    """A text of `texts/` with its values: `# ` begins a heading, `- ` a bullet, and `[name]` stands for a part."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    texts = FileSystemLoader(Path(__file__).with_name("texts"))
    environment = Environment(loader=texts, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["line"] = lambda words: " ".join(words.split())
    environment.globals |= {"day": "{:%Y-%m-%d}".format, "percent": "{:.1%}".format}
    blocks: list[Block] = []
    for paragraph in re.split(r"\n\s*\n", environment.get_template(f"{text}.txt").render(values).strip()):
        lines = [" ".join(line.split()) for line in re.split(r"\n(?=- )", paragraph.strip())]
        if lines[0].startswith("# "):
            blocks.append(Heading(lines[0].removeprefix("# ")))
        elif lines[0].startswith("- "):
            blocks.append(Bullets(tuple(line.removeprefix("- ") for line in lines)))
        elif lines[0].strip("[]") in parts:
            blocks.extend(parts[lines[0].strip("[]")])
        else:
            blocks.append(Text(" ".join(lines)))
    return tuple(blocks)


def _facts(methodology: Methodology) -> list[Block]:
    rows = (
        ("Base", f"{methodology.base_level:g} at {methodology.base_date:%Y-%m-%d %H:%M} UTC"),
        ("Published to", f"{methodology.decimals} decimals"),
        ("Rules in force from", f"{methodology.effective_from:%Y-%m-%d}"),
        ("Hash of the rules", methodology.hash),
    )
    return [Table(("", ""), rows)]


def _actions(events: Sequence[CorporateAction]) -> list[Block]:
    treatments = tuple(
        (kind.value.replace("_", " "), entry.price, entry.units, entry.divisor, entry.supply)
        for kind, entry in TREATMENTS.items()
    )
    blocks: list[Block] = [Table(("event", "price", "units", "divisor", "supply"), treatments)]
    logged = tuple(
        (
            f"{entry.effective:%Y-%m-%d}",
            entry.kind.value,
            f"{entry.asset} {entry.into}".strip(),
            f"{entry.ratio:g}",
            entry.source,
        )
        for entry in events
    )
    if logged:
        blocks.append(Table(("effective", "kind", "tokens", "ratio", "source"), logged, "Logged for these tokens"))
    return blocks


def _versions(versions: Sequence[MethodologyRow]) -> list[Block]:
    """Every version, newest first, and what each changed."""
    if not versions:
        return []
    rows = tuple((row.version, f"{row.loaded_at:%Y-%m-%d %H:%M} UTC", row.hash) for row in reversed(versions))
    out: list[Block] = [Heading("Versions"), Table(("version", "in use since", "hash"), rows)]
    for old, new in pairwise(versions):
        out += [Text(f"From version {old.version} to {new.version}:"), Lines(difference(old, new) or "only the layout")]
    return out
