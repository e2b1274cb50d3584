# SPDX-License-Identifier: MIT
"""For development: replace the workers when the code changes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from ._say import say

SECONDS = 1.0  # From one look to the next, where nothing tells of changes.
SKIPPED = {"__pycache__", "node_modules", "site-packages", "venv", "env"}


class Watcher:
    """A thread that sends SIGHUP to its own process when one of the Python
    files below `roots`, or one of the files `extra`, changes."""

    def __init__(self, roots: Iterable[str], extra: Iterable[str], engine: str = "auto") -> None:
        self.roots = [os.path.realpath(root) for root in roots]
        self.extra = [os.path.realpath(path) for path in extra]
        self.engine = engine
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        # All signals are the supervisor's: the threads that begin here, also
        # those of watchfiles, must take none.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread = threading.Thread(target=self._run, name="fastcgi-reload", daemon=True)
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2 * SECONDS)

    def _run(self) -> None:
        for path in self._changes():
            shown = os.path.relpath(path)
            say(f"fastcgi: {shown} has changed\n", 0)
            os.kill(os.getpid(), signal.SIGHUP)

    def _changes(self) -> Iterator[str]:
        if self.engine == "auto":
            try:
                import watchfiles
            except ImportError:
                return self._poll()
            return self._told(watchfiles)
        return self._poll()

    def _told(self, watchfiles: Any) -> Iterator[str]:
        places = [path for path in (*self.roots, *self.extra) if os.path.exists(path)]
        changes = watchfiles.watch(
            *places,
            watch_filter=lambda _, path: is_code(path, self.roots) or path in self.extra,
            stop_event=self._stop,
            raise_interrupt=False,
        )
        for changed in changes:
            yield min(path for _, path in changed)

    def _poll(self) -> Iterator[str]:
        seen = self._look()
        while not self._stop.wait(SECONDS):
            now = self._look()
            changed = [path for path in {**seen, **now} if seen.get(path) != now.get(path)]
            seen = now
            if changed:
                yield min(changed)

    def _look(self) -> dict[str, tuple[int, int]]:
        found = {}
        for path in (*self.extra, *self._files()):
            try:
                about = os.stat(path)
            except OSError:
                continue
            found[path] = (about.st_mtime_ns, about.st_size)
        return found

    def _files(self) -> Iterator[str]:
        for root in self.roots:
            for place, directories, names in os.walk(root):
                directories[:] = [name for name in directories if not is_skipped(name)]
                yield from (os.path.join(place, name) for name in names if name.endswith(".py"))


def is_skipped(directory: str) -> bool:
    return directory in SKIPPED or directory.startswith(".")


def is_code(path: str, roots: Iterable[str]) -> bool:
    """Whether it is a Python file below one of the directories."""
    for root in roots:
        inner = os.path.relpath(path, root)
        parts = inner.split(os.sep)
        if parts[0] != ".." and not any(is_skipped(part) for part in parts[:-1]):
            return path.endswith(".py")
    return False
