# SPDX-License-Identifier: MIT
"""Dictionaries that all workers share."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from ._core import Shared as _Memory
from ._core import Timeout

if TYPE_CHECKING:
    from ._types import SharedValue

    Value = TypeVar("Value", bound=SharedValue)

_LOCK_TTL = 60.0
_LOOK = 0.2  # Seconds after which a waiter looks for signals.
_FOREVER = float("inf")


class Shared(_Memory):
    """A dictionary that all workers of a supervisor share."""

    def lock(
        self, key: str | bytes, /, timeout: float | None = None, ttl: float = _LOCK_TTL
    ) -> SharedLock:
        """A lock for a `with` statement, so that one of many makes what all want. Waiting longer
        than `timeout` seconds raises fastcgi.Timeout; after `ttl` seconds, or when its process
        has ended, it is free again."""
        return SharedLock(self, key, timeout, ttl)

    def get_or_set(
        self, key: str | bytes, make: Callable[[], Value], /, ttl: float | None = None
    ) -> Value:
        """The value of a key. Where there is none, one caller makes it while others wait."""
        value: Value | None = self.get(key)
        if value is None:
            with self.lock(key):
                value = self.get(key)
                if value is None:
                    value = make()
                    self.set(key, value, ttl)
        return value

    def __contains__(self, key: str | bytes) -> bool:
        return self.get(key) is not None

    def __getitem__(self, key: str | bytes) -> SharedValue:
        value: SharedValue | None = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str | bytes, value: SharedValue) -> None:
        self.set(key, value)

    def __delitem__(self, key: str | bytes) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def __repr__(self) -> str:
        return f"<fastcgi.shared {self.name!r}{' (private)' if self.private else ''}>"


class SharedLock:
    """Held inside a `with` statement."""

    def __init__(
        self, shared: Shared, key: str | bytes, timeout: float | None, ttl: float | None
    ) -> None:
        self._shared, self._key, self._timeout, self._ttl = shared, key, timeout, ttl
        self._tokens: list[int] = []

    def acquire(self) -> bool:
        """Take it; says whether it could be had within the timeout."""
        end = _FOREVER if self._timeout is None else time.monotonic() + self._timeout
        while True:
            left = max(0.0, min(_LOOK, end - time.monotonic()))
            token = self._shared._lock(self._key, self._ttl, int(left * 1000))
            if token:
                self._tokens.append(token)
                return True
            if time.monotonic() >= end:
                return False

    def release(self) -> bool:
        """Give it back; says whether it was held to the end."""
        return bool(self._tokens) and self._shared._unlock(self._key, self._tokens.pop())

    def __enter__(self) -> SharedLock:
        if not self.acquire():
            raise Timeout(f"the lock {self._key!r} is held by another")
        return self

    def __exit__(
        self, *exc_info: type[BaseException] | BaseException | TracebackType | None
    ) -> None:
        self.release()


_open: dict[str, Shared] = {}


def shared(name: str, size: int = 1 << 20) -> Shared:
    """The dictionary of that name, which `--shared NAME=SIZE` declares. A process without a
    supervisor has one of its own, of `size` bytes."""
    found = _open.get(name)
    if found is None:
        found = _open.setdefault(name, Shared(name, size))
    return found
