# SPDX-License-Identifier: MIT
"""A resource that breaks in the first runs of handlers, and a server of these."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import fastcgi

from support.fcgi_client import fetch
from support.keeping import Maker


class Gone(Exception):
    """What a handler raises whose connection is broken."""


class Scene:
    """A resource and a server whose first runs fail."""

    def __init__(self, serve: Callable[..., Any], fails: int = 1, **options: Any) -> None:
        options.setdefault("retry", "safe")
        self.db = fastcgi.resource(
            Maker(), broken=lambda error, value: isinstance(error, Gone), **options
        )
        self.serve = serve
        self.fails = fails
        self.had: list[Any] = []
        self.seen: list[Any] = []

    def begin(self, app: Any, **options: Any) -> None:
        self.lines: list[str] = []
        self.served = self.serve(app, status_path="/status", **options)

    def work(self) -> str:
        with self.db as value:
            self.had.append(value)
            if len(self.had) <= self.fails:
                raise Gone("the connection is gone")
            return f"run {len(self.had)}"

    def retried(self) -> int:
        text = fetch(self.served.address, "GET", "/status?openmetrics").body.decode()
        line = re.search(r"^fastcgi_requests_retried_total (\d+)$", text, re.M)
        assert line, text
        return int(line[1])
