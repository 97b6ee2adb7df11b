"""Documents say what the rules and ledgers say: parameters filled in, versions told apart, a PDF that is one."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from eventful import eventful
from worlds import live, prices

from indexer.administration.documents import (
    difference,
    make_document,
    methodology_document,
    statement_document,
    write_document,
)
from indexer.administration.explain import explain
from indexer.administration.factsheet import constituent_factsheet, index_factsheet
from indexer.config import Settings
from indexer.errors import InputError, NotEnoughDataError, NotFoundError
from indexer.levels.lifecycle import status_of
from indexer.methodology.actions import load_event_log
from indexer.methodology.load import load_methodology, shipped
from indexer.methodology.policy import load_policy
from indexer.registry import load_registry
from indexer.store.administration import read_announcements
from indexer.store.indices import read_indices, read_methodologies, write_index, write_methodology
from indexer.studies.report.blocks import Heading, Picture, Text, as_html, as_text
from indexer.studies.report.page import write_report
from indexer.studies.report.pdf import as_pdf
from indexer.times import to_us


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    one = eventful(tmp_path_factory.mktemp("documents"))
    yield one
    one.store.close()


def page(index="deai", **more):
    rules = shipped()[index]
    registry = load_registry()
    return methodology_document(rules, registry=registry, policy=load_policy(), **more), rules


def test_the_methodology_page_has_every_parameter_filled_in():
    document, rules = page(events=load_event_log(load_registry()).events)
    said = as_text(document)
    for words in (
        "1000 at 2023-01-01 00:00 UTC",
        rules.hash,
        "No token weighs more than 20.0% at a rebalance.",
        "No sub-sector weighs more than 40.0%.",
        "Those within rank 17 are in; members stay",
        "rank 23, up to 20",
        "$1,000,000 over 30 days",
        "members in January, April, July and October, effective at 00:00 UTC on day 1",
        "5 days before",
        "at most 168 hours",
        "more than 0.50% is applied",
        "2024-07-01  merger",
        "0.43335",
    ):
        assert words in re.sub(r"\s*\n\s+", " ", said) or words in said, words
    assert max(len(line) for line in said.splitlines() if "  " not in line.strip()) <= 100


@pytest.mark.parametrize("index", list(shipped()))
def test_every_shipped_index_has_a_page_that_names_its_weighting(index):
    document, rules = page(index)
    words = {"equal": "equally", "sqrt_cap": "square root", "free_float_cap": "in proportion to free-float"}
    assert words[rules.weighting.scheme.value] in as_text(document)


def test_the_pages_are_whole_html_without_scripts_or_foreign_addresses(made):
    for document in (
        page()[0],
        make_document(made.store, Settings(), index_id="small", kind="statement", now=made.now),
        replace(index_factsheet(made.store, newest(made)), title="Small & <index>"),
    ):
        html = as_html(document)
        assert html.startswith("<!doctype html>")
        assert html.endswith("</main></body></html>")
        assert "<script" not in html
        assert "@media print" in html
        assert not re.search(r'(src|href)=["\']https?://', html)
        assert html.count("<section>") == html.count("</section>")
    assert "Small &amp; &lt;index&gt;" in html


def newest(made):
    return explain(made.store, made.registry, index_id="small", at_us=2**55)


def test_versions_and_what_changed_between_them_are_shown(made):
    text = made.methodology.text
    rows = read_methodologies(made.store, "small")
    changed = replace(rows[0], version="1.1.0", text=text.replace("single = 0.4", "single = 0.35"), hash="f" * 64)
    told = difference(rows[0], changed)
    assert "-single = 0.4" in told.splitlines()
    assert "+single = 0.35" in told.splitlines()
    assert told.startswith("--- version 1.0.0\n+++ version 1.1.0")
    document = methodology_document(
        load_methodology(text, source="x"), registry=made.registry, policy=load_policy(), versions=[*rows, changed]
    )
    said = as_text(document)
    assert said.index("1.1.0") < said.index("1.0.0  "), "newest first"
    assert "+single = 0.35" in said


def test_the_statement_counts_what_happened(made):
    said = as_text(make_document(made.store, Settings(), index_id="small", kind="statement", now=made.now))
    flat = " ".join(said.split())
    assert "1 restatements and 1 corrections not applied so far" in flat
    assert "membership of token-7, 2024-04-10 to 2024-04-13: found to be a copy (A)" in flat
    assert "degraded 100.0%" in flat
    told = statement_document(
        made.methodology,
        status=status_of(made.store, "small", now=made.now),
        policy=load_policy(),
        quality={},
        overrides=[],
        announcements=read_announcements(made.store),
        now=made.now,
    )
    assert "Status of the published levels so far: none yet." in as_text(told)
    assert "No override has been made so far." in " ".join(as_text(told).split())


def test_the_factsheet_says_the_newest_level_and_its_constituents(made):
    said, text = newest(made), as_text(index_factsheet(made.store, newest(made)))
    assert f"{said.level:,.2f}" in text
    assert said.hash in text
    for one in said.constituents:
        assert f"{one.symbol}" in text
        assert f"{one.weight:.2%}" in text
    assert len(prices()) > len(said.constituents)


def token_sheet(made, token, *, newest_=None):
    said = newest_ or newest(made)
    log = load_event_log(load_registry())
    return constituent_factsheet(made.store, made.registry, newest=said, token=token, log=log)


def test_a_constituents_factsheet_says_where_its_price_supply_and_place_are_from(made):
    said = newest(made)
    one = next(one for one in said.constituents if one.asset == "token-2")
    text = as_text(token_sheet(made, "TOKEN-2"))
    flat = " ".join(text.split())
    for words in (
        f"Price USD {one.price:,.6g}",
        f"Weight {one.weight:.2%}",
        f"Contribution {one.contribution:+.4%}",
        "chain and contract invented token-2",
        f"test token-2 1h {one.price:,.6g} 10,000,000 used",
        "weighed with 3,000,000 imported test 2023-12-15 –",
        "2024-02-01 1 27.",
        "member at rank 1, within entry rank 5",
        "small 2024-01-01 newcomer at rank 2, within entry rank 5",
        "None in the log.",
        said.hash,
    ):
        assert words in flat, (words, flat)
    html = as_html(token_sheet(made, "token-2"))
    assert "<svg" in html
    assert not re.search(r'(src|href)=["\']https?://', html)
    outside = next(slug for slug in prices() if slug not in {one.asset for one in said.constituents})
    with pytest.raises(
        NotFoundError, match=rf'"{outside}" is no constituent of small at 2024-04-01T23:00:00Z\..* It holds: '
    ):
        token_sheet(made, outside)


def points(document):
    """Of the chart of a document."""
    return next(block for block in document.blocks if isinstance(block, Picture)).spec["data"]["values"]


def test_a_factsheet_is_of_the_instant_asked_for_and_looks_no_further(made):
    then = explain(made.store, made.registry, index_id="small", at_us=to_us(datetime(2024, 2, 10, tzinfo=UTC)))
    sheet = token_sheet(made, "token-5", newest_=then)
    assert points(sheet)[-1]["t"] * 1000 == to_us(then.time)
    assert "2024-03-01" not in as_text(sheet)
    assert points(index_factsheet(made.store, then))[-1]["y"] == then.level
    early = replace(then, time=datetime(2024, 1, 1, tzinfo=UTC))
    with pytest.raises(NotEnoughDataError, match="index small has 1 daily levels; a factsheet needs two"):
        index_factsheet(made.store, early)


def test_a_factsheet_is_a_pdf_without_any_browser(made, tmp_path):
    for sheet in (index_factsheet(made.store, newest(made)), token_sheet(made, "token-2")):
        body = as_pdf(sheet)
        assert body == as_pdf(sheet)
        assert body.startswith(b"%PDF-")
        assert body.rstrip().endswith(b"%%EOF")
        assert body.count(b"/MediaBox") == 1
    crowded = (*sheet.blocks, *(block for n in range(40) for block in (Heading(f"More {n}"), Text("words " * 99))))
    assert as_pdf(replace(sheet, blocks=crowded)).count(b"/MediaBox") == 1, "smaller, not cut off"
    with pytest.raises(InputError, match=r"must end in .html or .txt, or in .pdf for a factsheet"):
        write_document(
            made.store, Settings(), index_id="small", kind="statement", path=tmp_path / "s.pdf", now=made.now
        )
    for more, said in (({"token": "x"}, "a token has a factsheet only"), ({"at_us": 1}, "only a factsheet is of an")):
        with pytest.raises(InputError, match=said):
            write_document(
                made.store,
                Settings(),
                index_id="small",
                kind="statement",
                path=tmp_path / "s.html",
                now=made.now,
                **more,
            )
    with pytest.raises(InputError, match='"poster" is no document; there are methodology, statement, factsheet'):
        write_document(made.store, Settings(), index_id="small", kind="poster", path=tmp_path / "s.html", now=made.now)
    size = write_document(
        made.store, Settings(), index_id="small", kind="statement", path=tmp_path / "s.html", now=made.now
    )
    assert (tmp_path / "s.html").stat().st_size == size


def test_a_version_registered_later_changes_no_report_of_before(tmp_path):
    made = live(tmp_path, 24 * 80)
    index_id = read_indices(made.store)[0].id
    text = read_methodologies(made.store, index_id)[0].text
    known = made.store.as_known(to_us(made.now))
    write_report(known, index_id, period="week", path=tmp_path / "a.html")
    later = {"version": "9", "hash": "f" * 64, "text_": text, "loaded_at": made.now + timedelta(days=1)}
    number = write_methodology(made.store, index_id=index_id, **later)
    write_index(made.store, index_id=index_id, name="New", description="", methodology_id=number)
    write_report(known, index_id, period="week", path=tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert read_indices(made.store)[0].version == "9" != read_indices(known)[0].version
