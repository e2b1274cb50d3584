# SPDX-License-Identifier: MIT
"""Clients that ask a server of the test all the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from typing_extensions import Self

from support.fcgi_client import fetch, wait_until


class Busy:
    """Threads that work, each its function, until `_over` is set at the end of the block."""

    def __init__(self, *work: Callable[[], None]) -> None:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=one) for one in work]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


class Crowd(Busy):
    """Clients that ask again and again, and what they got."""

    def __init__(self, address: str, count: int) -> None:
        super().__init__(*[self._ask] * count)
        self.address = address
        self.statuses: list[tuple[float, int, float]] = []  # When, what, how long it took.

    def _ask(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            status = fetch(self.address).status
            ended = time.monotonic()
            self.statuses.append((ended, status, ended - began))

    def count(self, status: int, since: float = 0) -> int:
        return sum(one[1] == status and one[0] >= since for one in self.statuses)

    def wait_for(self, status: int, more: int = 20) -> None:
        enough = self.count(status) + more
        wait_until(lambda: self.count(status) >= enough, what=f"answers with {status}")
