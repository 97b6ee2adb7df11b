"""A headless Chromium, and what it did: console, requests, accessibility. Debian's package, driven by selenium."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.common.exceptions import JavascriptException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
]
AXE = (
    "const done = arguments[0]; axe.run().then((run) => done(run.violations.map(({id, nodes}) => [id, nodes[0].html])))"
)


class Browser:
    """One Chromium with the few things the tests ask of it."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Goes to a page of ours and waits until it has drawn itself."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(url)
        self.wait("return document.body.dataset.ready === 'yes'")

    def forget(self, url: str) -> None:
        """Leaves nothing of what was chosen there before: storage, cookies, console."""
        self.driver.get(f"{url}/healthz")  # no page of ours, which could remember once more
        self.run("localStorage.clear()")
        self.driver.delete_all_cookies()
        self.complaints()

    def wait(self, script: str) -> Any:
        """Waits until a script gives something true, and gives it back."""
        between = (JavascriptException,)  # one document is gone, the next has no body yet
        waiting = WebDriverWait(self.driver, 20, poll_frequency=0.05, ignored_exceptions=between)
        return waiting.until(lambda driver: driver.execute_script(script))

    def run(self, script: str, *arguments: object) -> Any:
        """The value of a script."""
        return self.driver.execute_script(script, *arguments)

    def complaints(self) -> list[str]:
        """Errors and warnings on the console since the page was opened."""
        return [f"{one['level']} {one['message']}" for one in self.driver.get_log("browser")]

    def messages(self) -> list[dict[str, Any]]:
        """What the network did since the page was opened, or since this was last asked."""
        return [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]

    def hosts(self) -> set[str]:
        """Every host that was asked for anything since the page was opened."""
        messages = self.messages()
        urls = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
        return {urlsplit(url).netloc for url in urls if not url.startswith(("data:", "blob:"))}

    def accessibility(self) -> list[list[str]]:
        """What axe complains about: the rule, and the first element that breaks it."""
        self.driver.execute_script((files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8"))
        found: list[list[str]] = self.driver.execute_async_script(AXE)
        return found

    def overflow(self) -> int:
        """How many pixels the page is wider than the window."""
        return int(self.run("return document.documentElement.scrollWidth - innerWidth"))

    def shot(self, name: str) -> bytes:
        """A picture of the whole page, kept in build/screenshots."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        size = self.run("return [innerWidth, Math.min(document.documentElement.scrollHeight, 4000)]")
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        picture = self.driver.get_screenshot_as_png()
        (SHOTS / f"{name}.png").write_bytes(picture)
        return picture


@contextmanager
def chromium(profile: Path, *more: str) -> Iterator[Browser]:
    """A browser of its own, with more flags if need be; skips loudly where Chromium or its driver is not installed."""
    program, driver_path = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver_path is None:
        pytest.skip("no chromium or chromedriver on this machine: apt-get install chromium chromium-driver")
    options = Options()
    options.binary_location = program
    for flag in [*FLAGS, f"--user-data-dir={profile}", *more]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(driver_path))
    driver.set_page_load_timeout(30)
    driver.set_script_timeout(30)
    try:
        yield Browser(driver)
    finally:
        driver.quit()
