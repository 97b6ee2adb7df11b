"""The report: numbers of the studies, nothing to load from a network, readable on a phone, printable."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from indexer.errors import InputError, NotFoundError
from indexer.studies.attribution import study_attribution
from indexer.studies.beta import index_beta
from indexer.studies.drawdowns import study_drawdowns
from indexer.studies.report import market, sections
from indexer.studies.report.blocks import Document, Table, as_html, moment, number, p_value, percent
from indexer.studies.report.gather import gather
from indexer.studies.report.page import document, write_report
from indexer.times import DAY_US, iso, parse_instant, to_us


@pytest.fixture(scope="module")
def gathered(store):
    ticks = []
    found = gather(store, "deai", "deepseek", data_dir=None, progress=lambda done, total: ticks.append((done, total)))
    assert ticks[-1] == (6, 7)
    return found


def render(gathered):
    return as_html(document(gathered)) + "\n"


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
    tails = "; ".join(p_value(p) for p in (day.p, day.p_holm, day.p_placebo, day.p_bootstrap))
    assert f"{percent(math.expm1(day.car))}, {sections.interval(day)} ({tails})" in text
    assert f"{percent(math.expm1(two.car))}, {sections.interval(two)}" in text
    close = gathered.comparison.rows[0]
    assert f"At the close the beta to QQQ is {number(close.beta)} ± {number(close.se)} (n = {close.n})" in text
    assert gathered.breaks[0].verdict in text
    assert "48,571 (2024-01-11) to 38,768 (2024-01-23)" in text
    assert "One event is one observation" in text
    path = gathered.study.path
    assert path.statement in text
    hour = next(hour for hour in path.hours if iso(hour.time_us) == "2025-01-27T08:00:00Z")
    row = f"Mon 2025-01-27 08:00 UTC {number(hour.level, 1)} {percent(hour.change)}"
    assert row in re.sub(r"\s+", " ", text)
    assert "Its largest day is 2025-02-03" in text and "US tariffs on Canada, Mexico and China (+5)" in text
    assert "Nasdaq futures on Monday morning" in text
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
        replace(one, p=0.001, p_holm=0.004, p_placebo=0.003, p_bootstrap=0.002)
        if (one.first, one.last) == (0, 0)
        else one
        for one in gathered.study.indices
    )
    worse = replace(gathered, study=replace(gathered.study, indices=indices))
    assert "more than chance is what all 6 tests say at 5 % (p = 0.001 with QQQ, 0.001 with" in sections.headline(worse)
    none = tuple(replace(one, car=None, reason="no data") for one in gathered.study.indices)
    unknown = replace(gathered, study=replace(gathered.study, indices=none))
    assert "no model could be fitted" in sections.headline(unknown)
    assert "there is no answer: no data" in sections.aftermath(unknown)
    assert "no data" in render(unknown)


@pytest.mark.parametrize(
    ("tails", "said"),
    [
        ((0.2, 0.2, 0.2, 0.2), "cannot be shown"),
        ((0.2, 0.04, 0.2, 0.06), "rests on 2 of 6 tests at 5 %: weak evidence"),
        ((0.01, 0.01, 0.01, 0.01), "is what all 6 tests say at 5 %"),
    ],
)
def test_the_window_is_judged_by_every_test(gathered, tails, said):
    span = (gathered.study.first, gathered.study.last)
    given = iter([(tails[0], tails[2]), (tails[1], tails[3])])
    indices = tuple(
        replace(one, p_holm=pair[0], p_placebo=pair[0], p_bootstrap=pair[1])
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
    assert "share of its value with BTC, ETH, SOL" in text
    shares = [percent(side.share.share, 2, sign=False) for side in gathered.breadth]
    assert "".join(f"<td>{share}</td>" for share in shares) in text
    assert "Market values stated by others and moved by our rates since: btc (coingecko:" in text


def test_the_same_store_writes_the_same_bytes(store, gathered, html, tmp_path):
    path = tmp_path / "deep" / "report.html"
    size = write_report(store, "deai", "deepseek", path=path)
    assert path.stat().st_size == size
    assert path.read_text(encoding="utf-8") == html
    assert [one.name for one in path.parent.iterdir()] == ["report.html"], "no draft is left behind"


def test_a_simulated_index_says_so(gathered):
    assert "SIMULATED" in render(replace(gathered, index=replace(gathered.index, simulated=True)))


def test_the_same_blocks_make_a_pdf_of_some_pages(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_report(store, "deai", "deepseek", path=Path("report.pdf"))
    content = Path("report.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert 4 <= len(re.findall(rb"/Type /Page\b", content)) <= 15


@pytest.mark.parametrize("case", ["week 2025-11-03 2025-11-09", "month 2025-10-01 2025-10-31"])
def test_a_period_tells_levels_attribution_members_beta_and_drawdown(store, history_now, tmp_path, case):
    period, first, last = case.split()
    known = store.as_known(to_us(history_now))
    for name in ("a.html", "b.html", "a.pdf", "b.pdf"):
        write_report(known, "deai", period=period, path=tmp_path / name)
    a, b = ((tmp_path / f"{name}.html").read_text(encoding="utf-8") for name in "ab")
    assert a == b and (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF-")
    text = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", a))).replace("\u00a0", " ")
    start, end = parse_instant(first), parse_instant(last) + DAY_US
    study = study_attribution(store, "deai", start_us=start, end_us=end)
    assert f"{period} to {last}" in text and f"by what was stored by {moment(to_us(history_now))}" in text
    assert percent(study.published, 2) in text
    assert all(percent(row.contribution, 2) in text for row in study.constituents)
    beta = index_beta(store, "deai", "QQQ", end_us=end - 1).estimate
    assert f"QQQ {number(beta.beta)} {number(beta.se)}" in text
    assert f"stands {percent(study_drawdowns(store, 'deai', end_us=end).now)}" in text


def test_another_ending_or_event_is_refused(store, tmp_path):
    with pytest.raises(InputError, match=r'"r\.txt" must end in \.html or \.pdf'):
        write_report(store, "deai", "deepseek", path=tmp_path / "r.txt")
    with pytest.raises(InputError, match='"year" is no period'):
        write_report(store, "deai", period="year", path=tmp_path / "r.html")
    with pytest.raises(NotFoundError, match="no event"):
        write_report(store, "deai", "nothing", path=tmp_path / "r.html")


def test_words_for_numbers():
    assert percent(-0.0382) == "\u22123.8 %"
    assert percent(None) == number(float("nan")) == p_value(None) == "–"
    assert p_value(0.0004) == "< 0.001"
    assert "&lt;b&gt;" in as_html(Document("", "", (Table(("a", "b"), (("<b>", "1"),)),)))
