"""The documentation builds strictly and without a network; what is built asks nobody else for anything."""

from __future__ import annotations

import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browser import chromium

DOCS = Path(__file__).parents[2] / "docs"
# Elements that a browser fetches by itself; links that people click are free to lead elsewhere.
FETCHED = re.compile(r"<(?:script|img|iframe|source|video|audio)[^>]+src=[\"']?(?:https?:)?//[^\"'> ]+", re.I)
LINKED = re.compile(r"<link[^>]+rel=[\"']?(?:stylesheet|preconnect|preload|icon|modulepreload)[^>]*>", re.I)


def test_every_page_is_built(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        built = site / page.relative_to(DOCS).with_suffix(".html")
        assert built.is_file(), page
    assert (site / "recipes" / "grafana-dashboard.json").is_file()


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        assert FETCHED.findall(text) == [], page
        for link in LINKED.findall(text):
            assert "//" not in link.replace("image/", ""), (page, link)
    for sheet in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)\"']+", sheet.read_text("utf-8")) == [], sheet


@pytest.mark.browser
def test_the_site_in_a_browser(site: Path, tmp_path: Path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        with chromium(tmp_path) as browser:
            driver, home = browser.driver, f"127.0.0.1:{server.server_address[1]}"
            driver.get("about:blank")
            driver.get_log("performance")  # what Chromium's own first page did is not ours
            for page in ("index.html", "api.html", "recipes/grafana.html"):
                driver.get(f"http://{home}/{page}")
                browser.wait("return document.querySelector('h1') !== null && document.readyState === 'complete'")
                assert browser.overflow() <= 0, page
            driver.get(f"http://{home}/index.html")
            browser.wait("return document.readyState === 'complete'")
            browser.run("document.querySelector('.md-search__input').focus()")
            driver.switch_to.active_element.send_keys("free float")
            browser.wait("return document.querySelectorAll('.md-search-result__item').length > 0")
            assert browser.complaints() == []
            assert browser.hosts() == {home}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
