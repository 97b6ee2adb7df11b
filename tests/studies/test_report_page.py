"""The report: numbers of the studies, nothing to load from a network, readable on a phone, printable."""

from __future__ import annotations

import math
import re
import shutil
from dataclasses import replace
from html import unescape

import pytest

from indexer.errors import ConfigError, InputError, NotFoundError
from indexer.studies.report import market, sections
from indexer.studies.report import page as report_page
from indexer.studies.report.blocks import Document, Table, as_html
from indexer.studies.report.gather import gather
from indexer.studies.report.page import render, write_report
from indexer.studies.report.words import number, p_value, percent


@pytest.fixture(scope="module")
def gathered(store):
    ticks = []
    found = gather(store, "deai", "deepseek", data_dir=None, progress=lambda done, total: ticks.append((done, total)))
    assert ticks[-1] == (6, 7)
    return found


@pytest.fixture(scope="module")
def html(gathered):
    return render(gathered)


def shown(blocks):
    """A section as it is in the page."""
    return unescape(as_html(Document("", "", tuple(blocks)))).replace("\u00a0", " ")


def test_it_loads_nothing_and_runs_nothing(html):
    assert "<script" not in html
    assert not re.search(r"""(src|href)=["']https?:|url\(|@import|<link""", html)
    assert len(html) < 600_000


def test_its_numbers_are_those_of_the_studies(gathered, html):
    text = unescape(re.sub(r"<[^>]+>", " ", html)).replace("\u00a0", " ")
    day, two = sections.day_of(gathered)
    assert percent(gathered.attribution.published) in text
    tails = f"({p_value(day.p)}; {p_value(day.p_bootstrap)})"
    assert f"{percent(day.car).removesuffix(' %')} ± {percent(day.car_sd, sign=False)} {tails}" in text
    assert f"{percent(two.car).removesuffix(' %')} ± {percent(two.car_sd, sign=False)}" in text
    close = gathered.comparison.rows[0]
    assert f"At the close the beta to QQQ is {number(close.beta)} ± {number(close.se)} (n = {close.n})" in text
    assert gathered.breaks[0].verdict in text
    assert "48,571 (2024-01-11) to 38,768 (2024-01-23)" in text
    assert "One event is one observation" in text
    assert "The trough came 77 days after the peak: other news had their share in it" in text
    assert "too few for a median" in text and "fewer than half" not in text
    assert gathered.study.calendar in text


def test_every_picture_has_words_a_narrow_form_and_the_pages_colours(html):
    pictures = re.findall(r'<div class="chart" role="img" aria-label="([^"]+)">', html)
    assert len(pictures) == 7
    assert html.count('<div class="narrow"><svg') == html.count('<div class="wide"><svg') == 7
    assert "#01010" not in html
    assert "var(--accent)" in html


def test_the_headline_follows_the_numbers(gathered):
    day, _ = sections.day_of(gathered)
    said = sections.headline(gathered)
    assert f"implied {percent(math.expm1(day.raw - day.car))}" in said
    assert "That the difference is more than chance cannot be shown" in said
    indices = tuple(
        replace(one, p=0.001, p_bootstrap=0.002) if (one.first, one.last) == (0, 0) else one
        for one in gathered.study.indices
    )
    worse = replace(gathered, study=replace(gathered.study, indices=indices))
    assert "more than chance is what all 4 tests say at 5 % (p = 0.001 with QQQ, 0.001 with" in sections.headline(worse)
    none = tuple(replace(one, car=None, reason="no data") for one in gathered.study.indices)
    unknown = replace(gathered, study=replace(gathered.study, indices=none))
    assert "no model could be fitted" in sections.headline(unknown)
    assert "there is no answer: no data" in sections.aftermath(unknown)
    assert "no data" in render(unknown)


@pytest.mark.parametrize(
    ("tails", "said"),
    [
        ((0.2, 0.2, 0.2, 0.2), "cannot be shown"),
        ((0.2, 0.04, 0.2, 0.06), "rests on 1 of 4 tests at 5 %: weak evidence"),
        ((0.01, 0.01, 0.01, 0.01), "is what all 4 tests say at 5 %"),
    ],
)
def test_the_window_is_judged_by_every_test(gathered, tails, said):
    span = (gathered.study.first, gathered.study.last)
    given = iter([(tails[0], tails[2]), (tails[1], tails[3])])
    indices = tuple(
        replace(one, p=pair[0], p_bootstrap=pair[1])
        if one.subject == "deai" and (one.first, one.last) == span and (pair := next(given))
        else one
        for one in gathered.study.indices
    )
    changed = replace(gathered, study=replace(gathered.study, indices=indices))
    assert said in sections.aftermath(changed)
    assert said in shown(sections.abnormal(changed))


def test_stress_is_shown_where_it_was_recorded(gathered):
    text = shown(market.stress(gathered))
    assert ">71<" in text and "No reading of: liquidation long usd, " in text, "what was imported, and what was not"
    bars = tuple(replace(bar, long_usd=6.5342e8) for bar in gathered.stress.rows)
    assert ">653.4<" in shown(market.stress(replace(gathered, stress=replace(gathered.stress, rows=bars))))
    bars = tuple(replace(bar, fear_greed=None) for bar in gathered.stress.rows)
    none = shown(market.stress(replace(gathered, stress=replace(gathered.stress, rows=bars))))
    assert "holds no liquidations, funding, open interest or fear & greed of these days" in none


def test_the_share_of_the_universe_is_there_with_what_it_rests_on(gathered):
    text = shown(market.inside(gathered))
    assert "share of its value with BTC, ETH, SOL" in text and ">1.20 %<" in text
    assert "Market values stated by others and moved by our rates since: btc (coingecko:" in text


def test_the_same_store_writes_the_same_bytes(store, gathered, html, tmp_path):
    path = tmp_path / "deep" / "report.html"
    size = write_report(store, "deai", "deepseek", path=path)
    assert path.stat().st_size == size
    assert path.read_text(encoding="utf-8") == html
    assert [one.name for one in path.parent.iterdir()] == ["report.html"], "no draft is left behind"


def test_a_simulated_index_says_so(gathered):
    assert "SIMULATED" in render(replace(gathered, index=replace(gathered.index, simulated=True)))


@pytest.mark.skipif(not any(shutil.which(name) for name in report_page.BROWSERS), reason="no browser to print with")
def test_a_browser_prints_it(store, tmp_path):
    path = tmp_path / "report.pdf"
    assert write_report(store, "deai", "deepseek", path=path) > 50_000
    assert path.read_bytes().startswith(b"%PDF-")


def test_without_a_browser_a_pdf_is_refused_before_any_work(store, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"none of chromium, .* is on the PATH; write \.html instead"):
        write_report(store, "deai", "deepseek", path=tmp_path / "report.pdf")
    (tmp_path / "chromium").write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    (tmp_path / "chromium").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/sbin")
    with pytest.raises(ConfigError, match=r"could not print the page \(broken\); write \.html instead"):
        write_report(store, "deai", "deepseek", path=tmp_path / "report.pdf")
    assert not (tmp_path / "report.pdf").exists()


def test_another_ending_or_event_is_refused(store, tmp_path):
    with pytest.raises(InputError, match=r'"r\.txt" must end in \.html or \.pdf'):
        write_report(store, "deai", "deepseek", path=tmp_path / "r.txt")
    with pytest.raises(NotFoundError, match="no event"):
        write_report(store, "deai", "nothing", path=tmp_path / "r.html")


def test_words_for_numbers():
    assert percent(-0.0382) == "\u22123.8 %"
    assert percent(None) == number(float("nan")) == p_value(None) == "–"
    assert p_value(0.0004) == "< 0.001"
    assert "&lt;b&gt;" in as_html(Document("", "", (Table(("a", "b"), (("<b>", "1"),)),)))
