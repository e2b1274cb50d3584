# SPDX-License-Identifier: MIT
"""Django keeps a connection for each thread and closes none when a thread ends. Where Django is
loaded, a thread that has served closes its own; a fork that a handler makes forgets them."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from . import _core

_threads: set[int] = set()  # Those that serve.
_parents: list[Any] = []  # What a fork has of its parent's: to let go of it might say goodbye.


def _opened() -> list[Any]:
    """Of this thread."""
    found = getattr(sys.modules.get("django.db"), "connections", None)
    with contextlib.suppress(Exception):  # Django may have no settings.
        return [] if found is None else list(found.all(initialized_only=True))
    return []


def _close_all() -> None:
    for connection in _opened():
        with contextlib.suppress(Exception):  # It may be broken.
            connection.close()


@contextlib.contextmanager
def closing_connections(server: _core.Server) -> Iterator[None]:
    """Around what a thread serves."""
    _threads.add(threading.get_ident())
    try:
        yield
    finally:
        _threads.discard(threading.get_ident())
        if not server.forked:
            _close_all()


def _after_fork() -> None:
    """The connections of the thread that has forked are the parent's. SQLite has no other side, and
    a database in memory would be lost."""
    served = threading.get_ident() in _threads
    _threads.clear()
    for connection in _opened() if served else ():
        if connection.vendor != "sqlite":
            _parents.append(connection)
            del sys.modules["django.db"].connections[connection.alias]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
