# SPDX-License-Identifier: MIT
"""Pools of SQLAlchemy and psycopg_pool as resources: taken, given back, counted and refused."""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import fastcgi
import psycopg_pool
import pytest
import sqlalchemy
from sqlalchemy.pool import NullPool, StaticPool
from support.databases import Postgres, started
from support.fcgi_client import wait_until
from support.pools import KINDS, Kind, make_engine, make_pool, url_of


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    yield from started(Postgres)


@pytest.fixture(params=KINDS)
def kind(request: Any) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def make(kind: Kind, postgres: Postgres) -> Iterator[Callable[..., Any]]:
    """make(size=4, wait=30, **options) -> a resource, which is ended with the test."""
    yield lambda **options: kind.make(postgres, **options)
    kind.end()
    wait_until(lambda: postgres.backends() == 0)


def hold_all(db: Any, count: int) -> list[Any]:
    """As many threads have one at the same time; what they had."""
    meet = threading.Barrier(count)
    had: list[Any] = []

    def hold() -> None:
        with db as connection:
            had.append(connection)
            meet.wait(60)

    threads = [threading.Thread(target=hold) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(had) == count
    return had


class TestTaking:
    def test_a_nested_take_is_the_same(self, kind: Kind, make: Callable[..., Any]) -> None:
        db = make(size=1)
        with db as outer:
            with db as inner:
                assert inner is outer
            assert kind.run(outer, "SELECT 7") == 7
        assert db.stats()["taken"] == 2

    def test_one_is_opened_for_many_takes(
        self, kind: Kind, make: Callable[..., Any], postgres: Postgres
    ) -> None:
        db = make(size=1)
        pids = set()
        for _ in range(10):
            with db as connection:
                pids.add(kind.run(connection, "SELECT pg_backend_pid()"))
        assert len(pids) == postgres.backends() == db.stats()["opened"] == 1

    @pytest.mark.parametrize("fails", [False, True])
    def test_transactions(
        self, kind: Kind, make: Callable[..., Any], postgres: Postgres, fails: bool
    ) -> None:
        postgres.ask("DROP TABLE IF EXISTS visits; CREATE TABLE visits (n int)")
        db = make(size=1)
        with contextlib.suppress(ZeroDivisionError), db as connection:
            kind.run(connection, "INSERT INTO visits VALUES (1)")
            if fails:
                raise ZeroDivisionError
        with db as connection:
            assert kind.run(connection, "SELECT count(*) FROM visits") == 0
            kind.run(connection, "INSERT INTO visits VALUES (1)")
            connection.commit()
        assert postgres.ask("SELECT count(*) FROM visits") == 1
        stats = db.stats()
        assert (stats["opened"], stats["closed_invalidated"]) == (1, 0)

    def test_many_threads_share_few(self, kind: Kind, make: Callable[..., Any]) -> None:
        db = make(size=3)
        answers: list[int] = []

        def work() -> None:
            for _ in range(50):
                with db as connection:
                    answers.append(kind.run(connection, "SELECT 7"))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [7] * 400
        stats = db.stats()
        assert (stats["taken"], stats["in_use"], stats["refused"]) == (400, 0, 0)
        assert 1 <= stats["open"] <= 3

    def test_none_is_free_in_time(self, kind: Kind, make: Callable[..., Any]) -> None:
        db = make(size=1, wait=0.1, name="shop")
        raised: list[BaseException] = []

        def take() -> None:
            try:
                with db:
                    pass
            except fastcgi.Unavailable as error:
                raised.append(error)

        with db as connection:
            assert kind.run(connection, "SELECT 7") == 7
            for _ in range(2):
                thread = threading.Thread(target=take)
                thread.start()
                thread.join()
        assert [type(error.__cause__) for error in raised] == [kind.late] * 2
        assert str(raised[0]).startswith(f"resource 'shop': none was free: {kind.late.__name__}: ")
        take()
        stats = db.stats()
        assert (len(raised), stats["refused"], stats["failed"], stats["away"]) == (2, 2, 0, 0)
        assert (stats["open"], stats["in_use"], stats["waiting"]) == (1, 0, 0)


class TestBreaking:
    def test_one_error_for_all_that_are_dead(
        self, kind: Kind, make: Callable[..., Any], postgres: Postgres
    ) -> None:
        db = make(size=4)
        hold_all(db, 4)
        postgres.kill_backends()
        errors = 0
        for _ in range(12):
            try:
                with db as connection:
                    kind.run(connection, "SELECT 1")
            except kind.error:
                errors += 1
        assert errors == 1
        stats = db.stats()
        assert stats["closed_invalidated"] + stats["closed_check"] >= 1
        assert stats["open"] <= 4

    def test_invalidate(self, kind: Kind, make: Callable[..., Any], postgres: Postgres) -> None:
        db = make(size=1)
        with db as connection:
            before = kind.run(connection, "SELECT pg_backend_pid()")
            db.invalidate()
        with db as connection:
            assert kind.run(connection, "SELECT pg_backend_pid()") != before
        assert db.stats()["closed_invalidated"] == 1
        with pytest.raises(fastcgi.StateError, match="holds nothing"):
            db.invalidate()

    def test_one_that_is_said_to_be_broken(
        self, kind: Kind, make: Callable[..., Any], postgres: Postgres
    ) -> None:
        """The others are checked: none of them makes an error."""
        db = make(size=4)
        hold_all(db, 4)
        with db:
            postgres.kill_backends()
            db.invalidate()
        for _ in range(8):
            with db as connection:
                assert kind.run(connection, "SELECT 7") == 7
        stats = db.stats()
        assert (stats["closed_invalidated"], stats["closed_check"]) == (1, 3)

    def test_drain(self, kind: Kind, make: Callable[..., Any], postgres: Postgres) -> None:
        db = make(size=2)
        hold_all(db, 2)
        before = {postgres_pid(kind, db)}
        with db as connection:
            before.add(kind.run(connection, "SELECT pg_backend_pid()"))
            db.drain()
            assert kind.run(connection, "SELECT 7") == 7
        assert {postgres_pid(kind, db), postgres_pid(kind, db)}.isdisjoint(before)
        gone = ", ".join(map(str, before))
        query = f"SELECT count(*) FROM pg_stat_activity WHERE pid IN ({gone})"
        wait_until(lambda: postgres.ask(query) == 0)
        assert db.stats()["closed_drained"] >= 1

    def test_a_database_that_is_away(self, kind: Kind) -> None:
        """Its pool says how long a take waits: SQLAlchemy connects at once."""
        if Postgres.lacks():
            pytest.skip(str(Postgres.lacks()))
        with Postgres() as database:
            db = kind.make(database, wait=0.2, acquire_timeout=0.2)
            database.stop()
            with pytest.raises(fastcgi.Unavailable), db:
                pass
            assert db.stats()["refused"] == 1
            assert db.stats()["failed"] >= 1
            db._tidy("all")


def postgres_pid(kind: Kind, db: Any) -> int:
    with db as connection:
        pid: int = kind.run(connection, "SELECT pg_backend_pid()")
        return pid


class TestMaking:
    def test_it_is_a_resource(self, make: Callable[..., Any], kind: Kind) -> None:
        db = make(name="shop")
        assert isinstance(db, fastcgi.resource)
        assert (db.name, db.forked) == ("shop", False)
        assert db.stats().keys() == fastcgi.resource(object).stats().keys()

    def test_names(self, postgres: Postgres) -> None:
        engine = make_engine(postgres)
        pool = make_pool(postgres, name="shop")
        assert fastcgi.resource.sqlalchemy(engine).name == "sqlalchemy"
        assert fastcgi.resource.sqlalchemy(engine).engine is engine
        assert fastcgi.resource.psycopg_pool(pool).name == "shop"
        assert fastcgi.resource.psycopg_pool(pool).pool is pool

    def test_it_goes_with_its_last_reference(self, postgres: Postgres) -> None:
        for gone in (
            weakref.ref(fastcgi.resource.sqlalchemy(make_engine(postgres))),
            weakref.ref(fastcgi.resource.psycopg_pool(make_pool(postgres))),
        ):
            gc.collect()
            assert gone() is None

    def test_what_is_no_engine(self) -> None:
        from sqlalchemy.ext.asyncio import AsyncEngine

        refused: Any = object.__new__(AsyncEngine)
        with pytest.raises(TypeError, match="AsyncEngine, which handlers cannot wait for; use cr"):
            fastcgi.resource.sqlalchemy(refused)
        for wrong in (None, "postgresql:///shop", object()):
            with pytest.raises(TypeError, match=f"one of SQLAlchemy, not {type(wrong).__name__}$"):
                fastcgi.resource.sqlalchemy(wrong)  # type: ignore[arg-type]

    def test_what_is_no_pool(self, postgres: Postgres) -> None:
        refused: Any = psycopg_pool.AsyncConnectionPool("", open=False)
        with pytest.raises(TypeError, match="AsyncConnectionPool, which handlers cannot wait for"):
            fastcgi.resource.psycopg_pool(refused)
        for wrong in (None, "dbname=shop", object()):
            with pytest.raises(
                TypeError, match=f"one of psycopg_pool, not {type(wrong).__name__}$"
            ):
                fastcgi.resource.psycopg_pool(wrong)  # type: ignore[type-var]
        with (
            make_pool(postgres, open=True) as pool,
            pytest.raises(ValueError, match="open already; give open=False"),
        ):
            fastcgi.resource.psycopg_pool(pool)

    def test_wrong_options(self, postgres: Postgres) -> None:
        with pytest.raises(ValueError, match="retry must be 'never' or 'safe'"):
            fastcgi.resource.sqlalchemy(make_engine(postgres), retry="yes")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="acquire_timeout must be"):
            fastcgi.resource.sqlalchemy(make_engine(postgres), acquire_timeout=-1)

    @pytest.mark.parametrize("pool", [NullPool, StaticPool])
    def test_other_pools_of_sqlalchemy(self, postgres: Postgres, pool: Any) -> None:
        engine = sqlalchemy.create_engine(url_of(postgres), poolclass=pool)
        db = fastcgi.resource.sqlalchemy(engine)
        with db as connection:
            assert KINDS["sqlalchemy"].run(connection, "SELECT 7") == 7
            stats = db.stats()
            assert (stats["open"], stats["in_use"], stats["opened"]) == (1, 1, 1)
        assert db.stats()["in_use"] == 0
        engine.dispose()
        assert db.stats()["open"] == 0

    def test_a_pool_that_keeps_none(self, postgres: Postgres) -> None:
        pool = psycopg_pool.NullConnectionPool(postgres.dsn, max_size=2, open=False)
        db = fastcgi.resource.psycopg_pool(pool)
        pids = {postgres_pid(KINDS["psycopg_pool"], db) for _ in range(3)}
        assert len(pids) == 3
        stats = db.stats()
        assert (stats["open"], stats["opened"]) == (0, 3)
        db._tidy("all")

    def test_connections_that_are_too_old(self, postgres: Postgres) -> None:
        engine = make_engine(postgres, pool_recycle=0)
        db = fastcgi.resource.sqlalchemy(engine)
        for _ in range(3):
            with db as connection:
                KINDS["sqlalchemy"].run(connection, "SELECT 7")
        stats = db.stats()
        assert stats["closed_age"] >= 2
        assert (stats["open"], stats["opened"]) == (1, 1 + stats["closed_age"])
        engine.dispose()

    def test_more_than_the_pool_keeps(self, postgres: Postgres) -> None:
        engine = sqlalchemy.create_engine(url_of(postgres), pool_size=1, max_overflow=2)
        db = fastcgi.resource.sqlalchemy(engine)
        hold_all(db, 3)
        stats = db.stats()
        assert (stats["open"], stats["opened"], stats["closed_idle"]) == (1, 3, 2)
        engine.dispose()
