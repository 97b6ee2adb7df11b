"""Reading methodology files: strictness, feasibility, every problem at once, the hash, the folder of own indices."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.errors import MethodologyError
from indexer.methodology.consistency import cautions
from indexer.methodology.load import (
    SHIPPED,
    canonical_json,
    check_file,
    content_hash,
    load_methodologies,
    load_methodology,
    shipped,
)
from indexer.methodology.spec import Caps, Scheme, Selection, Universe, UnknownVolume, universe_lines
from indexer.registry import load_registry

REGISTRY = load_registry()
RULES: dict[str, Any] = {
    "id": "mine",
    "name": "Mine",
    "version": "1.0.0",
    "base_date": datetime(2023, 1, 1, tzinfo=UTC),
    "effective_from": datetime(2023, 1, 1, tzinfo=UTC),
    "eligibility": [{"effective_from": datetime(2022, 1, 1, tzinfo=UTC)}],
}


def toml(rules: Mapping[str, Any], *, shuffle: random.Random | None = None) -> str:
    """A TOML text of plain rules; with `shuffle`, the same rules in another order and with comments."""
    keys = list(rules)
    if shuffle:
        shuffle.shuffle(keys)
    plain = [f"{key} = {_value(rules[key])}" for key in keys if not _is_table(rules[key])]
    text = "\n".join(line + ("   # a remark" if shuffle else "") for line in plain)
    for key in (key for key in keys if _is_table(rules[key])):
        for table in rules[key] if isinstance(rules[key], list) else [rules[key]]:
            head = f"[[{key}]]" if isinstance(rules[key], list) else f"[{key}]"
            text += f"\n\n{head}\n" + "\n".join(f"{name} = {_value(value)}" for name, value in table.items())
    return text + "\n"


def _is_table(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _value(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(inner) for inner in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def refusal(**changes: Any) -> list[str]:
    """The problems of the plain rules with these parts changed (None: left out)."""
    rules = {key: value for key, value in (RULES | changes).items() if value is not None}
    with pytest.raises(MethodologyError) as caught:
        load_methodology(toml(rules), source="mine.toml", registry=REGISTRY)
    head, *problems = str(caught.value).split("\n  ")
    assert head == f"mine.toml: {len(problems)} problem{'s' if len(problems) > 1 else ''}"
    return problems


def test_defaults_are_filled_in() -> None:
    loaded = load_methodology(toml(RULES), source="mine.toml", registry=REGISTRY)
    assert (loaded.selection.target, loaded.schedule.reference_days_before) == (20, 5)
    assert loaded.weighting.scheme is Scheme.FREE_FLOAT_CAP
    assert loaded.eligibility[0].unknown_volume is UnknownVolume.KEEP_INCUMBENTS
    assert loaded.text == toml(RULES)
    assert re.fullmatch("[0-9a-f]{64}", loaded.hash)


def test_unknown_keys_come_with_the_nearest_known_one() -> None:
    assert refusal(caps={"sinlge": 0.2}) == ['caps.sinlge: there is no such key here. Did you mean "single"?']
    assert refusal(weigthing={"scheme": "equal"}) == ['weigthing: there is no such key here. Did you mean "weighting"?']
    assert refusal(weighting={"scheme": "sqrt"}) == [
        'weighting.scheme: "sqrt" is not one of free_float_cap, sqrt_cap, equal, floor_plus_cap, liquidity, '
        'fundamental, fixed. Did you mean "sqrt_cap"?'
    ]


def test_every_problem_of_a_file_is_reported_at_once() -> None:
    problems = refusal(
        id="My Index",
        version=None,
        base_date=datetime(2023, 2, 1, tzinfo=UTC),
        selection={"entry_rank": 24, "exit_rank": 22},
        caps={"single": "20 %"},
        missing={"max_carry_hour": 24},
    )
    assert [problem.split(":")[0] for problem in problems] == [
        "id",
        "version",
        "caps.single",
        "missing.max_carry_hour",
        "base_date",
        "selection.entry_rank",
        "selection.entry_rank",
    ]
    assert problems[2] == "caps.single: '20 %' is text, not a number"


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ({"caps": {"single": 1.2}}, "caps.single: 1.2 must be at most 1"),
        ({"caps": {"single": True}}, "caps.single: True is true/false, not a number"),
        ({"caps": {"single": float("nan")}}, "caps.single: nan must be finite"),
        ({"caps": {"single": 0}}, "caps.single: 0 leaves no weight; leave the key out for no bound"),
        ({"base_level": float("inf")}, "base_level: inf must be finite"),
        ({"base_level": 10**400}, "base_level: 1000000"),
        ({"base_date": datetime(1, 1, 1, tzinfo=UTC)}, "base_date: 0001-01-01T00:00:00+00:00 is not from 2000 to 2199"),
        ({"decimals": 2.5}, "decimals: 2.5 is a number, not a whole number"),
        ({"decimals": 11}, "decimals: 11 must be at most 10"),
        ({"base_date": "2023-01-01"}, "base_date: '2023-01-01' is text, not a date without quotes"),
        ({"base_date": datetime(2023, 1, 1)}, "base_date: 2023-01-01T00:00:00 has no time zone; write"),
        ({"schedule": {"effective_day": 31}}, "schedule.effective_day: 31 must be at most 28"),
        ({"schedule": {"rebalance_months": [1, 13]}}, "schedule.rebalance_months[2]: 13 must be at most 12"),
        ({"schedule": {"rebalance_months": [4, 1]}}, "schedule.rebalance_months: [4, 1] must be ascending"),
        ({"universe": {"assets": "fet"}}, "universe.assets: 'fet' is text, not a list of texts"),
        ({"universe": {"statuses": ["cores"]}}, 'universe.statuses[1]: "cores" is not one of core, watch'),
        ({"universe": 5}, "universe: 5 is a number, not a table"),
        ({"version": "1.0"}, 'version: "1.0" must be three numbers, e.g. 1.0.0'),
        ({"name": ""}, "name: '' is empty, not text"),
        ({"eligibility": None}, "eligibility: is missing; give at least one [[eligibility]]"),
    ],
)
def test_wrong_types_and_ranges(part: dict[str, Any], problem: str) -> None:
    assert any(found.startswith(problem) for found in refusal(**part)), refusal(**part)


FIVE = {"target": 5, "entry_rank": 4, "exit_rank": 6, "min_constituents": 5}


@pytest.mark.parametrize(
    ("caps", "selection", "problem"),
    [
        ({"single": 0.04}, {}, "caps.single: 20 members (selection.target) can hold at most 0.8 together, 1 is needed"),
        ({"single": 0.19}, FIVE, "caps.single: 5 members (selection.target) can hold at most 0.95 together"),
        ({"single": 0.1, "largest": 0.3}, FIVE, "caps.single: 5 members (selection.target) can hold at most 0.7"),
        ({"single": 0.3, "largest": 0.2}, {}, "caps.largest: 0.2 is below caps.single 0.3"),
        ({"floor": 0.06}, {}, "caps.floor: 20 members (selection.target) of at least 0.06 make 1.2, more than 1"),
        ({"floor": 0.04, "per_asset": {"fet": 0.03}}, {}, "caps.floor: 0.04 is above caps.per_asset.fet 0.03"),
        ({"group": 0.1}, {}, "caps.group: the 7 sub-sectors of the universe"),
        ({"per_group": {"agent": 0.1}}, {}, 'caps.per_group: there is no "agent" in the registry. Did you mean "age'),
        ({"per_asset": {"fett": 0.1}}, {}, 'caps.per_asset: there is no "fett" in the registry. Did you mean "fet"?'),
    ],
)
def test_caps_that_cannot_be_met(caps: dict[str, Any], selection: dict[str, int], problem: str) -> None:
    found = refusal(caps=caps, selection=selection)
    assert any(line.startswith(problem) for line in found), found


def test_caps_that_can_just_be_met_are_taken() -> None:
    for caps in ({"single": 0.2}, {"single": 0.175, "largest": 0.3}, {"floor": 0.05}, {"group": 0.15}):
        load_methodology(toml(RULES | {"caps": caps}), source="mine.toml", registry=REGISTRY)


@pytest.mark.parametrize(
    ("selection", "problem"),
    [
        ({"entry_rank": 24, "exit_rank": 23, "target": 24}, "selection.entry_rank: 24 is behind exit_rank 23"),
        ({"entry_rank": 21}, "selection.entry_rank: 21 is behind target 20; lower it"),
        ({"exit_rank": 19}, "selection.exit_rank: 19 is before target 20; raise it"),
        ({"min_constituents": 21}, "selection.min_constituents: 21 is more than target 20"),
    ],
)
def test_ranks_that_contradict_each_other(selection: dict[str, int], problem: str) -> None:
    found = refusal(selection=selection)
    assert any(line.startswith(problem) for line in found), found


def test_weighting_parameters_belong_to_their_scheme() -> None:
    assert refusal(weighting={"scheme": "floor_plus_cap"})[0].startswith("weighting.floor: is missing")
    assert refusal(weighting={"scheme": "floor_plus_cap", "floor": 0.1})[0] == (
        "weighting.floor: 20 members of at least 0.1 make 2, more than 1; lower it to 0.05 or less"
    )
    assert 'scheme "equal" does not use it' in refusal(weighting={"scheme": "equal", "floor": 0.1})[0]
    assert refusal(weighting={"scheme": "fundamental"}) == [
        "weighting.metric: is missing; fundamental weights need one"
    ]
    assert refusal(weighting={"metric": "fees"}) == ['weighting.metric: is not used by "free_float_cap"']


def test_fixed_weights_are_whole_named_and_belong_to_their_scheme() -> None:
    two = {"selection": {"min_constituents": 2}}

    def problems(**weighting: Any) -> list[str]:
        return refusal(weighting=weighting, **two)

    assert problems(scheme="fixed")[0].startswith("weighting.weights: are missing; give each token its share")
    assert problems(scheme="equal", weights={"fet": 0.5, "tao": 0.5})[0].startswith(
        'weighting.weights: are not used by "equal"'
    )
    assert problems(scheme="fixed", weights={"fet": 0.5, "tao": 0.4}) == [
        "weighting.weights: they sum to 0.9, 1 is needed"
    ]
    assert problems(scheme="fixed", weights={"fet": 0.5, "taoo": 0.5}) == [
        'weighting.weights: there is no "taoo" in the registry. Did you mean "tao"?'
    ]
    assert problems(scheme="fixed", weights={"fet": 1.0, "tao": 0})[0].startswith("weighting.weights.tao: 0 leaves no")
    assert refusal(weighting={"scheme": "fixed", "weights": {"fet": 0.5, "tao": 0.5}}) == [
        "weighting.weights: 2 tokens, selection asks for 5 (min_constituents) to 20 (target); correct one of them"
    ]
    thirds = {"scheme": "fixed", "weights": {"fet": 0.3333333334, "tao": 0.3333333333, "near": 0.3333333333}}
    assert load_methodology(toml(RULES | two | {"weighting": thirds}), source="x", registry=REGISTRY).weighting.weights


def test_dates_must_be_in_order_and_on_the_calendar() -> None:
    assert refusal(base_date=datetime(2023, 2, 1, tzinfo=UTC)) == [
        "base_date: 2023-02-01T00:00:00+00:00 is not a reconstitution date of this schedule; "
        "give 2023-04-01T00:00:00+00:00"
    ]
    assert refusal(base_date=datetime(2023, 1, 1, 12, tzinfo=UTC))[0].startswith("base_date: 2023-01-01T12:00:00")
    late = [{"effective_from": datetime(2022, 12, 28, tzinfo=UTC)}]
    assert refusal(eligibility=late) == [
        "eligibility[1].effective_from: 2022-12-28T00:00:00+00:00 is after the base's reference date; "
        "the first rules must hold there: give 2022-12-27T00:00:00+00:00 or earlier"
    ]
    swapped = [
        {"effective_from": datetime(2022, 6, 1, tzinfo=UTC)},
        {"effective_from": datetime(2022, 6, 1, tzinfo=UTC), "adv_min_days": 31, "incumbent_min_venues": 3},
    ]
    assert [problem.split(":")[0] for problem in refusal(eligibility=swapped)] == [
        "eligibility[2].effective_from",
        "eligibility[2].adv_min_days",
        "eligibility[2].incumbent_min_venues",
    ]
    assert refusal(schedule={"rebalance_months": [1, 7]}) == [
        "schedule.reconstitution_months: [4, 10] are not in rebalance_months; a reconstitution is one of them"
    ]


def test_universe_names_are_checked_against_the_registry() -> None:
    assert refusal(universe={"sub_sectors": ["computes"]})[0] == (
        'universe.sub_sectors: there is no sub-sector "computes". Did you mean "compute"?'
    )
    assert refusal(universe={"exclude": ["rendr"]})[0].endswith('Did you mean "render"?')
    assert refusal(universe={"assets": ["fet", "tao"]})[0] == (
        "universe: it has 2 tokens, selection.min_constituents needs 5; widen the universe or lower the minimum"
    )
    assert refusal(universe={"assets": ["fet", "fet", "tao", "near", "icp", "grt"]}) == [
        'universe.assets: "fet" is there twice; name it once'
    ]


def test_a_universe_holds_lines_once_and_references_only_by_name() -> None:
    base = load_methodology(toml(RULES), source="mine.toml").universe
    every = universe_lines(base, REGISTRY)
    assert "render" in every and "rndr" not in every and "btc" not in every and "alt" not in every
    assert universe_lines(replace(base, assets=("rndr", "render", "btc")), REGISTRY) == ("render", "btc")
    assert "render" not in universe_lines(replace(base, exclude=("rndr",)), REGISTRY)
    assert "alt" in universe_lines(replace(base, statuses=("universe",)), REGISTRY)


def test_the_hash_ignores_layout_and_words_but_no_rule() -> None:
    plain = load_methodology(toml(RULES), source="a.toml")
    told = RULES | {"name": "Other words", "description": "Words", "decimals": 6, "selection": {"target": 20}}
    told["eligibility"] = [{"effective_from": datetime(2022, 1, 1, tzinfo=UTC), "reason": "Because"}]
    assert load_methodology(toml(told), source="b.toml").hash == plain.hash
    changes: list[dict[str, Any]] = [
        {"id": "other"},
        {"version": "1.0.1"},
        {"base_level": 100},
        {"decimals": 2},
        {"universe": {"exclude": ["wld"]}},
        {"schedule": {"reference_days_before": 6}},
        {"eligibility": [{"effective_from": datetime(2022, 1, 1, tzinfo=UTC), "min_venues": 3}]},
        {"selection": {"exit_rank": 24}},
        {"weighting": {"scheme": "equal"}},
        {"caps": {"single": 0.2}},
        {"caps": {"per_asset": {"fet": 0.2}}},
        {"missing": {"max_carry_hours": 167}},
    ]
    hashes = {load_methodology(toml(RULES | change), source="c.toml").hash for change in changes}
    assert len(hashes | {plain.hash}) == len(changes) + 1


shares = st.floats(0.2, 1.0)
some_rules = st.fixed_dictionaries(
    {
        "decimals": st.integers(0, 10),
        "base_level": st.floats(1e-3, 1e9),
        "caps": st.fixed_dictionaries({"single": shares, "group": st.floats(0.5, 1.0)}),
        "selection": st.fixed_dictionaries({"entry_rank": st.integers(1, 20), "exit_rank": st.integers(20, 500)}),
        "missing": st.fixed_dictionaries({"max_carry_hours": st.integers(0, 8760)}),
    }
)


@given(some_rules, st.randoms(use_true_random=False))
def test_any_rules_survive_reading_in_any_order(rules: dict[str, Any], shuffle: random.Random) -> None:
    loaded = load_methodology(toml(RULES | rules), source="a.toml", registry=REGISTRY)
    assert loaded.caps.single == rules["caps"]["single"]
    assert loaded.base_level == rules["base_level"]
    assert loaded.selection.exit_rank == rules["selection"]["exit_rank"]
    again = load_methodology(toml(RULES | rules, shuffle=shuffle), source="b.toml", registry=REGISTRY)
    assert canonical_json(again) == canonical_json(loaded)
    assert again.hash == loaded.hash == content_hash(loaded)


@given(some_rules, some_rules)
def test_two_rules_share_a_hash_only_when_they_are_the_same(one: dict[str, Any], two: dict[str, Any]) -> None:
    first, second = (load_methodology(toml(RULES | rules), source="a.toml") for rules in (one, two))
    assert (first.hash == second.hash) == (one == two)


PLACES = [
    (part, key)
    for part in ("", "universe", "schedule", "eligibility", "selection", "weighting", "caps", "missing")
    for key in re.findall(r"^(\w+) = ", (SHIPPED / "deai.toml").read_text(encoding="utf-8"), flags=re.MULTILINE)
]
junk = st.recursive(
    st.none().map(lambda _: "")
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(st.characters(codec="ascii", categories=("L", "N")), max_size=5)
    | st.datetimes().map(lambda at: at.replace(tzinfo=UTC)),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(st.sampled_from(PLACES), junk)
def test_whatever_stands_in_a_file_it_is_read_or_refused(place: tuple[str, str], value: Any) -> None:
    part, key = place
    if part == "eligibility":
        rules = RULES | {part: [RULES[part][0] | {key: value}]}
    else:
        rules = RULES | ({part: {key: value}} if part else {key: value})
    try:
        load_methodology(toml(rules), source="mine.toml", registry=REGISTRY)
    except MethodologyError as error:
        assert str(error).startswith("mine.toml: ")


def test_own_indices_come_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(toml(RULES), encoding="utf-8")
    (tmp_path / "readme.md").write_text("not a methodology", encoding="utf-8")
    (tmp_path / "broken.toml").write_text("id = mine\n", encoding="utf-8")
    (tmp_path / "flagship.toml").write_text(toml(RULES | {"id": "deai"}), encoding="utf-8")
    loaded = load_methodologies(tmp_path, registry=REGISTRY)
    assert list(loaded.methodologies) == [*shipped(), "mine"], "a file that does not hold stops no other"
    assert list(loaded.refused) == ["broken.toml", "flagship.toml"]
    first, second = loaded.refused.values()
    assert first.startswith(f"{tmp_path / 'broken.toml'}: this is not TOML: ") and "line 1" in first
    assert second == f'{tmp_path / "flagship.toml"}: id "deai" is taken by deai.toml (shipped); choose another id'
    with pytest.raises(MethodologyError, match="there is no such folder of methodologies; create it"):
        load_methodologies(tmp_path / "absent", registry=REGISTRY)


def test_a_check_reports_and_never_raises(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    assert "the file cannot be read" in check_file(path, registry=REGISTRY).problems[0]
    path.write_text("id = ", encoding="utf-8")
    assert check_file(path, registry=REGISTRY).problems[0].startswith("this is not TOML: ")
    path.write_bytes(b"\xff\xfe")
    assert not check_file(path, registry=REGISTRY).ok
    path.write_text("", encoding="utf-8")
    missing = [problem.split(":")[0] for problem in check_file(path, registry=REGISTRY).problems]
    assert missing == ["id", "name", "version", "base_date", "effective_from"]
    path.write_text(toml(RULES | {"universe": {"sub_sectors": ["compute"]}}), encoding="utf-8")
    report = check_file(path, registry=REGISTRY)
    assert report.ok and report.methodology is not None
    assert report.lines[:2] == ("render", "akt")
    assert report.summary.startswith(f"{path}: mine 1.0.0 holds\n  rules   {report.methodology.hash}\n")
    path.write_text(toml(RULES | {"caps": {"single": 0.04}}), encoding="utf-8")
    assert check_file(path, registry=REGISTRY).summary.startswith(f"{path}: 1 problem\n  caps.single: 20 members")


def test_keys_that_came_later_leave_older_files_their_hash() -> None:
    plain = load_methodology(toml(RULES), source="a.toml")
    assert "float_rules" not in canonical_json(plain) and "active" not in canonical_json(plain)
    told = RULES | {"float": {"bands": False}}
    assert load_methodology(toml(told), source="a.toml").hash == plain.hash
    banded = load_methodology(toml(RULES | {"float": {"bands": True}}), source="a.toml")
    assert banded.float_rules.bands and banded.hash != plain.hash
    active = RULES | {"eligibility": [RULES["eligibility"][0] | {"min_active_addresses": 500}]}
    asked = load_methodology(toml(active), source="a.toml")
    assert asked.eligibility[0].min_active_addresses == 500 and asked.hash != plain.hash
    with pytest.raises(MethodologyError, match=r"float\.bands: 1 is a number, not true or false"):
        load_methodology(toml(RULES | {"float": {"bands": 1}}), source="a.toml")
    with pytest.raises(MethodologyError, match=r'float\.band: there is no such key here\. Did you mean "bands"\?'):
        load_methodology(toml(RULES | {"float": {"band": True}}), source="a.toml")


def test_a_misspelt_metric_is_refused_when_the_file_is_read() -> None:
    text = shipped()["deai"].text.replace(
        'scheme = "free_float_cap"', 'scheme = "fundamental"\nmetric = "active_adresses"'
    )
    with pytest.raises(
        MethodologyError,
        match=r'weighting\.metric: there is no metric "active_adresses"\. Did you mean "active_addresses"',
    ):
        load_methodology(text, source="mine.toml")


def test_the_tightest_allowed_composition_is_named_and_none_that_holds_is_refused(tmp_path: Path) -> None:
    """Four of one sub-sector hold 0.4 and one of another 0.2; five of nine groups of 0.4 always hold."""
    text = (SHIPPED / "deai.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('id = "deai"', 'id = "mine"').replace("relax = true", "relax = false"))
    report = check_file(path, registry=load_registry())
    assert report.ok
    (warning,) = report.warnings
    assert "can hold 0.4 of the index together, 1 is needed: its review changes nothing" in warning
    path.write_text(path.read_text().replace("group = 0.40", "group = 1.0"))
    assert check_file(path, registry=load_registry()).warnings == ()


@pytest.mark.parametrize(
    "caps",
    [
        Caps(single=0.2),
        Caps(single=0.2, largest=0.5),
        Caps(single=0.2, largest=0.5, group=0.45),
        Caps(single=0.2, largest=0.5, per_asset={"fet": 0.25}),
        Caps(single=0.25, largest=0.3, group=0.5, per_group={"agents": 0.3}),
        Caps(single=0.3, largest=0.6, per_asset={"akt": 0.1, "near": 0.5}),
    ],
)
def test_every_composition_and_every_largest_member_is_covered_by_the_tightest(caps: Caps) -> None:
    universe = ("fet", "virtual", "akt", "render", "near", "tao", "fil")
    groups = {slug: REGISTRY.by_slug[slug].sub_sector for slug in universe}

    def room(members: tuple[str, ...], largest: str) -> float:
        upper = dict.fromkeys(members, caps.single) | {largest: caps.largest or caps.single}
        upper |= {name: caps.per_asset[name] for name in members if name in caps.per_asset}
        held = {group: sum(upper[name] for name in members if groups[name] == group) for group in groups.values()}
        return sum(min(total, caps.per_group.get(group, caps.group or 1.0)) for group, total in held.items())

    for count in (2, 3, 4):
        rooms = [room(chosen, one) for n in range(count, 8) for chosen in combinations(universe, n) for one in chosen]
        index = replace(
            shipped()["deai"], caps=caps, universe=Universe(assets=universe),
            selection=Selection(target=7, entry_rank=7, exit_rank=7, min_constituents=count),
        )  # fmt: skip
        texts = list(cautions(index, REGISTRY))
        if min(rooms) < 1 - 1e-9:
            assert f"can hold {min(rooms):.4g} of the index together" in texts[0]
        else:
            assert texts == []


def test_a_group_whose_floors_do_not_fit_is_named() -> None:
    index = replace(
        shipped()["deai"], caps=Caps(single=0.5, group=0.5, floor=0.2),
        universe=Universe(assets=("near", "tao", "io", "akt", "render")),
        selection=Selection(target=5, entry_rank=5, exit_rank=5, min_constituents=4),
    )  # fmt: skip
    *_, said = cautions(index, REGISTRY)
    assert said.startswith("caps.floor: 3 members of compute of at least 0.2 make 0.6, more than the 0.5")
