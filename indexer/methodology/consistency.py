"""Does a methodology hold together: rules that contradict each other, names that the registry does not know. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise

from indexer.errors import did_you_mean
from indexer.methodology.spec import (
    INDEX_METRICS,
    Caps,
    Methodology,
    Schedule,
    Scheme,
    Selection,
    Weighting,
    rebalance_dates,
    universe_lines,
    unknown_names,
)
from indexer.registry import Registry
from indexer.times import DAY_US, from_us, to_us

# Of weight: sums of decimal shares (5 * 0.2), and weights that people write, hold within it.
ROUNDING = 1e-9


def inconsistencies(methodology: Methodology) -> Iterator[str]:
    """Every rule between parts that does not hold, as `place: what and what to do`."""
    yield from _dates(methodology)
    yield from _eligibility(methodology)
    yield from _fallback(methodology)
    yield from _ranks(methodology.selection)
    yield from _weighting(methodology.weighting, methodology.selection)
    yield from _bounds(methodology.caps, methodology.selection)


def registry_problems(methodology: Methodology, registry: Registry) -> Iterator[str]:
    """Names the registry does not have, a universe that is too small, and group caps its sub-sectors cannot meet."""
    yield from unknown_names(methodology.universe, registry)
    caps = methodology.caps
    yield from _names("caps.per_asset", caps.per_asset, registry.by_slug)
    yield from _names("caps.per_group", caps.per_group, registry.sub_sectors)
    lines = universe_lines(methodology.universe, registry)
    yield from _names("weighting.weights", methodology.weighting.weights, lines)
    needed = methodology.selection.min_constituents
    if len(lines) < needed:
        yield (
            f"universe: it has {len(lines)} tokens, selection.min_constituents needs {needed}; "
            "widen the universe or lower the minimum"
        )
    groups = {registry.by_slug[line].sub_sector for line in lines}
    reach = sum(_limit(caps, group) for group in groups)
    if groups and reach < 1 - ROUNDING:
        yield (
            f"caps.group: the {len(groups)} sub-sectors of the universe ({', '.join(sorted(groups))}) can hold "
            f"{reach:g} of the index together, 1 is needed; raise the group caps"
        )


def cautions(methodology: Methodology, registry: Registry) -> Iterator[str]:
    """What holds and yet may disappoint: compositions that the rules allow and whose weights the caps do not hold."""
    caps, count, floor = methodology.caps, methodology.selection.min_constituents, methodology.caps.floor or 0.0
    lines = universe_lines(methodology.universe, registry)
    if len(lines) < count:
        return
    groups = _by_group(lines, registry)
    then = "its caps are raised for that date" if caps.relax else "its review changes nothing; caps.relax = true helps"
    room, members = _tightest(caps, groups, count=count)
    if room < 1 - ROUNDING:
        what = ", ".join(f"{number} of {group}" for group, number in members.items())
        yield f"caps: {count} members ({what}) can hold {room:.4g} of the index together, 1 is needed: {then}"
    for group, names in groups.items():
        most, limit = min(len(names), methodology.selection.target), _limit(caps, group)
        if most * floor > limit + ROUNDING:
            yield (
                f"caps.floor: {most} members of {group} of at least {floor:g} make {most * floor:g}, "
                f"more than the {limit:g} that the group may have: {then}"
            )


def _by_group(lines: Collection[str], registry: Registry) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for line in lines:
        groups.setdefault(registry.by_slug[line].sub_sector, []).append(line)
    return groups


def _tightest(caps: Caps, groups: Mapping[str, Sequence[str]], *, count: int) -> tuple[float, dict[str, int]]:
    """The least that `count` members can hold within the caps, and how many of each group they are.

    More members never hold less. What n members of a group hold is its cap or the sum of their own, so compositions are
    tried group by group, the tightest for each number of members kept, with and without the largest member among them.
    """
    best: dict[tuple[int, bool], tuple[float, dict[str, int]]] = {(0, False): (0.0, {})}
    for group, names in groups.items():
        longer: dict[tuple[int, bool], tuple[float, dict[str, int]]] = {}
        for (taken, crowned), (room, members) in best.items():
            for number in range(min(len(names), count - taken) + 1):
                for largest in (False, True) if number and not crowned else (False,):
                    key = (taken + number, crowned or largest)
                    total = room + min(_limit(caps, group), _held(caps, names, number=number, largest=largest))
                    if key not in longer or total < longer[key][0]:
                        longer[key] = total, members | ({group: number} if number else {})
        best = longer
    return best[count, True]


def _held(caps: Caps, names: Sequence[str], *, number: int, largest: bool) -> float:
    """The least that so many of a group can hold by their own caps, the `largest` member of the index among them.

    A token with a cap of its own keeps that when it is the largest.
    """
    single = 1.0 if caps.single is None else caps.single
    uppers = {name: caps.per_asset.get(name, single) for name in names}
    chosen = sorted(names, key=lambda name: (uppers[name], name not in caps.per_asset))[:number]
    total = sum(uppers[name] for name in chosen)
    if not largest or caps.largest is None or any(name in caps.per_asset for name in chosen):
        return total
    named = min((uppers[name] for name in names if name in caps.per_asset), default=caps.largest)
    return total - uppers[chosen[-1]] + min(named, caps.largest)


def _limit(caps: Caps, group: str) -> float:
    return caps.per_group.get(group, 1.0 if caps.group is None else caps.group)


def _dates(methodology: Methodology) -> Iterator[str]:
    schedule, base = methodology.schedule, methodology.base_date
    missing = [month for month in schedule.reconstitution_months if month not in schedule.rebalance_months]
    if missing:
        yield f"schedule.reconstitution_months: {missing} are not in rebalance_months; a reconstitution is one of them"
    if not 1 <= schedule.effective_day <= 28:
        return
    if schedule.weekday is not None and schedule.transition_fixings > 7:
        yield f"schedule.transition_fixings: {schedule.transition_fixings} do not fit in a week; give 7 or fewer"
    base_us = to_us(base)
    dates = rebalance_dates(schedule, base_us, base_us)
    if not dates or not dates[0].reconstitution:
        yield (
            f"base_date: {base.isoformat()} is not a reconstitution date of this schedule; "
            f"{_example(schedule, base_us)}"
        )
    if methodology.eligibility:
        reference = from_us(base_us - schedule.reference_days_before * DAY_US)
        if methodology.eligibility[0].effective_from > reference:
            yield (
                f"eligibility[1].effective_from: {methodology.eligibility[0].effective_from.isoformat()} is after the "
                f"base's reference date; the first rules must hold there: give {reference.isoformat()} or earlier"
            )


def _example(schedule: Schedule, base_us: int) -> str:
    after = rebalance_dates(schedule, base_us, base_us + 400 * DAY_US)
    good = next((date for date in after if date.reconstitution), None)
    return f"give {from_us(good.effective_us).isoformat()}" if good else "add reconstitution_months"


def _eligibility(methodology: Methodology) -> Iterator[str]:
    rules = methodology.eligibility
    if not rules:
        yield "eligibility: is missing; give at least one [[eligibility]] with effective_from"
    for number, (earlier, later) in enumerate(pairwise(rules), 2):
        if later.effective_from <= earlier.effective_from:
            yield (
                f"eligibility[{number}].effective_from: {later.effective_from.isoformat()} is not after the entry "
                "before it; order them by date, each date once"
            )
    for number, rule in enumerate(rules, 1):
        if rule.adv_min_days > rule.adv_window_days:
            yield (
                f"eligibility[{number}].adv_min_days: {rule.adv_min_days} is more than the window of "
                f"{rule.adv_window_days} days; lower it"
            )
        if rule.incumbent_min_venues > rule.min_venues:
            yield (
                f"eligibility[{number}].incumbent_min_venues: {rule.incumbent_min_venues} is more than newcomers "
                f"need ({rule.min_venues}); a buffer keeps members, it does not push them out"
            )


def _fallback(methodology: Methodology) -> Iterator[str]:
    for number, rule in enumerate(methodology.perpetual_fallback):
        if rule.until <= rule.effective_from:
            yield f"perpetual_fallback[{number}].until: it ends before it begins; give an instant after effective_from"


def _ranks(selection: Selection) -> Iterator[str]:
    if selection.entry_rank > selection.exit_rank:
        yield (
            f"selection.entry_rank: {selection.entry_rank} is behind exit_rank {selection.exit_rank}: a newcomer "
            "would leave at once; give entry_rank <= target <= exit_rank"
        )
    if not selection.entry_rank <= selection.target:
        yield f"selection.entry_rank: {selection.entry_rank} is behind target {selection.target}; lower it"
    if selection.exit_rank < selection.target:
        yield f"selection.exit_rank: {selection.exit_rank} is before target {selection.target}; raise it"
    if selection.min_constituents > selection.target:
        yield f"selection.min_constituents: {selection.min_constituents} is more than target {selection.target}"


def _weighting(weighting: Weighting, selection: Selection) -> Iterator[str]:
    scheme = weighting.scheme
    if scheme is Scheme.FLOOR_PLUS_CAP:
        if weighting.floor == 0.0:
            yield "weighting.floor: is missing; floor_plus_cap gives every member this share first, e.g. 0.05"
        elif selection.target * weighting.floor > 1 + ROUNDING:
            yield (
                f"weighting.floor: {selection.target} members of at least {weighting.floor:g} make "
                f"{selection.target * weighting.floor:g}, more than 1; lower it to {1 / selection.target:.4g} or less"
            )
    elif weighting.floor:
        yield f'weighting.floor: scheme "{scheme}" does not use it; remove it, or set caps.floor for a lower bound'
    yield from _fixed(weighting, selection)
    if (scheme is Scheme.FUNDAMENTAL) != bool(weighting.metric):
        needs = "is missing; fundamental weights need one" if not weighting.metric else f'is not used by "{scheme}"'
        yield f"weighting.metric: {needs}"
    elif weighting.metric and weighting.metric not in INDEX_METRICS:
        meant = did_you_mean(weighting.metric, INDEX_METRICS)
        yield f'weighting.metric: there is no metric "{weighting.metric}".{meant} Use one of {", ".join(INDEX_METRICS)}'


def _fixed(weighting: Weighting, selection: Selection) -> Iterator[str]:
    weights, count = weighting.weights, len(weighting.weights)
    if (weighting.scheme is Scheme.FIXED) != bool(weights):
        needs = f'are not used by "{weighting.scheme}"' if weights else "are missing; give each token its share"
        yield f'weighting.weights: {needs}, e.g. weights = {{ tao = 0.6, fet = 0.4 }} with scheme = "fixed"'
    elif weights and abs(sum(weights.values()) - 1) > ROUNDING:
        yield f"weighting.weights: they sum to {sum(weights.values()):.10g}, 1 is needed"
    if weights and not selection.min_constituents <= count <= selection.target:
        yield (
            f"weighting.weights: {count} tokens, selection asks for {selection.min_constituents} (min_constituents) "
            f"to {selection.target} (target); correct one of them"
        )


def _bounds(caps: Caps, selection: Selection) -> Iterator[str]:
    single, count = 1.0 if caps.single is None else caps.single, selection.target
    uppers = sorted([*caps.per_asset.values(), *[single] * count])[-count:]
    if caps.largest is not None:
        if caps.largest < single - ROUNDING:
            yield f"caps.largest: {caps.largest:g} is below caps.single {single:g}; the largest may have more, not less"
        uppers[-1] = max(caps.largest, uppers[-1])
    if sum(uppers) < 1 - ROUNDING:
        yield (
            f"caps.single: {count} members (selection.target) can hold at most {sum(uppers):g} together, 1 is needed; "
            f"raise the caps to {1 / count:.4g} or more, or ask for more members"
        )
    if caps.floor is None:
        return
    if selection.target * caps.floor > 1 + ROUNDING:
        yield (
            f"caps.floor: {selection.target} members (selection.target) of at least {caps.floor:g} make "
            f"{selection.target * caps.floor:g}, more than 1; lower it to {1 / selection.target:.4g} or less"
        )
    limits = {"caps.single": single, "caps.group": 1.0 if caps.group is None else caps.group}
    limits |= {f"caps.per_asset.{name}": value for name, value in caps.per_asset.items()}
    limits |= {f"caps.per_group.{name}": value for name, value in caps.per_group.items()}
    for name, limit in limits.items():
        if caps.floor > limit + ROUNDING:
            yield f"caps.floor: {caps.floor:g} is above {name} {limit:g}; lower the floor or raise that cap"


def _names(place: str, names: Collection[str], known: Collection[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            yield f'{place}: there is no "{name}" in the registry.{did_you_mean(name, known)}'
