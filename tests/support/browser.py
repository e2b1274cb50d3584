# SPDX-License-Identifier: MIT
"""Chromium without a window, driven by its chromedriver (W3C WebDriver)."""

import base64
import json
import os
import re
import urllib.request
from pathlib import Path

from support.fcgi_client import wait_until
from support.paths import tool
from support.process import Process


class Browser:
    """One window. Use it as a context manager."""

    def __init__(self, directory: Path, width: int = 1100, height: int = 900):
        self._driver = Process(
            [tool("chromedriver"), "--port=0"], directory / "chromedriver.log", cwd=directory
        )
        try:
            self._url = f"http://127.0.0.1:{self._port()}/session"
            self._url += "/" + self._begin(directory, width, height)
        except BaseException:
            self._driver.stop()
            raise

    def _port(self) -> str:
        pattern = r"started successfully on port (\d+)"
        wait_until(lambda: re.search(pattern, self._driver.output()), 20, "chromedriver")
        return re.search(pattern, self._driver.output())[1]

    def _begin(self, directory: Path, width: int, height: int) -> str:
        words = [
            "--headless=new",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            f"--window-size={width},{height}",
            f"--user-data-dir={directory}/profile",
        ]
        if os.geteuid() == 0:  # Chromium's own sandbox refuses to run as root.
            words.append("--no-sandbox")
        wanted = {
            "goog:chromeOptions": {"binary": tool("chromium"), "args": words},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        answer = self._ask("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        return answer["sessionId"]

    def _ask(self, method: str, path: str, body: dict | None = None):
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(self._url + path, data, headers, method=method)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.load(answer)["value"]

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._ask("DELETE", "")
        finally:
            self._driver.stop()

    def go(self, url: str) -> None:
        self._ask("POST", "/url", {"url": url})

    def resize(self, width: int, height: int) -> None:
        """Gives the window another size, in pixels."""
        self._ask("POST", "/window/rect", {"width": width, "height": height})

    def evaluate(self, script: str):
        """What a script of the page returns."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": []})

    def console(self) -> list[str]:
        """Lines of the console since the last look, also errors of the network."""
        return [entry["message"] for entry in self._ask("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))
