# SPDX-License-Identifier: MIT
"""The status page of workers under load, in a browser."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.browser import Browser
from support.load import Load
from support.nginx import Nginx
from support.paths import SOURCE
from support.supervisor import Supervisor

PATH = "/kept/status"
APPS = SOURCE / "tests" / "integration" / "apps"
APP = [sys.executable, "-m", "fastcgi", "kept_echo:app", "--chdir", APPS, "--stream"]


class Dashboard:
    """What one sees of it."""

    def __init__(self, browser: Browser, supervisor: Supervisor, port: int):
        self.browser = browser
        self.supervisor = supervisor
        self.port = port

    def number(self, key: str) -> float:
        """A number that the page shows, wherever it does; -1 when it shows none."""
        text = self.browser.evaluate(
            f"const at = document.querySelector('[data-k=\"{key}\"]');"
            "return at ? at.textContent : '';"
        )
        try:
            return float(text.split()[0])
        except (ValueError, IndexError):
            return -1

    def workers(self) -> set[int]:
        """The processes in its table."""
        cells = self.browser.evaluate(
            "return [...document.querySelectorAll('#workers tr')]"
            ".map(row => row.cells[0].textContent)"
        )
        return {int(cell) for cell in cells}

    def load(self, clients: int = 4) -> Load:
        return Load(self.port, "/kept/x", "/kept/x", clients)


@contextmanager
def dashboard(directory: Path, workers: int = 4) -> Iterator[Dashboard]:
    options = ["--status-path", PATH]
    with (
        Supervisor(directory, [*APP, "--threads", "2"], *options, workers=workers) as supervisor,
        Nginx(directory, supervisor.address) as nginx,
        Browser(directory) as browser,
    ):
        supervisor.ready()
        browser.go(f"http://127.0.0.1:{nginx.port}{PATH}")
        yield Dashboard(browser, supervisor, nginx.port)
