"""The methodology of an index for people: every rule in words with its parameters filled in, versions, differences."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from itertools import pairwise

from indexer.methodology.actions import TREATMENTS, CorporateAction
from indexer.methodology.policy import Policy
from indexer.methodology.spec import Eligibility, Methodology, Scheme, universe_lines
from indexer.registry import Registry
from indexer.store.rows import MethodologyRow
from indexer.studies.report.blocks import Block, Bullets, Document, Heading, Lines, Table, Text, join_names

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


def methodology_document(
    methodology: Methodology,
    *,
    registry: Registry,
    policy: Policy,
    events: Sequence[CorporateAction] = (),
    versions: Sequence[MethodologyRow] = (),
) -> Document:
    """The page of an index: aim, universe, eligibility, weights, calendar, prices, events, policy and versions."""
    blocks: list[Block] = [Text(methodology.description), *_facts(methodology)]
    blocks += [Heading("Which tokens may be in"), *_universe(methodology, registry)]
    blocks += [Heading("What a token must show"), *(Bullets(_rule(rule)) for rule in methodology.eligibility)]
    blocks += [Heading("How members are chosen and weighted"), Bullets(_choice(methodology))]
    blocks += [Heading("When the index changes"), Bullets(_calendar(methodology))]
    blocks += [Heading("How a level is computed"), Bullets(_level(methodology))]
    blocks += [Heading("Corporate actions"), *_actions(events)]
    blocks += [Heading("Corrections after publication"), Bullets(_policy(policy))]
    if versions:
        blocks += [Heading("Versions"), _versions(versions), *_differences(versions)]
    return Document(
        f"{methodology.name}: methodology", f"Index {methodology.id}, version {methodology.version}", tuple(blocks)
    )


def difference(old: MethodologyRow, new: MethodologyRow) -> str:
    """What changed between two versions, as a unified difference of their files; '' when nothing did."""
    lines = difflib.unified_diff(
        old.text.splitlines(),
        new.text.splitlines(),
        f"version {old.version}",
        f"version {new.version}",
        lineterm="",
        n=1,
    )
    return "\n".join(lines)


def _facts(methodology: Methodology) -> list[Block]:
    rows = (
        ("Base", f"{methodology.base_level:g} at {methodology.base_date:%Y-%m-%d %H:%M} UTC"),
        ("Published to", f"{methodology.decimals} decimals"),
        ("Rules in force from", f"{methodology.effective_from:%Y-%m-%d}"),
        ("Hash of the rules", methodology.hash),
    )
    return [Table(("", ""), rows)]


def _universe(methodology: Methodology, registry: Registry) -> list[Block]:
    rules, lines = methodology.universe, universe_lines(methodology.universe, registry)
    if rules.assets:
        who = f"The tokens named in the rules: {join_names(rules.assets)}."
    elif rules.sub_sectors:
        who = f"Tokens of the sub-sectors {join_names(rules.sub_sectors)} in the asset registry."
    else:
        who = "Tokens of every sub-sector in the asset registry."
    left_out = f" Left out: {join_names(rules.exclude)}." if rules.exclude else ""
    known = ", ".join(lines) or "none at present"
    return [Text(f"{who} Of the statuses {join_names(rules.statuses)}.{left_out}"), Text(f"Candidates: {known}.")]


def _rule(rule: Eligibility) -> tuple[str, ...]:
    unknown = rule.unknown_volume.value.replace("_", " ")
    return (
        f"From {rule.effective_from:%Y-%m-%d} on. {rule.reason}".strip(),
        f"{rule.min_history_days} days of price history ({rule.successor_min_history_days} for the token that a "
        "migration continues in).",
        f"A median daily traded value of ${rule.min_median_adv_usd:,.0f} over {rule.adv_window_days} days, known on "
        f"{rule.adv_min_days} of them; where it is not known: {unknown}.",
        f"A yearly turnover of {rule.min_atvr:.1%} of free-float capitalisation.",
        f"A free float of {rule.min_free_float:.1%} of total supply.",
        f"{rule.min_venues} qualified venue(s) for a newcomer, {rule.incumbent_min_venues} for a member.",
        f"A supply known within {rule.supply_max_age_days} days and a price within {rule.price_max_age_hours} hours.",
    )


def _choice(methodology: Methodology) -> tuple[str, ...]:
    picks, caps = methodology.selection, methodology.caps
    rules = [
        f"Candidates are ranked by free-float capitalisation. Those within rank {picks.entry_rank} are in; members "
        f"stay to rank {picks.exit_rank}, up to {picks.target}; the best newcomers within it fill free seats.",
        f"With fewer than {picks.min_constituents} members a review changes nothing, and an index that holds fewer "
        "says so and is degraded.",
        f"Members are weighted {SCHEMES[methodology.weighting.scheme]}.",
    ]
    if methodology.weighting.scheme is Scheme.FLOOR_PLUS_CAP:
        rules.append(f"The floor is {methodology.weighting.floor:.1%} for each member.")
    rules += [f"{slug} weighs {value:.1%} at a rebalance." for slug, value in methodology.weighting.weights.items()]
    named = (
        (caps.single, "No token weighs more than {:.1%} at a rebalance."),
        (caps.largest, "The largest may weigh {:.1%}."),
        (caps.floor, "None weighs less than {:.1%}."),
        (caps.group, "No sub-sector weighs more than {:.1%}."),
    )
    rules += [text.format(value) for value, text in named if value is not None]
    rules += [
        f"{name} weighs at most {value:.1%}." for name, value in (*caps.per_asset.items(), *caps.per_group.items())
    ]
    rules.append(
        "What a cap cuts off goes to the others in proportion (water-filling); between rebalances weights drift."
    )
    return tuple(rules)


def _calendar(methodology: Methodology) -> tuple[str, ...]:
    schedule = methodology.schedule
    every = len(schedule.rebalance_months) == 12
    weights = "every month" if every else f"in {join_names([MONTHS[n - 1] for n in schedule.rebalance_months])}"
    members = join_names([MONTHS[n - 1] for n in schedule.reconstitution_months])
    day = f"on day {schedule.effective_day}"
    if schedule.weekday is not None:
        day = f"on every {schedule.weekday.capitalize()} (members on a month's first)"
    rules = [
        f"Weights are set {weights}, members in {members}, effective at 00:00 UTC {day}.",
        f"Decided from what is known at 00:00 UTC {schedule.reference_days_before} days before; the pro-forma is "
        "published from then on.",
    ]
    if schedule.transition_fixings > 1:
        rules.append(f"A change is spread over {schedule.transition_fixings} daily fixings.")
    return tuple(rules)


def _level(methodology: Methodology) -> tuple[str, ...]:
    return (
        "Level = sum of price times units, divided by the divisor. Any change of units leaves the level as it is: the "
        "divisor takes the difference up.",
        "Prices are our own reference rates: the volume-weighted median across venues, outliers and stale venues left "
        "out, with three venues final, with two indicative, with one degraded.",
        f"A missing price is carried and flagged for at most {methodology.missing.max_carry_hours} hours; then the "
        "constituent leaves at its last price. With no price at all the level is suspended, never invented.",
        "Supply is the free float read on chain, else the reported circulating supply, else an imported one; never an "
        "observation from after the decision.",
    )


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


def _policy(policy: Policy) -> tuple[str, ...]:
    return (
        f"A correction that moves a published level by more than {policy.threshold:.2%} is applied within "
        f"{policy.window_days} days of publication: exactly the levels that depend on it get a new revision, the old "
        "ones stay readable. A smaller one is logged and not applied.",
        "A change of units that has taken effect is a fact: an error of composition ends at the next review.",
        f"In the first {policy.setup_hours} hours after an index's first publication, first data of a token still "
        "completes its history.",
        "Decisions of people need a reason, a name and an end, are public, and never change these rules.",
    )


def _versions(versions: Sequence[MethodologyRow]) -> Table:
    rows = tuple((row.version, f"{row.loaded_at:%Y-%m-%d %H:%M} UTC", row.hash) for row in reversed(versions))
    return Table(("version", "in use since", "hash"), rows)


def _differences(versions: Sequence[MethodologyRow]) -> list[Block]:
    out: list[Block] = []
    for old, new in pairwise(versions):
        out += [Text(f"From version {old.version} to {new.version}:"), Lines(difference(old, new) or "only the layout")]
    return out
