"""What is said of an index that begins late, before its first publication, or whose rules do not hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import FIXED, small

from indexer.administration.explain import explain
from indexer.errors import NotFoundError
from indexer.levels.lifecycle import status_of
from indexer.levels.pipeline import stored_report, update
from indexer.methodology.load import load_methodology
from indexer.store.administration import read_announcements
from indexer.store.levels import unpublished
from indexer.times import iso, parse_instant, to_us

DAYS = ("2024-01-20", "2024-01-27", "2024-02-01", "2024-02-25", "2024-03-01")


def world(path: Path):
    made = small(path)
    for slug in ("aaa", "bbb"):
        made.bars(slug, dict.fromkeys(DAYS, 1.0), interval="1d")
    return made


def test_a_base_that_moves_is_said_with_the_reason(tmp_path: Path) -> None:
    made = world(tmp_path)
    [index] = made.update().indices
    assert index.first == "2024-02-01T00:00:00Z"
    assert index.note.startswith("small begins on 2024-02-01, not on its base date 2024-01-01: ")
    assert "no instants" in index.note, "what was missing then: prices"
    made.bars("aaa", {"2024-02-10": 1.0}, interval="1d")
    second, third = made.update(), made.update()
    assert third.unchanged
    for report in (second, stored_report(made.store)):
        assert [index.note for index in report.indices] == [index.note]
    *_, note = status_of(made.store, "small", now=made.now).notes
    assert (note.kind, note.start_at, note.reason) == ("begins_later", made.methodology.base_date, index.note)
    [said] = read_announcements(made.store, kind="begins_later")
    assert said.title == index.note


def test_a_base_that_stays_needs_no_word(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.rules = FIXED.replace("base_date = 2024-01-01", "base_date = 2024-02-01").replace(
        "[[eligibility]]", "[schedule]\nreconstitution_months = [2]\n[[eligibility]]"
    )
    [index] = made.update().indices
    assert (index.first, index.note) == ("2024-02-01T00:00:00Z", "")


def test_before_the_first_publication_it_says_when_that_was(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.update()
    published = iso(to_us(made.now))
    asked = {"index_id": "small", "at_us": parse_instant("2024-03-01"), "as_of_us": parse_instant("2024-04-01")}
    words = f"had no level by 2024-04-01T00:00:00Z: its first one was published at {published}"
    with pytest.raises(NotFoundError, match=words):
        explain(made.store, made.registry, **asked)
    assert words in unpublished(made.store, "small", as_of_us=asked["as_of_us"])
    assert unpublished(made.store, "small", as_of_us=to_us(made.now)) == ""


def test_an_index_whose_rules_cannot_hold_stops_no_other(tmp_path: Path) -> None:
    made = world(tmp_path)
    capped = FIXED.replace('id = "small"', 'id = "tight"') + "[caps]\ngroup = 0.6\n"
    methodologies = {
        "tight": load_methodology(capped, source="tight.toml"),
        "small": made.methodology,
    }
    report = update(
        made.store,
        registry=made.registry,
        methodologies=methodologies,
        clock=lambda: made.now,
        refused={"broken.toml": "broken.toml: this is not TOML"},
    )
    assert [index.index_id for index in report.indices] == ["small"]
    assert set(report.refused) == {"broken.toml", "tight"}
    assert "tight" in report.refused["tight"]
