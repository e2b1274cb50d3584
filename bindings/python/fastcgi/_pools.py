# SPDX-License-Identifier: MIT
"""Pools of other libraries as resources: the pool lends a connection to whoever takes one, and gets
it back when that is given back. In the core a loan is what is open, and it never rests."""

from __future__ import annotations

import inspect
import os
import threading
import time
import weakref
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from . import _core
from ._adapters import Psycopg
from ._resource import Retry, resource

if TYPE_CHECKING:
    from psycopg import Connection as PsycopgConnection
    from psycopg_pool import ConnectionPool
    from sqlalchemy import Connection, Engine

T = TypeVar("T")
C = TypeVar("C", bound="PsycopgConnection[Any]")

MOST = 65536  # Loans at once; the pool has a limit of its own.
IDLE_SECONDS = 8.0  # The status is told every eighth of it.
CLOSE_SECONDS = 3.0  # For what threads of a pool still do when it is closed.

# Where the numbers are that _tell takes: read_told in told.c has the same order.
OPEN, IN_USE, WAITING, OPENED, FAILED, WAITED_MS, CLOSED = range(7)
CHECK, _, INVALIDATED, AGE, IDLE, DRAINED, _, STOPPED = range(CLOSED, CLOSED + 8)
WAITS = CLOSED + 8
WAIT_COUNT = 16

PROVED = "fastcgi_proved"  # What a connection of an engine remembers.


def _weakly(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method of a resource that goes with its last reference all the same."""
    reference = weakref.WeakMethod(method)

    def call(*arguments: Any) -> Any:
        found = reference()
        return None if found is None else found(*arguments)

    return call


def _is_a(value: object, *kinds: tuple[str, str]) -> bool:
    """By the names of classes, so that no library is imported for it."""
    return any((kind.__module__, kind.__qualname__) in kinds for kind in type(value).__mro__)


class Lending(resource[T]):
    """What both have in common."""

    _cause: int | None = None  # Why the pool closes what it closes now, where that is known.

    def __init__(self, name: str, acquire_timeout: float, retry: Retry, eager: bool) -> None:
        self._local = threading.local()
        self._counting = threading.RLock()
        self._counts = array("Q", bytes(8 * (WAITS + WAIT_COUNT)))
        self._loans = 0
        self._trust = 0  # Grows when one broke: what proved to work before is checked.
        self._pid = os.getpid()
        self._parents: list[object] = []  # Pools of a parent: to let go of one might say goodbye.
        super().__init__(
            _weakly(self._borrow),
            name=name,
            scope="pool",
            size=MOST,
            eager=eager,
            acquire_timeout=acquire_timeout,
            check_after=None,
            max_age=None,
            max_idle=IDLE_SECONDS,
            retry=retry,
        )
        self._broken = self._is_broken
        self._reset = _weakly(self._give)
        self._adapted()
        self._publish()

    # What each of them does.

    def _is_full(self) -> bool:
        """Whether a take has to wait."""
        raise NotImplementedError

    def _lend(self) -> T:
        """Take one from the pool. Unavailable: none is free in time."""
        raise NotImplementedError

    def _put(self, value: T) -> bool:
        """Return it to the pool as the next one is to find it, or False: it is broken."""
        raise NotImplementedError

    def _discard(self, value: T) -> None:
        """Return what nobody may use any more."""
        raise NotImplementedError

    @staticmethod
    def _is_broken(error: BaseException, value: Any) -> bool:
        raise NotImplementedError

    def _measure(self, counts: array[int]) -> None:
        """Fill in what the pool knows."""
        raise NotImplementedError

    def _empty(self) -> None:
        """Close what the pool has; what is lent is closed when it is returned."""
        raise NotImplementedError

    def _end(self) -> None:
        """The server has stopped."""
        raise NotImplementedError

    def _replace(self) -> None:
        """In a fork: have a pool of its own."""
        raise NotImplementedError

    # What the core calls.

    def _borrow(self) -> T:
        if not self._is_full():
            return self._lend()
        began = time.monotonic()
        self._add(WAITING, 1)
        self._publish()
        try:
            return self._lend()
        finally:
            self._add(WAITING, -1)
            self._waited(int((time.monotonic() - began) * 1000))

    def _waited(self, ms: int) -> None:
        self._add(WAITED_MS, ms)
        self._add(WAITS + min(ms.bit_length(), WAIT_COUNT - 1), 1)

    def _opened(self, value: T) -> None:
        self._used = True
        with self._counting:
            self._loans += 1
            self._publish()

    def _give(self, value: T) -> bool:
        """What is given back does not rest: it is closed as if it had been drained."""
        if not self._put(value):
            return False
        self._local.returned = value
        _core.Resource.drain(self)
        return True

    def _closing(self, value: T) -> None:
        """On the thread that has given it back, or of one that was not."""
        if getattr(self._local, "returned", None) is value:
            self._local.returned = None
        elif self._given["close"] is not False:
            self._discard(value)
        with self._counting:
            self._loans -= 1
            self._publish()

    # What is counted.

    def _add(self, index: int, amount: int) -> None:
        with self._counting:
            self._counts[index] += amount

    def _publish(self) -> None:
        with self._counting:
            self._measure(self._counts)
            self._tell(self._counts)

    def stats(self) -> dict[str, int]:
        """What is counted, as a dict of numbers."""
        if not self.forked:
            self._publish()
        return super().stats()

    # Its life.

    def drain(self) -> None:
        """Close all that are open, those that are in use when they are given back."""
        if self.forked:
            return
        super().drain()
        self._because(DRAINED, self._empty)
        self._publish()

    def renew(self) -> None:
        """In a process that was forked: have a pool of its own."""
        if self.forked:
            self._leave_parent()
            super().renew()
            self._publish()

    def _leave_parent(self) -> None:
        """In a fork, before anything else happens: what was lent is the parent's, and so is what
        the pool has."""
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._local = threading.local()
        self._counting = threading.RLock()
        self._counts = array("Q", bytes(8 * (WAITS + WAIT_COUNT)))
        self._loans = self._trust = 0
        self._replace()

    def _tidy(self, what: str, /) -> None:
        if self.forked:
            return
        super()._tidy(what)
        if what == "all" and self._given["close"] is not False:
            self._because(STOPPED, self._end)
        self._publish()

    def _because(self, cause: int, close: Callable[[], None]) -> None:
        self._local.cause = cause
        try:
            close()
        finally:
            self._local.cause = None


class EngineResource(Lending["Connection"]):
    """An engine of SQLAlchemy, which has a pool; ``engine`` is it."""

    def __init__(
        self, engine: Engine, name: str, acquire_timeout: float, retry: Retry, eager: bool
    ) -> None:
        if _is_a(engine, ("sqlalchemy.ext.asyncio.engine", "AsyncEngine")):
            raise TypeError(
                "engine is an AsyncEngine, which handlers cannot wait for; use create_engine()"
            )
        if not _is_a(engine, ("sqlalchemy.engine.base", "Engine")):
            raise TypeError(f"engine must be one of SQLAlchemy, not {type(engine).__name__}")
        from sqlalchemy import event, exc

        self.engine = engine
        self._late = exc.TimeoutError
        self._pools: dict[int, object] = {}  # That lent a connection, by its id.
        self._broke = 0.0  # When one broke: what is older is replaced by the engine.
        super().__init__(name, acquire_timeout, retry, eager)
        for what in ("connect", "invalidate", "close", "close_detached"):
            event.listen(engine, what, _weakly(getattr(self, f"_on_{what}")))

    def _is_full(self) -> bool:
        pool: Any = self.engine.pool
        most = getattr(pool, "_max_overflow", -1)
        return most >= 0 and pool.checkedout() >= pool.size() + most

    def _lend(self) -> Connection:
        while True:
            trust, pool = self._trust, self.engine.pool
            try:
                connection = self.engine.connect()
            except self._late as error:
                raise _core.Unavailable(str(error)) from error
            if connection.info.get(PROVED, 0) == trust or self._works(connection):
                connection.info[PROVED] = trust
                self._pools[id(connection)] = pool
                return connection
            self._because(CHECK, connection.invalidate)
            connection.close()

    def _works(self, connection: Connection) -> bool:
        dialect, raw = self.engine.dialect, connection.connection.dbapi_connection
        assert raw is not None
        try:
            works = dialect.do_ping(raw)
            dialect.do_rollback(connection.connection)
        except Exception:
            return False
        return works

    def _put(self, connection: Connection) -> bool:
        if connection.invalidated:
            return False
        pool = self._pools.pop(id(connection), None)
        if pool is not self.engine.pool and not connection.closed:
            connection.detach()
            self._because(DRAINED, connection.close)
        connection.close()
        return True

    def _discard(self, connection: Connection) -> None:
        self._trust += 1
        self._pools.pop(id(connection), None)
        try:
            if not connection.closed:
                connection.invalidate()
        finally:
            connection.close()

    @staticmethod
    def _is_broken(error: BaseException, connection: Connection) -> bool:
        return connection.invalidated

    def _measure(self, counts: array[int]) -> None:
        pool: Any = self.engine.pool
        if hasattr(pool, "checkedout"):
            in_use = max(0, pool.checkedout())
            counts[OPEN], counts[IN_USE] = in_use + max(0, pool.checkedin()), in_use
        else:
            closed = sum(counts[CLOSED:WAITS])
            counts[OPEN], counts[IN_USE] = max(0, counts[OPENED] - closed), self._loans

    def _on_connect(self, *_: object) -> None:
        self._add(OPENED, 1)

    def _on_invalidate(self, _: object, record: object, error: object) -> None:
        """The connection is closed next."""
        if error is not None:
            self._broke = time.time()
        if getattr(self._local, "cause", None) is None:
            self._local.cause = INVALIDATED

    def _on_close(self, _: object, record: Any) -> None:
        self._add(self._cause_of(record), 1)
        if getattr(self._local, "cause", None) == INVALIDATED:
            self._local.cause = None

    def _on_close_detached(self, *_: object) -> None:
        self._add(getattr(self._local, "cause", None) or IDLE, 1)

    def _cause_of(self, record: Any) -> int:
        cause: int | None = getattr(self._local, "cause", None)
        if cause is not None:
            return cause
        if record.last_connect_time < self._broke:
            return INVALIDATED
        recycle = getattr(self.engine.pool, "_recycle", -1)
        age = time.time() - record.last_connect_time
        return AGE if -1 < recycle < age else IDLE

    def _empty(self) -> None:
        self.engine.dispose()

    def _end(self) -> None:
        self.engine.dispose()

    def _replace(self) -> None:
        self._parents.append(self.engine.pool)
        self._pools = {}
        self.engine.dispose(close=False)


def _another(pool: Any) -> Any:
    """A pool that is made like this one, which cannot be opened (again) here. Of a class that takes
    other arguments, one of the class below it."""
    for kind in type(pool).__mro__:
        try:
            return kind(open=False, **_arguments(kind, pool))
        except (TypeError, AttributeError):
            pass
    raise AssertionError("a pool of psycopg_pool is none")


def _arguments(kind: Any, pool: Any) -> dict[str, Any]:
    given = {}
    for name in inspect.signature(kind.__init__).parameters:
        own = f"_{name}"
        if name not in ("self", "open"):
            given[name] = getattr(pool, own) if hasattr(pool, own) else getattr(pool, name)
    return given


class PoolResource(Lending[C]):
    """A pool of psycopg_pool; ``pool`` is it, or one like it after a stop or in a fork."""

    def __init__(
        self, pool: ConnectionPool[C], name: str | None, retry: Retry, eager: bool
    ) -> None:
        if _is_a(pool, ("psycopg_pool.pool_async", "AsyncConnectionPool")):
            raise TypeError(
                "pool is an AsyncConnectionPool, which handlers cannot wait for; use ConnectionPool"
            )
        if not _is_a(pool, ("psycopg_pool.pool", "ConnectionPool")):
            raise TypeError(f"pool must be one of psycopg_pool, not {type(pool).__name__}")
        if not pool.closed:
            raise ValueError("the pool is open already; give open=False, it is opened in a worker")
        from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

        self.pool = pool
        self._late = (PoolTimeout, TooManyRequests)
        self._closed_error = PoolClosed
        self._opening = threading.Lock()
        self._adapter_of_one = Psycopg()
        self._before = (0, 0, 0)  # What pools before this one have counted.
        self._found = 0  # Broken ones that were found here.
        self._opens = _is_a(pool, ("psycopg_pool.null_pool", "NullConnectionPool"))
        super().__init__(name or pool.name, pool.timeout, retry, eager)

    def _ready(self) -> ConnectionPool[C]:
        if self.pool.closed:
            with self._opening:
                try:
                    self.pool.open()
                except self._closed_error:
                    self._before = self._counted(self.pool.get_stats())
                    self.pool = _another(self.pool)
                    self.pool.open()
        return self.pool

    def _is_full(self) -> bool:
        stats = self.pool.get_stats()
        if self._opens:
            return 0 < stats["pool_max"] <= stats["pool_size"]
        return not self.pool.closed and stats["pool_available"] == 0

    def _lend(self) -> C:
        pool = self._ready()
        until = time.monotonic() + pool.timeout
        while True:
            trust = self._trust
            try:
                connection = pool.getconn(until - time.monotonic())
            except self._late as error:
                raise _core.Unavailable(str(error)) from error
            except self._closed_error as error:
                raise _core.StateError(f"resource '{self.name}': {error}") from error
            if self._works(connection, trust):
                connection._fastcgi = (pool, trust)  # type: ignore[attr-defined]
                return connection
            self._found += 1
            self._throw_away(connection, pool)

    @staticmethod
    def _throw_away(connection: Any, pool: Any) -> None:
        """A pool may have close() mean another thing."""
        connection.pgconn.finish()
        pool.putconn(connection)

    def _works(self, connection: Any, trust: int) -> bool:
        if getattr(connection, "_fastcgi", (None, 0))[1] == trust:
            return True
        try:
            return bool(self._adapter_of_one.check(connection))
        except Exception:
            return False

    def _put(self, connection: Any) -> bool:
        if connection.closed:
            return False
        self._adapter_of_one.reset_transaction(connection)
        connection._fastcgi[0].putconn(connection)
        return True

    def _discard(self, connection: Any) -> None:
        """Of those that break together, the first one has the others replaced: a server that stops
        may still answer the check of one that it is about to close."""
        pool, trust = connection._fastcgi
        first = trust == self._trust
        self._trust += first
        self._add(INVALIDATED, 1)
        if first and connection.closed and hasattr(pool, "drain"):  # psycopg_pool 3.3 has it.
            self._add(INVALIDATED, pool.get_stats()["pool_available"])
            pool.drain()
        self._throw_away(connection, pool)

    @staticmethod
    def _is_broken(error: BaseException, connection: Any) -> bool:
        return bool(connection.closed)

    def _counted(self, stats: dict[str, int]) -> tuple[int, int, int]:
        """What this pool and those before it have opened, failed to open, and found broken."""
        opened, failed, lost = self._before
        errors = stats.get("connections_errors", 0)
        return (
            opened + stats.get("connections_num", 0) - errors,
            failed + errors,
            lost + stats.get("connections_lost", 0),
        )

    def _measure(self, counts: array[int]) -> None:
        stats = self.pool.get_stats()
        counts[IN_USE] = self._loans
        counts[OPEN] = self._loans + stats["pool_available"]
        counts[OPENED], counts[FAILED], lost = self._counted(stats)
        counts[CHECK] = lost + self._found

    def _empty(self) -> None:
        if not self.pool.closed:
            self._add(DRAINED, self.pool.get_stats()["pool_available"])
            self.pool.drain()

    def _end(self) -> None:
        self._add(STOPPED, self.pool.get_stats()["pool_available"])
        self.pool.close(CLOSE_SECONDS)

    def _replace(self) -> None:
        self._parents.append(self.pool)
        self._opening = threading.Lock()
        self._before, self._found = (0, 0, 0), 0
        self.pool = _another(self.pool)
