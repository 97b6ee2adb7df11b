"""Charts, badge, iframe, oEmbed and link previews: shapes, sizes, labels and what is said of simulated data."""

from __future__ import annotations

import io
import json
import os
import signal
import struct
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest
import vl_convert
from fastapi.testclient import TestClient
from live_server import serve
from seeded import NOW

from api.app import create_app
from api.beside import Beside, as_png
from api.routes.charts import time_ticks, value_ticks
from api.routes.embeds import badge_message, badge_svg, index_of_url
from indexer.config import Settings
from indexer.errors import BusyError, NotFoundError
from indexer.live.upstream import NO_SOURCES
from indexer.store.db import Store
from indexer.times import DAY_US, parse_instant

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("kind", ["level", "drawdown", "beta"])
def test_charts_are_drawn_with_a_date(client: TestClient, kind: str) -> None:
    answer = client.get(f"/charts/demo.svg?kind={kind}&range=all&theme=dark&width=400&height=200&sessions=60")
    assert answer.headers["content-type"] == "image/svg+xml"
    root = ElementTree.parse(io.BytesIO(answer.content)).getroot()
    assert (root.tag, root.attrib["width"]) == (f"{SVG}svg", "400")
    words = " ".join(text for text in root.itertext())
    assert "SIMULATED market, invented prices" in words
    assert ("as of 2025-02-03 at the New York close" if kind == "beta" else "as of 2025-02-04 00:00 UTC") in words
    (line,) = (node for node in root.iter(f"{SVG}path") if node.attrib.get("class") == "line")
    assert len(line.attrib["d"]) > 1000
    assert "http" not in answer.text.replace("http://www.w3.org", "")


def test_a_chart_as_png_has_the_size_asked_for(client: TestClient) -> None:
    answer = client.get("/charts/deai.png?width=300&height=150&scale=2", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-type"] == "image/png"
    assert "content-encoding" not in answer.headers
    assert struct.unpack(">II", answer.content[16:24]) == (600, 300)


def test_drawing_keeps_nobody_waiting(store: Store, tmp_path: Path) -> None:
    """The largest pictures, each of its own size, drawn for as many as may wait; health checks meanwhile."""
    settings = Settings(data_dir=tmp_path, sources=NO_SOURCES)
    app = create_app(store, settings=settings, clock=lambda: NOW)
    with serve(app) as running, ThreadPoolExecutor(12) as pool, httpx.Client(base_url=running.url, timeout=60) as http:
        assert http.get("/charts/deai.png").status_code == 200  # the process that draws is there
        asked = [pool.submit(http.get, f"/charts/deai.png?range=all&width=1600&height={600 + n}") for n in range(12)]
        healthy = 0
        while not all(one.done() for one in asked):
            healthy += http.get("/healthz").status_code == 200
        assert {one.result().status_code for one in asked} <= {200, 503}
        assert healthy > 20  # while one picture alone takes a second of a core


def test_a_drawing_that_takes_too_long_ends_for_all_who_wait(client: TestClient) -> None:
    picture = client.get("/charts/deai.svg?range=1w").content
    pictures = Beside("picture", waiting=3, within_s=0.01)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(pictures.run, as_png, picture, 1.0) for _ in range(4)]
        assert [type(one.exception()) for one in asked] == [BusyError] * 4
    pictures.within_s = 60.0
    assert pictures.run(as_png, picture, 1.0).startswith(b"\x89PNG")  # by a process of its own
    pictures.close()


def test_a_process_beside_hears_no_ctrl_c_and_may_end_with_each_work() -> None:
    stays, once = (Beside("work", waiting=1, within_s=60.0, once=ends) for ends in (False, True))
    first = stays.run(os.getpid)
    os.kill(first, signal.SIGINT)
    assert stays.run(os.getpid) == first
    stays.close()
    first, second = (once.run(os.getpid) for _ in range(2))
    assert len({first, second, os.getpid()}) == 3
    for ended in (first, second):
        with pytest.raises(ProcessLookupError):
            os.kill(ended, 0)


def test_pictures_have_a_short_list_of_scales_and_a_bound(client: TestClient) -> None:
    large = client.get("/charts/deai.png?width=1600&height=1200&scale=3")
    assert struct.unpack(">II", large.content[16:24]) == (1600, 1200)  # at 1.5 it would have 4.3 million pixels
    refused = client.get("/charts/deai.png?scale=1.25")
    assert (refused.status_code, "known are 0.5, 1, 1.5, 2, 3" in refused.json()["detail"]) == (422, True)


def test_the_specification_is_valid_and_ends_at_the_newest_level(client: TestClient) -> None:
    spec = client.get("/charts/deai.vl.json?range=all").json()
    assert vl_convert.vegalite_to_vega(spec)["width"] == 720
    newest = client.get("/v1/indices/deai/latest").json()["level"]
    assert spec["data"]["values"][-1]["value"] == newest
    assert "SIMULATED" not in json.dumps(spec)


def test_a_drawdown_chart_knows_the_peak_before_its_range(client: TestClient) -> None:
    spec = client.get("/charts/deai.vl.json?range=1m&kind=drawdown").json()
    values = [row["value"] for row in spec["data"]["values"]]
    levels = [row["level"] for row in client.get("/v1/indices/deai/levels").json()["data"]]
    assert values[-1] == pytest.approx(levels[-1] / max(levels) - 1)
    assert max(values) < 0


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/charts/none.svg", "not_found"),
        ("/charts/empty.svg", "not_enough_data"),
        ("/charts/deai.svg?width=5", "invalid_request"),
        ("/charts/deai.svg?kind=beta&benchmark=XXX", "not_found"),
        ("/badge/none.svg", "not_found"),
        ("/embed/none", "not_found"),
        ("/og/empty.png", "not_enough_data"),
        ("/oembed?url=http://x/indices/none", "not_found"),
        ("/oembed?url=http://x/other", "not_found"),
        ("/oembed?url=http://[x/indices/deai", "not_found"),
        ("/oembed?url=/indices/deai&format=xml", "not_implemented"),
        ("/oembed", "invalid_request"),
    ],
)
def test_refusals_are_problems(client: TestClient, path: str, code: str) -> None:
    assert client.get(path).json()["code"] == code


def test_a_badge_reads_as_text(client: TestClient) -> None:
    answer = client.get("/badge/deai.svg?label=my%20%3Cindex%3E")
    root = ElementTree.fromstring(answer.content)
    latest = client.get("/v1/indices/deai/latest").json()
    assert root.attrib["aria-label"].startswith(f"my <index>: {latest['level']:,.2f} +")
    assert "no levels yet" in client.get("/badge/empty.svg").text
    assert "(simulated)" in client.get("/badge/demo.svg").text


def test_shields_gets_its_schema(client: TestClient) -> None:
    body = client.get("/badge/deai.json").json()
    assert body["schemaVersion"] == 1
    assert body["label"] == "DEAI"
    assert body["message"]
    assert body["isError"] is False
    assert client.get("/badge/empty.json").json()["isError"] is True


@pytest.mark.parametrize(
    ("status", "change", "text", "color"),
    [
        ("final", 0.023, "1,042.17 +2.3%", "#2e7d4f"),
        ("final", -0.05, "1,042.17 −5.0%", "#b3261e"),
        ("final", None, "1,042.17", "#6b7280"),
        ("carried", 0.01, "1,042.17 +1.0%, carried", "#b0520f"),
    ],
)
def test_badge_messages(status: str, change: float | None, text: str, color: str) -> None:
    latest = {"level": 1042.17, "change": {"d1": change}, "simulated": False, "status": status}
    latest |= {"time": NOW - timedelta(hours=1), "fresh_until": NOW}
    assert badge_message(latest, now=NOW) == (text, color)
    late = badge_message(latest, now=NOW + timedelta(seconds=1))
    assert late == ("1,042.17, of 2025-02-03", "#b0520f")


def test_a_badge_grows_old_without_new_data(store: Store) -> None:
    now = [NOW]
    app = create_app(store, clock=lambda: now[0])
    app.state.services.refresh()
    client = TestClient(app)
    assert "+" in client.get("/badge/deai.svg").text
    now[0] += timedelta(days=2)
    for path in ("/badge/deai.svg", "/badge/deai.json"):
        assert ", of 2025-02-04" in client.get(path).text


def test_the_line_of_a_beta_of_one_is_drawn_once(client: TestClient) -> None:
    picture = ElementTree.fromstring(client.get("/charts/deai.svg?kind=beta&sessions=60").content)
    dashed = [node for node in picture.iter() if node.attrib.get("stroke-dasharray") == "3,3"]
    assert len(dashed) == 1


@pytest.mark.parametrize(
    ("begin", "end", "words"),
    [
        ("2025-01-27T12:00:00", "2025-02-03", ["28 Jan", "29 Jan", "30 Jan", "31 Jan", "1 Feb", "2 Feb", "3 Feb"]),
        ("2024-02-10", "2025-02-10", ["Apr 2024", "Jul 2024", "Oct 2024", "Jan 2025"]),
        ("2019-05-01", "2026-05-01", ["2020", "2021", "2022", "2023", "2024", "2025", "2026"]),
    ],
)
def test_an_axis_of_time_has_whole_days_months_or_years(begin: str, end: str, words: list[str]) -> None:
    ticks = time_ticks(parse_instant(begin), parse_instant(end), most=7)
    assert [text for _, text in ticks] == words
    assert all(us % DAY_US == 0 for us, _ in ticks)


def test_an_axis_of_values_has_round_numbers() -> None:
    def words(low: float, high: float, *, most: int, form: str) -> list[str]:
        return [text for _, text in value_ticks(low, high, most=most, form=form)]

    assert [value for value, _ in value_ticks(-0.62, 0.0, most=4, form="%")] == pytest.approx([-0.6, -0.4, -0.2, 0.0])
    assert words(310.0, 1290.0, most=5, form=",f") == ["400", "600", "800", "1,000", "1,200"]
    assert words(100.1, 102.2, most=5, form=",f") == ["100.5", "101.0", "101.5", "102.0"]
    assert words(0.4, 1.7, most=5, form="f") == ["0.5", "1.0", "1.5"]
    assert words(-0.021, 0.0, most=5, form="%") == ["-2.0%", "-1.5%", "-1.0%", "-0.5%", "0.0%"]
    assert words(-0.13, 0.0, most=5, form="%") == ["-10%", "-5%", "0%"]


def test_a_badge_is_wide_enough_for_its_text() -> None:
    short, long = badge_svg("A", "1", color="#000"), badge_svg("A", "W" * 30, color="#000")
    boxes = [ElementTree.fromstring(badge).attrib for badge in (short, long)]
    assert float(boxes[1]["width"]) > float(boxes[0]["width"]) + 29 * 9
    assert [box["height"] for box in boxes] == ["20", "20"]


def test_the_iframe_page_needs_no_script_and_may_be_framed(client: TestClient) -> None:
    answer = client.get("/embed/demo?theme=dark&range=3m")
    assert "frame-ancestors" not in answer.headers["content-security-policy"]
    assert "<svg" in answer.text
    assert "Simulated market" in answer.text
    assert 'aria-label="demo index: level' in answer.text
    assert "as of 2025-02-04 00:00 UTC" in answer.text
    assert "set-cookie" not in answer.headers
    assert "no levels yet" in client.get("/embed/empty").text
    assert "frame-ancestors 'none'" in client.get("/").headers["content-security-policy"]


def test_oembed_obeys_the_size_and_is_discovered(client: TestClient) -> None:
    page = client.get("/indices/deai").text
    found = page.split('type="application/json+oembed" href="')[1].split('"')[0].replace("&amp;", "&")
    body = client.get(found).json()
    assert (body["type"], body["version"], body["width"], body["height"]) == ("rich", "1.0", 640, 380)
    assert body["html"].startswith('<iframe src="http://testserver/embed/deai"')
    other = client.get(found, headers={"host": "evil.example"})
    assert "evil.example" in other.json()["html"]  # to the one who said it, and kept nowhere
    assert other.headers["cache-control"] == "no-store"
    assert client.get(found).json() == body
    small = client.get(found + "&maxwidth=300&maxheight=100").json()
    assert (small["width"], small["height"]) == (300, 100)
    assert 'width="300"' in small["html"]


def test_link_previews_have_a_picture(client: TestClient) -> None:
    page = client.get("/indices/deai").text
    assert '<meta property="og:image" content="http://testserver/og/deai.png">' in page
    assert struct.unpack(">II", client.get("/og/deai.png").content[16:24]) == (1200, 630)


def test_urls_of_ours_are_recognised() -> None:
    assert index_of_url("https://h.example/deai/indices/deai-ew?x=1#y") == "deai-ew"
    assert index_of_url("/embed/deai") == "deai"
    with pytest.raises(NotFoundError, match="is not a page of an index"):
        index_of_url("https://h.example/indices")
