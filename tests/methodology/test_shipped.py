"""The methodologies that come with the program: they hold, and say what the documents say."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from indexer.methodology.load import SHIPPED, check_file, load_methodology, shipped
from indexer.methodology.spec import Scheme, universe_lines
from indexer.registry import load_registry

REGISTRY = load_registry()
DOCUMENT = Path(__file__).parents[2] / "docs" / "methodology.md"


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_file_holds_against_the_registry(path: Path) -> None:
    report = check_file(path, registry=REGISTRY)
    assert report.problems == ()
    assert report.methodology is not None and report.methodology.id == path.stem


def test_the_seven_indices_are_there_flagship_first() -> None:
    assert list(shipped()) == [
        "deai",
        "deai-agents",
        "deai-compute",
        "deai-data",
        "deai-ew",
        "deai-networks",
        "deai-sqrt",
    ]
    assert len({methodology.hash for methodology in shipped().values()}) == 7


def test_flagship_parameters() -> None:
    deai = shipped()["deai"]
    assert (deai.base_date, deai.base_level, deai.decimals) == (datetime(2023, 1, 1, tzinfo=UTC), 1000.0, 6)
    assert deai.weighting.scheme is Scheme.FREE_FLOAT_CAP
    assert (deai.caps.single, deai.caps.group) == (0.20, 0.40)
    assert (deai.selection.target, deai.selection.entry_rank, deai.selection.exit_rank) == (20, 17, 23)
    assert (deai.selection.min_constituents, deai.missing.max_carry_hours) == (5, 168)
    assert (deai.schedule.reconstitution_months, deai.schedule.reference_days_before) == ((1, 4, 7, 10), 5)
    for rule in deai.eligibility:
        assert (rule.min_median_adv_usd, rule.min_atvr, rule.min_free_float) == (1e6, 0.05, 0.15)
        assert (rule.min_history_days, rule.successor_min_history_days) == (90, 30)


def test_two_venues_are_asked_for_only_once_venues_are_read() -> None:
    for methodology in shipped().values():
        before = methodology.eligibility_at(datetime(2026, 11, 30, 23, tzinfo=UTC))
        live = methodology.eligibility_at(datetime(2026, 12, 1, tzinfo=UTC))
        assert (before.min_venues, before.incumbent_min_venues) == (1, 1)
        assert (live.min_venues, live.incumbent_min_venues) == (2, 1)
        assert "one venue" in before.reason and live.reason


def test_variants_differ_from_the_flagship_in_weights_alone() -> None:
    indices = shipped()
    for variant, scheme in (("deai-ew", Scheme.EQUAL), ("deai-sqrt", Scheme.SQRT_CAP)):
        assert indices[variant].weighting.scheme is scheme
        for part in ("universe", "schedule", "eligibility", "selection", "missing", "base_date"):
            assert getattr(indices[variant], part) == getattr(indices["deai"], part)


def test_sub_indices_share_the_flagship_universe_out() -> None:
    indices = shipped()
    parts = [
        universe_lines(indices[name].universe, REGISTRY)
        for name in ("deai-compute", "deai-agents", "deai-data", "deai-networks")
    ]
    whole = universe_lines(indices["deai"].universe, REGISTRY)
    assert sorted(line for part in parts for line in part) == sorted(whole)
    assert "wld" in parts[1]


def test_the_example_in_the_document_is_an_index_that_holds(tmp_path: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)
    indices = [load_methodology(text, source="docs/methodology.md", registry=REGISTRY) for text in examples[:2]]
    assert [index.id for index in indices] == ["gpu-majors", "two-majors"]
    own = tmp_path / "assets.toml"
    own.write_text(examples[2], encoding="utf-8")
    assert load_registry(own).by_slug["mytoken"].symbol == "MYTOKEN"


def test_the_document_names_every_key() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    keys = set(re.findall(r"^(\w+) = ", (SHIPPED / "deai.toml").read_text(encoding="utf-8"), flags=re.MULTILINE))
    keys |= {
        "largest",
        "floor",
        "per_asset",
        "per_group",
        "metric",
        "weights",
        "relax",
        "weekday",
        "assets",
        "sub_sectors",
        "exclude",
    }
    assert {key for key in keys if f"`{key}`" not in text} == set()
