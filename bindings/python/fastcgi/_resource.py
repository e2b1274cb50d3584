# SPDX-License-Identifier: MIT
"""What is kept between requests: opened, checked, reset, replaced and closed for the handlers."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from . import _core
from ._adapters import Adapter, adapter_of
from ._say import say

if TYPE_CHECKING:
    from types import TracebackType

    from psycopg import Connection as PsycopgConnection
    from psycopg_pool import ConnectionPool
    from sqlalchemy import Engine

    from ._pools import EngineResource, PoolResource

T = TypeVar("T")
C = TypeVar("C", bound="PsycopgConnection[Any]")

Scope = Literal["thread", "worker", "pool"]
Retry = Literal["never", "safe"]
Reset = Callable[[T], object] | Literal["session", "transaction", False]

CLOSE_SECONDS = 5.0  # For closing all when a server has stopped.
LOOK_SECONDS = 0.1  # From one attempt to open before serving to the next.
MOST_SECONDS = 2_000_000.0  # More milliseconds do not fit.
MOST_TOTAL = 1024  # FCGI_RESOURCE_TOTAL.
CROWDED_SECONDS = 5.0  # A server is not kept for longer by what others use.
FOREVER, NEVER = -1, -2  # FCGI_WAIT_FOREVER, FCGI_WAIT_NEVER.

_all: list[weakref.ref[Any]] = []  # In the order in which they were made.
_lock = threading.Lock()  # Held by the thread that prepares to serve.
_closer: threading.Thread | None = None  # Closes what rests when a server has stopped.


def _milliseconds(name: str, seconds: float | None, least: float, none: bool = True) -> int:
    """A time as the core has it, whose 0 is a default."""
    if seconds is None and none:
        return FOREVER
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        kind = "a number of seconds, or None" if none else "a number of seconds"
        raise TypeError(f"{name} must be {kind}, not {type(seconds).__name__}")
    if not least <= seconds <= MOST_SECONDS:
        raise ValueError(f"{name} must be from {least:g} to {MOST_SECONDS:g} seconds")
    return NEVER if seconds == 0 else max(1, round(seconds * 1000))


def _limit(limit: int | None) -> int:
    """limit_total as the core has it, whose 0 is none."""
    if limit is None:
        return 0
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"limit_total must be a number or None, not {type(limit).__name__}")
    if not 1 <= limit <= MOST_TOTAL:
        raise ValueError(f"limit_total must be from 1 to {MOST_TOTAL}")
    return limit


def _callable(name: str, value: Any) -> None:
    if value is not None and value is not False and not callable(value):
        raise TypeError(f"{name} must be callable, None or False, not {type(value).__name__}")


def _reset_session(adapter: Adapter, configure: Callable[[Any], object], value: Any) -> bool:
    """What undoes a request undoes what ``configure`` has set, too."""
    if adapter.reset_session(value) is False:
        return False
    if adapter.forgets_settings:
        configure(value)
        adapter.configured(value)
    return True


class resource(_core.Resource, Generic[T]):
    """Something expensive, such as a connection to a database, kept between requests.

        db = fastcgi.resource(lambda: psycopg.connect("dbname=shop"))

        def handler(request):
            with db as connection:
                ...

    ``open`` makes one. ``scope`` is "thread" for one a thread, "worker" for one
    a process, or "pool" for at most ``size``; whoever has it in a block, or
    until the end of the request by ``get()``, has it alone. Times are seconds:
    a wait lasts ``acquire_timeout`` at most and then raises ``Unavailable``; one
    that has rested for ``check_after`` is checked before it is used (0: each
    time; None: only after another one of the process was found broken); one
    older than ``max_age`` is replaced; one that rests for ``max_idle`` is
    closed, but for ``minimum`` of them (None for either: never). With ``eager``
    a server is ready only once one is open. With ``retry="safe"`` a GET or HEAD
    that fails because one broke runs once more. ``limit_total`` is how many are
    open in all workers of a supervisor together: whoever needs one more waits
    until the one that has rested for longest is closed.

    How one is checked, reset, closed and found broken is known for sqlite3,
    psycopg, psycopg2, PyMySQL and redis. Else ``close()`` and ``rollback()`` are
    called where it has them. ``check``, ``close`` and ``broken`` replace that;
    False does nothing. ``reset`` is a function too, or "session" (the default:
    nothing of a request shows in the next), or "transaction", which only rolls
    back. ``configure`` is called with each one that was opened.
    """

    def __init__(
        self,
        open: Callable[[], T],
        *,
        name: str | None = None,
        scope: Scope = "thread",
        size: int = 8,
        minimum: int = 0,
        eager: bool = False,
        acquire_timeout: float = 5.0,
        check_after: float | None = 30.0,
        max_age: float | None = 3600.0,
        max_idle: float | None = 600.0,
        retry: Retry = "never",
        limit_total: int | None = None,
        configure: Callable[[T], object] | None = None,
        check: Callable[[T], object] | Literal[False] | None = None,
        reset: Reset[T] = "session",
        close: Callable[[T], object] | Literal[False] | None = None,
        broken: Callable[[BaseException, T], object] | Literal[False] | None = None,
    ) -> None:
        if not callable(open):
            raise TypeError(f"open must be callable, not {type(open).__name__}")
        for option, value in (("check", check), ("close", close), ("broken", broken)):
            _callable(option, value)
        _callable("configure", configure)
        if reset not in ("session", "transaction", False) and not callable(reset):
            raise ValueError("reset must be 'session', 'transaction', False or callable")
        if retry not in ("never", "safe"):
            raise ValueError(f"retry must be 'never' or 'safe', not {retry!r}")
        if not 1 <= size <= 65536:
            raise ValueError("size must be from 1 to 65536")
        if not 0 <= minimum <= 65536:
            raise ValueError("minimum must be from 0 to 65536")
        super().__init__(
            open,
            name or getattr(open, "__name__", "").replace("<lambda>", "") or "resource",
            scope,
            size,
            minimum,
            eager,
            _milliseconds("acquire_timeout", acquire_timeout, 0, none=False),
            _milliseconds("check_after", check_after, 0),
            _milliseconds("max_age", max_age, 0.001),
            _milliseconds("max_idle", max_idle, 0.001),
            retry == "safe",
            _limit(limit_total),
        )
        self._eager = eager
        self._used = False
        self._configure = configure
        self._given: dict[str, Any] = {
            "check": check,
            "reset": reset,
            "close": close,
            "broken": broken,
        }
        self._adapter: Adapter | None = None
        _all.append(weakref.ref(self, _forget))

    @classmethod
    def sqlalchemy(
        cls,
        engine: Engine,
        *,
        name: str = "sqlalchemy",
        acquire_timeout: float = 5.0,
        retry: Retry = "never",
        eager: bool = False,
    ) -> EngineResource:
        """A resource of the connections in the pool of an engine.

            db = fastcgi.resource.sqlalchemy(create_engine("postgresql+psycopg:///shop"))

        The engine says how many there are, how long a take waits for a free
        one, and when one is replaced. ``acquire_timeout`` is how long it waits
        for a database that is away.
        """
        from ._pools import EngineResource

        return EngineResource(engine, name, acquire_timeout, retry, eager)

    @classmethod
    def psycopg_pool(
        cls,
        pool: ConnectionPool[C],
        *,
        name: str | None = None,
        retry: Retry = "never",
        eager: bool = False,
    ) -> PoolResource[C]:
        """A resource of the connections in a pool of psycopg_pool.

            db = fastcgi.resource.psycopg_pool(ConnectionPool("dbname=shop", open=False))

        The pool is opened when it is first needed or, with ``eager``, before
        the server is ready. It says how many connections there are, how long a
        take waits for one, and when one is replaced.
        """
        from ._pools import PoolResource

        return PoolResource(pool, name, retry, eager)

    if TYPE_CHECKING:

        def __enter__(self) -> T: ...
        def __exit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            traceback: TracebackType | None,
            /,
        ) -> Literal[False]: ...
        def get(self) -> T: ...

    def _opened(self, value: T) -> None:
        """What the core calls with each one that was opened, before it is used."""
        self._used = True
        found = adapter_of(value)
        if self._adapter is None or type(self._adapter) is not found:
            self._adapt(found(), value)
        assert self._adapter is not None
        self._adapter.opened(value)
        if self._configure:
            self._configure(value)
        self._adapter.configured(value)

    def _adapt(self, adapter: Adapter, value: T) -> None:
        given = self._given
        reset = given["reset"]
        self._adapter = adapter
        check = adapter.check if adapter.checks else None
        self._check = check if given["check"] is None else given["check"] or None
        self._broken = adapter.broken if given["broken"] is None else given["broken"] or None
        self._reset = reset or None
        if reset == "session":
            configure = self._configure
            self._reset = (
                partial(_reset_session, adapter, configure)
                if configure
                else (adapter.reset_session)
            )
        elif reset == "transaction":
            self._reset = adapter.reset_transaction
        if not adapter.resets(value) and not callable(reset):
            self._reset = None
        self._adapted()

    def _closing(self, value: T) -> None:
        """What the core calls to have one closed."""
        close = self._given["close"]
        if self._adapter is None:
            return
        self._adapter.forget(value)
        if close is None:
            self._adapter.close(value)
        elif close:
            close(value)

    def _leave_parent(self) -> None:
        """What a fork does at once."""

    def _open_one(self) -> None:
        if self.stats()["limit_total"]:
            self._enter_within(int(1000 * CROWDED_SECONDS))
        else:
            self.__enter__()
        self.__exit__(None, None, None)

    def _is_crowded(self) -> bool:
        """Others use all that limit_total allows, so what is connected to is there."""
        stats = self.stats()
        return not stats["away"] and 0 < stats["limit_total"] <= stats["total"]

    def _prepare(self, server: _core.Server) -> None:
        """Before a server serves: have one open, if it is eager."""
        if self.forked:
            self.renew()
            self._used = False
        before = ""
        while self._eager and not self.stats()["opened"] and not server._stopping:
            try:
                self._open_one()
                return
            except _core.Unavailable as error:
                if self._is_crowded():
                    say(
                        f"fastcgi: resource '{self.name}': others use all that limit_total "
                        "allows; the server is ready without one"
                    )
                    return
                if str(error) != before:
                    before = str(error)
                    say(f"fastcgi: {before}; the server is not ready before it is")
                time.sleep(LOOK_SECONDS)


def _forget(gone: weakref.ref[Any]) -> None:
    if gone in _all:
        _all.remove(gone)


def _living() -> list[resource[Any]]:
    return [found for found in [reference() for reference in _all] if found is not None]


def prepare(server: _core.Server) -> None:
    """Each thread calls it before it serves; the first one opens what is eager."""
    if not _all:
        return
    with _lock:
        for each in _living():
            each._prepare(server)


def tidy_all(what: str) -> None:
    """What was made last is closed first: it may need the others."""
    for each in reversed(_living()):
        each._tidy(what)


def close_all(seconds: float = CLOSE_SECONDS) -> None:
    """Close what rests, within a bounded time: a server may not answer a goodbye."""
    global _closer
    if not any(each.stats()["open"] for each in _living()):
        return
    _closer = threading.Thread(target=tidy_all, args=("all",), name="fastcgi-close", daemon=True)
    _closer.start()
    _closer.join(seconds)
    if _closer.is_alive():
        say(f"fastcgi: closing resources takes longer than {seconds:g} s; they are left open")


def _at_exit() -> None:
    """Nothing more is closed, not even by finalizers, where closing takes too long already."""
    if _closer is None or not _closer.is_alive():
        tidy_all("all")
        return
    for each in _living():
        each._given["close"] = False


def _after_fork() -> None:
    """What was never used may be used by a child as its own."""
    global _lock, _closer
    _lock, _closer = threading.Lock(), None
    for each in _living():
        each._leave_parent()
        if not each._used:
            each.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
